"""WebSocket (RFC 6455) as MQTT travels over it: bytes go in, bytes come out, and nothing here knows a socket.

`head.py` gathers the head of an HTTP message, `upgrade.py` judges a client's request and writes the answer,
`asking.py` is the client's end of the same, and `frames.py` reads and writes frames. A stream of MQTT takes
no notice of where frames and messages begin (section 6 of both versions of MQTT), so neither is put together
here: what a frame carries is handed on as it comes, and however long a frame says that it is, none of it is
held.
"""
