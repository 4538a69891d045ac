"""HTTP on a port: `server.py` listens, `connection.py` makes requests of bytes and bounds connections,
`counters.py` counts them. The probes of other roles are served by it, too.
"""
