"""What became of messages.

A message's id does not tell in which partitions it has devices, so all are asked for its row, and those that
have one for the rest.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from longline.model.ledger import DeliveryRecord, Ledger, State
from longline.model.messages import Message
from longline.saver.kv import layout
from longline.saver.kv.apps import KvApps
from longline.saver.kv.device_messages import read_device_message, read_device_messages
from longline.saver.kv.layout import DeliveryRow, Row
from longline.saver.kv.partitions import Partitions, script
from longline.saver.port.ledgers import DevicePage, DeviceRecord, Listed, MessagePage, MessagesAsked, Status
from longline.store.redis import Reply, Word
from longline.store.scatter import ask_all, gathered

STATUS = script("status.lua")
DELIVERIES = script("deliveries.lua")
LIST = script("list_messages.lua")
SHOW = script("show_messages.lua")

SPARE_SHARE = 4  # ids that each partition is asked for beyond twice its part of a page
NOT_FOUND = "device_not_found"
UNKNOWN = "unknown"
SET_WORK = 5  # deliveries that a script counts in the time in which it counts the bits of a broadcast's sets


class KvLedgers:
    """Fulfils `LedgerStore`."""

    def __init__(self, partitions: Partitions, apps: KvApps) -> None:
        self._partitions = partitions
        self._apps = apps

    async def status(self, app: int, message_id: str) -> Status | None:
        """Of a message of which nothing is pending any more, the payload is not kept."""
        packed = layout.id_bytes(message_id)
        count = _Count()
        message: Message | None = None
        row: Row | None = None
        label: str | None = None
        for reply in await self._statuses(app, packed):
            first, word, body, whole, *rest = reply
            assert isinstance(first, bytes)
            label = word.decode() if isinstance(word, bytes) else label
            row = layout.unpack_row(first)
            count.add(row, rest)
            if isinstance(whole, bytes):
                message = layout.unpack_message(whole, packed)
            elif isinstance(body, bytes) and isinstance(rest[0], bytes):
                collapse_key = rest[0].decode() or None
                online_only = bool(row.flags & layout.ONLINE_ONLY)
                message = layout.unpack_body(body, packed, row.expires_at, collapse_key, online_only)
        if row is None:
            return None
        if message is None:
            message = Message(
                id=layout.id_text(packed),
                app=await self._apps.name_of(app) or "",
                payload=b"",
                content_type="",
                created_at=row.created_at,
                expires_at=row.expires_at,
                online_only=bool(row.flags & layout.ONLINE_ONLY),
            )
        return Status(message, count.ledger(), count.open, label, count.broadcast)

    async def _statuses(self, app: int, packed: bytes) -> list[list[Reply]]:
        """What the partitions that know the message answer."""
        known = await self._knowing(app, packed)
        replies = await gathered(
            [self._partitions.run(partition, STATUS, [app, packed]) for partition in known]
        )
        return [reply for reply in replies if isinstance(reply, list)]

    async def latest(self, app: int, asked: MessagesAsked) -> MessagePage:
        """Partitions tell their latest ids and how far back they have looked; then where each stands.

        What is further back than one of them has looked is left to the next page.
        """
        reached, holders = await self._latest(app, asked)
        ordered = sorted([packed for packed in holders if packed >= reached], reverse=True)
        page = ordered[: asked.limit]
        rest = page[-1] if len(ordered) > len(page) else reached
        shown = await self._show(app, page, holders)
        listed = [shown[packed].listed(packed) for packed in page if packed in shown]
        work = sum([each.work for each in shown.values()])
        return MessagePage(tuple(listed), layout.id_text(rest) if rest else None, work)

    async def _latest(self, app: int, asked: MessagesAsked) -> tuple[bytes, dict[bytes, list[int]]]:
        """How far back all partitions have looked, and which of them have something of each message.

        They are asked for a share of the page, and again for more where they lag behind it.
        """
        count, limit = self._partitions.count, asked.limit + 1
        least, label = _bound(asked.least), asked.label or ""
        reached = dict.fromkeys(range(count), _bound(asked.before))
        holders: dict[bytes, list[int]] = {}
        lagging, share = list(reached), 2 * limit // count + SPARE_SHARE
        while lagging:
            most = min(share, limit)
            replies = await gathered(
                [
                    self._partitions.run(partition, LIST, [app, reached[partition], least, label, most])
                    for partition in lagging
                ]
            )
            told = msgspec.convert(replies, list[tuple[bytes, list[bytes]]])
            full = []
            for partition, (down_to, ids) in zip(lagging, told, strict=True):
                reached[partition] = down_to
                if len(ids) == most:
                    full.append(partition)
                for packed in ids:
                    holders.setdefault(packed, []).append(partition)
            # As far back as the page goes, or as those have looked that look no further for this page.
            ordered = sorted(holders, reverse=True)
            end = ordered[limit - 1] if len(ordered) >= limit else b""
            end = max([end, *(reached[partition] for partition in reached.keys() - full)])
            lagging = [partition for partition in full if reached[partition] > end]
            share *= 4
        return max(reached.values()), holders

    async def _show(
        self, app: int, page: Sequence[bytes], holders: Mapping[bytes, Sequence[int]]
    ) -> dict[bytes, "_Shown"]:
        shares: dict[int, list[bytes]] = {}
        for packed in page:
            for partition in holders[packed]:
                shares.setdefault(partition, []).append(packed)
        calls = [self._partitions.run(partition, SHOW, [app, *share]) for partition, share in shares.items()]
        found: dict[bytes, _Shown] = {}
        for share, reply in zip(shares.values(), await gathered(calls), strict=True):
            assert isinstance(reply, list)
            for packed, one in zip(share, reply, strict=True):
                if isinstance(one, list):  # else it is over since
                    found.setdefault(packed, _Shown()).add(one)
        return found

    async def of_device(
        self, app: int, ordinal: int, before: str | None, limit: int, *, waiting: bool
    ) -> DevicePage:
        """All of a device is in its partition."""
        return await read_device_messages(self._partitions, app, ordinal, before, limit, waiting)

    async def delivery(self, app: int, message_id: str, ordinal: int) -> DeviceRecord | None:
        """One script in the device's partition."""
        return await read_device_message(self._partitions, app, message_id, ordinal)

    async def deliveries(
        self, app: int, message_id: str, after: int, limit: int
    ) -> list[tuple[int, DeliveryRecord]] | None:
        """A page of the partitions that know the message."""
        packed = layout.id_bytes(message_id)
        known = False

        def words(partition: int, ordinal: int, most: int) -> list[Word]:
            return [app, packed, self._partitions.place_from(partition, ordinal), most]

        def read(partition: int, reply: Reply) -> tuple[list[tuple[int, DeliveryRecord]], int | None]:
            nonlocal known
            if reply is None:
                return [], None
            known = True
            records, following = _read_deliveries(reply, partition, self._partitions.count)
            return [record for record in records if record[0] > after], following

        knowing = await self._knowing(app, packed)
        records = await self._partitions.page(
            DELIVERIES, knowing, after + 1, limit, words, read, lambda record: record[0]
        )
        return records if known else None

    async def _knowing(self, app: int, message_id: bytes) -> list[int]:
        """The partitions that know a message."""
        if not message_id:
            return []
        rows = await ask_all(
            self._partitions.count,
            lambda partition: self._partitions.call(
                partition, b"HGET", layout.ledger_key(partition, app, message_id), message_id
            ),
        )
        return [partition for partition, row in enumerate(rows) if row is not None]


def _read_deliveries(
    reply: Reply, partition: int, count: int
) -> tuple[list[tuple[int, DeliveryRecord]], int | None]:
    """What a partition has told, by ordinal, and the ordinal at which it goes on, None for nowhere."""
    first, following, *rest = msgspec.convert(reply, list[bytes | int | None])
    assert isinstance(first, bytes)
    assert not isinstance(following, bytes)
    row = layout.unpack_row(first)
    records: list[tuple[int, DeliveryRecord]] = []
    for place, packed, name in zip(rest[::3], rest[1::3], rest[2::3], strict=True):
        assert isinstance(place, bytes)
        assert isinstance(packed, bytes)
        assert not isinstance(name, int)
        delivery = layout.unpack_delivery(packed, row.created_at)
        records.append((int(place) * count + partition, _record(name or b"", row.created_at, delivery)))
    return records, None if following is None else following * count + partition


def _record(name: bytes, accepted_at: int, delivery: DeliveryRow) -> DeliveryRecord:
    return DeliveryRecord(
        device=name.decode(),
        state=delivery.state,
        reason=delivery.reason,
        accepted_at=accepted_at,
        sent_at=delivery.sent_at,
        settled_at=delivery.settled_at,
    )


def _bound(message_id: str | None) -> bytes:
    return b"" if message_id is None else layout.id_bytes(message_id)


class _Shown:
    """A message of a list, as the partitions' answers add up to it."""

    def __init__(self) -> None:
        self._count = _Count()
        self._created_at = 0
        self._label: str | None = None

    def add(self, reply: list[Reply]) -> None:
        first, word, *rest = reply
        assert isinstance(first, bytes)
        row = layout.unpack_row(first)
        self._created_at = row.created_at
        if isinstance(word, bytes):
            self._label = word.decode()
        self._count.add(row, rest)

    @property
    def work(self) -> int:
        """What it has cost, as pages say it."""
        return self._count.work

    def listed(self, packed: bytes) -> Listed:
        return Listed(layout.id_text(packed), self._created_at, self._label, self._count.ledger())


class _Count:
    """A ledger as the partitions' answers add up to it."""

    def __init__(self) -> None:
        self.open = True
        self.broadcast = False
        self.work = 0
        self._states: Counter[State] = Counter()
        self._dropped: Counter[str] = Counter()
        self._routed = 0
        self._sent = 0

    def add(self, row: Row, rest: list[Reply]) -> None:
        """`rest`: what `status.lua` says after the row and the message."""
        if row.missing:
            self._drop(NOT_FOUND, row.missing)
        if row.kind == b"u":
            self._add_delivery(layout.unpack_delivery(row.rest[4:], row.created_at))
            self.work += 1
        elif row.kind == b"m":
            standings = msgspec.convert(rest, list[bytes | int])
            for delivery, count in zip(standings[::2], standings[1::2], strict=True):
                assert isinstance(delivery, bytes)
                assert isinstance(count, int)
                self._add_delivery(layout.unpack_delivery(delivery, row.created_at), count)
                self.work += count
        elif row.kind == b"b":
            self.broadcast = True
            self.work += SET_WORK
            self._add_sets(row, msgspec.convert(rest, list[bytes | int]))
        # A row that is for nobody says nothing of when the others are ended.
        if row.flags & layout.CANCELLED or (row.flags & layout.ENDED and not layout.is_for_nobody(row)):
            self.open = False

    def _drop(self, reason: str, count: int) -> None:
        self._states[State.DROPPED] += count
        self._dropped[reason] += count

    def _add_delivery(self, delivery: DeliveryRow, count: int = 1) -> None:
        if delivery.state == State.DROPPED:
            self._drop(delivery.reason or UNKNOWN, count)
        else:
            self._states[delivery.state] += count
        if delivery.connected or delivery.sent:
            self._routed += count
        if delivery.sent:
            self._sent += count

    def _add_sets(self, row: Row, sets: list[bytes | int]) -> None:
        places, deleted = layout.unpack_places(row)
        pending = places - deleted
        for label, count in zip(sets[::2], sets[1::2], strict=True):
            assert isinstance(label, bytes)
            assert isinstance(count, int)
            if label == b"w":
                self._sent += count
                self._routed += count
                continue
            pending -= count
            if label.startswith(b"d"):
                self._drop(label[1:].decode(), count)
            else:
                self._states[_OUTCOMES[label]] += count
        self._states[State.PENDING] += pending

    def ledger(self) -> Ledger:
        """The sum."""
        return Ledger(
            targeted=self._states.total(),
            pending=self._states[State.PENDING],
            acked=self._states[State.ACKED],
            expired=self._states[State.EXPIRED],
            collapsed=self._states[State.COLLAPSED],
            dropped={reason: count for reason, count in self._dropped.items() if count},
            routed=self._routed,
            sent=self._sent,
        )


_OUTCOMES = {b"a": State.ACKED, b"e": State.EXPIRED, b"c": State.COLLAPSED}
