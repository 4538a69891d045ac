"""Tools that tests of Longline, and of programs built on it, share.

`clock` is time that moves only when told to, `proxy` a network that fails when told to, `links` two ends
of the MQTT link machine joined without a socket. The product imports nothing of this.
"""
