"""Where a device's time comes from, so that a test can bring its own."""

import asyncio
from typing import Protocol


class Clock(Protocol):
    """A monotonic clock in seconds, and the waiting that goes with it."""

    def now(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...


class LoopClock:
    """The running loop's own clock."""

    __slots__ = ()

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
