"""Which nodes there are and who leads. `port.py` states the duties, `local.py` serves one process."""
