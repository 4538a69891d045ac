"""Devices: who is registered in which app, with which ordinal, profile and labels."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

import msgspec
from pyroaring import BitMap

from longline.errors import AppNotFound
from longline.model.devices import Device, Profile
from longline.model.events import DELETED
from longline.model.ledger import State
from longline.saver.labels import ALIAS, TAG
from longline.saver.port.devices import Registration
from longline.saver.sql.broadcasts import DROPPED, BroadcastLedgers
from longline.saver.sql.changes import SqlChanges
from longline.saver.sql.database import Database, Value, device_key, device_range, integer
from longline.saver.sql.groups import forget_member
from longline.saver.sql.labels import Labels, read_sets
from longline.saver.sql.members import Members
from longline.saver.sql.remains import end_sessions
from longline.saver.sql.retained import LEAVE as LEAVE_RETAINED
from longline.saver.sql.webhooks import forget_dead
from longline.saver.sql.worker import Worker

DEVICE_DELETED = "device_deleted"

_positions = msgspec.json.Decoder(list[int])
_profile = msgspec.json.Decoder(Profile | None)
_replaced = msgspec.json.Decoder(list[tuple[int, Profile]])
_DeviceRow = tuple[str, int, str, Profile, int]
_devices = msgspec.json.Decoder(list[_DeviceRow])
_found = msgspec.json.Decoder(list[_DeviceRow | None])

DEVICE = """json_array((SELECT app FROM apps WHERE number = {0}.device >> 32), {0}.device, {0}.address,
  json({0}.profile), {0}.created_at)"""


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
        labels: Labels,
        broadcasts: BroadcastLedgers,
        changes: SqlChanges,
        deleted: AbstractSet[int],
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._writing = writing
        self._reading = reading
        self._members = members
        self._labels = labels
        self._broadcasts = broadcasts
        self._changes = changes
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
            created.update(self._replace(app, keys, profiles))
        new = [(name, profile, now) for name, profile in profiles.items() if name not in keys]
        if new:
            added = self._members.add(app, membership, new)
            for (name, profile, _), key in zip(new, added, strict=True):
                keys[name] = key
                self._labels.change(app, key & 0xFFFF_FFFF, None, profile)
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

    def _replace(self, app: int, keys: dict[str, int], profiles: dict[str, Profile]) -> dict[str, int]:
        """Replaces profiles; returns when each device was created."""
        found = self._writing.text(
            "SELECT json_group_array(json_array(created_at, json(profile)))"
            " FROM carray(?1) CROSS JOIN devices ON device = value",
            tuple(keys.values()),
        )
        created: dict[str, int] = {}
        for (name, key), (created_at, before) in zip(keys.items(), _replaced.decode(found), strict=True):
            created[name] = created_at
            self._labels.change(app, key & 0xFFFF_FFFF, before, profiles[name])
        rows = tuple(b"%019d%b" % (key, msgspec.json.encode(profiles[name])) for name, key in keys.items())
        self._writing.run(
            f"UPDATE devices SET profile = given.profile FROM (SELECT {integer(1, 19)} AS device,"
            " CAST(substr(value, 20) AS TEXT) AS profile FROM carray(?1)) AS given"
            " WHERE devices.device = given.device",
            rows,
        )
        return created

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
        self._replace(app, {before.device: key}, {before.device: profile})
        return True

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
        return [self.remove(*call, DELETED, DEVICE_DELETED) for call in calls]

    def remove(self, app: int, name: str, now: int, state: str, reason: str) -> bool:
        """Takes all that there is of a device away, in the transaction of whoever calls; False: there is
        none.

        `state`: what app servers are told; `reason`: that of the ledgers.
        """
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
            reason,
            now,
        )
        run("DELETE FROM inbox WHERE device = ?1", key)
        ordinal = key & 0xFFFF_FFFF
        open_broadcasts = self._writing.text(
            "SELECT json_group_array(position) FROM log WHERE app = ?1"
            " AND (grp = 0 OR grp IN (SELECT grp FROM group_members WHERE device = ?2))",
            app,
            key,
        )
        for position in _positions.decode(open_broadcasts):
            self._broadcasts.settle(position, DROPPED + reason, BitMap([ordinal]), self._writing)
        profile = _profile.decode(self._writing.text("SELECT profile FROM devices WHERE device = ?1", key))
        self._labels.change(app, ordinal, profile, None)
        forget_member(self._writing, self._labels, app, ordinal)
        end_sessions(self._writing, (key,))
        run("DELETE FROM wills WHERE device = ?1", key)
        run("DELETE FROM shadows WHERE device = ?1", key)
        run(LEAVE_RETAINED, app, name, now.to_bytes(8))
        run("DELETE FROM visits WHERE device = ?1", key)
        run("DELETE FROM connections WHERE device = ?1", key)
        run("DELETE FROM unanswered WHERE device = ?1", key)
        run("DELETE FROM cursors WHERE device = ?1", key)
        run("DELETE FROM gaps WHERE device = ?1", key)
        forget_dead(self._writing, app, name)
        run("DELETE FROM devices WHERE device = ?1", key)
        run("INSERT INTO departed VALUES (?1, ?2)", key, f"{app}/{name}")
        self._changes.gone(app, name, now, state)
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

    async def named(self, app: int, prefix: str, after: str, limit: int) -> list[Device]:
        """A part of the index of addresses."""
        if app in self._deleted or limit <= 0:
            return []
        return await self._reader.call(self._named, (app, prefix, after, limit))

    def _named(self, calls: list[tuple[int, str, str, int]]) -> list[list[Device]]:
        page = (
            "SELECT * FROM devices WHERE address >= ?1 AND address > ?2 AND address < CAST(?3 AS TEXT)"
            " ORDER BY address LIMIT ?4"
        )
        return [
            # No text of UTF-8 has the byte 0xFF, so that all that begin so are below it.
            self._page(page, f"{app}/{prefix}", f"{app}/{after}", f"{app}/{prefix}".encode() + b"\xff", limit)
            for app, prefix, after, limit in calls
        ]

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
        wanted = [(kind, label) for kind, label in ((TAG, tag), (ALIAS, alias)) if label is not None]
        if not wanted:
            page = "SELECT * FROM devices WHERE device > ?1 AND device <= ?2 ORDER BY device LIMIT ?3"
            begin = first + after if after >= 0 else first - 1
            return self._page(page, begin, last, limit)
        sets = read_sets(self._reading, app, wanted, after)
        found = BitMap.intersection(*sets.values())
        begin = found.rank(after) if after >= 0 else 0
        devices: list[Device] = []
        # In rounds, since some may have been deleted after the sets were read.
        while keys := tuple([first | ordinal for ordinal in found[begin : begin + limit - len(devices)]]):
            begin += len(keys)
            devices += self._page(
                "SELECT devices.* FROM carray(?1) CROSS JOIN devices ON device = value", keys
            )
        return devices

    def _page(self, page: str, *values: Value) -> list[Device]:
        rows = self._reading.text(
            f"SELECT json_group_array({DEVICE.format('page')}) FROM ({page}) AS page", *values
        )
        return [_device(row) for row in _devices.decode(rows)]

    async def list(
        self, app: int, *, tag: str | None, alias: str | None, after: int, limit: int
    ) -> list[Device]:
        """A page of the table, or of the devices that are in the sets of the labels."""
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
