"""Keeps the role processes of one host running.

`warm.py` is the parent that they are forked from, `child.py` one process that is kept alive, `agent.py` all
of them: back-off, rolling restart, status; `restart.py` is one rolling restart with its progress, `valkey.py`
the private store of `serve --workers`, and `systemd.py` writes units.
"""
