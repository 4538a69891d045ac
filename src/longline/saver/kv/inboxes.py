"""What waits for devices: the reads of a device that comes, and receipts, for many devices at a time."""

import struct
from collections.abc import Awaitable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from longline.model.devices import ConnectionBounds
from longline.model.ledger import State
from longline.model.messages import Message
from longline.saver.kv import layout
from longline.saver.kv.apps import KvApps
from longline.saver.kv.bodies import Bodies
from longline.saver.kv.parking import standing_of
from longline.saver.kv.partitions import Partitions, script
from longline.saver.kv.visits import pack_came, pack_connection
from longline.saver.port.inboxes import (
    GUEST,
    Arrival,
    Arrive,
    Cursor,
    Fetch,
    Gap,
    InboxBounds,
    Page,
    PendingPush,
    Receipt,
    Told,
)
from longline.store.redis import Reply, Script, Word
from longline.store.scatter import Spare, divide, gathered, is_of_an_item, scatter
from longline.telemetry.faults import Faults

ARRIVE = script("arrive.lua")
FETCH = script("fetch.lua")
COUNT = script("count_pending.lua")
SETTLE = script("settle.lua")
TAKE = script("take.lua")
ADVANCE = script("advance.lua")
CLOSE_GAPS = script("close_gaps.lua")

PLACES = 1024  # devices of a broadcast in one receipt
PAGE = 4  # units of work that what waits for a device is, however much that is
SLICE = 256  # receipts or cursors in one script, so that it holds up nobody for long

# Dropped, expired, collapsed, since; and of that, what was counted one by one.
_GapRow = tuple[int, int, int, int, tuple[int, int, int, int] | None]

# Place, whether something may wait, log cursor, banned until, whether a session is kept and a shadow is
# unseen, told, gap, what it has not acknowledged.
_ArrivalRow = tuple[int, int, bytes, bytes, int, int, int, _GapRow | None, bytes | None]

# Entries, position of the first that was left out, messages whose bodies are apart, how far the log was
# read, whether that is its end, and what is in it: position, id, whether it was written. And of high
# priority: entries, messages apart, what is in the log.
_Waiting = tuple[
    bytes,
    int,
    list[bytes | None],
    int,
    int,
    list[int | bytes],
    bytes,
    list[bytes | None],
    list[int | bytes],
]


class _Found(NamedTuple):
    """A push that is to be on a page. `message` is None for a broadcast's, which is read apart."""

    position: int
    message_id: bytes
    message: Message | None
    written: bool


class KvInboxes:
    """Fulfils `InboxStore`: one script a partition, which sees one moment.

    `urgent`: the same partitions, for who is waiting to be let in.
    """

    def __init__(
        self,
        partitions: Partitions,
        urgent: Partitions,
        apps: KvApps,
        bodies: Bodies,
        inbox: InboxBounds,
        connections: ConnectionBounds,
        faults: Faults,
    ) -> None:
        self._partitions = partitions
        self._urgent = urgent
        self._apps = apps
        self._bodies = bodies
        self._inbox = inbox
        self._connections = connections
        self._faults = faults
        place = "saver.inboxes"
        self._no_arrival: Spare[Arrive, Arrival | None] = Spare(faults, place, lambda item: None)
        self._nothing: Spare[Fetch, _Chosen] = Spare(
            faults, place, lambda fetch: ([], fetch.log_after, True, [])
        )
        self._none: Spare[int, int] = Spare(faults, place, lambda ordinal: 0)

    # --- who comes ---

    async def arrive(self, batch: Sequence[Arrive]) -> list[Arrival | None]:
        """The same script, whether a device is new or comes back."""
        existing = {app: await self._apps.name_of(app) is not None for app in {item.app for item in batch}}
        asked = [item for item in batch if existing[item.app]]
        found = await scatter(
            asked,
            lambda item: self._partitions.of(item.app, item.device),
            self._ask_arrivals,
            self._read_arrivals,
            self._no_arrival,
        )
        rest = iter(found)
        return [next(rest) if existing[item.app] else None for item in batch]

    def _ask_arrivals(self, partition: int, part: Sequence[Arrive]) -> Awaitable[Reply]:
        args: list[Word] = [self._inbox.messages, self._connections.kept]
        for item in part:
            args += item.app, item.device, item.now, int(item.register), item.inbox_messages
            args += pack_came(item.came), pack_connection(item) if self._connections.kept else b""
        return self._urgent.run(partition, ARRIVE, args, work=2 * len(part))

    def _read_arrivals(self, partition: int, part: Sequence[Arrive], reply: Reply) -> list[Arrival | None]:
        rows = msgspec.convert(reply, list[_ArrivalRow | None])
        return [None if row is None else self._arrival(partition, row) for row in rows]

    def _arrival(self, partition: int, row: _ArrivalRow) -> Arrival:
        place, pending, log_after, banned_until, session, shadow, told, missed, standing = row
        ordinal = GUEST if place < 0 else place * self._partitions.count + partition
        gap: Gap | None = None
        if missed is not None:
            dropped, expired, collapsed, since, noted = missed
            gap = Gap(dropped, expired, collapsed, since, told, noted)
        known = (int(log_after), int(banned_until), session == 1, shadow == 1)
        return Arrival(ordinal, pending == 1, *known, gap, told, standing_of(standing))

    # --- what waits ---

    async def count(self, app: int, ordinals: Sequence[int], now: int) -> list[int]:
        """Reads whole inboxes."""
        partitions = self._partitions.count

        def ask(partition: int, part: Sequence[int]) -> Awaitable[Reply]:
            places = [ordinal // partitions for ordinal in part]
            return self._partitions.run(partition, COUNT, [app, now, *places], work=len(part))

        def read(partition: int, part: Sequence[int], reply: Reply) -> list[int]:
            return msgspec.convert(reply, list[int])

        return await scatter(ordinals, lambda ordinal: ordinal % partitions, ask, read, self._none)

    async def fetch(self, batch: Sequence[Fetch]) -> list[Page]:
        """Inboxes and logs of a partition together; then the broadcasts that are not remembered."""
        partitions = self._partitions.count
        chosen = await scatter(
            batch, lambda fetch: fetch.ordinal % partitions, self._ask_pages, self._read_pages, self._nothing
        )
        broadcasts = await self._bodies.read(
            found.message_id
            for entries, _, _, urgent in chosen
            for found in (*entries, *urgent)
            if found.message is None
        )
        return [
            Page(_pushes(entries, broadcasts), log_after, complete, _pushes(urgent, broadcasts))
            for entries, log_after, complete, urgent in chosen
        ]

    def _ask_pages(self, partition: int, part: Sequence[Fetch]) -> Awaitable[Reply]:
        words = [word for fetch in part for word in _words(fetch, self._partitions.count)]
        return self._partitions.run(partition, FETCH, words, work=PAGE * len(part))

    def _read_pages(self, partition: int, part: Sequence[Fetch], reply: Reply) -> "list[_Chosen]":
        assert isinstance(reply, list)
        return [_choose(fetch, waiting) for fetch, waiting in zip(part, reply, strict=True)]

    # --- receipts ---

    async def settle(self, batch: Sequence[Receipt]) -> None:
        """Devices that took the same broadcast are one receipt to the script of their partition.

        Scripts find what is pending by its position. What is not is found by its id, in a second step that
        few need.
        """
        partitions = self._partitions.count
        parts = divide(batch, lambda receipt: receipt.ordinal % partitions)
        words = {partition: _receipt_words(part, partitions) for partition, part in parts.items()}
        missed = await self._run(SETTLE, words, 9, durable=True)
        late: dict[int, list[Word]] = {}
        for partition in missed:
            taken = [_late_words(receipt, partitions) for receipt in parts[partition] if _is_taken(receipt)]
            if taken:
                late[partition] = [word for some in taken for word in some]
        if late:
            await self._run(TAKE, late, 5, durable=True)

    async def advance(self, batch: Sequence[Cursor]) -> None:
        """One that is lost costs a device a second look."""
        partitions = self._partitions.count
        words: dict[int, list[Word]] = {}
        for cursor in batch:
            words.setdefault(cursor.ordinal % partitions, []).extend(
                (cursor.app, cursor.ordinal // partitions, cursor.log_after, cursor.epoch, cursor.told)
            )
        await self._run(ADVANCE, words, 5, durable=False)

    async def close_gaps(self, batch: Sequence[Told]) -> None:
        """One that is lost has a device told again."""
        partitions = self._partitions.count
        words: dict[int, list[Word]] = {}
        for item in batch:
            told = (item.app, item.ordinal // partitions, item.gap.told, *(item.gap.noted or (0, 0, 0, 0)))
            words.setdefault(item.ordinal % partitions, []).extend(told)
        await self._run(CLOSE_GAPS, words, 7, durable=False)

    async def _run(
        self, script: Script, words: dict[int, list[Word]], width: int, *, durable: bool
    ) -> set[int]:
        """Gives a script its items, `width` words each, in slices; what is refused is tried item by item.

        The partitions in which it answered 1, or may have.
        """
        slices = [
            (partition, all_of_it[start : start + SLICE * width])
            for partition, all_of_it in words.items()
            for start in range(0, len(all_of_it), SLICE * width)
        ]
        calls = [
            self._partitions.run(partition, script, some, durable=durable, work=len(some) // width)
            for partition, some in slices
        ]
        try:
            replies = await gathered(calls)
        except Exception as error:
            if not is_of_an_item(error) or (len(slices) == 1 and len(slices[0][1]) == width):
                raise
        else:
            return {partition for (partition, _), reply in zip(slices, replies, strict=True) if reply == 1}
        items = [
            (partition, some[start : start + width])
            for partition, some in slices
            for start in range(0, len(some), width)
        ]
        nothing: Spare[tuple[int, list[Word]], None] = Spare(self._faults, "saver.inboxes", lambda item: None)
        await scatter(
            items,
            lambda item: item[0],
            lambda partition, part: self._partitions.run(
                partition, script, [word for _, some in part for word in some], durable=durable
            ),
            lambda partition, part, reply: [None] * len(part),
            nothing,
        )
        return set(words)


_Chosen = tuple[list[_Found], int, bool, list[_Found]]


def _words(fetch: Fetch, partitions: int) -> tuple[Word, ...]:
    return (
        fetch.app,
        fetch.ordinal // partitions,
        fetch.inbox_after,
        fetch.log_after,
        fetch.limit,
        fetch.now,
        fetch.limit_bytes,
        fetch.urgent,
    )


def _choose(fetch: Fetch, reply: Reply) -> _Chosen:
    """The oldest of what waits, how far the log was read with it, and whether that is all."""
    packed, left_out, apart, read, at_end, log, *rest = msgspec.convert(reply, _Waiting)
    found = _found(packed, apart, log)
    urgent = _found(*rest)[: fetch.urgent]
    fitting = [
        entry
        for entry in found
        if (not left_out or entry.position < left_out) and (at_end or entry.position <= read)
    ][: fetch.limit]
    if len(fitting) == len(found) and not left_out and at_end:
        return fitting, read, True, urgent
    last = max((entry.position for entry in fitting if entry.message is None), default=fetch.log_after)
    return fitting, last, False, urgent


def _found(packed: bytes, apart: Sequence[bytes | None], log: Sequence[int | bytes]) -> list[_Found]:
    """Entries of an inbox and of the log, by their positions."""
    found: list[_Found] = []
    bodies = iter(apart)
    at = 0
    while at < len(packed):
        entry, at = layout.unpack_entry(packed, at)
        if entry.body is not None:
            message = layout.unpack_body(
                entry.body, entry.message_id, entry.expires_at, entry.collapse_key, entry.online_only
            )
        else:
            body = next(bodies)
            if body is None:
                continue
            message = layout.unpack_message(body, entry.message_id)
        found.append(_Found(entry.position, entry.message_id, message, bool(entry.flags & layout.WRITTEN)))
    for position, message_id, written in zip(log[::3], log[1::3], log[2::3], strict=True):
        assert isinstance(position, int)
        assert isinstance(message_id, bytes)
        found.append(_Found(position, message_id, None, bool(written)))
    found.sort()
    return found


def _pushes(entries: Sequence[_Found], broadcasts: dict[bytes, Message]) -> tuple[PendingPush, ...]:
    pushes: list[PendingPush] = []
    for entry in entries:
        message = entry.message or broadcasts.get(entry.message_id)
        if message is not None:  # else it came to its end a moment ago
            pushes.append(PendingPush(message, entry.position, entry.message is None, entry.written))
    return tuple(pushes)


def _receipt_words(receipts: Sequence[Receipt], partitions: int) -> list[Word]:
    """Receipts of one partition as the script wants them.

    The first outcome of a device counts, so those who took a broadcast stay before whatever else became of
    one.
    """
    words: list[Word] = []
    taken: _Taken = {}
    for receipt in receipts:
        place = receipt.ordinal // partitions
        if receipt.broadcast:
            if receipt.state == State.ACKED:
                taken.setdefault((receipt.app, receipt.position, receipt.sent_at > 0), []).append(place)
                continue
            if receipt.state != State.PENDING and taken:
                words.extend(_together(taken, receipt.at))
                taken = {}
        words.extend(
            (
                1 if receipt.broadcast else 0,
                receipt.app,
                place,
                receipt.position,
                int(receipt.state),
                receipt.at,
                receipt.sent_at,
                receipt.reason or b"",
                # That a device took a push is true whoever says so.
                0 if receipt.state == State.ACKED else receipt.epoch,
            )
        )
    words.extend(_together(taken, receipts[-1].at))
    return words


def _is_taken(receipt: Receipt) -> bool:
    return receipt.state == State.ACKED and receipt.message_id != ""


def _late_words(receipt: Receipt, partitions: int) -> tuple[Word, ...]:
    return (
        receipt.app,
        receipt.ordinal // partitions,
        layout.id_bytes(receipt.message_id),
        receipt.at,
        receipt.sent_at,
    )


_Taken = dict[tuple[int, int, bool], list[int]]  # app, position, whether it was written to: places


def _together(taken: _Taken, at: int) -> Iterator[Word]:
    """The receipts of devices that took broadcasts, as the script wants them."""
    for (app, position, written), places in taken.items():
        places.sort()
        for start in range(0, len(places), PLACES):
            some = places[start : start + PLACES]
            packed: Word = some[0] if len(some) == 1 else struct.pack(f">{len(some)}I", *some)
            yield from (len(some), app, packed, position, int(State.ACKED), at, int(written), b"", 0)
