"""What must not be lost: apps, devices, messages, inboxes, the broadcast log and the ledger.

`port.py` states the duties; an engine (`sqlite.py`) fulfils them. Roles see only the port.
"""
