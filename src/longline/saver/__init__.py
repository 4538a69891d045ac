"""What must not be lost: apps, devices, messages, inboxes, the broadcast log, the ledger, events,
timers.

`port/` has a small port for each subject, which states its duties, and `bundle.py` all of them as one store.
There are two engines, `sql/` for one process and `kv/` for a cluster; a port is fulfilled by the file of its
name in each. Roles see only the ports.
"""
