"""Checks of what the embedded engine has stored: one function each, by subject.

A check gets a snapshot, the number of an app and where to go on; it returns a step. `checks.py` lists all of
them; a table that is new to the schema gets a check there, and a row in `belongings.py`.
"""
