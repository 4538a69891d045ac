"""Apps: rows that are few, asked for by name and changed by number."""

from collections.abc import Sequence

import msgspec

from longline.errors import AppExists, AppNotFound
from longline.model.access import AppAccess
from longline.model.apps import App
from longline.model.limits import AppLimits
from longline.saver.sql.database import Database
from longline.saver.sql.members import Members
from longline.saver.sql.worker import Worker

_apps = msgspec.json.Decoder(list[tuple[int, str, str, str, str, int, int, int, int, str, str]])
_access = msgspec.json.Decoder(AppAccess)
_limits = msgspec.json.Decoder(AppLimits)
_encode = msgspec.json.Encoder().encode

APP = (
    "json_array(number, app, name, hex(server_key_hash), device_secret, pubsub, created_at, generation,"
    " client_certificates, access, limits)"
)


def deleted_apps(database: Database) -> set[int]:
    """Numbers of apps that are gone, of which rows are left."""
    found = database.text("SELECT json_group_array(number) FROM apps WHERE deleted")
    return set(msgspec.json.decode(found, type=list[int]))


class SqlApps:
    """Fulfils `AppStore`. `deleted` gets the numbers of apps that are gone."""

    def __init__(
        self,
        writer: Worker,
        reader: Worker,
        writing: Database,
        reading: Database,
        *,
        members: Members,
        deleted: set[int],
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._writing = writing
        self._reading = reading
        self._members = members
        self._deleted = deleted

    async def create(self, app: App) -> App:
        """A number is the last one that was given, plus one."""
        return await self._writer.call(self._create, app)

    def _create(self, calls: list[App]) -> list[App | AppExists]:
        return [self._create_one(app) for app in calls]

    def _create_one(self, app: App) -> App | AppExists:
        database = self._writing
        if database.number("SELECT 1 FROM apps WHERE app = ?1 AND NOT deleted", app.app):
            return AppExists(f"there is an app {app.app!r} already")
        number = (database.number("SELECT value FROM meta WHERE name = 'last_app'") or 0) + 1
        database.run("INSERT OR REPLACE INTO meta VALUES ('last_app', ?1)", number)
        database.run(
            "INSERT INTO apps"
            " (number, app, name, server_key_hash, device_secret, pubsub, created_at, generation,"
            " client_certificates, access, limits) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            number,
            app.app,
            app.name,
            app.server_key_hash,
            app.device_secret,
            app.pubsub,
            app.created_at,
            app.generation,
            app.client_certificates,
            _encode(app.access).decode(),
            _encode(app.limits).decode(),
        )
        return msgspec.structs.replace(app, number=number)

    async def find(self, name: str) -> App | None:
        """By the index of names."""
        return await self._reader.call(self._find, name)

    def _find(self, calls: list[str]) -> list[App | None]:
        found = self._read(
            f"SELECT json_group_array({APP}) FROM carray(?1)"
            " CROSS JOIN apps ON app = CAST(value AS TEXT) AND NOT deleted",
            tuple([name.encode() for name in calls]),
        )
        by_name = {app.app: app for app in found}
        return [by_name.get(name) for name in calls]

    async def numbered(self, numbers: Sequence[int]) -> Sequence[App | None]:
        """By their key."""
        return await self._reader.call(self._numbered, tuple(numbers))

    def _numbered(self, calls: "list[tuple[int, ...]]") -> "list[list[App | None]]":
        wanted = tuple({number for call in calls for number in call})
        if not wanted:
            return [[] for _ in calls]
        found = self._read(
            f"SELECT json_group_array({APP}) FROM carray(?1)"
            " CROSS JOIN apps ON number = value AND NOT deleted",
            wanted,
        )
        by_number = {app.number: app for app in found}
        return [[by_number.get(number) for number in call] for call in calls]

    def _read(self, sql: str, *values: int | str | tuple[bytes, ...] | tuple[int, ...]) -> list[App]:
        return [_app(*row) for row in _apps.decode(self._reading.text(sql, *values))]

    async def update(self, app: App, before: App) -> bool:
        """One statement compares and replaces."""
        return await self._writer.call(self._update, (app, before))

    def _update(self, calls: list[tuple[App, App]]) -> list[bool | AppNotFound]:
        return [self._update_one(*call) for call in calls]

    def _update_one(self, app: App, before: App) -> bool | AppNotFound:
        changed = self._writing.run(
            "UPDATE apps"
            " SET name = ?2, server_key_hash = ?3, device_secret = ?4, pubsub = ?5, generation = ?6,"
            " client_certificates = ?7, access = ?8, limits = ?9"
            " WHERE number = ?1 AND NOT deleted AND name = ?10 AND server_key_hash = ?11"
            " AND device_secret = ?12 AND pubsub = ?13 AND generation = ?14 AND client_certificates = ?15"
            " AND access = ?16 AND limits = ?17",
            app.number,
            *_changeable(app),
            *_changeable(before),
        )
        if changed or self._members.of(app.number) is not None:
            return changed > 0
        return AppNotFound(f"there is no app {app.app!r}")

    async def delete(self, app: int) -> None:
        """Marks the app: its rows, perhaps a million, are too many for one transaction; they go in slices."""
        await self._writer.call(self._delete, app)
        self._deleted.add(app)

    def _delete(self, calls: list[int]) -> list[None]:
        for number in calls:
            self._members.forget(number)
            self._writing.run("UPDATE apps SET deleted = 1 WHERE number = ?1", number)
        return [None] * len(calls)

    def _list(self, calls: list[tuple[str, int]]) -> list[list[App]]:
        return [
            self._read(
                f"SELECT json_group_array({APP}) FROM (SELECT * FROM apps WHERE app > ?1 AND NOT deleted"
                " ORDER BY app LIMIT ?2)",
                after,
                limit,
            )
            for after, limit in calls
        ]

    async def list(self, after: str, limit: int) -> list[App]:
        """In the order of bytes."""
        return await self._reader.call(self._list, (after, limit))


def _app(
    number: int,
    app: str,
    name: str,
    key_hash: str,
    secret: str,
    pubsub: int,
    created_at: int,
    generation: int,
    certificates: int,
    access: str,
    limits: str,
) -> App:
    """An app from its row, as `APP` reads it."""
    return App(
        app=app,
        number=number,
        name=name,
        server_key_hash=bytes.fromhex(key_hash),
        device_secret=secret,
        pubsub=bool(pubsub),
        created_at=created_at,
        generation=generation,
        client_certificates=bool(certificates),
        access=_access.decode(access),
        limits=_limits.decode(limits),
    )


def _changeable(app: App) -> tuple[str | bytes | int, ...]:
    """What an update replaces, and compares, in the order of its statement."""
    return (
        *(app.name, app.server_key_hash, app.device_secret),
        *(app.pubsub, app.generation, app.client_certificates),
        *(_encode(app.access).decode(), _encode(app.limits).decode()),
    )
