"""Who is online, where, under which epoch. `port.py` states the duties; `memory.py` serves one process,
`redis.py` a cluster, with `binding.py` for what takes most care, `layout.py` and the scripts in `lua/`."""
