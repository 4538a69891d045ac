"""Who is online, where, and under which epoch. `port.py` states the duties, `memory.py` is the engine of one process."""
