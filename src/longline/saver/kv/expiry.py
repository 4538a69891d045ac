"""Ending what is over and forgetting what is old, in bounded slices.

A message is ended in each partition that it has devices in, and counts in each. What deleted apps take up
goes last: their messages as those of others whose time is over, then, partition by partition, their devices.
How far that is stands in the directory of apps, so any process goes on where another stopped.
"""

import os
import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from longline.saver.kv.apps import TOKEN, KvApps
from longline.saver.kv.keys import KvKeys
from longline.saver.kv.partitions import Partitions, script
from longline.saver.kv.queues import KvQueues
from longline.saver.kv.retained import KvRetained
from longline.saver.kv.routing import OFFLINE, a_token
from longline.saver.kv.trail import KvTrail
from longline.store.redis import Word
from longline.store.scatter import gathered, is_of_an_item
from longline.telemetry.faults import Faults

EXPIRE = script("expire.lua")
SWEEP = script("sweep.lua")
NEXT_DUE = script("next_due.lua")
PURGE = script("purge.lua")

SLICE = 200  # messages that one script ends or forgets, so that it holds up nobody for long
PURGE_SLICE = 500  # devices and labels that one script removes
SEEN_FOR: Final = 60.0  # s: whoever looked last before that does not look any more, and has nothing to tell


class Unended(Exception):
    """What a partition has of a message cannot be read, so that it could not be ended there."""


class KvExpiry:
    """Fulfils `ExpiryStore`. `retention`: ms from a message's end to when its ledger is forgotten."""

    def __init__(
        self,
        partitions: Partitions,
        apps: KvApps,
        keys: KvKeys,
        trail: KvTrail,
        retained: KvRetained,
        queues: KvQueues,
        retention: int,
        faults: Faults,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._partitions = partitions
        self._apps = apps
        self._keys = keys
        self._trail = trail
        self._retained = retained
        self._queues = queues
        self._retention = retention
        self._faults = faults
        self._clock = clock
        self._seen = 0  # retained messages, at
        self._seen_at = float("-inf")

    async def next_due(self) -> int | None:
        """The first entry of an index in each partition."""
        if await self.purging():
            return 0
        dues = [due for due, _ in await self._due()]
        trail = await self._trail.next_due()
        return min(dues if trail is None else [*dues, trail], default=None)

    def retained_messages(self) -> int:
        """How many there are, where this process is the one that looks for what is over; else 0."""
        return self._seen if self._clock() - self._seen_at < SEEN_FOR else 0

    async def end(self, now: int, limit: int) -> int:
        """Messages and keys first: a deleted app's devices go after its messages."""
        done = await self._end(now, limit)
        if done < limit:
            done += await self._trail.sweep(now, limit - done)
        return done + (await self.purge(limit - done) if done < limit else 0)

    # --- what is over ---

    async def _due(self) -> list[tuple[int, int]]:
        """(when, partition) of each partition that has anything to do some time."""
        found = msgspec.convert(await self._partitions.run_all(NEXT_DUE, []), list[tuple[int, int]])
        self._seen, self._seen_at = sum(count for _, count in found), self._clock()
        return [(due, partition) for partition, (due, _) in enumerate(found) if due >= 0]

    async def _end(self, now: int, limit: int) -> int:
        """In rounds, each of which looks anew at what is due, and lets the partitions share what is left.

        A partition that is stuck is left to the next call.
        """
        done = 0
        stuck: set[int] = set()
        while done < limit:
            due = [part for when, part in sorted(await self._due()) if when <= now and part not in stuck]
            if not due:
                break
            due = due[: limit - done]
            share = min(SLICE, (limit - done) // len(due))
            own = [word for pair in (await self._apps.retentions()).items() for word in pair]
            counts = await gathered([self._end_slice(partition, now, share, own) for partition in due])
            stuck.update(partition for partition, count in zip(due, counts, strict=True) if count is None)
            done += sum(count or 0 for count in counts)
        return done

    async def _end_slice(self, partition: int, now: int, limit: int, own: Sequence[Word]) -> int | None:
        """Ends and forgets at most `limit` of one partition; None when that does not get it any further.

        `own`: apps, each with the retention that it has of its own.
        """
        try:
            args: list[Word] = [now, limit, self._retention, OFFLINE, a_token(), *own]
            reply = await self._partitions.run(partition, EXPIRE, args)
            count, more, bad = msgspec.convert(reply, tuple[int, int, int])
            for _ in range(bad):
                self._faults.note("saver.expiry", Unended(f"in partition {partition}"))
            if count < limit and not more:
                swept = await self._partitions.run(partition, SWEEP, [now, limit - count, a_token()])
                assert isinstance(swept, int)
                count += swept
                if count < limit:
                    count += await self._retained.sweep(partition, now, limit - count)
                if count < limit:
                    count += await self._queues.sweep(partition, now, limit - count)
                if count == 0 and bad == 0:
                    return None
        except Exception as error:
            if not is_of_an_item(error):
                raise
            self._faults.note("saver.expiry", error)
            return None
        return count

    # --- deleted apps ---

    async def purging(self) -> bool:
        """Whether a deleted app still takes up something."""
        return bool(await self._apps.purges())

    async def purge(self, limit: int) -> int:
        """Removes at most `limit` devices and labels of deleted apps; how many it removed."""
        removed = 0
        for app, reached in (await self._apps.purges()).items():
            if removed >= limit:
                break
            try:
                removed += await self._purge(app, reached, limit - removed)
            except Exception as error:  # what is left of one app holds up no other
                if not is_of_an_item(error):
                    raise
                self._faults.note("saver.expiry", error)
        return removed

    async def _purge(self, app: int, reached: int, limit: int) -> int:
        if reached < 0:  # whoever deleted it was interrupted
            await self._apps.tell_deleted(app)
        partition, removed = max(reached, 0), 0
        while partition < self._partitions.count and removed < limit:
            args: list[Word] = [app, min(PURGE_SLICE, limit - removed), os.urandom(TOKEN)]
            reply = await self._partitions.run(partition, PURGE, args)
            count, done = msgspec.convert(reply, tuple[int, int])
            removed += count
            if done:
                partition += 1
            elif count == 0:  # its messages are not removed yet
                break
        if partition == self._partitions.count:
            await self._keys.purge(app)
        await self._apps.purged(app, partition)
        return removed
