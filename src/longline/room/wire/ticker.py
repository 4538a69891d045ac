"""Turns the wheel once a second, and tells connections that their time is up."""

import asyncio
from collections.abc import Callable
from typing import Final

from longline.room.wire.wheel import TICK, Wheel
from longline.telemetry.faults import Faults

# Connections told before the loop may serve others: each may end, and be told of in the log.
SLICE: Final = 100


class Ticker:
    """Owned by the room, which runs `run` as a task. `also` is called each second, too."""

    def __init__(self, wheel: Wheel, faults: Faults, also: Callable[[], None]) -> None:
        self._wheel = wheel
        self._faults = faults
        self._also = also

    async def run(self) -> None:
        """Works for as long as the room lives. Time in which the loop stood still is silence of no peer."""
        now = asyncio.get_running_loop().time
        due = now() + TICK
        while True:
            await asyncio.sleep(due - now())
            due = max(due + TICK, now())
            await self.tick()

    async def tick(self) -> None:
        """One second has passed."""
        for done, outlet in enumerate(self._wheel.advance(), 1):
            try:
                outlet.expired()
            except Exception as error:
                self._faults.note("room.clock", error)
            if done % SLICE == 0:
                await asyncio.sleep(0)
        try:
            self._also()
        except Exception as error:
            self._faults.note("room.clock", error)
