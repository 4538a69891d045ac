"""Devices: who is registered in which app, with which ordinal, profile and labels."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

import msgspec
from pyroaring import BitMap

from longline.errors import AppNotFound
from longline.model.devices import Device, Profile
from longline.model.ledger import State
from longline.saver.port.devices import Registration
from longline.saver.sql.broadcasts import DROPPED, BroadcastLedgers
from longline.saver.sql.database import Database, device_key, device_range, integer
from longline.saver.sql.members import Members
from longline.saver.sql.remains import end_sessions
from longline.saver.sql.worker import Worker

DELETED = "device_deleted"

_positions = msgspec.json.Decoder(list[int])
_profile = msgspec.json.Decoder(Profile | None)
_DeviceRow = tuple[str, int, str, Profile, int]
_devices = msgspec.json.Decoder(list[_DeviceRow])
_found = msgspec.json.Decoder(list[_DeviceRow | None])

DEVICE = """json_array((SELECT app FROM apps WHERE number = {0}.device >> 32), {0}.device, {0}.address,
  json({0}.profile), {0}.created_at)"""

LABELS = """
  FROM carray(?1) AS changed
 CROSS JOIN devices ON devices.device = changed.value
 CROSS JOIN json_each(json_array(json_extract(profile, '$.tags'), json_extract(profile, '$.aliases'))) AS kind
 CROSS JOIN json_each(kind.value) AS label"""


class SqlDevices:
    """Fulfils `DeviceStore`. `deleted`: apps that are not there any more."""

    def __init__(
        self,
        writer: Worker,
        reader: Worker,
        writing: Database,
        reading: Database,
        *,
        members: Members,
        broadcasts: BroadcastLedgers,
        deleted: AbstractSet[int],
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._writing = writing
        self._reading = reading
        self._members = members
        self._broadcasts = broadcasts
        self._deleted = deleted

    # --- changing them ---

    async def put(self, app: int, batch: Sequence[Registration], now: int) -> list[Device]:
        """Looks all names up in one statement, and writes new ones and old ones in one each."""
        return await self._writer.call(self._put, (app, batch, now), len(batch))

    def _put(self, calls: list[tuple[int, Sequence[Registration], int]]) -> list[list[Device] | AppNotFound]:
        return [self._put_one(*call) for call in calls]

    def _put_one(self, app: int, batch: Sequence[Registration], now: int) -> list[Device] | AppNotFound:
        membership = self._members.of(app)
        if membership is None:
            return AppNotFound(f"there is no app {app}")
        profiles = {item.device: item.profile for item in batch}  # of a name given twice, the last counts
        if not profiles:
            return []
        found = self._members.find([f"{app}/{name}" for name in profiles])
        keys = {name: key for name, key in zip(profiles, found, strict=True) if key is not None}
        created = dict.fromkeys(profiles, now)
        if keys:
            created.update(self._replace(keys, profiles))
        new = [(name, profile, now) for name, profile in profiles.items() if name not in keys]
        if new:
            added = self._members.add(app, membership, new)
            keys.update(zip((name for name, _, _ in new), added, strict=True))
        self._label(list(keys.values()))
        return [
            Device(
                app=membership.name,
                device=item.device,
                ordinal=keys[item.device] & 0xFFFF_FFFF,
                profile=profiles[item.device],
                created_at=created[item.device],
            )
            for item in batch
        ]

    def _replace(self, keys: dict[str, int], profiles: dict[str, Profile]) -> dict[str, int]:
        """Replaces profiles; returns when each device was created."""
        self._unlabel(list(keys.values()))
        rows = tuple(b"%019d%b" % (key, msgspec.json.encode(profiles[name])) for name, key in keys.items())
        self._writing.run(
            f"UPDATE devices SET profile = given.profile FROM (SELECT {integer(1, 19)} AS device,"
            " CAST(substr(value, 20) AS TEXT) AS profile FROM carray(?1)) AS given"
            " WHERE devices.device = given.device",
            rows,
        )
        loaded = self._writing.text(
            "SELECT json_group_array(created_at) FROM carray(?1) CROSS JOIN devices ON device = value",
            tuple(keys.values()),
        )
        return dict(zip(keys, _positions.decode(loaded), strict=True))

    async def update(self, app: int, before: Device, profile: Profile) -> bool:
        """Reads and replaces within the writer's transaction."""
        return await self._writer.call(self._update, (app, before, profile))

    def _update(self, calls: list[tuple[int, Device, Profile]]) -> list[bool]:
        return [self._update_one(*call) for call in calls]

    def _update_one(self, app: int, before: Device, profile: Profile) -> bool:
        key = device_key(app, before.ordinal)
        stored = self._writing.text("SELECT profile FROM devices WHERE device = ?1", key)
        if self._members.of(app) is None or _profile.decode(stored) != before.profile:
            return False
        self._replace({before.device: key}, {before.device: profile})
        self._label([key])
        return True

    def _label(self, keys: list[int]) -> None:
        self._writing.run(
            "INSERT OR IGNORE INTO labels"
            " SELECT device >> 32, kind.key, label.value, device & 0xFFFFFFFF" + LABELS,
            tuple(keys),
        )

    def _unlabel(self, keys: list[int]) -> None:
        self._writing.run(
            "DELETE FROM labels WHERE (app, kind, value, ordinal) IN"
            " (SELECT device >> 32, kind.key, label.value, device & 0xFFFFFFFF" + LABELS + ")",
            tuple(keys),
        )

    async def ban(self, app: int, device: str, until: int) -> bool:
        """A column of the device's row."""
        return await self._writer.call(self._ban, (app, device, until))

    def _ban(self, calls: list[tuple[int, str, int]]) -> list[bool]:
        return [
            self._writing.run(
                "UPDATE devices SET banned_until = ?2 WHERE address = ?1", f"{app}/{name}", until
            )
            > 0
            for app, name, until in calls
        ]

    async def delete(self, app: int, device: str, now: int) -> bool:
        """What is pending is dropped and the row goes in one transaction; the address stays for ledgers."""
        return await self._writer.call(self._delete, (app, device, now))

    def _delete(self, calls: list[tuple[int, str, int]]) -> list[bool]:
        return [self._delete_one(*call) for call in calls]

    def _delete_one(self, app: int, name: str, now: int) -> bool:
        membership = self._members.of(app)
        key = self._members.find([f"{app}/{name}"])[0] if membership is not None else None
        if membership is None or key is None:
            return False
        run = self._writing.run
        run(
            "UPDATE deliveries SET state = ?2, reason = ?3, settled_at = ?4"
            " FROM inbox WHERE inbox.device = ?1 AND deliveries.position = inbox.position"
            " AND deliveries.device = ?1 AND state = 0",
            key,
            State.DROPPED,
            DELETED,
            now,
        )
        run("DELETE FROM inbox WHERE device = ?1", key)
        ordinal = key & 0xFFFF_FFFF
        open_broadcasts = self._writing.text("SELECT json_group_array(position) FROM log WHERE app = ?1", app)
        for position in _positions.decode(open_broadcasts):
            self._broadcasts.settle(position, DROPPED + DELETED, BitMap([ordinal]), self._writing)
        self._unlabel([key])
        end_sessions(self._writing, (key,))
        run("DELETE FROM wills WHERE device = ?1", key)
        run("DELETE FROM cursors WHERE device = ?1", key)
        run("DELETE FROM devices WHERE device = ?1", key)
        run("INSERT INTO departed VALUES (?1, ?2)", key, f"{app}/{name}")
        if membership.departed is not None:
            membership.departed.add(ordinal)
        return True

    # --- asking for them ---

    async def find(self, app: int, names: Sequence[str]) -> list[Device | None]:
        """One statement for all names."""
        if app in self._deleted:
            return [None] * len(names)
        return await self._reader.call(self._find, (app, names), len(names))

    def _find(self, calls: list[tuple[int, Sequence[str]]]) -> list[list[Device | None]]:
        addresses = tuple(f"{app}/{name}".encode() for app, names in calls for name in names)
        if not addresses:
            return [[] for _ in calls]
        found = self._reading.text(
            f"SELECT json_group_array(iif(d.device IS NULL, NULL, {DEVICE.format('d')}))"
            " FROM carray(?1) AS asked LEFT JOIN devices AS d ON d.address = CAST(asked.value AS TEXT)",
            addresses,
        )
        rows = iter(_found.decode(found))
        return [[_device(row) if (row := next(rows)) else None for _ in names] for _, names in calls]

    async def count(self, app: int) -> int:
        """The ordinals given, without those who left."""
        return await self._reader.call(self._count, app)

    def _count(self, calls: list[int]) -> list[int]:
        counted = "SELECT next_ordinal - (SELECT count(*) FROM departed WHERE device BETWEEN ?2 AND ?3)"
        return [
            self._reading.number(
                f"{counted} FROM apps WHERE number = ?1 AND NOT deleted", app, *device_range(app)
            )
            or 0
            for app in calls
        ]

    def _list(self, calls: list[tuple[int, str | None, str | None, int, int]]) -> list[list[Device]]:
        """(app, tag, alias, after, limit)."""
        return [self._list_one(*call) for call in calls]

    def _list_one(self, app: int, tag: str | None, alias: str | None, after: int, limit: int) -> list[Device]:
        first, last = device_range(app)
        labelled = "SELECT ?6 | ordinal FROM labels WHERE app = ?6 >> 32 AND kind = {} AND value = {}"
        tagged = f" AND device IN ({labelled.format(0, '?4')})" if tag is not None else ""
        aliased = f" AND device IN ({labelled.format(1, '?5')})" if alias is not None else ""
        rows = self._reading.text(
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

    async def list(
        self, app: int, *, tag: str | None, alias: str | None, after: int, limit: int
    ) -> list[Device]:
        """A page of the table, or of the rows that the labels name."""
        if app in self._deleted:
            return []
        return await self._reader.call(self._list, (app, tag, alias, after, limit))


def _device(row: _DeviceRow) -> Device:
    app, key, address, profile, created_at = row
    return Device(
        app=app,
        device=address.partition("/")[2],
        ordinal=key & 0xFFFF_FFFF,
        profile=profile,
        created_at=created_at,
    )
