"""How full each bound is, and when it will be full.

A process tells a bound beside the figure that it bounds, as `bound_` and its name. How the figure grew is the
line through its points of the last days, of all lives of the host: a process that starts again has another
name, and is still the same place.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from longline.center.figures.history import columns_of, read
from longline.model.figures import Sample
from longline.saver.port.figures import FigureStore

BOUND: Final = "bound_"
DAYS: Final = 3
DAY: Final = 86_400_000  # ms
THIN: Final = 12  # one point of so many: an hour
LEAST_SPAN: Final = DAY // 4  # ms that points must span
FARTHEST: Final = 3650 * DAY  # ms from now
KNOWN_FOR: Final = 300.0  # s: growth over days does not change sooner

Growth = Mapping[tuple[str, str], float]  # a day, by host and figure


class Fullness(NamedTuple):
    """Of one bound of one process. `growth` a day, None for unknown; `full_at` in ms."""

    name: str
    node: str
    host: str
    used: float
    limit: float
    growth: float | None
    full_at: int | None

    @property
    def share(self) -> float:
        """Of the limit, 0 to 1."""
        return self.used / self.limit


class Capacity:
    """Works out how full everything is. The growth of days is worked out once in a while."""

    def __init__(self, store: FigureStore, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._monotonic = monotonic
        self._growth: Growth = {}
        self._known_until = 0.0
        self._lock = asyncio.Lock()

    async def of(self, samples: Iterable[Sample], now: int) -> list[Fullness]:
        """Of these processes, the fullest first; `now` in ms by the store's clock."""
        some = list(samples)
        async with self._lock:
            if self._monotonic() >= self._known_until:
                names = {name for sample in some for name in bounds_of(sample)}
                self._growth = await self._grown(sorted(names), now)
                self._known_until = self._monotonic() + KNOWN_FOR
        return fullness(some, self._growth, now)

    async def _grown(self, names: Sequence[str], now: int) -> Growth:
        lives = await self._store.history("", now - DAYS * DAY, now, coarse=True, thin=THIN)
        points: defaultdict[tuple[str, str], list[tuple[int, float]]] = defaultdict(list)
        for life in lives:
            about, rows = read(life)
            for name, values in columns_of(about, rows, names).items():
                for (at, _), value in zip(life.points, values, strict=True):
                    if value is not None:
                        points[about.host, name].append((at, value))
            await asyncio.sleep(0)
        found = {key: slope(series) for key, series in points.items()}
        return {key: growth for key, growth in found.items() if growth is not None}


def bounds_of(sample: Sample) -> dict[str, float]:
    """The bounds that a process tells, by the figure that each bounds."""
    return {
        name.removeprefix(BOUND): value
        for name, value in sample.figures.items()
        if name.startswith(BOUND) and value > 0
    }


def fullness(samples: Iterable[Sample], growth: Growth, now: int) -> list[Fullness]:
    """How full each bound of these processes is, the fullest first."""
    found = []
    for sample in samples:
        for name, limit in bounds_of(sample).items():
            used = sample.figures.get(name)
            if used is None:
                continue
            grows = growth.get((sample.host, name))
            full_at = None
            if used >= limit:
                full_at = now
            elif grows is not None and grows > 0 and (limit - used) / grows * DAY < FARTHEST:
                full_at = now + int((limit - used) / grows * DAY)
            found.append(Fullness(name, sample.node, sample.host, used, limit, grows, full_at))
    return sorted(found, key=lambda each: (-each.share, each.name, each.node))


def slope(points: Sequence[tuple[int, float]]) -> float | None:
    """How fast a figure rises a day, by the line nearest to its points (ms, value) in the sense of least
    squares; None where they span too little."""
    times = [at for at, _ in points]
    if len(points) < 3 or max(times) - min(times) < LEAST_SPAN:
        return None
    mean_at = sum(times) / len(points)
    mean = sum(value for _, value in points) / len(points)
    spread = sum((at - mean_at) ** 2 for at in times)
    return sum((at - mean_at) * (value - mean) for at, value in points) / spread * DAY
