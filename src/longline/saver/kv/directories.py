"""Keeps the directories of filters (see `matching.py`) in order, a little at a time.

What no session has any more goes, and what is missing is added: a failover of the store may have forgotten an
entry whose filter another of its servers still has, and its session would miss what is published.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import structlog

from longline.model.apps import App
from longline.saver.kv import layout
from longline.saver.kv.apps import KvApps
from longline.saver.kv.matching import UNUSED_FOR, Entry
from longline.saver.kv.partitions import Partitions, script
from longline.store.redis import Reply
from longline.store.scatter import gathered, is_of_an_item
from longline.telemetry.faults import Faults

UNFILTERED = script("unfiltered.lua")
FORGET = script("forget_filters.lua")
WALK = script("walk_filters.lua")
MEND = script("mend_filters.lua")

LATE: Final = 5 * 60_000  # ms after it was found that nobody has a filter: then that may not be so any more
TIDIED_EVERY: Final = 60.0  # s
TIDIED: Final = 200  # filters of a partition at once
MENDED_EVERY: Final = 600.0  # s from the beginning of a walk through all apps to the next
WALKED: Final = 32  # filters of a partition at once
APPS: Final = 100  # read at once

log = structlog.get_logger("longline.saver")


class Directories:
    """`round` does a little; whoever sweeps sessions calls it."""

    def __init__(
        self,
        partitions: Partitions,
        apps: KvApps,
        faults: Faults,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._partitions = partitions
        self._apps = apps
        self._faults = faults
        self._clock = clock
        self._tidied_at = float("-inf")
        self._begun_at = float("-inf")  # the walk through all apps
        self._rest: list[App] = []  # that were read; the first is looked at
        self._last = ""  # app that was read; "" where there are no more
        self._reached: dict[int, bytes] = {}  # filter of each partition that is not done with the first app

    def _home(self, entry: Entry) -> int:
        return entry.app % self._partitions.count

    async def round(self) -> None:
        """Tidies now and then, and looks at some filters of an app."""
        now = self._clock()
        if now - self._tidied_at >= TIDIED_EVERY:
            self._tidied_at = now
            await self._tidy()
        try:
            await self._mend(now)
        except Exception as error:
            if not is_of_an_item(error):
                raise
            self._faults.note("saver.directories", error)
            self._next_app()

    # --- what is there in vain ---

    async def _tidy(self) -> None:
        replies = await self._partitions.run_all(UNFILTERED, [UNUSED_FOR, TIDIED])
        await gathered([self._forget(partition, reply) for partition, reply in enumerate(replies)])

    async def _forget(self, partition: int, reply: Reply) -> None:
        found, *words = msgspec.convert(reply, list[int | bytes])
        told = msgspec.convert(words, list[bytes])
        entries = [
            Entry(int(app), partition, filter) for app, filter in zip(told[::2], told[1::2], strict=True)
        ]
        stay = await self._partitions.each(
            FORGET,
            entries,
            self._home,
            lambda entry: (entry.app, entry.partition, entry.filter),
            lambda entry, reply: entry if reply == 0 else None,
            head=lambda: [found, LATE, UNUSED_FOR],
        )
        again = [word for entry in stay if entry for word in (found, b"%d:%b" % (entry.app, entry.filter))]
        if again:
            await self._partitions.call(partition, "ZADD", layout.prefix(partition) + b"mv", "NX", *again)

    # --- what is missing ---

    async def _mend(self, now: float) -> None:
        if not self._rest:
            if not self._last:
                if now - self._begun_at < MENDED_EVERY:
                    return
                self._begun_at = now
            self._rest = await self._apps.list(self._last, APPS)
            self._last = self._rest[-1].app if len(self._rest) == APPS else ""
            self._begin_app()
        if self._rest:
            await self._look_at(self._rest[0].number)

    def _begin_app(self) -> None:
        self._reached = dict.fromkeys(range(self._partitions.count), b"") if self._rest else {}

    def _next_app(self) -> None:
        self._rest = self._rest[1:]
        self._begin_app()

    async def _look_at(self, app: int) -> None:
        """The next filters in each partition that is not done."""
        reached = list(self._reached.items())
        replies = await gathered(
            [self._partitions.run(partition, WALK, [app, after, WALKED]) for partition, after in reached]
        )
        entries: list[Entry] = []
        for (partition, _), reply in zip(reached, replies, strict=True):
            filters = msgspec.convert(reply, list[bytes])
            entries += [Entry(app, partition, filter) for filter in filters]
            if len(filters) < WALKED:
                del self._reached[partition]
            else:
                self._reached[partition] = filters[-1]
        await self._add(app, entries)
        if not self._reached:
            self._next_app()

    async def _add(self, app: int, entries: Sequence[Entry]) -> None:
        added = await self._partitions.each(
            MEND,
            entries,
            self._home,
            lambda entry: (entry.app, entry.partition, entry.filter),
            lambda entry, reply: reply == 1,
            durable=True,
        )
        if any(added):
            log.warning("directory_mended", app=app, filters=sum(added))
