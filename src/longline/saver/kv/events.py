"""Events for app servers: a stream an app, in a partition that its number says.

Beside it stands the highest sequence of each source, so that an event which is recorded again changes
nothing. Sources are few: the partitions of the session table.
"""

import re
from collections.abc import Awaitable, Sequence

import msgspec

from longline.model.events import Event
from longline.saver.kv.partitions import Partitions, script
from longline.store.redis import Reply, Word
from longline.store.scatter import Spare, scatter
from longline.telemetry.faults import Faults

APPEND = script("append_events.lua")
READ = script("read_events.lua")

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Event).decode
_is_cursor = re.compile(r"[0-9]{1,15}-[0-9]{1,15}").fullmatch


class KvEvents:
    """Fulfils `EventStore`. `limit`: events kept for each app. A cursor is the id of an entry."""

    def __init__(self, partitions: Partitions, limit: int, faults: Faults) -> None:
        self._partitions = partitions
        self._limit = limit
        self._spare: Spare[list[Event], None] = Spare(faults, "saver.events", lambda events: None)

    async def append(self, batch: Sequence[Event]) -> None:
        """One script an app: that of one whose queue the store refuses is left out."""
        apps: dict[int, list[Event]] = {}
        for event in batch:
            apps.setdefault(event.app, []).append(event)
        await scatter(
            list(apps.values()),
            # Scripts are for one app, so each of them is a part of its own.
            lambda events: events[0].app,
            lambda app, parts: self._append(app, parts[0]),
            lambda app, parts, reply: [None],
            self._spare,
        )

    def _append(self, app: int, events: Sequence[Event]) -> Awaitable[Reply]:
        args: list[Word] = [app, self._limit]
        for event in events:
            args += event.source, event.sequence, _pack(event)
        return self._partitions.run(self._home_of(app), APPEND, args, durable=True)

    async def read(self, app: int, after: str, limit: int) -> list[tuple[str, Event]]:
        """What is no cursor counts as that of the beginning."""
        first = f"({after}" if _is_cursor(after) else "-"
        found = await self._partitions.run(self._home_of(app), READ, [app, first, limit])
        rows = msgspec.convert(found, list[tuple[bytes, tuple[bytes, bytes]]])
        return [(cursor.decode(), _unpack(packed)) for cursor, (_, packed) in rows]

    def _home_of(self, app: int) -> int:
        """The partition that keeps the events of an app."""
        return app % self._partitions.count
