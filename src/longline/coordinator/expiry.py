"""Ends messages whose time is over, and forgets ledgers whose retention is over.

The store knows what ends next, so a look costs one index entry; nothing scans messages or devices.
"""

from longline.model.times import wall_clock
from longline.saver.port.expiry import ExpiryStore

BATCH = 1000  # messages ended in one step, so that the store is never held long


class Expiry:
    """`round` ends what is due, a batch at most."""

    def __init__(self, store: ExpiryStore) -> None:
        self._store = store

    async def round(self) -> bool:
        """True when there may be more."""
        now = wall_clock()
        due = await self._store.next_due()
        if due is None or due > now:
            return False
        return await self._store.end(now, BATCH) > 0
