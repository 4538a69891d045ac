"""`SyncCenter`: the calls of `Center` without asyncio, made by `tools/blocking.py`."""
