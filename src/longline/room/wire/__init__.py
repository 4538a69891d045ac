"""From the socket to packets and back: listeners, who may connect at all, connections, deadlines.

What the kernel holds until it is accepted, `backlog.py` bounds and `sweeping.py` sweeps.
"""
