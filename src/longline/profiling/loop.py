"""The event loop for some seconds: how late it was and what held it up, what waited meanwhile."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Final

from longline.profiling.content import LoopContent, QueueDepth, Waits, WaitsUpTo
from longline.profiling.stalls import StallWatch
from longline.telemetry.counters import Histogram
from longline.telemetry.loop import BOUNDS, GcPauses

BEAT: Final = 0.02  # s, while somebody looks
THRESHOLD: Final = 0.03  # s: what is longer is a stall then
POINTS: Final = 120  # of each queue's depth, about
MAX_QUEUES: Final = 100

Depths = Callable[[], Mapping[str, float]]


async def take(seconds: float, always: StallWatch, gc: GcPauses, depths: Depths) -> LoopContent:
    """Watches the running loop closely. `always`: who does so all the time, and knows of stalls before."""
    lag = Histogram(BOUNDS)
    before, total = [*gc.pause_seconds.counts], gc.pause_seconds.total
    close = StallWatch(
        every=BEAT, threshold=THRESHOLD, paused=lambda: gc.pause_seconds.total, beaten=lag.observe
    )
    queues: defaultdict[str, list[float]] = defaultdict(list)
    close.start()
    try:
        end = time.monotonic() + seconds  # late or not: there are fewer points where the loop is
        while (left := end - time.monotonic()) > 0:
            for name, depth in depths().items():
                if name in queues or len(queues) < MAX_QUEUES:
                    queues[name].append(depth)
            await asyncio.sleep(min(seconds / POINTS, left))
    finally:
        close.stop()
    # A stall that both have seen is told once, as the one who looked closely has it.
    begun = min((stall.at for stall in close.found), default="9")
    stalls = [*close.found, *(stall for stall in always.found if stall.at < begun)]
    pauses = Histogram(BOUNDS)
    pauses.counts = [now - then for now, then in zip(gc.pause_seconds.counts, before, strict=True)]
    pauses.total = gc.pause_seconds.total - total
    return LoopContent(
        stalls=sorted(stalls, key=lambda stall: stall.at, reverse=True),
        lag=_waits(lag, lag.highest),
        gc=_waits(pauses, gc.pause_seconds.highest),
        queues=[QueueDepth(name, depth) for name, depth in sorted(queues.items())],
        forgotten=close.forgotten + always.forgotten,
    )


def _waits(of: Histogram, highest: float) -> Waits:
    up_to = [WaitsUpTo(end, int(count)) for end, count in of.cumulative()]
    return Waits(sum(of.counts), of.total, highest, up_to)
