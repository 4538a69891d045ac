"""Pushes: what app servers send to devices.

`commands.py` takes what centers tell this room, `broadcasts.py` and `pacing.py` visit every session of an
app, `pushes.py` writes and takes acknowledgements, `inbox.py` reads what a session could not be given at
once, and `receipts.py` tells the store what became of them.
"""
