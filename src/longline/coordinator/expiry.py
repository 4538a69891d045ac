"""Ends messages whose time is over, and forgets ledgers whose retention is over.

The store knows what ends next, so a look costs one index entry; nothing scans messages or devices.
"""

from longline.model.times import wall_clock
from longline.saver.bundle import Saver

BATCH = 1000  # messages ended in one step, so that the store is never held long


class Expiry:
    """`round` ends what is due, a batch at most."""

    def __init__(self, saver: Saver) -> None:
        self._saver = saver

    async def round(self) -> bool:
        """True when there may be more."""
        now = wall_clock()
        due = await self._saver.expiry.next_due()
        if due is None or due > now:
            return False
        return await self._saver.expiry.end(now, BATCH) > 0
