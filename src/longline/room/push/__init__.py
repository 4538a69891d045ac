"""Pushes: what app servers send to devices.

`commands.py` takes what centers tell this room, each app in its turn (`turns.py`). `unicasts.py` hands what
is for named devices to their sessions, `broadcasts.py` visits every session of an app, slice by slice, and
`spreading.py` those whose sender asked for time; `passes.py` knows what is under way, and keeps the order
with it, and `pace.py` says how fast it may go. `pushes.py` does what a session's window says of what is
offered or read, and takes acknowledgements; `inbox.py` reads what a session could not be given at once, and
`receipts.py` tells the store what became of them. `frames.py` is a push as it goes over the wire, `sent.py`
one that was written and not acknowledged yet. `gaps.py` tells devices what they have missed, `notice.py` is
that while it is not acknowledged.
"""
