"""What a node tells about itself.

`counters` are the plain numbers that hot code adds to, `collector` puts them behind one Prometheus collector,
`process` has what the kernel says, `traffic` counts by app, `loop` watches the event loop and the garbage
collector, and `logs` sets up the log and keeps it from being flooded or from holding secrets.
"""
