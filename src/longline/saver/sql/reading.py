"""What app servers and operators ask: apps, devices and ledgers."""

from collections import Counter
from collections.abc import Sequence

import msgspec
from pyroaring import BitMap

from longline.model.apps import App
from longline.model.devices import Device, Profile
from longline.model.ledger import DeliveryRecord, Ledger, State
from longline.model.messages import Message
from longline.saver.port.ledgers import Status
from longline.saver.sql.database import Database, device_key, device_range, id_bytes
from longline.saver.sql.expiring import END
from longline.saver.sql.standings import (
    ACKED,
    COLLAPSED,
    DROPPED,
    EXPIRED,
    SENT,
    Standing,
    Standings,
    outcomes,
)

_apps = msgspec.json.Decoder(list[tuple[int, str, str, str, str, int, int]])
_DeviceRow = tuple[str, int, str, Profile, int]
_devices = msgspec.json.Decoder(list[_DeviceRow])
_found = msgspec.json.Decoder(list[_DeviceRow | None])
_status = msgspec.json.Decoder(
    tuple[int, str, int, int, int, list[tuple[State, str | None, int, int, int]]] | None
)
_records = msgspec.json.Decoder(
    tuple[str, list[tuple[int, str, State, str | None, int | None, int | None]]] | None
)
_unpack = msgspec.msgpack.Decoder(Message).decode

APP = "json_array(number, app, name, hex(server_key_hash), device_secret, pubsub, created_at)"

DEVICE = """json_array((SELECT app FROM apps WHERE number = {0}.device >> 32), {0}.device, {0}.address,
  json({0}.profile), {0}.created_at)"""

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

NEXT_EXPIRY = """
SELECT min(due) FROM (SELECT min(at) AS due FROM expiry
 UNION ALL SELECT min(ends_at) FROM idempotency
 UNION ALL SELECT 0 FROM apps WHERE deleted)"""


class Reading:
    """Questions about apps, devices and ledgers, for the reader's thread."""

    def __init__(self, database: Database, standings: Standings) -> None:
        self._database = database
        self._standings = standings

    # --- apps and devices ---

    def find_apps(self, calls: list[str]) -> list[App | None]:
        found = self._apps(
            f"SELECT json_group_array({APP}) FROM carray(?1)"
            " CROSS JOIN apps ON app = CAST(value AS TEXT) AND NOT deleted",
            tuple([name.encode() for name in calls]),
        )
        by_name = {app.app: app for app in found}
        return [by_name.get(name) for name in calls]

    def list_apps(self, calls: list[tuple[str, int]]) -> list[list[App]]:
        return [
            self._apps(
                f"SELECT json_group_array({APP}) FROM (SELECT * FROM apps WHERE app > ?1 AND NOT deleted"
                " ORDER BY app LIMIT ?2)",
                after,
                limit,
            )
            for after, limit in calls
        ]

    def _apps(self, sql: str, *values: int | str | tuple[bytes, ...]) -> list[App]:
        return [
            App(
                app=app,
                number=number,
                name=name,
                server_key_hash=bytes.fromhex(key_hash),
                device_secret=secret,
                pubsub=bool(pubsub),
                created_at=created_at,
            )
            for number, app, name, key_hash, secret, pubsub, created_at in _apps.decode(
                self._database.text(sql, *values)
            )
        ]

    def deleted_apps(self) -> list[int]:
        deleted = "SELECT json_group_array(number) FROM apps WHERE deleted"
        return msgspec.json.decode(self._database.text(deleted), type=list[int])

    def find_devices(self, calls: list[tuple[int, Sequence[str]]]) -> list[list[Device | None]]:
        """(app, names)."""
        addresses = tuple(f"{app}/{name}".encode() for app, names in calls for name in names)
        if not addresses:
            return [[] for _ in calls]
        found = self._database.text(
            f"SELECT json_group_array(iif(d.device IS NULL, NULL, {DEVICE.format('d')}))"
            " FROM carray(?1) AS asked LEFT JOIN devices AS d ON d.address = CAST(asked.value AS TEXT)",
            addresses,
        )
        rows = iter(_found.decode(found))
        return [[_device(row) if (row := next(rows)) else None for _ in names] for _, names in calls]

    def list_devices(self, calls: list[tuple[int, str | None, str | None, int, int]]) -> list[list[Device]]:
        """(app, tag, alias, after, limit)."""
        return [self._list_devices(*call) for call in calls]

    def _list_devices(
        self, app: int, tag: str | None, alias: str | None, after: int, limit: int
    ) -> list[Device]:
        first, last = device_range(app)
        labelled = "SELECT ?6 | ordinal FROM labels WHERE app = ?6 >> 32 AND kind = {} AND value = {}"
        tagged = f" AND device IN ({labelled.format(0, '?4')})" if tag is not None else ""
        aliased = f" AND device IN ({labelled.format(1, '?5')})" if alias is not None else ""
        rows = self._database.text(
            f"SELECT json_group_array({DEVICE.format('page')}) FROM (SELECT * FROM devices"
            f" WHERE device > ?1 AND device <= ?2{tagged}{aliased} ORDER BY device LIMIT ?3) AS page"
            " WHERE ?4 IS ?4 AND ?5 IS ?5 AND ?6 IS ?6",
            first + after if after >= 0 else first - 1,
            last,
            limit,
            tag,
            alias,
            first,
        )
        return [_device(row) for row in _devices.decode(rows)]

    def count_devices(self, calls: list[int]) -> list[int]:
        counted = "SELECT next_ordinal - (SELECT count(*) FROM departed WHERE device BETWEEN ?2 AND ?3)"
        return [
            self._database.number(
                f"{counted} FROM apps WHERE number = ?1 AND NOT deleted", app, *device_range(app)
            )
            or 0
            for app in calls
        ]

    # --- ledgers ---

    def status(self, calls: list[tuple[int, str]]) -> list[Status | None]:
        return [self._status(*call) for call in calls]

    def _status(self, app: int, message_id: str) -> Status | None:
        row = _status.decode(self._database.text(STATUS, app, id_bytes(message_id)))
        if row is None:
            return None
        position, body, missing, is_open, is_broadcast, counts = row
        if is_broadcast:
            ledger = _ledger_of_sets(self._standings.get(position, self._database))
        else:
            ledger = _ledger_of_rows(counts, missing)
        return Status(_unpack(bytes.fromhex(body)), ledger, bool(is_open))

    def deliveries(
        self, calls: list[tuple[int, str, int, int]]
    ) -> list[list[tuple[int, DeliveryRecord]] | None]:
        return [self._deliveries(*call) for call in calls]

    def _deliveries(
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
                    device=_name(address),
                    state=state,
                    reason=reason,
                    accepted_at=accepted_at,
                    sent_at=sent_at,
                    settled_at=settled_at,
                ),
            )
            for ordinal, address, state, reason, sent_at, settled_at in records
        ]

    def next_expiry(self, calls: list[None]) -> list[int | None]:
        due = self._database.number(NEXT_EXPIRY)
        return [due] * len(calls)


def _name(address: str) -> str:
    return address.partition("/")[2]


def _device(row: _DeviceRow) -> Device:
    app, key, address, profile, created_at = row
    return Device(
        app=app, device=_name(address), ordinal=key & 0xFFFF_FFFF, profile=profile, created_at=created_at
    )


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


def _ledger_of_sets(standing: Standing) -> Ledger:
    counts = dict(outcomes(standing))
    counts.pop(SENT, None)
    written = len(standing.sets.get(SENT, BitMap()) | standing.sets.get(ACKED, BitMap()))
    return Ledger(
        targeted=len(standing.targets),
        pending=len(standing.targets) - sum(counts.values()),
        acked=counts.get(ACKED, 0),
        expired=counts.get(EXPIRED, 0),
        collapsed=counts.get(COLLAPSED, 0),
        dropped={label[len(DROPPED) :]: n for label, n in counts.items() if label.startswith(DROPPED)},
        routed=written,
        sent=written,
    )
