"""Figures of the one process: the latest in memory, a row a point."""

from collections.abc import Callable

import msgspec

from longline.model.figures import (
    Asked,
    FigureBounds,
    FiguresHeard,
    FiguresNow,
    FiguresTold,
    LifePoints,
    node_of,
)
from longline.model.times import wall_clock
from longline.saver.sql.database import Database
from longline.saver.sql.worker import Worker

_lives = msgspec.json.Decoder(list[tuple[int, str, str]])
_points = msgspec.json.Decoder(list[tuple[int, int, str]])

LIVES = """
SELECT json_group_array(json_array(id, life, about)) FROM (
  SELECT id, life, about FROM figure_lives WHERE ?1 = '' OR node = ?1 ORDER BY life)"""

POINTS = """
SELECT json_group_array(json_array(life, at, body)) FROM (
  SELECT life, at, body FROM (
    SELECT life, at, body, row_number() OVER (PARTITION BY life ORDER BY at) - 1 AS place,
           count(*) OVER (PARTITION BY life) - 1 AS last
      FROM figure_points
     WHERE life IN (SELECT value FROM carray(?1)) AND coarse = ?2 AND at >= ?3 AND at < ?4)
   WHERE place % ?5 = 0 OR place = last ORDER BY life, at)"""

# Beyond the first so many of a life, the latest first.
BEYOND = """
DELETE FROM figure_points WHERE life = ?1 AND coarse = ?2 AND at <= (
  SELECT at FROM figure_points WHERE life = ?1 AND coarse = ?2 ORDER BY at DESC LIMIT 1 OFFSET ?3)"""

# Of lives that are over for too long, and of those told longest ago of too many.
FORGET = """
DELETE FROM {table} WHERE {life} NOT IN (
  SELECT id FROM figure_lives WHERE told > ?1 ORDER BY told DESC, id DESC LIMIT ?2)"""


class SqlFigures:
    """Fulfils `FigureStore`. `clock` gives ms since the Unix epoch."""

    def __init__(
        self,
        writer: Worker,
        reader: Worker,
        writing: Database,
        reading: Database,
        *,
        bounds: FigureBounds,
        clock: Callable[[], int] = wall_clock,
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._writing = writing
        self._reading = reading
        self._bounds = bounds
        self._clock = clock
        self._latest: dict[str, FiguresHeard] = {}
        self._known: set[str] = set()
        self._watched_until = 0
        self._told_at = 0

    async def tell(self, told: FiguresTold) -> Asked:
        """In memory, but for points: those are one transaction with whatever else waits."""
        now = self._clock()
        oldest = now - self._bounds.silence
        self._latest = {life: heard for life, heard in self._latest.items() if heard.at > oldest}
        self._latest[told.life] = FiguresHeard(told.life, now, told.sample)
        if told.about or told.fine or told.coarse:
            self._told_at = max(now, self._told_at + 1)  # so that no two points have one time
            known = await self._writer.call(
                self._keep, (self._told_at, told), 1, len(told.fine) + len(told.coarse)
            )
            if known:
                self._known.add(told.life)
            else:
                self._known.discard(told.life)
        return Asked(now < self._watched_until, told.life in self._known)

    def _keep(self, calls: list[tuple[int, FiguresTold]]) -> list[bool]:
        return [self._keep_one(now, told) for now, told in calls]

    def _keep_one(self, now: int, told: FiguresTold) -> bool:
        database, bounds = self._writing, self._bounds
        if told.about:
            database.run(
                "INSERT INTO figure_lives (life, node, told, about) VALUES (?1, ?2, ?3, ?4)"
                " ON CONFLICT (life) DO UPDATE SET about = excluded.about",
                *(told.life, node_of(told.life), now, told.about.decode()),
            )
        life = database.number("SELECT id FROM figure_lives WHERE life = ?1", told.life)
        if life is None:
            return False
        database.run("UPDATE figure_lives SET told = ?2 WHERE id = ?1", life, now)
        if told.fine:
            self._add(life, 0, now, told.fine, bounds.fine_age, bounds.fine_points)
        if told.coarse:
            self._add(life, 1, now, told.coarse, bounds.coarse_age, bounds.coarse_points)
        if told.about or told.coarse:
            for table, column in (("figure_points", "life"), ("figure_lives", "id")):
                forget = FORGET.format(table=table, life=column)
                database.run(forget, now - bounds.coarse_age, bounds.lives)
        return True

    def _add(self, life: int, coarse: int, now: int, body: bytes, age: int, most: int) -> None:
        self._writing.run(
            "INSERT OR REPLACE INTO figure_points (life, coarse, at, body) VALUES (?1, ?2, ?3, ?4)",
            *(life, coarse, now, body.decode()),
        )
        self._writing.run("DELETE FROM figure_points WHERE coarse = ?1 AND at <= ?2", coarse, now - age)
        self._writing.run(BEYOND, life, coarse, most)

    async def left(self, life: str) -> None:
        """In memory."""
        self._latest.pop(life, None)

    async def watch(self) -> FiguresNow:
        """In memory."""
        self._watched_until = self._clock() + self._bounds.watched
        return await self.latest()

    async def latest(self) -> FiguresNow:
        """In memory."""
        now = self._clock()
        heard = [self._latest[life] for life in sorted(self._latest)]
        return FiguresNow(now, [each for each in heard if each.at > now - self._bounds.silence])

    async def history(
        self, node: str, since: int, until: int, *, coarse: bool, thin: int = 1
    ) -> list[LifePoints]:
        """By the primary key."""
        return await self._reader.call(self._history, (node, since, until, coarse, thin))

    def _history(self, calls: list[tuple[str, int, int, bool, int]]) -> list[list[LifePoints]]:
        return [self._history_one(*call) for call in calls]

    def _history_one(self, node: str, since: int, until: int, coarse: bool, thin: int) -> list[LifePoints]:
        lives = _lives.decode(self._reading.text(LIVES, node))
        if not lives:
            return []
        of = {id: LifePoints(life, about.encode(), []) for id, life, about in lives}
        for id, at, body in _points.decode(
            self._reading.text(POINTS, tuple(of), int(coarse), max(since, 0), until, thin)
        ):
            of[id].points.append((at, body.encode()))
        return [each for each in of.values() if each.points]
