"""Checks of what the key-value engine has stored, by subject: one function for each thing that has to
agree.

A *walk* goes over the names, buckets or entries of an app in one partition after the other. Each of its
steps is one script, so it sees one moment of that partition: the script gathers what has to agree, the
functions compare it. `engine.py` lists all of them; a kind of key that is new to the layout gets a
comparison there, and a row in `belongings.py`.
"""
