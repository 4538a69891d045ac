"""How one part tells a node to do something. `port.py` states the duties, `local.py` serves one process."""
