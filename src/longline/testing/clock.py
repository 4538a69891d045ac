"""Time that stands still until a test moves it.

A test that sleeps is slow when it passes and wrong when the machine is busy. With this clock an hour of
keep alive passes in a few turns of the loop, and always in the same order.
"""

import asyncio
import heapq
from collections.abc import Callable

SETTLE_TURNS = 25
"""Turns of the loop in which tasks woken by the clock, and those they wake, get to run."""


async def settle(turns: int = SETTLE_TURNS) -> None:
    """Lets every task that can run without input from outside run."""
    for _ in range(turns):
        await asyncio.sleep(0)


class VirtualClock:
    """A clock for whatever takes `now()` and `sleep()`; both in seconds.

    `advance` wakes the sleepers that fall due one by one, in order of their time, and lets the loop settle
    after each: a sleeper that sleeps again inside the interval is woken again inside it.
    """

    def __init__(self, start: float = 1_000.0) -> None:
        self._now = start
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0
        self._lay_down = asyncio.Event()

    def now(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        await self._woken_in(seconds)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> "asyncio.Future[None]":
        """Calls back in `seconds`, unless what it returns is cancelled before."""
        woken = self._woken_in(max(seconds, 0.0))
        woken.add_done_callback(lambda woken: None if woken.cancelled() else callback())
        return woken

    def _woken_in(self, seconds: float) -> "asyncio.Future[None]":
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1  # sleepers of one time wake in the order in which they lay down
        heapq.heappush(self._sleepers, (self._now + seconds, self._count, woken))
        self._lay_down.set()
        return woken

    @property
    def sleeping(self) -> int:
        """How many tasks wait for the clock."""
        return sum(1 for _, _, woken in self._sleepers if not woken.done())

    async def until_sleeping(self, seconds: float) -> None:
        """Waits until the next to wake will do so in `seconds`: the task under test has come that far."""
        while self.next_wake != seconds:
            self._lay_down.clear()
            await self._lay_down.wait()

    @property
    def next_wake(self) -> float | None:
        """Seconds from now until the first sleeper falls due; None when nobody sleeps."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] - self._now if self._sleepers else None

    async def advance(self, seconds: float) -> None:
        """Moves time on by `seconds`, waking whoever falls due on the way."""
        if seconds < 0:
            raise ValueError("time does not run backwards")
        await settle()
        end = self._now + seconds
        while (wait := self.next_wake) is not None and self._now + wait <= end:
            due, _, woken = heapq.heappop(self._sleepers)
            self._now = due
            woken.set_result(None)
            await settle()
        self._now = end
        await settle()
