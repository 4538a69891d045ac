"""Events for app servers: a stream an app, in a partition that its number says.

Beside it stands the highest sequence of each source, so that an event which is recorded again changes
nothing. Sources are few: the partitions of the session table.
"""

import asyncio
import re
from collections.abc import Sequence

import msgspec

from longline.model.events import Event
from longline.saver.kv.apps import LUA
from longline.saver.kv.layout import prefix, tag
from longline.store.redis import Script, Store

RECORD = Script(LUA, "record.lua")
EVENTS = Script(LUA, "events.lua")

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Event).decode
_is_cursor = re.compile(r"[0-9]{1,15}-[0-9]{1,15}").fullmatch


def home_of(store: Store, app: int) -> int:
    """The partition that keeps the events of an app."""
    return app % store.partitions


class Events:
    """Fulfils `Saver.record` and `Saver.events`. `limit`: events kept for each app."""

    def __init__(self, store: Store, limit: int) -> None:
        self._store = store
        self._limit = limit

    async def record(self, batch: Sequence[Event]) -> None:
        """One script an app."""
        apps: dict[int, list[Event]] = {}
        for event in batch:
            apps.setdefault(event.app, []).append(event)
        await asyncio.gather(*(self._record(app, events) for app, events in apps.items()))

    async def _record(self, app: int, events: list[Event]) -> None:
        home = home_of(self._store, app)
        await self._store.run(
            tag(home),
            RECORD,
            [prefix(home)],
            [
                app,
                self._limit,
                *(field for event in events for field in (event.source, event.sequence, _pack(event))),
            ],
            durable=True,
        )

    async def events(self, app: int, after: str, limit: int) -> list[tuple[str, Event]]:
        """A cursor is the id of an entry; what is none counts as that of the beginning."""
        home = home_of(self._store, app)
        found = await self._store.run(
            tag(home),
            EVENTS,
            [prefix(home)],
            [app, f"({after}" if _is_cursor(after) else "-", limit],
        )
        rows = msgspec.convert(found, list[tuple[bytes, tuple[bytes, bytes]]])
        return [(cursor.decode(), _unpack(packed)) for cursor, (_, packed) in rows]
