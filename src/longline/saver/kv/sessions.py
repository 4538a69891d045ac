"""MQTT sessions that are kept, in the partition of their device.

- `ms:<app>:<place>` HASH: the session. `n` number, `e` epoch, `x` expiry (s), `h` node that it is connected
  to, `g` 1 when that was given up, `d` when it is over (ms; neither while it is connected, nor for ever); and
  of its queue `l` the last place, `s` up to where it was sent, `c` how many places it holds, `b` their bytes.
- `ma:<app>` bitmap of the places that have a session.
- `mf:<app>:<place>:<number>` HASH filter → `<options> <identifier>`: the filters of the session with that
  number.
- `mx:<app>` ZSET, all with score 0: the index of filters, `<filter>\\0<place> <number> <options>
  <identifier>`, so that those of a filter stand together. `mv` ZSET `<app>:<filter>` → when the last session
  here lost a filter.
- `mh:<app>` ZSET, all with score 0, in the app's home partition: its directory of filters,
  `<filter>\\0<partition>`, in the order of their bytes: whether any begins with a text is one look
  (`match_filters.lua`). `mg` ZSET `<app>:<filter>\\0<partition>` → when that was noted last, for a while.
  `matching.py` says how it is kept.
- `mn:<node>` SET `<app>:<place>`: who is connected to a node. `me` ZSET of the same → when the session is
  over.
- `mo` ZSET `<app>:<place>:<number>`: sessions that are over and have left something, which goes in slices.
- `mw:<app>:<place>` HASH id → will, `mb:…` HASH id → its body, `md` ZSET `<app>:<place>:<id>` → when it is
  due; see `wills.lua`.
- `my:<node>` SET `<app>:<place>:<id>`: wills of connections that others have followed, due when the node has
  told of their end.
- `mc:<app>:<place>:<number>` HASH packet identifier → push that has it, see `flights.py`.
- `mt:<token>`: what a call has answered, for as long as it may be carried out again.

`queues.py` has the keys of queues. What another number stands in counts for nothing, whoever finds it.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from longline.model.pubsub import Filter, StoredWill
from longline.saver.kv import layout
from longline.saver.kv.directories import Directories
from longline.saver.kv.flights import flights_of
from longline.saver.kv.matching import Entry, Matching
from longline.saver.kv.partitions import Partitions, script
from longline.saver.port.sessions import (
    AddFilter,
    CloseSession,
    DueWill,
    KeepSession,
    KeptSession,
    OpenSession,
    RemoveFilter,
)
from longline.saver.subscriptions import filter_of, options_of
from longline.saver.will_ids import WillIds
from longline.store.redis import Reply, Word
from longline.store.scatter import Spare, gathered
from longline.telemetry.faults import Faults

OPEN = script("open_sessions.lua")
COUNT = script("count_kept.lua")
KEEP = script("keep_sessions.lua")
CLOSE = script("close_sessions.lua")
ABANDON = script("abandon_sessions.lua")
SWEEP = script("sweep_sessions.lua")
FILTERS = script("session_filters.lua")
CHANGE = script("change_filters.lua")
GIVE = script("give_wills.lua")
FORGET = script("forget_wills.lua")

GIVEN: Final = 32  # wills in one call: each may be as large as a packet
OPENED: Final = 64  # sessions in one call: each may have hundreds of filters

# Of one that was there before: first place that waits, sent, latest, released, received, filters, pushes.
_Details = tuple[int, int, int, list[bytes], list[bytes], list[bytes], list[bytes]]
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(StoredWill).decode


class KvSessions:
    """Fulfils `SessionStore`. `urgent`: the same partitions, for who is waiting to be let in."""

    def __init__(
        self,
        partitions: Partitions,
        urgent: Partitions,
        matching: Matching,
        directories: Directories,
        faults: Faults,
    ) -> None:
        self._partitions = partitions
        self._urgent = urgent
        self._matching = matching
        self._directories = directories
        self._ids = WillIds()
        self.wills_forgotten = 0  # by calls of this process, for want of room
        place = "saver.sessions"
        self._not_opened: Spare[OpenSession, KeptSession | None] = Spare(faults, place, lambda item: None)
        self._not_kept: Spare[KeepSession, bool] = Spare(faults, place, lambda item: False)
        self._not_closed: Spare[CloseSession, bool] = Spare(faults, place, lambda item: False)
        self._unchanged: Spare[AddFilter | RemoveFilter, bool | None] = Spare(
            faults, place, lambda item: None
        )

    def _of(self, item: OpenSession | KeepSession | CloseSession | AddFilter | RemoveFilter | DueWill) -> int:
        return item.ordinal % self._partitions.count

    def _place(self, ordinal: int) -> int:
        return ordinal // self._partitions.count

    # --- beginning and going on ---

    async def open(self, batch: Sequence[OpenSession]) -> list[KeptSession | None]:
        """What sessions have that go on is read in the same step."""
        wills = {id(item): self._ids.make(item.now) for item in batch if item.will is not None}

        def words(item: OpenSession) -> list[Word]:
            will = item.will
            delay, qos = (0, 0) if will is None else (will.delay * 1000, will.qos)
            return [
                *(item.app, self._place(item.ordinal), item.epoch, item.now, int(item.clean)),
                *(item.expires_in, item.node, wills.get(id(item), b""), delay, qos),
                b"" if will is None else _pack(will),
            ]

        return await self._urgent.each(
            OPEN,
            batch,
            self._of,
            words,
            self._opened,
            head=self._partitions.repeatable,
            size=OPENED,
            spare=self._not_opened,
            durable=True,
        )

    def _opened(self, item: OpenSession, reply: Reply) -> KeptSession | None:
        if not isinstance(reply, list):
            return None
        forgotten, number = msgspec.convert(reply[:2], tuple[int, int])
        self.wills_forgotten += forgotten
        if len(reply) == 2:
            return KeptSession(number, False)
        queued, sent, latest, released, received, filters, flights = msgspec.convert(reply[2:], _Details)
        options = [map(int, packed.split()) for packed in filters[1::2]]
        return KeptSession(
            number=number,
            present=number != item.epoch,
            filters=tuple(
                filter_of(text, *numbers)
                for text, numbers in sorted(
                    zip([text.decode() for text in filters[::2]], map(tuple, options), strict=True)
                )
            ),
            queued=queued,
            sent=sent,
            latest=latest,
            released=tuple(map(int, released)),
            received=tuple(sorted(map(int, received))),
            flights=flights_of(flights),
        )

    async def keep(self, batch: Sequence[KeepSession]) -> list[bool]:
        """Sessions of one partition in one step."""
        return await self._urgent.each(
            KEEP,
            batch,
            self._of,
            lambda item: (
                *(item.app, self._place(item.ordinal), item.number, item.before, item.epoch),
                item.node,
            ),
            lambda item, reply: reply == 1,
            spare=self._not_kept,
            durable=True,
        )

    # --- ending ---

    async def close(self, batch: Sequence[CloseSession]) -> list[bool]:
        """Sessions of one partition in one step."""
        return await self._partitions.each(
            CLOSE,
            batch,
            self._of,
            lambda item: (
                *(item.app, self._place(item.ordinal), item.epoch, item.now, int(item.will)),
                b"" if item.expires_in is None else item.expires_in,
            ),
            self._closed,
            spare=self._not_closed,
            durable=True,
        )

    def _closed(self, item: CloseSession, reply: Reply) -> bool:
        closed, forgotten = msgspec.convert(reply, tuple[int, int])
        self.wills_forgotten += forgotten
        return closed == 1

    async def abandon(self, node: str, now: int, grace: int, limit: int) -> int:
        """Partitions share the limit by how many sessions and wills of the node each has."""

        async def work(partition: int, share: int) -> int:
            args = [*self._partitions.repeatable(), node, now, grace, share]
            reply = await self._partitions.run(partition, ABANDON, args, durable=True)
            found, forgotten = msgspec.convert(reply, tuple[int, int])
            self.wills_forgotten += forgotten
            return found

        sessions = self._counted(b"SCARD", b"mn:" + node.encode())
        wills = self._counted(b"SCARD", b"my:" + node.encode())

        async def count(partition: int) -> Reply:
            return sum(msgspec.convert(await gathered([sessions(partition), wills(partition)]), list[int]))

        return await self._partitions.share(limit, count, work)

    async def count(self, app: int) -> int:
        """The sum over all partitions."""
        return sum(msgspec.convert(await self._partitions.run_all(COUNT, [app]), list[int]))

    async def sweep(self, now: int, limit: int) -> int:
        """Partitions share the limit by how many sessions that are over each has. Sees to the
        directories of filters, too."""

        async def work(partition: int, share: int) -> int:
            args = [*self._partitions.repeatable(), now, share]
            return msgspec.convert(await self._partitions.run(partition, SWEEP, args, durable=True), int)

        ended = await self._partitions.share(limit, self._counted(b"ZCOUNT", b"me", b"-inf", now), work)
        await self._directories.round()
        return ended

    def _counted(self, command: bytes, key: bytes, *args: Word) -> Callable[[int], Awaitable[Reply]]:
        return lambda partition: self._partitions.call(
            partition, command, layout.prefix(partition) + key, *args
        )

    # --- filters ---

    async def subscribe(self, batch: Sequence[AddFilter]) -> list[bool | None]:
        """Where filters are is noted first."""
        await self._matching.note(
            [Entry(item.app, self._of(item), item.filter.filter.encode()) for item in batch]
        )
        return await self._change(batch)

    async def unsubscribe(self, batch: Sequence[RemoveFilter]) -> list[bool | None]:
        """Filters of one partition in one step."""
        return await self._change(batch)

    async def _change(self, batch: Sequence[AddFilter | RemoveFilter]) -> list[bool | None]:
        def words(item: AddFilter | RemoveFilter) -> list[Word]:
            known: list[Word] = [item.app, self._place(item.ordinal), item.number, item.epoch]
            if isinstance(item, RemoveFilter):
                return [*known, item.filter, b""]
            filter = item.filter
            return [*known, filter.filter, b"%d %d" % (options_of(filter), filter.identifier)]

        return await self._partitions.each(
            CHANGE,
            batch,
            self._of,
            words,
            lambda item, reply: None if reply == -1 else reply == 1,
            head=self._partitions.repeatable,
            spare=self._unchanged,
            durable=True,
        )

    async def filters(self, app: int, ordinal: int, now: int) -> list[Filter] | None:
        """One hash of the session's partition."""
        partition = ordinal % self._partitions.count
        reply = await self._partitions.run(partition, FILTERS, [app, self._place(ordinal), now])
        if reply is None:
            return None
        packed = msgspec.convert(reply, list[bytes])
        return [
            filter_of(text.decode(), *map(int, options.split()))
            for text, options in sorted(zip(packed[::2], packed[1::2], strict=True))
        ]

    async def wanted(self, apps: Sequence[int]) -> list[bool]:
        """A look at the homes of the apps."""
        return await self._matching.wanted(apps)

    # --- wills ---

    async def due_wills(self, now: int, limit: int, lease: int) -> list[DueWill]:
        """Partitions share the limit by how many wills are due in each."""
        found: list[DueWill] = []

        async def work(partition: int, share: int) -> int:
            args = [*self._partitions.repeatable(), now, share, now + lease]
            reply = await self._partitions.run(partition, GIVE, args, durable=True)
            count, *words = msgspec.convert(reply, list[int | bytes])
            assert isinstance(count, int)
            told = msgspec.convert(words, list[bytes])
            for app, place, device, packed, body in zip(*(told[n::5] for n in range(5)), strict=True):
                ordinal = int(place) * self._partitions.count + partition
                will = _unpack(body)
                found.append(DueWill(int(app), device.decode(), ordinal, layout.id_text(packed), will))
            return count

        due = self._counted(b"ZCOUNT", b"md", b"-inf", now)
        await self._partitions.share(limit, due, work, GIVEN)
        return found

    async def published(self, wills: Sequence[DueWill]) -> None:
        """Wills of one partition in one step."""
        await self._partitions.each(
            FORGET,
            wills,
            self._of,
            lambda due: (due.app, self._place(due.ordinal), layout.id_bytes(due.id)),
            lambda due, reply: None,
            durable=True,
        )
