"""Timers: those of an app in one partition, its home, of which there are eight in all.

- `sch:<app>` HASH id → timer: version, due, open, kind, and the body.
- `schl:<app>:<kind>` ZSET of ids, all with score 0: so they stand in the order in which they were made.
- `schd:<app>` ZSET id → due, of those that are due some time. `schs` ZSET app → the soonest of these. `schw`
  STRING: how many there are here of all apps.
- `schn:<app>` HASH: how many timers of each kind are open, and `b`, the bytes of all.
- `schk:<app>:<key>` STRING: of a request with an idempotency key, when it is forgotten, the token of its
  call, its digest and the ids that it was answered.

Homes are few, because who looks for what is due asks all of them several times a second.
"""

import asyncio
import struct
from collections.abc import Sequence
from typing import Final

import msgspec

from longline.saver.kv import layout
from longline.saver.kv.apps import KvApps
from longline.saver.kv.partitions import Partitions, script
from longline.saver.kv.routing import a_token
from longline.saver.port.messages import IdempotencyConflict, Refused
from longline.saver.port.schedules import (
    PAGE_BYTES,
    Added,
    AddTimers,
    DueTimers,
    Timer,
    TimerBounds,
    TimerKind,
    TimerPage,
)
from longline.store.redis import Word
from longline.telemetry.faults import Faults

ADD = script("add_timers.lua")
FIND = script("find_timers.lua")
LIST = script("list_timers.lua")
DUE = script("due_timers.lua")
CHANGE = script("change_timer.lua")
REMOVE = script("remove_timer.lua")

SPREAD: Final = 8  # homes

_HEAD = struct.Struct(">IHIBB")


class KvSchedules:
    """Fulfils `ScheduleStore`. `bounds` are those of an app."""

    def __init__(self, partitions: Partitions, apps: KvApps, bounds: TimerBounds, faults: Faults) -> None:
        self._partitions = partitions
        self._apps = apps
        self._bounds = bounds
        self._faults = faults
        count = partitions.count
        spread = min(SPREAD, count)
        self._homes = [part * count // spread for part in range(spread)]

    def _home_of(self, app: int) -> int:
        return self._homes[app % len(self._homes)]

    async def add(self, batch: Sequence[AddTimers]) -> list[Added | Refused | IdempotencyConflict]:
        """A script for each request."""
        return await asyncio.gather(*map(self._add, batch))

    async def _add(self, adding: AddTimers) -> Added | Refused | IdempotencyConflict:
        if await self._apps.name_of(adding.app) is None:
            return Refused("app_not_found")
        bounds = self._bounds
        args: list[Word] = [adding.app, adding.now, adding.messages or bounds.messages]
        args += adding.schedules or bounds.schedules, bounds.bytes
        args += a_token(), adding.idempotency_key or "", adding.digest, adding.idempotency_ttl
        for timer in adding.timers:
            args += layout.id_bytes(timer.id), _packed(timer)
        reply = await self._partitions.run(self._home_of(adding.app), ADD, args, durable=True)
        what, *before = msgspec.convert(reply, list[bytes | list[bytes]])
        assert isinstance(what, bytes)
        if what == b"added":
            return Added(tuple([timer.id for timer in adding.timers]))
        if what == b"replayed":
            (ids,) = before
            assert isinstance(ids, list)
            return Added(tuple(map(layout.id_text, ids)), True)
        return IdempotencyConflict() if what == b"conflict" else Refused(what.decode())

    async def find(self, app: int, id: str) -> Timer | None:
        """One read."""
        packed_id = layout.id_bytes(id)
        reply = await self._partitions.run(self._home_of(app), FIND, [app, packed_id])
        (packed,) = msgspec.convert(reply, tuple[bytes | None])
        return None if packed is None else _timer(app, packed_id, packed)

    async def page(self, app: int, kind: TimerKind, after: str, limit: int) -> TimerPage:
        """By the order of ids."""
        args: list[Word] = [app, kind.value, layout.id_bytes(after), limit, PAGE_BYTES]
        reply = await self._partitions.run(self._home_of(app), LIST, args)
        more, *words = msgspec.convert(reply, list[int | bytes])
        found = [word for word in words if isinstance(word, bytes)]
        timers = [_timer(app, id, packed) for id, packed in zip(found[::2], found[1::2], strict=True)]
        return TimerPage(tuple(timers), more == 1)

    async def due(self, now: int, limit: int) -> DueTimers:
        """Asks all homes, each for its share. Those that cannot be reached hold up no other's."""
        share = max(1, limit // len(self._homes))
        calls = [
            self._partitions.run(home, DUE, [now, share, PAGE_BYTES // len(self._homes)])
            for home in self._homes
        ]
        replies = await asyncio.gather(*calls, return_exceptions=True)
        errors = [reply for reply in replies if isinstance(reply, BaseException)]
        if len(errors) == len(replies):
            raise errors[0]
        timers: list[Timer] = []
        waiting = 0
        for reply in replies:
            if isinstance(reply, BaseException):
                continue
            count, *words = msgspec.convert(reply, list[int | bytes | None])
            assert isinstance(count, int)
            waiting += count
            for app, id, packed in zip(words[::3], words[1::3], words[2::3], strict=True):
                try:
                    assert isinstance(app, bytes)
                    assert isinstance(id, bytes)
                    assert isinstance(packed, bytes)
                    timers.append(_timer(int(app), id, packed))
                except Exception as error:  # what nobody can read holds up no other
                    self._faults.note("saver.schedules", error)
        return DueTimers(tuple(timers), waiting)

    async def change(self, timer: Timer) -> bool:
        """Compares and replaces."""
        args: list[Word] = [timer.app, layout.id_bytes(timer.id), _packed(timer)]
        return await self._partitions.run(self._home_of(timer.app), CHANGE, args, durable=True) == 1

    async def remove(self, app: int, id: str, version: int = 0) -> bool:
        """One script."""
        args: list[Word] = [app, layout.id_bytes(id), a_token(), version]
        return await self._partitions.run(self._home_of(app), REMOVE, args, durable=True) == 1


def _packed(timer: Timer) -> bytes:
    head = _HEAD.pack(timer.version, timer.due >> 32, timer.due & 0xFFFF_FFFF, timer.open, timer.kind)
    return head + timer.body


def _timer(app: int, id: bytes, packed: bytes) -> Timer:
    version, high, low, is_open, kind = _HEAD.unpack_from(packed)
    return Timer(
        id=layout.id_text(id),
        app=app,
        kind=TimerKind(kind),
        due=high << 32 | low,
        open=bool(is_open),
        version=version,
        body=packed[_HEAD.size :],
    )
