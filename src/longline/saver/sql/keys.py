"""Named keys: rows that are few, asked for by id."""

import msgspec

from longline.errors import AppNotFound, QuotaExceeded
from longline.model.keys import ApiKey
from longline.saver.sql.database import Database, id_bytes
from longline.saver.sql.members import Members
from longline.saver.sql.worker import Worker

_keys = msgspec.json.Decoder(list[ApiKey])
_encode = msgspec.json.Encoder().encode

# The bodies are JSON themselves. Keys of an app that is deleted are there until the rest of it is removed.
_FOUND = "SELECT '[' || coalesce(group_concat(body, ','), '') || ']' FROM"
_ALIVE = "(number = 0 OR EXISTS (SELECT 1 FROM apps WHERE apps.number = k.number AND NOT deleted))"


class SqlKeys:
    """Fulfils `KeyStore`."""

    def __init__(
        self, writer: Worker, reader: Worker, writing: Database, reading: Database, *, members: Members
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._writing = writing
        self._reading = reading
        self._members = members

    async def create(self, key: ApiKey, limit: int, now: int) -> None:
        """One statement counts, and another stores."""
        await self._writer.call(self._create, (key, limit, now))

    def _create(self, calls: list[tuple[ApiKey, int, int]]) -> list[AppNotFound | QuotaExceeded | None]:
        return [self._create_one(*call) for call in calls]

    def _create_one(self, key: ApiKey, limit: int, now: int) -> AppNotFound | QuotaExceeded | None:
        database = self._writing
        if key.number and self._members.of(key.number) is None:
            return AppNotFound(f"there is no app {key.app!r}")
        if self._count(key.number) >= limit:
            database.run(
                "DELETE FROM keys WHERE number = ?1 AND expires_at BETWEEN 1 AND ?2", key.number, now
            )
            if self._count(key.number) >= limit:
                return QuotaExceeded(f"there are {limit} keys already; delete one first")
        database.run(
            "INSERT INTO keys (id, number, expires_at, body) VALUES (?1, ?2, ?3, ?4)",
            id_bytes(key.id),
            key.number,
            key.expires_at,
            _encode(key).decode(),
        )
        return None

    def _count(self, number: int) -> int:
        return self._writing.number("SELECT count(*) FROM keys WHERE number = ?1", number) or 0

    async def find(self, id: str) -> ApiKey | None:
        """By the primary key."""
        return await self._reader.call(self._find, id)

    def _find(self, calls: list[str]) -> list[ApiKey | None]:
        found = self._reading.text(
            f"{_FOUND} (SELECT body FROM carray(?1) CROSS JOIN keys AS k ON id = CAST(value AS BLOB)"
            f" WHERE {_ALIVE})",
            tuple([id_bytes(id) for id in calls]),
        )
        by_id = {key.id: key for key in _keys.decode(found)}
        return [by_id.get(id) for id in calls]

    async def use(self, id: str, at: int) -> None:
        """One statement."""
        await self._writer.call(self._use, (id, at))

    def _use(self, calls: list[tuple[str, int]]) -> list[None]:
        for id, at in calls:
            self._writing.run(
                "UPDATE keys SET body = json_set(body, '$.used_at', ?2)"
                " WHERE id = ?1 AND coalesce(body ->> '$.used_at', 0) < ?2",
                id_bytes(id),
                at,
            )
        return [None] * len(calls)

    async def delete(self, number: int, id: str) -> bool:
        """One statement."""
        return await self._writer.call(self._delete, (number, id))

    def _delete(self, calls: list[tuple[int, str]]) -> list[bool]:
        return [
            self._writing.run("DELETE FROM keys WHERE id = ?2 AND number = ?1", number, id_bytes(id)) > 0
            for number, id in calls
        ]

    def _list(self, calls: list[tuple[int, str, int]]) -> list[list[ApiKey]]:
        return [
            _keys.decode(
                self._reading.text(
                    f"{_FOUND} (SELECT body FROM keys AS k WHERE number = ?1 AND id > ?2 AND {_ALIVE}"
                    " ORDER BY id LIMIT ?3)",
                    number,
                    id_bytes(after),
                    limit,
                )
            )
            for number, after, limit in calls
        ]

    async def list(self, number: int, after: str, limit: int) -> list[ApiKey]:
        """By the index of apps."""
        return await self._reader.call(self._list, (number, after, limit))
