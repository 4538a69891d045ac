"""Figures of all processes, in one slot: a center has the latest of all by one script.

- `{figures}latest` HASH life → when it came (ms), ":", sample; `{figures}watched`: there while somebody
  watches.
- `{figures}lives` ZSET life by when it told a point last (µs); `{figures}about` HASH life → what its points
  are.
- `{figures}fine:<life>`, `{figures}coarse:<life>` ZSET point by when it came (µs): when its process made it
  (ms), ":", and the values.
"""

import asyncio
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
from longline.saver.kv.partitions import Partitions, script
from longline.store.redis import Word

FIGURES = b"figures"
TAG = b"{figures}"
AT_ONCE = 16  # lives whose points are read together: a day of one is a few hundred KB

TELL = script("tell_figures.lua")
LATEST = script("latest_figures.lua")
POINTS = script("figure_points.lua")


class KvFigures:
    """Fulfils `FigureStore`. `clock` gives ms since the Unix epoch."""

    def __init__(
        self, partitions: Partitions, bounds: FigureBounds, clock: Callable[[], int] = wall_clock
    ) -> None:
        self._store = partitions.store
        self._bounds = bounds
        self._clock = clock

    async def tell(self, told: FiguresTold) -> Asked:
        """One script."""
        bounds, made = self._bounds, b"%d:" % self._clock()
        fine, coarse = (point and made + point for point in (told.fine, told.coarse))
        args: list[Word] = [told.life, told.about, told.sample, fine, coarse]
        args += bounds.fine_age, bounds.fine_points, bounds.coarse_age, bounds.coarse_points
        args += bounds.lives, bounds.silence
        answer = await self._store.run(FIGURES, TELL, [TAG], args)
        watched, known = msgspec.convert(answer, tuple[int, int])
        return Asked(bool(watched), bool(known))

    async def left(self, life: str) -> None:
        """One command."""
        await self._store.call(FIGURES, "HDEL", TAG + b"latest", life)

    async def watch(self) -> FiguresNow:
        """One script."""
        return await self._now(self._bounds.watched)

    async def latest(self) -> FiguresNow:
        """One script."""
        return await self._now(0)

    async def _now(self, watched: int) -> FiguresNow:
        answer = await self._store.run(FIGURES, LATEST, [TAG], [watched])
        now, *rest = msgspec.convert(answer, list[bytes])
        heard = []
        for life, told in zip(rest[::2], rest[1::2], strict=True):
            at, _, sample = told.partition(b":")
            if int(at) > int(now) - self._bounds.silence:
                heard.append(FiguresHeard(life.decode(), int(at), sample))
        return FiguresNow(int(now), sorted(heard, key=lambda each: each.life))

    async def history(
        self, node: str, since: int, until: int, *, coarse: bool, thin: int = 1
    ) -> list[LifePoints]:
        """A command for the lives, and a script for each of them that told anything since then."""
        answer = await self._store.call(FIGURES, "ZRANGEBYSCORE", TAG + b"lives", since * 1000, "+inf")
        lives = sorted(each.decode() for each in msgspec.convert(answer, list[bytes]))
        wanted = [life for life in lives if not node or node_of(life) == node]
        kind = "coarse" if coarse else "fine"
        found: list[LifePoints] = []
        for first in range(0, len(wanted), AT_ONCE):
            some = wanted[first : first + AT_ONCE]
            found += await asyncio.gather(*(self._points(life, kind, since, until, thin) for life in some))
        return [each for each in found if each.points]

    async def _points(self, life: str, kind: str, since: int, until: int, thin: int) -> LifePoints:
        args: list[Word] = [life, kind, since * 1000, f"({until * 1000}", thin]
        answer = await self._store.run(FIGURES, POINTS, [TAG], args)
        words = msgspec.convert(answer, list[bytes])
        if not words:
            return LifePoints(life, b"", [])
        about, *rest = words
        points = zip(rest[::2], rest[1::2], strict=True)
        return LifePoints(life, about, [(int(at) // 1000, point.partition(b":")[2]) for point, at in points])
