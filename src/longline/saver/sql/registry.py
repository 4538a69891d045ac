"""Apps and devices: what the writer does to them."""

from collections.abc import Sequence

import msgspec
from pyroaring import BitMap

from longline.errors import AppExists, AppNotFound
from longline.model.apps import App
from longline.model.devices import Device, Profile
from longline.model.ledger import State
from longline.saver.port.devices import Registration
from longline.saver.port.inboxes import Arrive
from longline.saver.sql.database import Database, device_key, device_range, integer
from longline.saver.sql.positions import Positions
from longline.saver.sql.standings import DROPPED, Standings

DELETED = "device_deleted"

_keys = msgspec.json.Decoder(list[int | None])
_positions = msgspec.json.Decoder(list[int])
_departed = msgspec.json.Decoder(list[int])

# In every statement the array comes first and is the outer loop: CROSS JOIN keeps the planner to it.
FIND = """
SELECT json_group_array(devices.device)
  FROM carray(?1) AS address LEFT JOIN devices ON devices.address = CAST(address.value AS TEXT)"""

INSERT = f"""
INSERT INTO devices (device, created_at, log_from, address, profile)
SELECT {integer(1, 19)}, {integer(20, 19)}, ?2, CAST(substr(value, 44, {integer(39, 5)}) AS TEXT),
       CAST(substr(value, 44 + {integer(39, 5)}) AS TEXT)
  FROM carray(?1)"""

LABELS = """
  FROM carray(?1) AS changed
 CROSS JOIN devices ON devices.device = changed.value
 CROSS JOIN json_each(json_array(json_extract(profile, '$.tags'), json_extract(profile, '$.aliases'))) AS kind
 CROSS JOIN json_each(kind.value) AS label"""


class Door(msgspec.Struct):
    """An app as the writer remembers it: the next ordinal to give, and once needed who left."""

    name: str
    next_ordinal: int
    departed: BitMap | None = None


class Registry:
    """Operations on apps and devices, for the writer's thread."""

    def __init__(self, database: Database, positions: Positions, standings: Standings) -> None:
        self._database = database
        self._positions = positions
        self._standings = standings
        self._doors: dict[int, Door] = {}

    def forget(self) -> None:
        """A transaction failed: what is remembered may not be on disk."""
        self._doors.clear()

    # --- apps ---

    def create_apps(self, calls: list[App]) -> list[App | AppExists]:
        return [self._create_app(app) for app in calls]

    def _create_app(self, app: App) -> App | AppExists:
        if self._database.number("SELECT 1 FROM apps WHERE app = ?1 AND NOT deleted", app.app):
            return AppExists(f"there is an app {app.app!r} already")
        number = (self._database.number("SELECT value FROM meta WHERE name = 'last_app'") or 0) + 1
        self._database.run("INSERT OR REPLACE INTO meta VALUES ('last_app', ?1)", number)
        self._database.run(
            "INSERT INTO apps (number, app, name, server_key_hash, device_secret, pubsub, created_at)"
            " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            number,
            app.app,
            app.name,
            app.server_key_hash,
            app.device_secret,
            app.pubsub,
            app.created_at,
        )
        return msgspec.structs.replace(app, number=number)

    def update_apps(self, calls: list[tuple[App, App]]) -> list[bool | AppNotFound]:
        """(the app as it shall be, as it must be stored before)."""
        return [self._update_app(*call) for call in calls]

    def _update_app(self, app: App, before: App) -> bool | AppNotFound:
        changed = self._database.run(
            "UPDATE apps SET name = ?2, server_key_hash = ?3, device_secret = ?4, pubsub = ?5"
            " WHERE number = ?1 AND NOT deleted"
            " AND name = ?6 AND server_key_hash = ?7 AND device_secret = ?8 AND pubsub = ?9",
            app.number,
            *(app.name, app.server_key_hash, app.device_secret, app.pubsub),
            *(before.name, before.server_key_hash, before.device_secret, before.pubsub),
        )
        if changed or self.door(app.number) is not None:
            return changed > 0
        return AppNotFound(f"there is no app {app.app!r}")

    def delete_apps(self, calls: list[int]) -> list[None]:
        """Marks apps deleted, so that nothing finds them any more.

        Their rows, perhaps a million, are too many for one transaction: `Expiring` removes them in slices.
        """
        for number in calls:
            self._doors.pop(number, None)
            self._database.run("UPDATE apps SET deleted = 1 WHERE number = ?1", number)
        return [None] * len(calls)

    def door(self, number: int) -> Door | None:
        """The app, None when there is none."""
        door = self._doors.get(number)
        if door is None:
            loaded = self._database.text(
                "SELECT json_array(app, next_ordinal) FROM apps WHERE number = ?1 AND NOT deleted",
                number,
            )
            if loaded == "null":
                return None
            door = self._doors[number] = Door(*msgspec.json.decode(loaded, type=tuple[str, int]))
        return door

    def everyone(self, number: int, door: Door) -> BitMap:
        """The ordinals of all devices of the app."""
        if door.departed is None:
            loaded = self._database.text(
                "SELECT json_group_array(device & 0xFFFFFFFF) FROM departed WHERE device BETWEEN ?1 AND ?2",
                *device_range(number),
            )
            door.departed = BitMap(_departed.decode(loaded))
        return BitMap(range(door.next_ordinal)) - door.departed

    # --- devices ---

    def find(self, addresses: Sequence[str]) -> list[int | None]:
        """The keys of the devices at "app number/name"."""
        if not addresses:
            return []
        return _keys.decode(self._database.text(FIND, tuple([address.encode() for address in addresses])))

    def _add(self, app: int, door: Door, batch: Sequence[tuple[str, Profile, int]]) -> list[int]:
        """Inserts devices (name, profile, created at), which must be new; returns their keys."""
        rows: list[bytes] = []
        keys: list[int] = []
        for name, profile, created_at in batch:
            key = device_key(app, door.next_ordinal)
            door.next_ordinal += 1
            address = f"{app}/{name}".encode()
            keys.append(key)
            rows.append(
                b"%019d%019d%05d%b%b" % (key, created_at, len(address), address, msgspec.json.encode(profile))
            )
        self._database.run("UPDATE apps SET next_ordinal = ?2 WHERE number = ?1", app, door.next_ordinal)
        # A device is in no audience of the past, so its cursor starts at the end of the log.
        self._database.run(INSERT, tuple(rows), self._positions.last)
        return keys

    def register(
        self, calls: list[tuple[int, Sequence[Registration], int]]
    ) -> list[list[Device] | AppNotFound]:
        return [self._register(*call) for call in calls]

    def _register(self, app: int, batch: Sequence[Registration], now: int) -> list[Device] | AppNotFound:
        door = self.door(app)
        if door is None:
            return AppNotFound(f"there is no app {app}")
        profiles = {item.device: item.profile for item in batch}  # of a name given twice, the last counts
        if not profiles:
            return []
        found = self.find([f"{app}/{name}" for name in profiles])
        keys = {name: key for name, key in zip(profiles, found, strict=True) if key is not None}
        created = dict.fromkeys(profiles, now)
        if keys:
            created.update(self._replace(keys, profiles))
        new = [(name, profile, now) for name, profile in profiles.items() if name not in keys]
        if new:
            keys.update(zip((name for name, _, _ in new), self._add(app, door, new), strict=True))
        self._label(list(keys.values()))
        return [
            Device(
                app=door.name,
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
        self._database.run(
            f"UPDATE devices SET profile = given.profile FROM (SELECT {integer(1, 19)} AS device,"
            " CAST(substr(value, 20) AS TEXT) AS profile FROM carray(?1)) AS given"
            " WHERE devices.device = given.device",
            rows,
        )
        loaded = self._database.text(
            "SELECT json_group_array(created_at) FROM carray(?1) CROSS JOIN devices ON device = value",
            tuple(keys.values()),
        )
        return dict(zip(keys, _positions.decode(loaded), strict=True))

    def _label(self, keys: list[int]) -> None:
        self._database.run(
            "INSERT OR IGNORE INTO labels"
            " SELECT device >> 32, kind.key, label.value, device & 0xFFFFFFFF" + LABELS,
            tuple(keys),
        )

    def _unlabel(self, keys: list[int]) -> None:
        self._database.run(
            "DELETE FROM labels WHERE (app, kind, value, ordinal) IN"
            " (SELECT device >> 32, kind.key, label.value, device & 0xFFFFFFFF" + LABELS + ")",
            tuple(keys),
        )

    def admit(self, calls: list[Sequence[Arrive]]) -> list[set[int]]:
        """Registers those of the devices at the door that are new; which of their apps exist."""
        return [self._admit(call) for call in calls]

    def _admit(self, batch: Sequence[Arrive]) -> set[int]:
        devices: dict[int, dict[str, int]] = {}
        for item in batch:
            devices.setdefault(item.app, {}).setdefault(item.device, item.now)
        existing = set()
        for app, names in devices.items():
            door = self.door(app)
            if door is None:
                continue
            existing.add(app)
            found = self.find([f"{app}/{name}" for name in names])
            new = [
                (name, Profile(), now)
                for (name, now), key in zip(names.items(), found, strict=True)
                if key is None
            ]
            if new:
                self._add(app, door, new)
        return existing

    def ban(self, calls: list[tuple[int, str, int]]) -> list[bool]:
        return [
            self._database.run(
                "UPDATE devices SET banned_until = ?2 WHERE address = ?1", f"{app}/{name}", until
            )
            > 0
            for app, name, until in calls
        ]

    def delete_devices(self, calls: list[tuple[int, str, int]]) -> list[bool]:
        return [self._delete_device(*call) for call in calls]

    def _delete_device(self, app: int, name: str, now: int) -> bool:
        door = self.door(app)
        key = self.find([f"{app}/{name}"])[0] if door is not None else None
        if door is None or key is None:
            return False
        run = self._database.run
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
        open_broadcasts = self._database.text(
            "SELECT json_group_array(position) FROM log WHERE app = ?1", app
        )
        for position in _positions.decode(open_broadcasts):
            self._standings.settle(position, DROPPED + DELETED, BitMap([ordinal]), self._database)
        self._unlabel([key])
        run("DELETE FROM cursors WHERE device = ?1", key)
        run("DELETE FROM devices WHERE device = ?1", key)
        run("INSERT INTO departed VALUES (?1, ?2)", key, f"{app}/{name}")
        if door.departed is not None:
            door.departed.add(ordinal)
        return True
