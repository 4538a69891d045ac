"""Who is online, where, under which epoch. `port.py` states the duties; `memory.py` serves one process."""
