"""Events for app servers: a queue an app, in lanes (`event_lanes.py`), each in a partition of its own.

- `u:<app>` ZSET number → event: `1` where it tells of a state, else `0`; its device, with its length; then
  all of it, packed.
- `ua:<app>` HASH: `last` number given, or told to a reader; `bytes` of the lane; `begun`, the number behind
  which it begins; `removed`, the highest that went when it was full.
- `us:<app>` HASH source → its highest sequence, so that an event which is recorded again changes nothing.
  Sources are few: the partitions of the session table. `ur:<app>:<source>` likewise of one that is fleeting.
- `ul:<app>` HASH device → number of its latest event that tells of a state; as long as that is in the queue.
- `uf:<app>` HASH device → numbers of its latest events that tell of no state, 16 digits each: as many as are
  the last to go.
- `ux:<app>` ZSET of the numbers of those for which later ones stand: they go first.
- `uz:<app>` HASH device that is gone → the number up to which nothing of it is read, and `uy` SET of apps
  that have such: `remove_events.lua` goes through their queues (`looked` in `ua:`: up to where) in slices.

What becomes of devices waits in their partitions, see `changes.py`.
"""

import secrets
from collections.abc import Iterator, Sequence

import msgspec

from longline.model.events import DEVICE, FLEETING, RECEIPT, Event, EventBounds
from longline.model.statistics import Counted
from longline.saver.kv.changes import ChangeStreams, GoneDevice
from longline.saver.kv.event_lanes import EventLanes
from longline.saver.kv.event_reading import EventReading
from longline.saver.kv.partitions import Partitions, script
from longline.saver.port.events import EventPage
from longline.saver.receipts import counted_of
from longline.store.redis import Reply, Word
from longline.store.scatter import Spare, gathered, scatter
from longline.telemetry.faults import Faults

APPEND = script("append_events.lua")
END = script("end_of_events.lua")
ENDS = script("ends_of_events.lua")
HIDE = script("hide_events.lua")
REMOVE = script("remove_events.lua")

_COUNTED = {Counted.SHOWN: b"s%d", Counted.OPENED: b"o%d"}
LOOKED = 500  # events of a partition that one call looks at for those of devices that are gone

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Event).decode
SLICE = 500  # events that one script appends, so that it holds up nobody for long, of at most so many
SLICE_BYTES = 1024 * 1024
TOKEN = 8  # bytes of a name for what has no source
FLEETING_FOR = 600_000  # ms for which a fleeting source is remembered after its last event


class KvEvents:
    """Fulfils `EventStore`. A cursor is an event's number, which no other one of its app has.

    Each lane keeps its part of what may be kept of the app.
    """

    def __init__(
        self, partitions: Partitions, changes: ChangeStreams, bounds: EventBounds, faults: Faults
    ) -> None:
        self._partitions = partitions
        self._lanes = EventLanes(partitions)
        self._changes = changes
        lanes = self._lanes.count
        shares = -(-bounds.events // lanes), -(-bounds.bytes // lanes)
        self._bounds: list[Word] = [*shares, bounds.of_device, FLEETING_FOR]
        self._faults = faults
        self._spare: Spare[tuple[int, list[Event]], None] = Spare(faults, "saver.events", lambda part: None)

    async def append(self, batch: Sequence[Event]) -> None:
        """Slices of the events of a lane: those of one that the store refuses are left out.

        What has no source gets one here, so that a call which is carried out again changes nothing.
        """
        lanes = self._lanes
        parts: dict[int, list[Event]] = {}
        unnamed = ""
        for place, event in enumerate(batch):
            if not event.source:
                unnamed = unnamed or FLEETING + secrets.token_hex(TOKEN)
                event = msgspec.structs.replace(event, source=unnamed, sequence=place)
            at = event.app * lanes.count + lanes.of(event.app, event.device)
            parts.setdefault(at, []).append(event)
        await scatter(
            list(parts.items()),
            # Scripts are for one lane, so each of them is a part of its own.
            lambda part: part[0],
            lambda at, parts: self._append(at, parts[0][1]),
            lambda at, parts, reply: [None],
            self._spare,
        )

    async def _append(self, at: int, events: Sequence[Event]) -> Reply:
        app, lane = divmod(at, self._lanes.count)
        reply: Reply = None
        for part in _slices(events):
            args: list[Word] = [app, *self._bounds, lane, self._lanes.count]
            for event, packed in part:
                args += event.source, event.sequence, _kind(event), event.device, packed
            reply = await self._partitions.run(self._lanes.home(app, lane), APPEND, args, durable=True)
        return reply

    async def read(self, app: int, after: str, limit: int) -> EventPage:
        """What is no cursor counts as that of the beginning. What nobody can read holds up no reader."""
        behind = int(after) if after.isascii() and after.isdigit() and len(after) < 19 else 0
        events: list[tuple[str, Event]] = []
        gap = False
        while True:
            reading = EventReading(self._partitions, app, self._lanes.homes(app), behind, limit)
            rows = await reading.page()
            gap = gap or reading.gap
            for behind, member in rows:
                try:
                    events.append((str(behind), _event(member)))
                except Exception as error:
                    self._faults.note("saver.events", error)
            if events or not rows:
                return EventPage(events, gap)

    async def end(self, app: int) -> str:
        """The highest of the last numbers, which is that of all lanes from now on. Lanes that there are not
        yet begin here."""
        homes = self._lanes.homes(app)
        last = 0
        for _ in range(2):
            calls = [self._partitions.run(home, END, [app, last], durable=True) for home in homes]
            last = max(map(int, msgspec.convert(await gathered(calls), list[bytes])))
        return str(last)

    async def ends(self, apps: Sequence[int]) -> list[str]:
        """A script in each partition."""
        lanes = self._lanes.count
        found = await self._partitions.each(
            ENDS,
            [(app, lane) for app in apps for lane in range(lanes)],
            lambda at: self._lanes.home(*at),
            lambda at: (at[0],),
            lambda at, last: int(msgspec.convert(last, bytes) or b"0"),
        )
        lasts = [max(found[first : first + lanes]) for first in range(0, len(found), lanes)]
        return [str(last) if last else "" for last in lasts]

    async def carry(self, limit: int) -> int:
        """What became of devices, partition by partition; then slices of queues are looked through."""
        told = await self._changes.waiting(limit)
        for change in told:
            if change.events:
                await self.hide(change.gone)
                await self.append(change.events)
                await self._changes.forget(change)
        looked = await gathered(
            [self._partitions.run(change.partition, REMOVE, [LOOKED]) for change in told if change.hidden]
        )
        return sum(len(change.events) for change in told) + sum(msgspec.convert(looked, list[int]))

    async def hide(self, gone: Sequence[GoneDevice]) -> None:
        """What was told of these devices before they went is not read any more."""
        parts: dict[tuple[int, int], list[Word]] = {}
        for device in gone:
            at = device.app, self._lanes.of(device.app, device.device)
            parts.setdefault(at, []).extend((device.device, device.number))
        calls = [
            self._partitions.run(self._lanes.home(app, lane), HIDE, [app, *words], durable=True)
            for (app, lane), words in parts.items()
        ]
        await gathered(calls)


def _slices(events: Sequence[Event]) -> Iterator[list[tuple[Event, bytes]]]:
    part: list[tuple[Event, bytes]] = []
    size = 0
    for event in events:
        packed = _pack(event)
        if part and (len(part) == SLICE or size + len(packed) > SLICE_BYTES):
            yield part
            part, size = [], 0
        part.append((event, packed))
        size += len(packed)
    yield part


def _kind(event: Event) -> Word:
    """What `append_events.lua` is to know of it."""
    if event.kind == DEVICE:
        return 2
    if event.kind == RECEIPT and (counted := counted_of(event)) is not None:
        return _COUNTED[counted] % event.at
    return int(bool(event.state))


def _event(member: bytes) -> Event:
    return _unpack(member[3 + int.from_bytes(member[1:3]) :])
