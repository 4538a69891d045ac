"""What grows: Python traces for some seconds what it allocates, and by which line (tracemalloc).

While it does, every allocation costs about a microsecond more, and 50 bytes for as long as it lives; looking
at the traces holds up the process for about a microsecond and a half each. So there is a bound on them, and
only one process of a cluster is traced at a time.
"""

import resource
import threading
import time
import tracemalloc
from collections import Counter
from typing import Final

from longline.errors import ProfileUnderWay
from longline.profiling.content import MAX_PLACES, GrowingPlace, HeapContent
from longline.profiling.frames import short

MAX_TRACES_BYTES: Final = 5 * 1024 * 1024
"""What the traces may take up, about 100,000 of them: looking at them is a stall of some 0.15 s."""

LOOK_EVERY: Final = 0.1  # s

Sizes = Counter[tuple[str, int]]


def take(seconds: float, ended: threading.Event) -> HeapContent:
    """Traces for so many seconds, in the thread that calls, or until `ended` or the bound.

    Raises `ProfileUnderWay` where somebody else traces already, such as `python -X tracemalloc`.
    """
    if tracemalloc.is_tracing():
        raise ProfileUnderWay("this process is being traced already")
    tracemalloc.start(1)
    try:
        before, early = Counter[tuple[str, int]](), not _wait(seconds / 2, ended)
        if not early:
            before, _ = _look()
            early = not _wait(seconds / 2, ended)
        after, blocks = _look()
    finally:
        tracemalloc.stop()
    places = [
        GrowingPlace(f"{short(file)}:{line}", size, size - before[file, line], blocks[file, line])
        for (file, line), size in after.items()
    ]
    places.sort(key=lambda place: (-place.grown, -place.bytes, place.place))
    return HeapContent(
        bytes=after.total(),
        process_bytes=_resident(),
        places=places[:MAX_PLACES],
        ended_early=early,
    )


def _wait(seconds: float, ended: threading.Event) -> bool:
    """False when it was cut short."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        if ended.wait(min(left, LOOK_EVERY)) or tracemalloc.get_tracemalloc_memory() > MAX_TRACES_BYTES:
            return False
    return True


def _look() -> tuple[Sizes, Sizes]:
    """Bytes and blocks alive, by place."""
    sizes, blocks = Counter[tuple[str, int]](), Counter[tuple[str, int]]()
    for trace in tracemalloc.take_snapshot().traces:
        frame = trace.traceback[-1]
        place = (frame.filename, frame.lineno)
        sizes[place] += trace.size
        blocks[place] += 1
    for place in [place for place in sizes if place[0] in (__file__, tracemalloc.__file__)]:
        del sizes[place], blocks[place]
    return sizes, blocks


def _resident() -> int:
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:
        return 0
