"""The client side: `Device` holds a device's connection to a room, `Center` speaks the HTTP API.

`device` drives a socket with asyncio around `mqtt_client`, which knows what a device does and touches
no socket. Where it connects next is the business of `endpoints`, which `dispatch` feeds with what dispatchers
say. `center` turns calls into requests of `http`, which retries within a budget. `backoff` holds the waiting
rules that both share.
"""
