"""The HTTP API for app servers and operators. It maps requests to the pipeline in `delivery` and to the
stores, and decides nothing about messages itself.

`api.py` lists every operation. `gate.py` is what a request passes first: admission, limits, errors. Then each
subject has a file (`messages.py`, `devices.py`, …), between the types of `schemas.py` that come in and those
of `answers.py` that go out; `openapi.py` describes them. `service.py` holds what operations stand on;
`server.py` puts the whole on a port.
"""
