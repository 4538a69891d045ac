"""Samples of what the threads of this process do, by a thread of its own: what needs no privilege.

It sees functions of Python alone, and when it gets the interpreter's lock: while compiled code runs, it waits
for that, so little of such code is seen and what follows it is seen too often. A thread counts when it has
used its processor since it was last looked at.
"""

import sys
import threading
import time
from collections import Counter
from typing import Final

from longline.profiling import threads
from longline.profiling.frames import stack_of

BUSY: Final = 0.001  # s of its processor between two looks: who used less was waiting


def sample(seconds: float, rate: int, ended: threading.Event) -> Counter[tuple[str, ...]]:
    """Stacks, outermost first, with their samples. In the thread that calls; until `ended`, if that is
    sooner."""
    counted: Counter[tuple[str, ...]] = Counter()
    seen: dict[int, float] = {}
    every = 1 / rate
    begun = time.monotonic()
    for number in range(1, round(seconds * rate) + 1):
        if ended.wait(max(0.0, begun + number * every - time.monotonic())):
            break
        _look(counted, seen)
    return counted


def _look(counted: Counter[tuple[str, ...]], seen: dict[int, float]) -> None:
    own = threading.get_ident()
    numbers = {thread.ident: thread.native_id for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():
        number = numbers.get(ident)
        if ident == own or number is None:
            continue
        now = threads.used(number)
        before, seen[ident] = seen.get(ident), now
        if before is not None and now - before >= BUSY:
            counted[stack_of(frame)] += 1
