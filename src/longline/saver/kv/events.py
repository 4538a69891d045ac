"""Events for app servers: a queue an app, in a partition that its number says.

- `u:<app>` ZSET number → event: its device, with its length, where it tells of a state; then all of it,
packed.
- `ua:<app>` HASH: `last` number given, `removed`, the highest that went when the queue was full.
- `us:<app>` HASH source → its highest sequence, so that an event which is recorded again changes nothing.
Sources
  are few: the partitions of the session table.
- `ul:<app>` HASH device → number of its latest event that tells of a state; as long as that is in the queue.
- `ux:<app>` ZSET of the numbers of those for which later ones stand: they go first.
"""

from collections.abc import Sequence

import msgspec

from longline.model.events import Event
from longline.saver.kv.partitions import Partitions, script
from longline.saver.port.events import EventPage
from longline.store.redis import Reply, Word
from longline.store.scatter import Spare, scatter
from longline.telemetry.faults import Faults

APPEND = script("append_events.lua")
READ = script("read_events.lua")

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Event).decode
SLICE = 500  # events that one script appends, so that it holds up nobody for long


class KvEvents:
    """Fulfils `EventStore`. `limit`: events kept for each app. A cursor is an event's number in its queue."""

    def __init__(self, partitions: Partitions, limit: int, faults: Faults) -> None:
        self._partitions = partitions
        self._limit = limit
        self._faults = faults
        self._spare: Spare[list[Event], None] = Spare(faults, "saver.events", lambda events: None)

    async def append(self, batch: Sequence[Event]) -> None:
        """Slices of the events of an app: those of one whose queue the store refuses are left out."""
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

    async def _append(self, app: int, events: Sequence[Event]) -> Reply:
        reply: Reply = None
        for start in range(0, len(events), SLICE):
            args: list[Word] = [app, self._limit]
            for event in events[start : start + SLICE]:
                args += event.source, event.sequence, event.device if event.state else b"", _pack(event)
            reply = await self._partitions.run(self._home_of(app), APPEND, args, durable=True)
        return reply

    async def read(self, app: int, after: str, limit: int) -> EventPage:
        """What is no cursor counts as that of the beginning. What nobody can read holds up no reader."""
        behind = int(after) if after.isascii() and after.isdigit() and len(after) < 19 else 0
        events: list[tuple[str, Event]] = []
        gap, more = False, True
        while more and not events:
            found = await self._partitions.run(self._home_of(app), READ, [app, behind, limit])
            removed, rows = msgspec.convert(found, tuple[bytes, list[bytes]])
            gap = gap or 0 < behind < int(removed)
            for member, number in zip(rows[::2], rows[1::2], strict=True):
                behind = int(number)
                try:
                    events.append((number.decode(), _event(member)))
                except Exception as error:
                    self._faults.note("saver.events", error)
            more = len(rows) == 2 * limit
        return EventPage(events, gap)

    def _home_of(self, app: int) -> int:
        """The partition that keeps the events of an app."""
        return app % self._partitions.count


def _event(member: bytes) -> Event:
    return _unpack(member[2 + int.from_bytes(member[:2]) :])
