"""The part of MicroPython's `umqtt` that a device needs, on CPython's sockets."""
