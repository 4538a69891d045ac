"""Messages, from the request to what became of them.

`messages.py` sends and cancels them, `schedules.py` sends one again and again, `audiences.py` counts who
would get one. `drafts.py` makes of JSON, whose shapes are `message_shapes.py`, `audience_shapes.py` and
`payloads.py`, the draft that `delivery` takes. `statuses.py` says where a message stands, `latest.py` lists
those of an app and of a device, `traces.py` follows one to one device.
"""
