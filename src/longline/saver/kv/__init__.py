"""The key-value engine's parts: where things lie in Redis or Valkey, and what each operation does to them.

Nothing here imports a database client: all goes through `longline.store.redis.Store`. What must be one
atomic step is a script in `longline.saver.lua`; what spans partitions is a sequence of such steps, begun in a
journal. `layout.py` is the map of the keys.
"""
