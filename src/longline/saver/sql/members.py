"""Apps and devices as the writer knows them: what is asked of them by nearly every transaction."""

from collections.abc import Sequence

import msgspec
from pyroaring import BitMap

from longline.model.devices import Profile
from longline.saver.sql.changes import SqlChanges
from longline.saver.sql.database import Database, device_key, device_range, integer
from longline.saver.sql.positions import Positions

_keys = msgspec.json.Decoder(list[int | None])
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


class AppMembers(msgspec.Struct):
    """An app as the writer remembers it: the next ordinal to give, and once needed who left."""

    name: str
    next_ordinal: int
    departed: BitMap | None = None


class Members:
    """The devices of apps. For the writer's thread, inside its transactions."""

    def __init__(self, database: Database, positions: Positions, changes: SqlChanges) -> None:
        self._database = database
        self._changes = changes
        self._positions = positions
        self._apps: dict[int, AppMembers] = {}

    def rolled_back(self) -> None:
        """A transaction failed: what is remembered may not be on disk."""
        self._apps.clear()

    def forget(self, app: int) -> None:
        """The app is deleted."""
        self._apps.pop(app, None)

    def of(self, app: int) -> AppMembers | None:
        """The app, None when there is none."""
        membership = self._apps.get(app)
        if membership is None:
            loaded = self._database.text(
                "SELECT json_array(app, next_ordinal) FROM apps WHERE number = ?1 AND NOT deleted", app
            )
            if loaded == "null":
                return None
            found = msgspec.json.decode(loaded, type=tuple[str, int])
            membership = self._apps[app] = AppMembers(*found)
        return membership

    def everyone(self, app: int, membership: AppMembers) -> BitMap:
        """The ordinals of all devices of the app."""
        if membership.departed is None:
            loaded = self._database.text(
                "SELECT json_group_array(device & 0xFFFFFFFF) FROM departed WHERE device BETWEEN ?1 AND ?2",
                *device_range(app),
            )
            membership.departed = BitMap(_departed.decode(loaded))
        return BitMap(range(membership.next_ordinal)) - membership.departed

    def find(self, addresses: Sequence[str]) -> list[int | None]:
        """The keys of the devices at "app number/name"."""
        if not addresses:
            return []
        return _keys.decode(self._database.text(FIND, tuple([address.encode() for address in addresses])))

    def add(self, app: int, membership: AppMembers, batch: Sequence[tuple[str, Profile, int]]) -> list[int]:
        """Inserts devices (name, profile, created at), which must be new; returns their keys."""
        rows: list[bytes] = []
        keys: list[int] = []
        for name, profile, created_at in batch:
            key = device_key(app, membership.next_ordinal)
            membership.next_ordinal += 1
            address = f"{app}/{name}".encode()
            keys.append(key)
            rows.append(
                b"%019d%019d%05d%b%b" % (key, created_at, len(address), address, msgspec.json.encode(profile))
            )
        self._database.run(
            "UPDATE apps SET next_ordinal = ?2 WHERE number = ?1", app, membership.next_ordinal
        )
        # A device is in no audience of the past, so its cursor starts at the end of the log.
        self._database.run(INSERT, tuple(rows), self._positions.last)
        self._changes.registered(app, [(name, created_at) for name, _, created_at in batch])
        return keys
