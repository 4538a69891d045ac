"""The engine of a cluster: Redis or Valkey, one server or a Cluster, shared by any number of processes.

Devices, their inboxes and ledgers are divided into partitions, each of which is one atomic place. What must
be one step is a script in `lua/`; what spans partitions is a sequence of such steps, begun in a journal
(`journal.py`, `carrying.py`). A port is fulfilled by the file of its name, `engine.py` opens them all,
`layout.py` is the map of the keys. Nothing here imports a database client: all goes through
`longline.store.redis.Store`.
"""
