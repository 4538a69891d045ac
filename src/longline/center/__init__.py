"""The HTTP API for app servers and operators, and the pipeline that turns its messages into pushes.

`api.py` lists every operation. `gate.py` is what a request passes first: admission, limits, errors.
`sending.py` is the way of a message from JSON to the rooms. The roles and engines around it are
injected (`service.py`); `server.py` puts the whole on a port.
"""
