"""What became of messages: rows summed up when they are asked for, and the sizes of sets."""

from collections import Counter
from collections.abc import Set as AbstractSet

import msgspec
from pyroaring import BitMap

from longline.model.ledger import DeliveryRecord, Ledger, State
from longline.model.messages import Message
from longline.saver.port.ledgers import Status
from longline.saver.sql.broadcasts import (
    ACKED,
    COLLAPSED,
    DROPPED,
    EXPIRED,
    SENT,
    BroadcastLedger,
    BroadcastLedgers,
)
from longline.saver.sql.database import Database, device_key, id_bytes
from longline.saver.sql.expiry import END
from longline.saver.sql.worker import Worker

_status = msgspec.json.Decoder(
    tuple[int, str, int, int, int, list[tuple[State, str | None, int, int, int]]] | None
)
_records = msgspec.json.Decoder(
    tuple[str, list[tuple[int, str, State, str | None, int | None, int | None]]] | None
)
_unpack = msgspec.msgpack.Decoder(Message).decode

STATUS = f"""
SELECT json_array(m.position, hex(m.body), m.missing,
         NOT m.cancelled AND EXISTS (SELECT 1 FROM expiry WHERE at = m.expires_at AND kind = {END}
                                     AND first <= m.position AND last >= m.position),
         EXISTS (SELECT 1 FROM broadcast_sets AS b WHERE b.position = m.position),
         json((SELECT json_group_array(json_array(state, reason, n, routed, sent)) FROM (
            SELECT state, reason, count(*) AS n,
                   count(*) FILTER (WHERE routed OR sent_at IS NOT NULL OR state = {State.ACKED:d}) AS routed,
                   count(*) FILTER (WHERE sent_at IS NOT NULL OR state = {State.ACKED:d}) AS sent
              FROM deliveries AS d WHERE d.position = m.position GROUP BY state, reason))))
  FROM messages AS m WHERE m.app = ?1 AND m.id = ?2"""

DELIVERIES = """
SELECT json_array(hex(m.body),
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
        position, body, missing, is_open, is_broadcast, counts = row
        if is_broadcast:
            ledger = _ledger_of_sets(self._broadcasts.get(position, self._database))
        else:
            ledger = _ledger_of_rows(counts, missing)
        return Status(_unpack(bytes.fromhex(body)), ledger, bool(is_open))

    async def deliveries(
        self, app: int, message_id: str, after: int, limit: int
    ) -> list[tuple[int, DeliveryRecord]] | None:
        """A page of the rows, in their order."""
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
        body, records = row
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
            for ordinal, address, state, reason, sent_at, settled_at in records
        ]


def _ledger_of_rows(counts: list[tuple[State, str | None, int, int, int]], missing: int) -> Ledger:
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
