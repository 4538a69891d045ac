"""Devices at the door."""

import asyncio
from collections.abc import Sequence

import msgspec

from longline.saver.kv.apps import LUA, Apps
from longline.saver.kv.layout import prefix, tag
from longline.saver.port.inboxes import Arrival, Arrive
from longline.store.redis import Script, Store

ARRIVE = Script(LUA, "arrive.lua")

_Row = tuple[int, int, bytes, bytes]  # place, whether something may wait, log cursor, banned until


class Arriving:
    """Fulfils `Saver.arrive`: one script a partition, whether the device is new or comes back."""

    def __init__(self, store: Store, apps: Apps) -> None:
        self._store = store
        self._apps = apps

    async def arrive(self, batch: Sequence[Arrive]) -> list[Arrival | None]:
        """Answers in the order of the batch."""
        existing = {app: await self._apps.name_of(app) is not None for app in {item.app for item in batch}}
        parts: dict[int, dict[tuple[int, str], int]] = {}
        for item in batch:
            if existing[item.app]:
                partition = self._store.partition_of(item.app, item.device)
                parts.setdefault(partition, {}).setdefault((item.app, item.device), item.now)
        replies = await asyncio.gather(
            *(
                self._store.run(
                    tag(partition),
                    ARRIVE,
                    [prefix(partition)],
                    [field for (app, name), now in part.items() for field in (app, name, now)],
                )
                for partition, part in parts.items()
            )
        )
        arrivals: dict[tuple[int, str], Arrival] = {}
        for (partition, part), reply in zip(parts.items(), replies, strict=True):
            for key, row in zip(part, msgspec.convert(reply, list[_Row | None]), strict=True):
                if row is not None:
                    place, waits, log_after, banned_until = row
                    ordinal = place * self._store.partitions + partition
                    arrivals[key] = Arrival(ordinal, waits == 1, int(log_after), int(banned_until))
        return [arrivals.get((item.app, item.device)) for item in batch]
