"""Ends messages whose time is over, and forgets ledgers whose retention is over.

The store knows what ends next, so a look costs one index entry; nothing scans messages or devices.
"""

import asyncio

import structlog

from longline.errors import LonglineError
from longline.keeper.port import Keeper
from longline.model import wall_clock
from longline.saver.port import Saver

LOOK_EVERY = 0.5  # s: how late an end may be noticed
BATCH = 1000  # messages ended in one transaction, so that the writer is never held long
DUTY = "expiry"

log = structlog.get_logger()


class Expiry:
    """The duty as one task: `run`."""

    def __init__(self, saver: Saver, keeper: Keeper, node: str) -> None:
        self._saver = saver
        self._keeper = keeper
        self._node = node

    async def run(self) -> None:
        """Works for as long as the node lives."""
        while True:
            try:
                while await self._keeper.leads(DUTY, self._node) and await self._round():
                    pass
            except LonglineError as error:
                log.warning("expiry_failed", code=error.code, message=error.message)
            await asyncio.sleep(LOOK_EVERY)

    async def _round(self) -> bool:
        """Ends what is due, a batch at most; True when there may be more."""
        now = wall_clock()
        due = await self._saver.next_expiry()
        if due is None or due > now:
            return False
        return await self._saver.expire(now, BATCH) > 0
