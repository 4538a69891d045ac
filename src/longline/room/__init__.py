"""The gateway: one long-lived MQTT connection for every device, and what is written to it.

`wire/` is sockets and bytes, `session/` what a client says and what its device has going on, `pubsub/` plain
publish/subscribe, here and with other rooms, `push/` what app servers send, `life/` how clients come, stay
and go. What runs for each packet is synchronous and compiled, and never waits: it is done in turns of the
event loop (`turn.py`). What talks to stores and other rooms are tasks that work in batches. `room.py` puts
the parts together, starts and stops them; each part knows the parts it uses, and none of them knows the room.
"""
