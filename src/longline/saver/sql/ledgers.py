"""What became of messages: rows summed up when they are asked for, and the sizes of sets."""

from collections import Counter
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from itertools import islice
from uuid import UUID

import msgspec
from pyroaring import BitMap

from longline.model.ledger import DeliveryRecord, Ledger, State
from longline.model.messages import Message
from longline.saver.port.ledgers import DevicePage, DeviceRecord, Listed, MessagePage, MessagesAsked, Status
from longline.saver.sql.broadcasts import (
    ACKED,
    COLLAPSED,
    DROPPED,
    EXPIRED,
    HAS_SETS,
    SENT,
    SET_WORK,
    BroadcastLedger,
    BroadcastLedgers,
)
from longline.saver.sql.database import Database, device_key, id_bytes
from longline.saver.sql.device_messages import read_device_message, read_device_messages
from longline.saver.sql.expiry import END
from longline.saver.sql.worker import Worker

_Counts = list[tuple[State, str | None, int, int, int]]
_status = msgspec.json.Decoder(tuple[int, str, int, int, int, _Counts, str | None] | None)
_listed = msgspec.json.Decoder(list[tuple[int, str, int, str | None, int, int, _Counts]])
_Record = tuple[int, str, State, str | None, int | None, int | None]
_records = msgspec.json.Decoder(tuple[str, int, int, list[_Record]] | None)
_addresses = msgspec.json.Decoder(dict[int, str])
_unpack = msgspec.msgpack.Decoder(Message).decode

# Where a message m stands: whether it is a broadcast, and what its deliveries add up to.
STANDING = f"""
         {HAS_SETS.format("m")},
         json((SELECT json_group_array(json_array(state, reason, n, routed, sent)) FROM (
            SELECT state, reason, count(*) AS n,
                   count(*) FILTER (WHERE routed OR sent_at IS NOT NULL OR state = {State.ACKED:d}) AS routed,
                   count(*) FILTER (WHERE sent_at IS NOT NULL OR state = {State.ACKED:d}) AS sent
              FROM deliveries AS d WHERE d.position = m.position GROUP BY state, reason)))"""

STATUS = f"""
SELECT json_array(m.position, hex(m.body), m.missing,
         NOT m.cancelled AND EXISTS (SELECT 1 FROM expiry WHERE at = m.expires_at AND kind = {END}
                                     AND first <= m.position AND last >= m.position),{STANDING}, m.label)
  FROM messages AS m WHERE m.app = ?1 AND m.id = ?2"""

# By one of two indexes, which have them in this order: it looks at no more rows than it shows.
LATEST = f"""
SELECT json_group_array(json_array(m.position, hex(m.id), m.created_at, m.label, m.missing,{STANDING}))
  FROM (SELECT position, id, created_at, label, missing FROM messages
         WHERE app = ?1 AND id < ?2 AND id >= ?3 %s ORDER BY id DESC LIMIT ?4) AS m"""
LATEST_OF_ALL, LATEST_OF_LABEL = LATEST % "", LATEST % "AND label = ?5"

FIRST_ID, BEYOND = b"", b"\xff" * 17  # no id is below the one or above the other

DELIVERIES = f"""
SELECT json_array(hex(m.body), m.position,
         {HAS_SETS.format("m")},
         json((SELECT json_group_array(json_array(ordinal, address, state, reason, sent_at, settled_at))
           FROM (
            SELECT d.device & 0xFFFFFFFF AS ordinal, state, reason, sent_at, settled_at,
                   coalesce(devices.address, departed.address, '') AS address
              FROM deliveries AS d
              LEFT JOIN devices ON devices.device = d.device
              LEFT JOIN departed ON departed.device = d.device
             WHERE d.position = m.position AND d.device > ?3
             ORDER BY d.device LIMIT ?4))))
  FROM messages AS m WHERE m.app = ?1 AND m.id = ?2"""

ADDRESSES = """
SELECT json_group_object(key.value, coalesce(devices.address, departed.address, ''))
  FROM json_each(?1) AS key
  LEFT JOIN devices ON devices.device = key.value
  LEFT JOIN departed ON departed.device = key.value"""


class SqlLedgers:
    """Fulfils `LedgerStore`. `deleted`: apps that are not there any more."""

    def __init__(
        self, reader: Worker, database: Database, broadcasts: BroadcastLedgers, deleted: AbstractSet[int]
    ) -> None:
        self._reader = reader
        self._database = database
        self._broadcasts = broadcasts
        self._deleted = deleted

    async def status(self, app: int, message_id: str) -> Status | None:
        """One statement, one snapshot."""
        if app in self._deleted:
            return None
        return await self._reader.call(self._statuses, (app, message_id))

    def _statuses(self, calls: list[tuple[int, str]]) -> list[Status | None]:
        return [self._status(*call) for call in calls]

    def _status(self, app: int, message_id: str) -> Status | None:
        row = _status.decode(self._database.text(STATUS, app, id_bytes(message_id)))
        if row is None:
            return None
        position, body, missing, is_open, is_broadcast, counts, label = row
        ledger = self._ledger(position, missing, is_broadcast, counts)
        return Status(_unpack(bytes.fromhex(body)), ledger, bool(is_open), label, bool(is_broadcast))

    def _ledger(self, position: int, missing: int, is_broadcast: int, counts: _Counts) -> Ledger:
        if is_broadcast:
            return _ledger_of_sets(self._broadcasts.get(position, self._database))
        return _ledger_of_rows(counts, missing)

    async def latest(self, app: int, asked: MessagesAsked) -> MessagePage:
        """One statement, one snapshot."""
        if app in self._deleted:
            return MessagePage((), None)
        return await self._reader.call(self._pages, (app, asked))

    def _pages(self, calls: list[tuple[int, MessagesAsked]]) -> list[MessagePage]:
        return [self._latest(*call) for call in calls]

    def _latest(self, app: int, asked: MessagesAsked) -> MessagePage:
        before = BEYOND if asked.before is None else id_bytes(asked.before)
        least = FIRST_ID if asked.least is None else id_bytes(asked.least)
        bounds = (app, before, least, asked.limit + 1)
        if asked.label is None:
            text = self._database.text(LATEST_OF_ALL, *bounds)
        else:
            text = self._database.text(LATEST_OF_LABEL, *bounds, asked.label)
        rows = _listed.decode(text)
        listed = [
            Listed(str(UUID(digits)), created_at, label, self._ledger(position, missing, broadcast, counts))
            for position, digits, created_at, label, missing, broadcast, counts in rows[: asked.limit]
        ]
        work = sum(
            [SET_WORK if broadcast else sum([each[2] for each in counts]) for *_, broadcast, counts in rows]
        )
        return MessagePage(tuple(listed), listed[-1].message_id if len(rows) > asked.limit else None, work)

    async def of_device(
        self, app: int, ordinal: int, before: str | None, limit: int, *, waiting: bool
    ) -> DevicePage:
        """One statement, one snapshot but for the sets of broadcasts."""
        if app in self._deleted:
            return DevicePage((), None)
        return await self._reader.call(self._of_devices, (app, ordinal, before, limit, waiting))

    def _of_devices(self, calls: list[tuple[int, int, str | None, int, bool]]) -> list[DevicePage]:
        return [read_device_messages(self._database, self._broadcasts, *call) for call in calls]

    async def delivery(self, app: int, message_id: str, ordinal: int) -> DeviceRecord | None:
        """One statement, one snapshot but for the sets of a broadcast."""
        if app in self._deleted:
            return None
        return await self._reader.call(self._delivery, (app, message_id, ordinal))

    def _delivery(self, calls: list[tuple[int, str, int]]) -> list[DeviceRecord | None]:
        return [read_device_message(self._database, self._broadcasts, *call) for call in calls]

    async def deliveries(
        self, app: int, message_id: str, after: int, limit: int
    ) -> list[tuple[int, DeliveryRecord]] | None:
        """A page of the rows in their order, or of the audience of a broadcast."""
        if app in self._deleted:
            return None
        return await self._reader.call(self._deliveries, (app, message_id, after, limit))

    def _deliveries(
        self, calls: list[tuple[int, str, int, int]]
    ) -> list[list[tuple[int, DeliveryRecord]] | None]:
        return [self._page(*call) for call in calls]

    def _page(
        self, app: int, message_id: str, after: int, limit: int
    ) -> list[tuple[int, DeliveryRecord]] | None:
        first = device_key(app, 0)
        row = _records.decode(
            self._database.text(DELIVERIES, app, id_bytes(message_id), first + after, limit)
        )
        if row is None:
            return None
        body, position, is_broadcast, records = row
        accepted_at = _unpack(bytes.fromhex(body)).created_at
        return [
            (
                ordinal,
                DeliveryRecord(
                    device=address.partition("/")[2],
                    state=state,
                    reason=reason,
                    accepted_at=accepted_at,
                    sent_at=sent_at,
                    settled_at=settled_at,
                ),
            )
            for ordinal, address, state, reason, sent_at, settled_at in (
                self._of_sets(app, position, after, limit) if is_broadcast else records
            )
        ]

    def _of_sets(self, app: int, position: int, after: int, limit: int) -> Sequence[_Record]:
        ledger = self._broadcasts.get(position, self._database)
        ordinals = list(islice(ledger.targets.iter_equal_or_larger(after + 1), limit))
        first = device_key(app, 0)
        keys = msgspec.json.encode([first + ordinal for ordinal in ordinals]).decode()
        addresses = _addresses.decode(self._database.text(ADDRESSES, keys))
        return [
            (ordinal, addresses[first + ordinal], *ledger.standing(ordinal), None, None)
            for ordinal in ordinals
        ]


def _ledger_of_rows(counts: _Counts, missing: int) -> Ledger:
    states: Counter[State] = Counter()
    dropped: Counter[str] = Counter()
    routed = sent = 0
    for state, reason, count, routed_here, sent_here in counts:
        states[state] += count
        routed += routed_here
        sent += sent_here
        if state == State.DROPPED:
            dropped[reason or "unknown"] += count
    if missing:
        dropped["device_not_found"] += missing
    return Ledger(
        targeted=states.total() + missing,
        pending=states[State.PENDING],
        acked=states[State.ACKED],
        expired=states[State.EXPIRED],
        collapsed=states[State.COLLAPSED],
        dropped=dict(dropped),
        routed=routed,
        sent=sent,
    )


def _ledger_of_sets(ledger: BroadcastLedger) -> Ledger:
    sets = ledger.sets  # once: the writer puts others in their place
    acked = sets.get(ACKED, BitMap())
    counts = {label: len(ordinals - acked) for label, ordinals in sets.items() if label not in (SENT, ACKED)}
    written = len(sets.get(SENT, BitMap()) | acked)
    return Ledger(
        targeted=len(ledger.targets),
        pending=len(ledger.targets) - len(acked) - sum(counts.values()),
        acked=len(acked),
        expired=counts.get(EXPIRED, 0),
        collapsed=counts.get(COLLAPSED, 0),
        dropped={label[len(DROPPED) :]: n for label, n in counts.items() if n and label.startswith(DROPPED)},
        routed=written,
        sent=written,
    )
