"""Ending what is over and forgetting what is old, in bounded slices."""

import asyncio

import msgspec

from longline.saver.kv import layout
from longline.saver.kv.routing import OFFLINE, a_token
from longline.store.redis import Script, Store, Word

EXPIRE = Script("longline.saver.lua", "expire.lua")
SWEEP = Script("longline.saver.lua", "sweep.lua")
NEXT_DUE = Script("longline.saver.lua", "next_due.lua")

SLICE = 200  # messages that one script ends or forgets, so that it holds up nobody for long


class Expiring:
    """The part of `Saver.expire` and `Saver.next_expiry` that concerns messages and idempotency keys.

    A message is ended in each partition that it has devices in, and counts in each. `retention_ms`: from a
    message's end to when its ledger is forgotten.
    """

    def __init__(self, store: Store, retention_ms: int) -> None:
        self._store = store
        self._retention = retention_ms

    async def expire(self, now: int, limit: int) -> int:
        """Ends and forgets at most `limit`, the oldest of each partition first; how many that was."""
        done = 0
        for due, partition in sorted(await self._due()):
            if due > now or done >= limit:
                break
            done += await self._expire(partition, now, limit - done)
        return done

    async def next_expiry(self) -> int | None:
        """When there is work next, in ms."""
        return min((due for due, _ in await self._due()), default=None)

    async def _due(self) -> list[tuple[int, int]]:
        """(when, partition) of each partition that has anything to do some time."""
        partitions = range(self._store.partitions)
        replies = await asyncio.gather(
            *(
                self._store.run(layout.tag(partition), NEXT_DUE, [layout.prefix(partition)], [])
                for partition in partitions
            )
        )
        dues = zip(msgspec.convert(replies, list[int]), partitions, strict=True)
        return [(due, partition) for due, partition in dues if due >= 0]

    async def _expire(self, partition: int, now: int, limit: int) -> int:
        tag, keys = layout.tag(partition), [layout.prefix(partition)]
        done, more = 0, 1
        while more and done < limit:
            args: list[Word] = [now, min(limit - done, SLICE), self._retention, OFFLINE, a_token()]
            reply = await self._store.run(tag, EXPIRE, keys, args)
            count, more = msgspec.convert(reply, tuple[int, int])
            done += count
        while done < limit:
            swept = await self._store.run(tag, SWEEP, keys, [now, min(limit - done, SLICE), a_token()])
            assert isinstance(swept, int)
            if swept == 0:
                break
            done += swept
        return done
