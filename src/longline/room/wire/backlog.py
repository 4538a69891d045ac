"""How many connections the kernel may hold for a listener: as many as are accepted while a client is patient.

Each turn of the loop accepts all that wait, so the last of them has waited for as long as a turn takes. While
turns are slow the kernel is to hold fewer: else each connection that is accepted has been given up before. A
client that finds no place tries again by itself after a second, and costs nothing meanwhile.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from longline.flow.line import Portion

LEAST: Final = 16  # connections
TARGET: Final = 0.25  # s that a connection may wait for the loop
INTERVAL: Final = 0.1  # s


class Backlog:
    """Owned by the room, which runs `run` as a task. `most` connections; `resize` tells the kernel."""

    def __init__(
        self,
        most: int,
        resize: Callable[[int], None],
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._portion = Portion(most, min(LEAST, most), TARGET)
        self._resize = resize
        self._clock = clock
        self._sleep = sleep

    @property
    def size(self) -> int:
        """How many the kernel holds at most."""
        return self._portion.size

    async def run(self) -> None:
        """Works for as long as the room lives."""
        while True:
            due = self._clock() + INTERVAL
            await self._sleep(INTERVAL)
            self.turn_took(max(0.0, self._clock() - due))

    def turn_took(self, seconds: float) -> None:
        """So long was a turn of the loop, about."""
        before = self._portion.size
        self._portion.took(seconds)
        if self._portion.size != before:
            self._resize(self._portion.size)
