"""The gateway: one long-lived MQTT connection for every device, and what is written to it.

`connection.py` is one socket, `session.py` what its device has going on, `broker.py` what the sessions
of a room share; these are synchronous and compiled. `admission.py`, `inbox.py`, `receipts.py` and
`commands.py` are the room's few tasks that talk to the stores, in batches. `room.py` puts them together.
"""
