"""How one part tells a node to do something. `port.py` states the duties; `local.py` serves one process and
`redis.py` a cluster. `outgoing.py` and `incoming.py` are the two ends of a queue in Redis, `wire.py` is what
travels.
"""
