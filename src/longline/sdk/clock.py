"""Where a device's time comes from, so that a test can bring its own."""

import asyncio
from collections.abc import Callable
from typing import Protocol


class ClockTimer(Protocol):
    """Something that will be called."""

    def cancel(self) -> object: ...


class Clock(Protocol):
    """A monotonic clock in seconds, and the waiting that goes with it."""

    def now(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...

    def call_later(self, seconds: float, callback: Callable[[], None]) -> ClockTimer: ...


class LoopClock:
    """The running loop's own clock."""

    __slots__ = ()

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> ClockTimer:
        return asyncio.get_running_loop().call_later(seconds, callback)
