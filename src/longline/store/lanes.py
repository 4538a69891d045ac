"""Calls held back: a tag whose calls the server would not take just now."""

import asyncio
import random
from bisect import insort
from collections import deque
from collections.abc import Callable
from operator import attrgetter
from typing import Final

from longline.store.calls import Call

FIRST_DELAY: Final = 0.01  # seconds
LAST_DELAY: Final = 0.5

_sequence: Final = attrgetter("sequence")


def spread(delay: float) -> float:
    """Half to one and a half of a delay, so that many that failed together do not return together."""
    return delay * random.uniform(0.5, 1.5)


class Lane:
    """The calls of one tag, in the order given, and the one of them that is out as a probe.

    A lane always has a probe out or a timer that sends one, so that it cannot be forgotten.
    """

    __slots__ = ("calls", "delay", "probe", "timer")

    def __init__(self) -> None:
        self.calls: deque[Call] = deque()
        self.delay = 0.0
        self.probe: Call | None = None
        self.timer: asyncio.TimerHandle | None = None

    def add(self, call: Call) -> None:
        """Puts a call where it belongs: what was refused goes before what was given later."""
        if self.calls and call.sequence < self.calls[-1].sequence:
            insort(self.calls, call, key=_sequence)
        else:
            self.calls.append(call)

    def wait(self, delay: float, probe: Callable[[], None]) -> None:
        """Sends the next probe after `delay` seconds."""
        self.stop()
        self.timer = asyncio.get_running_loop().call_later(delay, probe)

    def back_off(self, probe: Callable[[], None]) -> None:
        """Sends the next probe later than the last."""
        self.delay = min(max(self.delay * 2, FIRST_DELAY), LAST_DELAY)
        self.wait(spread(self.delay), probe)

    def stop(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
