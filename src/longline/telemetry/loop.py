"""What holds up the event loop: its lag, the garbage collector's pauses, and how many tasks there are.

Both are measured all the time and cheaply: a probe that wakes a few times a second, and two clock readings
around each collection. A node that answers late looks here first.
"""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable
from typing import Final, final

from longline.telemetry.counters import Histogram

# The collector's generations. A pass stops the loop for up to a microsecond for each object that it looks at:
# for less, the fewer they are, since few are still in the processor's cache. The oldest generation would look
# at everything, and is put off for as long as can be. So all that lives on passes the middle one once, and
# whether few at a time do, or millions, decides only how long each pass is.
YOUNG: Final = 5000  # objects more than at its last pass
MIDDLE: Final = 2  # passes of the youngest before one of the middle: it has at most 20,000 to look at
OLD: Final = 170_000  # passes of the middle

# Fine where it matters: no pause may be above 10 ms.
BOUNDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


@final
class LoopProbe:
    """Sleeps for `interval` seconds, again and again, and notes how much later than that it was woken.

    `clock` and `sleep` are arguments so that tests need no real time.
    """

    __slots__ = ("_clock", "_interval", "_sleep", "lag_seconds", "recent")

    def __init__(
        self,
        interval: float,
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._interval = interval
        self._clock = clock
        self._sleep = sleep
        self.lag_seconds = Histogram(BOUNDS)
        self.recent = 0.0  # s: the mean of late, older samples counting ever less

    async def run(self) -> None:
        """Measure until cancelled. The node runs this as its one task `telemetry.loop-lag`."""
        while True:
            due = self._clock() + self._interval
            await self._sleep(self._interval)
            # A timer may fire early by the loop's own granularity of a millisecond; that is no lag.
            lag = max(0.0, self._clock() - due)
            self.lag_seconds.observe(lag)
            self.recent += (lag - self.recent) / 8


def task_count() -> float:
    """Tasks alive on the running loop. It does not grow with connections: an idle one owns no task."""
    return float(len(asyncio.all_tasks()))


@final
class GcPauses:
    """Times every run of the cyclic garbage collector while installed; the loop stands still meanwhile."""

    __slots__ = ("_began", "_clock", "collected", "pause_seconds")

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._began = 0.0
        self.pause_seconds = Histogram(BOUNDS)
        self.collected = 0

    def install(self) -> None:
        gc.callbacks.append(self._on_gc)

    def remove(self) -> None:
        gc.callbacks.remove(self._on_gc)

    def _on_gc(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._began = self._clock()
        else:
            self.pause_seconds.observe(self._clock() - self._began)
            self.collected += info["collected"]


def quiet_gc() -> None:
    """Take everything alive now out of the collector's sight, and make its oldest generation rare.

    To be called once, after start-up. Our connections and sessions make no cycles, so scanning a million of
    them finds nothing and stops the loop for as long as it takes. The youngest generation still runs, for
    what others make.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
