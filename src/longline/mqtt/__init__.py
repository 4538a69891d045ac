"""The MQTT wire, 3.1.1 and 5.0, without any input or output of its own.

Bytes and the time of day come in as arguments, packets and bytes go out as results: nothing here reads a
clock, owns a socket or knows an event loop. `wire` holds the primitive encodings, `properties`, `reasons`
and `topics` the tables of the standard, `packets` the values, `reading` and `writing` the packet bodies,
`codec` the stream of packets, and `link` the order in which packets may travel. The same source runs
interpreted or compiled by mypyc.
"""
