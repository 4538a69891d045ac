"""A client and what its device has going on.

`client.py` deals with each packet of a connection. `session.py` is what is left without one; an attachment
stands between the two, and `sessions.py` decides what follows when it ends. Each session has a window
(`window.py`): how far it has got with its pushes, and every legal move from there, so whether one is written
now or left in the store. `inflight.py` knows which packet identifiers stand for what until they are
acknowledged. What all of them write through is an `Outlet`.
"""
