"""Ends messages whose time is over, and forgets ledgers whose retention is over.

The store knows what ends next, so a look costs one index entry; nothing scans messages or devices.
"""

from longline.model.times import wall_clock
from longline.saver.port.messages import MessageStore

BATCH = 1000  # messages ended in one step, so that the store is never held long


class Expiry:
    """`round` ends what is due, a batch at most."""

    def __init__(self, messages: MessageStore) -> None:
        self._messages = messages

    async def round(self) -> bool:
        """True when there may be more."""
        now = wall_clock()
        due = await self._messages.next_expiry()
        if due is None or due > now:
            return False
        return await self._messages.expire(now, BATCH) > 0
