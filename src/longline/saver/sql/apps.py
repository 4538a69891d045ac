"""Apps: rows that are few, asked for by name and changed by number."""

from collections.abc import Sequence

import msgspec

from longline.errors import AppExists, AppNotFound, SecretsUnreadable
from longline.model.access import AppAccess
from longline.model.apps import App
from longline.model.limits import AppLimits
from longline.saver.sealing import Seals
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
        seals: Seals,
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._writing = writing
        self._reading = reading
        self._members = members
        self._deleted = deleted
        self._seals = seals

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
        stored = self._seals.seal_app(app)
        database.run("INSERT OR REPLACE INTO meta VALUES ('last_app', ?1)", number)
        database.run(
            "INSERT INTO apps"
            " (number, app, name, server_key_hash, device_secret, pubsub, created_at, generation,"
            " client_certificates, access, limits) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            number,
            app.app,
            app.name,
            app.server_key_hash,
            stored.device_secret,
            app.pubsub,
            app.created_at,
            app.generation,
            app.client_certificates,
            _encode(stored.access).decode(),
            _encode(app.limits).decode(),
        )
        return msgspec.structs.replace(app, number=number)

    async def find(self, name: str) -> App | None:
        """By the index of names."""
        return await self._reader.call(self._find, name)

    def _find(self, calls: list[str]) -> list[App | SecretsUnreadable | None]:
        found = _stored(
            self._reading,
            f"SELECT json_group_array({APP}) FROM carray(?1)"
            " CROSS JOIN apps ON app = CAST(value AS TEXT) AND NOT deleted",
            tuple([name.encode() for name in calls]),
        )
        by_name = {app.app: self._opened(app) for app in found}
        return [by_name.get(name) for name in calls]

    def _opened(self, stored: App) -> App | SecretsUnreadable:
        """An app that cannot be opened is no other caller's error."""
        try:
            return self._seals.open_app(stored)
        except SecretsUnreadable as error:
            return error

    def _all_opened(self, stored: Sequence[App | None]) -> list[App | None] | SecretsUnreadable:
        opened = [None if app is None else self._opened(app) for app in stored]
        for app in opened:
            if isinstance(app, SecretsUnreadable):
                return app
        return [app for app in opened if not isinstance(app, SecretsUnreadable)]

    async def numbered(self, numbers: Sequence[int]) -> Sequence[App | None]:
        """By their key."""
        return await self._reader.call(self._numbered, tuple(numbers))

    def _numbered(self, calls: "list[tuple[int, ...]]") -> "list[list[App | None] | SecretsUnreadable]":
        wanted = tuple({number for call in calls for number in call})
        if not wanted:
            return [[] for _ in calls]
        found = _stored(
            self._reading,
            f"SELECT json_group_array({APP}) FROM carray(?1)"
            " CROSS JOIN apps ON number = value AND NOT deleted",
            wanted,
        )
        by_number = {app.number: app for app in found}
        return [self._all_opened([by_number.get(number) for number in call]) for call in calls]

    async def update(self, app: App, before: App) -> bool:
        """Compared is what is stored when it is opened: sealed anew, a secret looks different each time."""
        return await self._writer.call(self._update, (app, before))

    def _update(self, calls: list[tuple[App, App]]) -> list[bool | AppNotFound | SecretsUnreadable]:
        return [self._update_one(*call) for call in calls]

    def _update_one(self, app: App, before: App) -> bool | AppNotFound | SecretsUnreadable:
        stored = self._stored_now("number = ?1", app.number)
        if stored is None or self._members.of(app.number) is None:
            return AppNotFound(f"there is no app {app.app!r}")
        try:
            present = self._seals.open_app(stored)
        except SecretsUnreadable as error:
            return error
        if _changeable(present) != _changeable(before):
            return False
        self._replace(self._seals.seal_app(app))
        return True

    def _stored_now(self, which: str, value: int | str) -> App | None:
        """As the writer sees it, not opened."""
        found = _stored(
            self._writing, f"SELECT json_group_array({APP}) FROM apps WHERE {which} AND NOT deleted", value
        )
        return found[0] if found else None

    def _replace(self, stored: App) -> None:
        self._writing.run(
            "UPDATE apps"
            " SET name = ?2, server_key_hash = ?3, device_secret = ?4, pubsub = ?5, generation = ?6,"
            " client_certificates = ?7, access = ?8, limits = ?9 WHERE number = ?1",
            stored.number,
            *_changeable(stored),
        )

    async def seal(self, name: str) -> bool:
        """One step of the writer."""
        return await self._writer.call(self._seal, name)

    def _seal(self, calls: list[str]) -> list[bool | SecretsUnreadable]:
        return [self._seal_one(name) for name in calls]

    def _seal_one(self, name: str) -> bool | SecretsUnreadable:
        stored = self._stored_now("app = ?1", name)
        if stored is None or self._seals.latest(stored):
            return False
        try:
            self._replace(self._seals.seal_app(self._seals.open_app(stored)))
        except SecretsUnreadable as error:
            return error
        return True

    async def delete(self, app: int) -> None:
        """Marks the app: its rows, perhaps a million, are too many for one transaction; they go in slices."""
        await self._writer.call(self._delete, app)
        self._deleted.add(app)

    def _delete(self, calls: list[int]) -> list[None]:
        for number in calls:
            self._members.forget(number)
            self._writing.run("UPDATE apps SET deleted = 1 WHERE number = ?1", number)
        return [None] * len(calls)

    def _list(self, calls: "list[tuple[str, int]]") -> "list[list[App | None] | SecretsUnreadable]":
        return [
            self._all_opened(
                _stored(
                    self._reading,
                    f"SELECT json_group_array({APP}) FROM (SELECT * FROM apps WHERE app > ?1 AND NOT deleted"
                    " ORDER BY app LIMIT ?2)",
                    after,
                    limit,
                )
            )
            for after, limit in calls
        ]

    async def list(self, after: str, limit: int) -> list[App]:
        """In the order of bytes."""
        return [app for app in await self._reader.call(self._list, (after, limit)) if app is not None]


def _stored(
    database: Database, sql: str, *values: int | str | tuple[bytes, ...] | tuple[int, ...]
) -> list[App]:
    return [_app(*row) for row in _apps.decode(database.text(sql, *values))]


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
    """What an update replaces, in the order of its statement, and compares."""
    return (
        *(app.name, app.server_key_hash, app.device_secret),
        *(app.pubsub, app.generation, app.client_certificates),
        *(_encode(app.access).decode(), _encode(app.limits).decode()),
    )
