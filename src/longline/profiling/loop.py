"""The event loop for some seconds: how late it was, and what held it up."""

import asyncio
from typing import Final

from longline.profiling.content import LoopContent, Waits, WaitsUpTo
from longline.profiling.stalls import StallWatch
from longline.telemetry.counters import Histogram
from longline.telemetry.loop import BOUNDS, GcPauses

BEAT: Final = 0.02  # s, while somebody looks
THRESHOLD: Final = 0.03  # s: what is longer is a stall then


async def take(seconds: float, always: StallWatch, gc: GcPauses) -> LoopContent:
    """Watches the running loop closely. `always`: who does so all the time, and knows of stalls before."""
    lag = Histogram(BOUNDS)
    before, total = [*gc.pause_seconds.counts], gc.pause_seconds.total
    close = StallWatch(
        every=BEAT, threshold=THRESHOLD, paused=lambda: gc.pause_seconds.total, beaten=lag.observe
    )
    close.start()
    try:
        await asyncio.sleep(seconds)
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
        forgotten=close.forgotten + always.forgotten,
    )


def _waits(of: Histogram, highest: float) -> Waits:
    up_to = [WaitsUpTo(end, int(count)) for end, count in of.cumulative()]
    return Waits(sum(of.counts), of.total, highest, up_to)
