"""What app servers and operators ask of messages: their ledgers.

A message's id does not tell in which partitions it has devices, so all are asked for its row, and those that
have one for the rest.
"""

import asyncio
from collections import Counter

import msgspec

from longline.model.ledger import DeliveryRecord, Ledger, State
from longline.model.messages import Message
from longline.saver.kv import layout
from longline.saver.kv.apps import Apps
from longline.saver.kv.layout import Row, Standing
from longline.saver.port.ledgers import Status
from longline.store.redis import Reply, Script, Store

STATUS = Script("longline.saver.lua", "status.lua")
DELIVERIES = Script("longline.saver.lua", "deliveries.lua")

NOT_FOUND = "device_not_found"
UNKNOWN = "unknown"


class Reading:
    """Fulfils `Saver.status` and `Saver.deliveries`."""

    def __init__(self, store: Store, apps: Apps) -> None:
        self._store = store
        self._apps = apps

    async def status(self, app: int, message_id: str) -> Status | None:
        """Of a message of which nothing is pending any more, the payload is not kept."""
        packed = layout.id_bytes(message_id)
        count = _Count()
        message: Message | None = None
        row: Row | None = None
        for _, reply in await self._ask(STATUS, app, packed):
            first, body, whole, *rest = reply
            assert isinstance(first, bytes)
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
        return Status(message, count.ledger(), count.open)

    async def deliveries(
        self, app: int, message_id: str, after: int, limit: int
    ) -> list[tuple[int, DeliveryRecord]] | None:
        """A message has a thousand devices at most, so a page is cut from all of them."""
        packed = layout.id_bytes(message_id)
        found = await self._ask(DELIVERIES, app, packed)
        if not found:
            return None
        records: list[tuple[int, DeliveryRecord]] = []
        for partition, reply in found:
            first, *rest = msgspec.convert(reply, list[bytes | None])
            assert first is not None
            row = layout.unpack_row(first)
            for place, standing, name in zip(rest[::3], rest[1::3], rest[2::3], strict=True):
                assert place is not None
                assert standing is not None
                ordinal = int(place) * self._store.partitions + partition
                if ordinal > after:
                    standing_then = layout.unpack_standing(standing, row.created_at)
                    records.append((ordinal, _record(name or b"", row.created_at, standing_then)))
        records.sort(key=lambda record: record[0])
        return records[:limit]

    async def _ask(self, script: Script, app: int, message_id: bytes) -> list[tuple[int, list[Reply]]]:
        """What the partitions that know the message answer."""
        if not message_id:
            return []
        partitions = range(self._store.partitions)
        rows = await asyncio.gather(
            *(
                self._store.call(
                    layout.tag(partition), b"HGET", layout.ledger_key(partition, app, message_id), message_id
                )
                for partition in partitions
            )
        )
        known = [partition for partition, row in zip(partitions, rows, strict=True) if row is not None]
        replies = await asyncio.gather(
            *(
                self._store.run(layout.tag(partition), script, [layout.prefix(partition)], [app, message_id])
                for partition in known
            )
        )
        return [
            (partition, reply)
            for partition, reply in zip(known, replies, strict=True)
            if isinstance(reply, list)
        ]


def _record(name: bytes, accepted_at: int, standing: Standing) -> DeliveryRecord:
    return DeliveryRecord(
        device=name.decode(),
        state=standing.state,
        reason=standing.reason,
        accepted_at=accepted_at,
        sent_at=standing.sent_at,
        settled_at=standing.settled_at,
    )


class _Count:
    """A ledger as the partitions' answers add up to it."""

    def __init__(self) -> None:
        self.open = True
        self._states: Counter[State] = Counter()
        self._dropped: Counter[str] = Counter()
        self._routed = 0
        self._sent = 0

    def add(self, row: Row, rest: list[Reply]) -> None:
        """`rest`: what `status.lua` says after the row and the message."""
        if row.missing:
            self._drop(NOT_FOUND, row.missing)
        if row.kind == b"u":
            self._add_standing(layout.unpack_standing(row.rest[4:], row.created_at))
        elif row.kind == b"m":
            for standing in msgspec.convert(rest, list[bytes]):
                self._add_standing(layout.unpack_standing(standing, row.created_at))
        elif row.kind == b"b":
            self._add_sets(row, msgspec.convert(rest, list[bytes | int]))
        # A row that is for nobody says nothing of when the others are ended.
        if row.flags & layout.CANCELLED or (row.flags & layout.ENDED and not layout.is_for_nobody(row)):
            self.open = False

    def _drop(self, reason: str, count: int) -> None:
        self._states[State.DROPPED] += count
        self._dropped[reason] += count

    def _add_standing(self, standing: Standing) -> None:
        if standing.state == State.DROPPED:
            self._drop(standing.reason or UNKNOWN, 1)
        else:
            self._states[standing.state] += 1
        self._routed += standing.connected or standing.sent
        self._sent += standing.sent

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
