"""What is counted for each app: in the transaction of what is counted, one row an hour and one a day for each
kind.

Who was there is a set of ordinals for the hour and one for the day that go on now, in memory; it is written
every `SAVED` seconds at most, so that a process that is killed loses the last of that. When the time is over,
its size is the count.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from pyroaring import BitMap

from longline.model.statistics import DAY, HOUR, Counted, Counts, KeepCounts
from longline.saver.port.statistics import Seen
from longline.saver.sql.database import Database
from longline.saver.sql.worker import Worker

SAVED: Final = 10_000  # ms
SPANS: Final = (HOUR, DAY)

_encode = msgspec.json.Encoder().encode
_rows = msgspec.json.Decoder(list[tuple[int, int, int]]).decode
_sets = msgspec.json.Decoder(list[tuple[int, int, str]]).decode
_integers = msgspec.json.Decoder(list[int]).decode

ADD = """
INSERT INTO counts (app, span, at, kind, n)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM json_each(?1) WHERE true
    ON CONFLICT (app, span, at, kind) DO UPDATE SET n = n + excluded.n"""


class _Span:
    """Who was there in an hour or a day of an app, which began at `at`. `saved`: on disk it is so."""

    __slots__ = ("at", "ordinals", "saved")

    def __init__(self, at: int, ordinals: BitMap, saved: bool) -> None:
        self.at = at
        self.ordinals = ordinals
        self.saved = saved


class SqlCounts:
    """Fulfils `StatisticsStore`. But for the port's methods, everything is for the writer's thread."""

    def __init__(self, writer: Worker, database: Database, keep: KeepCounts) -> None:
        self._writer = writer
        self._database = database
        self._keep = keep
        self._fresh: dict[tuple[int, int, Counted], int] = {}  # app, hour, kind
        self._there: dict[int, dict[int, _Span]] = {}  # by app and span
        self._saved_at = 0
        self._latest = 0  # the latest time that anybody has told
        self._cleared = 0  # the app up to which old counts were forgotten

    # --- counting ---

    def add(self, app: int, at: int, kind: Counted, count: int) -> None:
        """Counts so many at `at` (ms), in the transaction at work."""
        key = (app, at // HOUR, kind)
        self._fresh[key] = self._fresh.get(key, 0) + count

    def there(self, app: int, ordinals: Iterable[int], at: int) -> None:
        """These devices are there."""
        self._latest = max(self._latest, at)
        for current in self._spans(app, at).values():
            before = len(current.ordinals)
            current.ordinals.update(ordinals)
            if len(current.ordinals) > before:
                current.saved = False

    def flush(self) -> None:
        """Writes what was counted, in the transaction of whoever calls."""
        if self._fresh:
            rows: dict[tuple[int, int, int, int], int] = {}
            for (app, hour, kind), count in self._fresh.items():
                for span in SPANS:
                    key = (app, span, hour * HOUR // span * span, kind)
                    rows[key] = rows.get(key, 0) + count
            self._fresh = {}
            self._database.run(ADD, _encode([(*key, count) for key, count in rows.items()]).decode())
        if self._latest - self._saved_at >= SAVED:
            self.save()

    def save(self) -> None:
        """Writes who was there."""
        self._saved_at = self._latest
        for app, spans in self._there.items():
            for span, current in spans.items():
                if not current.saved:
                    self._database.run(
                        "INSERT OR REPLACE INTO there (app, span, at, ordinals)"
                        " SELECT number, ?2, ?3, ?4 FROM apps WHERE number = ?1",
                        *(app, span, current.at, current.ordinals.serialize()),
                    )
                    current.saved = True

    def rolled_back(self) -> None:
        """The transaction failed: what it counted has not happened; who was there was there, but not on
        disk."""
        self._fresh = {}
        for spans in self._there.values():
            for current in spans.values():
                current.saved = False

    def _spans(self, app: int, now: int) -> dict[int, _Span]:
        """Of the hour and the day that go on now; those that are over are counted."""
        spans = self._there.get(app)
        if spans is None:
            stored = self._database.text(
                "SELECT json_group_array(json_array(span, at, hex(ordinals))) FROM there WHERE app = ?1", app
            )
            spans = self._there[app] = {
                span: _Span(at, BitMap.deserialize(bytes.fromhex(digits)), True)
                for span, at, digits in _sets(stored)
            }
        for span in SPANS:
            began = now // span * span
            current = spans.get(span)
            if current is None or current.at < began:
                if current is not None:
                    self._close(app, span, current)
                spans[span] = _Span(began, BitMap(), False)
        return spans

    def _close(self, app: int, span: int, current: _Span) -> None:
        if current.ordinals:
            self._database.run(
                "INSERT OR REPLACE INTO counts (app, span, at, kind, n) VALUES (?1, ?2, ?3, ?4, ?5)",
                *(app, span, current.at, Counted.ACTIVE, len(current.ordinals)),
            )

    # --- the port ---

    async def seen(self, batch: Sequence[Seen], now: int) -> None:
        """In memory, and on disk a little later."""
        await self._writer.call(self._seen, (batch, now))

    def _seen(self, calls: list[tuple[Sequence[Seen], int]]) -> list[None]:
        for batch, now in calls:
            for item in batch:
                self.there(item.app, item.ordinals, now)
        return [None] * len(calls)

    async def read(self, app: int, first: int, last: int, *, by_day: bool, now: int) -> list[Counts]:
        """By the writer, who knows what is not on disk."""
        return await self._writer.call(self._read, (app, first, last, DAY if by_day else HOUR, now))

    def _read(self, calls: list[tuple[int, int, int, int, int]]) -> list[list[Counts]]:
        self.flush()
        return [self._read_one(*call) for call in calls]

    def _read_one(self, app: int, first: int, last: int, span: int, now: int) -> list[Counts]:
        if self._database.number("SELECT 1 FROM apps WHERE number = ?1 AND NOT deleted", app) is None:
            return []
        current = self._spans(app, max(now, self._latest))[span]
        found: dict[int, list[int]] = {}
        stored = self._database.text(
            "SELECT json_group_array(json_array(at, kind, n)) FROM counts"
            " WHERE app = ?1 AND span = ?2 AND at >= ?3 AND at < ?4",
            *(app, span, first, last),
        )
        for at, kind, count in _rows(stored):
            found.setdefault(at, [0] * len(Counted))[kind] = count
        if current.ordinals and first <= current.at < last:
            found.setdefault(current.at, [0] * len(Counted))[Counted.ACTIVE] = len(current.ordinals)
        return [Counts(at, *counted) for at, counted in sorted(found.items())]

    async def gather(self, now: int, limit: int) -> bool:
        """Counts what is over, and forgets what is old, app after app."""
        return await self._writer.call(self._gather, (now, limit))

    def _gather(self, calls: list[tuple[int, int]]) -> list[bool]:
        return [self._gather_some(*call) for call in calls]

    def _gather_some(self, now: int, limit: int) -> bool:
        stored = self._database.text(
            "SELECT json_group_array(number) FROM"
            " (SELECT number FROM apps WHERE number > ?1 AND NOT deleted ORDER BY number LIMIT ?2)",
            *(self._cleared, limit),
        )
        apps = _integers(stored)
        for app in apps:
            spans = self._spans(app, max(now, self._latest))
            if not any(current.ordinals for current in spans.values()):
                del self._there[app]
            for span, days in ((HOUR, self._keep.hours), (DAY, self._keep.days)):
                self._database.run(
                    "DELETE FROM counts WHERE app = ?1 AND span = ?2 AND at < ?3", app, span, now - days * DAY
                )
        self._cleared = apps[-1] if len(apps) == limit else 0
        for app in self._there.keys() - set(apps):
            if self._database.number("SELECT 1 FROM apps WHERE number = ?1 AND NOT deleted", app) is None:
                del self._there[app]
        self.save()
        return len(apps) == limit
