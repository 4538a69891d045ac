"""Timers: a row each, and a row of totals for each app that has any.

Those of all apps that are due are found by the totals, which tell when the first one of an app is: so what
one app has waiting keeps no other's from being found.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Final

import msgspec

from longline.saver.port.messages import IdempotencyConflict, Refused
from longline.saver.port.schedules import (
    OVERHEAD,
    PAGE_BYTES,
    Added,
    AddTimers,
    DueTimers,
    Timer,
    TimerBounds,
    TimerKind,
    TimerPage,
)
from longline.saver.sql.database import Database, id_bytes, integer
from longline.saver.sql.members import Members
from longline.saver.sql.worker import Worker

APPS: Final = 100  # whose due timers are read in one call
ID: Final = 32  # hexadecimal digits

Answer = Added | Refused | IdempotencyConflict

_rows = msgspec.json.Decoder(list[tuple[int, str, int, int, int, int, str]])
_row = msgspec.json.Decoder(tuple[int, int, int, int] | None)
_totals = msgspec.json.Decoder(tuple[int, int, int] | None)
_key = msgspec.json.Decoder(tuple[str, str] | None)
_sizes = msgspec.json.Decoder(list[tuple[str, int]])
_apps = msgspec.json.Decoder(list[int])

TIMER = "json_array(app, hex(id), kind, due, open, version, hex(body))"
# A timer's record: kind, due, open, version, id, body.
RECORD = b"%d%019d%d%010d%b%b"
INSERT = f"""
INSERT OR IGNORE INTO timers (app, kind, due, open, version, id, body)
SELECT ?2, {integer(1, 1)}, {integer(2, 19)}, {integer(21, 1)}, {integer(22, 10)}, substr(value, 32, 16),
       substr(value, 48)
  FROM carray(?1)"""


class _Change(msgspec.Struct):
    """By how much the totals of an app change."""

    messages: int = 0
    schedules: int = 0
    waiting: int = 0
    bytes: int = 0

    def count(self, kind: int, is_open: bool, due: int, size: int, sign: int) -> None:
        """A timer has come, or gone."""
        if is_open and kind == TimerKind.MESSAGE:
            self.messages += sign
        elif is_open:
            self.schedules += sign
        self.waiting += sign * (due > 0)
        self.bytes += sign * (OVERHEAD + size)


class SqlSchedules:
    """Fulfils `ScheduleStore`."""

    def __init__(
        self,
        writer: Worker,
        reader: Worker,
        writing: Database,
        reading: Database,
        *,
        members: Members,
        deleted: AbstractSet[int],
        bounds: TimerBounds,
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._writing = writing
        self._reading = reading
        self._members = members
        self._deleted = deleted
        self._bounds = bounds

    async def add(self, batch: Sequence[AddTimers]) -> list[Answer]:
        """A statement for all timers of a request."""
        weight = sum(len(adding.timers) for adding in batch)
        size = sum(len(timer.body) for adding in batch for timer in adding.timers)
        return await self._writer.call(self._add, batch, weight, size)

    async def find(self, app: int, id: str) -> Timer | None:
        """One row."""
        return await self._reader.call(self._find, (app, id))

    async def page(self, app: int, kind: TimerKind, after: str, limit: int) -> TimerPage:
        """By the index of kinds."""
        return await self._reader.call(self._page, (app, kind, after, limit))

    async def due(self, now: int, limit: int) -> DueTimers:
        """First which apps have any, then those of each."""
        return await self._reader.call(self._due, (now, limit))

    async def change(self, timer: Timer) -> bool:
        """One row, compared and replaced."""
        return await self._writer.call(self._change, timer, 1, len(timer.body))

    async def remove(self, app: int, id: str, version: int = 0) -> bool:
        """One row."""
        return await self._writer.call(self._remove, (app, id, version))

    # --- the writer's thread ---

    def _add(self, calls: list[Sequence[AddTimers]]) -> list[list[Answer]]:
        return [[self._add_one(adding) for adding in batch] for batch in calls]

    def _add_one(self, adding: AddTimers) -> Answer:
        if self._members.of(adding.app) is None:
            return Refused("app_not_found")
        if (known := self._recall(adding)) is not None:
            return known
        change = _Change()
        for timer in adding.timers:
            change.count(timer.kind, timer.open, timer.due, len(timer.body), 1)
        if self._over(adding, change):
            return Refused("quota_exceeded")
        if adding.timers:
            self._writing.run(INSERT, tuple(map(_record, adding.timers)), adding.app)
            self._tally(adding.app, change)
        if adding.idempotency_key is not None:
            self._remember(adding, adding.idempotency_key)
        return Added(tuple([timer.id for timer in adding.timers]))

    def _recall(self, adding: AddTimers) -> Added | IdempotencyConflict | None:
        """What a request of this key was answered before."""
        if adding.idempotency_key is None:
            return None
        found = _key.decode(
            self._writing.text(
                "SELECT json_array(hex(digest), ids) FROM timer_keys"
                " WHERE app = ?1 AND key = ?2 AND ends_at > ?3",
                *(adding.app, adding.idempotency_key, adding.now),
            )
        )
        if found is None:
            return None
        digest, ids = found
        if bytes.fromhex(digest) != adding.digest:
            return IdempotencyConflict()
        return Added(tuple([_id(ids[at : at + ID]) for at in range(0, len(ids), ID)]), True)

    def _remember(self, adding: AddTimers, key: str) -> None:
        # OR REPLACE: an older one of the same key may be over, and not yet swept.
        self._writing.run(
            "INSERT OR REPLACE INTO timer_keys (app, key, digest, ids, ends_at) VALUES (?1, ?2, ?3, ?4, ?5)",
            adding.app,
            key,
            adding.digest,
            "".join([id_bytes(timer.id).hex() for timer in adding.timers]),
            adding.now + adding.idempotency_ttl,
        )

    def _over(self, adding: AddTimers, change: _Change) -> bool:
        found = _totals.decode(
            self._writing.text(
                "SELECT json_array(messages, schedules, bytes) FROM timer_totals WHERE app = ?1", adding.app
            )
        )
        messages, schedules, used = found or (0, 0, 0)
        bounds = self._bounds
        most = adding.messages or bounds.messages
        most_schedules = adding.schedules or bounds.schedules
        return (
            (change.messages > 0 and messages + change.messages > most)
            or (change.schedules > 0 and schedules + change.schedules > most_schedules)
            or used + change.bytes > bounds.bytes
        )

    def _change(self, calls: list[Timer]) -> list[bool]:
        return [self._change_one(timer) for timer in calls]

    def _change_one(self, timer: Timer) -> bool:
        before = self._present(timer.app, timer.id)
        if before is None or before[3] != timer.version - 1 or self._members.of(timer.app) is None:
            return False
        self._writing.run(
            "UPDATE timers SET due = ?3, open = ?4, version = ?5, body = ?6 WHERE app = ?1 AND id = ?2",
            timer.app,
            id_bytes(timer.id),
            timer.due,
            timer.open,
            timer.version,
            timer.body,
        )
        change = self._gone(timer.kind, before)
        change.count(timer.kind, timer.open, timer.due, len(timer.body), 1)
        self._tally(timer.app, change)
        return True

    def _remove(self, calls: list[tuple[int, str, int]]) -> list[bool]:
        return [self._remove_one(*call) for call in calls]

    def _remove_one(self, app: int, id: str, version: int) -> bool:
        before = self._present(app, id)
        if before is None or self._members.of(app) is None or version not in (0, before[3]):
            return False
        key = (app, id_bytes(id))
        kind = self._writing.number("SELECT kind FROM timers WHERE app = ?1 AND id = ?2", *key) or 0
        self._writing.run("DELETE FROM timers WHERE app = ?1 AND id = ?2", *key)
        self._tally(app, self._gone(kind, before))
        return True

    def _present(self, app: int, id: str) -> tuple[int, int, int, int] | None:
        """What the totals count of a timer, its due, open, bytes, and its version."""
        found = self._writing.text(
            "SELECT json_array(due, open, length(body), version) FROM timers WHERE app = ?1 AND id = ?2",
            app,
            id_bytes(id),
        )
        counted: tuple[int, int, int, int] | None = _row.decode(found)
        return counted

    @staticmethod
    def _gone(kind: int, before: tuple[int, int, int, int]) -> _Change:
        due, is_open, size, _ = before
        change = _Change()
        change.count(kind, bool(is_open), due, size, -1)
        return change

    def _tally(self, app: int, change: _Change) -> None:
        """Adds to what an app has; one that has nothing left needs no row."""
        self._writing.run(
            "INSERT INTO timer_totals (app, messages, schedules, waiting, bytes, due)"
            " VALUES (?1, ?2, ?3, ?4, ?5, 0) ON CONFLICT (app) DO UPDATE SET"
            " messages = messages + excluded.messages, schedules = schedules + excluded.schedules,"
            " waiting = waiting + excluded.waiting, bytes = bytes + excluded.bytes",
            *(app, change.messages, change.schedules, change.waiting, change.bytes),
        )
        self._writing.run(
            "UPDATE timer_totals SET due ="
            " coalesce((SELECT min(due) FROM timers WHERE app = ?1 AND due > 0), 0) WHERE app = ?1",
            app,
        )
        if change.bytes < 0:
            self._writing.run("DELETE FROM timer_totals WHERE app = ?1 AND bytes = 0", app)

    def sweep(self, now: int, limit: int) -> int:
        """Removes at most `limit` keys that are over; how many it removed."""
        return self._writing.run(
            "DELETE FROM timer_keys WHERE (app, key) IN"
            " (SELECT app, key FROM timer_keys WHERE ends_at <= ?1 ORDER BY ends_at LIMIT ?2)",
            now,
            limit,
        )

    def purge(self, app: int, limit: int) -> int:
        """Removes at most `limit` rows of a deleted app; how many it removed."""
        self._writing.run("DELETE FROM timer_totals WHERE app = ?1", app)
        done = 0
        for table, row in (("timers", "id"), ("timer_keys", "key")):
            if done < limit:
                done += self._writing.run(
                    f"DELETE FROM {table} WHERE app = ?1 AND {row} IN"
                    f" (SELECT {row} FROM {table} WHERE app = ?1 LIMIT ?2)",
                    app,
                    limit - done,
                )
        return done

    # --- the reader's thread ---

    def _find(self, calls: list[tuple[int, str]]) -> list[Timer | None]:
        return [self._find_one(*call) for call in calls]

    def _find_one(self, app: int, id: str) -> Timer | None:
        found = [] if app in self._deleted else self._read(app, [id_bytes(id)])
        return found[0] if found else None

    def _page(self, calls: list[tuple[int, TimerKind, str, int]]) -> list[TimerPage]:
        return [self._page_of(*call) for call in calls]

    def _page_of(self, app: int, kind: TimerKind, after: str, limit: int) -> TimerPage:
        if app in self._deleted:
            return TimerPage((), False)
        where = "app = ?1 AND kind = ?2 AND id > ?3 ORDER BY id LIMIT ?4"
        ids, _ = self._choose(PAGE_BYTES, where, app, kind, id_bytes(after), limit + 1)
        timers = self._read(app, ids[:limit])
        last = id_bytes(timers[-1].id) if timers else b""
        more = self._reading.number(
            "SELECT 1 FROM timers WHERE app = ?1 AND kind = ?2 AND id > ?3 LIMIT 1", app, kind, last
        )
        return TimerPage(tuple(timers), bool(timers) and more is not None)

    def _due(self, calls: list[tuple[int, int]]) -> list[DueTimers]:
        return [self._due_now(*call) for call in calls]

    def _due_now(self, now: int, limit: int) -> DueTimers:
        found = self._reading.text(
            "SELECT json_group_array(app) FROM (SELECT app FROM timer_totals"
            " WHERE due > 0 AND due <= ?1 ORDER BY due LIMIT ?2)",
            now,
            min(limit, APPS),
        )
        apps = [app for app in _apps.decode(found) if app not in self._deleted]
        where = "app = ?1 AND due > 0 AND due <= ?2 ORDER BY due LIMIT ?3"
        share = max(1, limit // max(1, len(apps)))
        timers: list[Timer] = []
        left = PAGE_BYTES
        for app in apps:
            ids, used = self._choose(left // len(apps), where, app, now, share)
            timers += sorted(self._read(app, ids), key=lambda timer: timer.due)
            left -= used
            if left <= 0:
                break
        waiting = self._reading.number("SELECT sum(waiting) FROM timer_totals") or 0
        return DueTimers(tuple(timers), waiting)

    def _choose(self, most: int, where: str, *values: int | bytes) -> tuple[list[bytes], int]:
        """Ids of timers in their order, as long as their bodies fit, but one in any case; and their bytes."""
        found = self._reading.text(
            "SELECT json_group_array(json_array(hex(id), size)) FROM"
            f" (SELECT id, length(body) AS size FROM timers WHERE {where})",
            *values,
        )
        ids: list[bytes] = []
        used = 0
        for id, size in _sizes.decode(found):
            if ids and used + size > most:
                break
            ids.append(bytes.fromhex(id))
            used += size
        return ids, used

    def _read(self, app: int, ids: list[bytes]) -> list[Timer]:
        """By id."""
        if not ids:
            return []
        found = self._reading.text(
            f"SELECT json_group_array({TIMER}) FROM (SELECT timers.* FROM carray(?2) AS wanted"
            " CROSS JOIN timers ON app = ?1 AND id = wanted.value ORDER BY id)",
            app,
            tuple(ids),
        )
        return [
            Timer(
                id=_id(id),
                app=app,
                kind=TimerKind(kind),
                due=due,
                open=bool(is_open),
                version=version,
                body=bytes.fromhex(body),
            )
            for app, id, kind, due, is_open, version, body in _rows.decode(found)
        ]


def _record(timer: Timer) -> bytes:
    fields = (timer.kind, timer.due, timer.open, timer.version, id_bytes(timer.id), timer.body)
    return RECORD % fields


def _id(digits: str) -> str:
    """The 36-character form of an id in hexadecimal digits."""
    digits = digits.lower()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
