"""The client side: `Device` holds a device's connection to a room, `Center` speaks the HTTP API.

`device` drives a socket with asyncio around `mqtt_client`, which knows what a device does and touches no
socket. Where it connects next is the business of `endpoints`, which `dispatch` feeds with what dispatchers
say, and `racing` tries the first of them; `state` is what outlives the process, kept by `state_file`.
`center` is made of `calls`, a file for each part of the API, over the requests of `calls.http`, which retries
within a budget; `blocking` is made of these, for who has no asyncio. `backoff` holds the waiting rules that
both share.
"""
