"""The gateway: one long-lived MQTT connection for every device, and what is written to it.

`connection.py` is one socket, `session.py` what its device has going on, `broker.py` what the sessions
of a room share; these are synchronous and compiled, and `desk.py` is what they ask of the rest.
`admission.py`, `inbox.py`, `receipts.py`, `departures.py`, `commands.py` and `broadcasts.py` are the room's
few tasks that talk to the stores, in batches; `takeovers.py` and `routes.py` (with `neighbours.py` and
`relay.py`) talk to other rooms. `pressure.py` takes in less while the stores do not keep up, `draining.py`
moves the clients elsewhere, as fast as `pace.py` finds right. `room.py` puts them together.
"""
