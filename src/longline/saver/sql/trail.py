"""The audit log: a row a change, and how many there are about each app."""

import msgspec

from longline.model.trail import TrailBounds, TrailEntry
from longline.saver.sql.database import Database, id_bytes
from longline.saver.sql.worker import Worker

_entries = msgspec.json.Decoder(list[TrailEntry])
_oldest = msgspec.json.Decoder(list[tuple[str, str]])
_encode = msgspec.json.Encoder().encode

EVERY = "*"  # among the totals: no app has this name
SLICE = 100  # entries that one more makes room for, at most: there are more where a bound was lowered

# When the first of them is too old.
NEXT_DUE = "SELECT at + {age} FROM (SELECT at FROM trail WHERE id > x'' ORDER BY id LIMIT 1)"


class SqlTrail:
    """Fulfils `TrailStore`. `forgotten` counts what went before its time."""

    def __init__(
        self, writer: Worker, reader: Worker, writing: Database, reading: Database, *, bounds: TrailBounds
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._writing = writing
        self._reading = reading
        self._bounds = bounds
        self.forgotten = 0

    @property
    def next_due(self) -> str:
        """SQL for when `sweep` has something to do."""
        return NEXT_DUE.format(age=self._bounds.age)

    async def put(self, entry: TrailEntry) -> None:
        """One transaction with whatever else waits."""
        await self._writer.call(self._put, entry)

    def _put(self, calls: list[TrailEntry]) -> list[None]:
        for entry in calls:
            self._put_one(entry)
        return [None] * len(calls)

    def _put_one(self, entry: TrailEntry) -> None:
        key = id_bytes(entry.id)
        self._forget("id = ?2", 1, key)  # which app it is about may be known only now
        self._writing.run(
            "INSERT INTO trail (id, app, at, body) VALUES (?1, ?2, ?3, ?4)",
            key,
            entry.app,
            entry.at,
            _encode(entry).decode(),
        )
        self._count(entry.app, 1)
        self._count(EVERY, 1)
        bounds = self._bounds
        over = min(self._total(entry.app) - bounds.of_an_app, SLICE)
        if over > 0:
            self.forgotten += self._forget("app = ?2", over, entry.app)
        over = min(self._total(EVERY) - bounds.entries, SLICE)
        if over > 0:
            self.forgotten += self._forget("TRUE", over)

    def _forget(self, which: str, limit: int, *values: str | bytes) -> int:
        """Removes those for which a condition holds, the oldest first; how many. `values` from ?2 on."""
        found = self._writing.text(
            "SELECT json_group_array(json_array(hex(id), app))"
            f" FROM (SELECT id, app FROM trail WHERE {which} ORDER BY id LIMIT ?1)",
            limit,
            *values,
        )
        oldest = _oldest.decode(found)
        for id, app in oldest:
            self._writing.run("DELETE FROM trail WHERE id = ?1", bytes.fromhex(id))
            self._count(app, -1)
            self._count(EVERY, -1)
        return len(oldest)

    def _count(self, name: str, change: int) -> None:
        self._writing.run(
            "INSERT INTO trail_totals (app, entries) VALUES (?1, ?2)"
            " ON CONFLICT (app) DO UPDATE SET entries = entries + excluded.entries",
            name,
            change,
        )

    def _total(self, name: str) -> int:
        return self._writing.number("SELECT entries FROM trail_totals WHERE app = ?1", name) or 0

    def sweep(self, now: int, limit: int) -> int:
        """Removes entries that are too old, at most `limit`; how many. In the writer's thread."""
        least = max(now - self._bounds.age + 1, 0).to_bytes(6) + bytes(10)  # ids begin with their time
        removed = self._forget("id < ?2", min(limit, SLICE), least)
        if removed:
            self._writing.run("DELETE FROM trail_totals WHERE entries <= 0")
        return removed

    async def latest(self, app: str | None, least: str, before: str, limit: int) -> list[TrailEntry]:
        """By the primary key, or the index of apps, from its end."""
        return await self._reader.call(self._latest, (app, least, before, limit))

    def _latest(self, calls: list[tuple[str | None, str, str, int]]) -> list[list[TrailEntry]]:
        return [self._latest_one(*call) for call in calls]

    def _latest_one(self, app: str | None, least: str, before: str, limit: int) -> list[TrailEntry]:
        found = self._reading.text(
            "SELECT '[' || coalesce(group_concat(body, ','), '') || ']' FROM (SELECT body FROM trail"
            f" WHERE id >= ?1 AND id < ?2 {'' if app is None else 'AND app = ?4'}"
            " ORDER BY id DESC LIMIT ?3)",
            id_bytes(least),
            id_bytes(before) if before else b"\xff" * 17,
            limit,
            *(() if app is None else (app,)),
        )
        return _entries.decode(found)
