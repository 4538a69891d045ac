"""Frees what deleted apps take up.

The messages side removes inboxes, ledgers and logs of an app, partition by partition; then go the devices
here. How far that is stands in the directory of apps, so any process goes on where another stopped.
"""

import os

import msgspec

from longline.saver.kv.apps import LUA, TOKEN, Apps
from longline.saver.kv.layout import prefix, tag
from longline.store.redis import Script, Store

PURGE = Script(LUA, "purge.lua")
SLICE = 500  # devices and labels that one script removes, so that it holds up nobody for long


class Purging:
    """A part of `Saver.expire`, in slices."""

    def __init__(self, store: Store, apps: Apps) -> None:
        self._store = store
        self._apps = apps

    async def waits(self) -> bool:
        """Whether a deleted app still takes up something."""
        return bool(await self._apps.purges())

    async def purge(self, limit: int) -> int:
        """Removes at most `limit` devices and labels of deleted apps; how many it removed."""
        removed = 0
        for app, reached in (await self._apps.purges()).items():
            if removed < limit:
                removed += await self._purge(app, reached, limit - removed)
        return removed

    async def _purge(self, app: int, reached: int, limit: int) -> int:
        if reached < 0:  # whoever deleted it was interrupted
            await self._apps.tell_deleted(app)
        partition, removed = max(reached, 0), 0
        while partition < self._store.partitions and removed < limit:
            reply = await self._store.run(
                tag(partition),
                PURGE,
                [prefix(partition)],
                [app, min(SLICE, limit - removed), os.urandom(TOKEN)],
            )
            count, done = msgspec.convert(reply, tuple[int, int])
            removed += count
            if done:
                partition += 1
            elif count == 0:  # its messages are not removed yet
                break
        await self._apps.purged(app, partition)
        return removed
