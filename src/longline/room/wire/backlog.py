"""How many connections the kernel may hold for a listener: as many as are accepted while a client is patient.

They are accepted in the order in which they came. Where more are held than that, each connection that is
accepted has been given up before, and so has the next. While a room is slow to accept them, the kernel is
therefore to hold fewer: a client that finds no place tries again by itself after a second, and costs nothing
meanwhile.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from longline.flow.line import Portion

LEAST: Final = 128  # connections: a burst of many rooms is no storm
TARGET: Final = 1.0  # s that a connection may wait to be accepted
INTERVAL: Final = 0.1  # s


class Backlog:
    """Owned by the room, which runs `run` as a task. `most` connections, and `resize` tells the kernel.

    `held` is how many the kernel holds now, `accepted` how many were accepted so far.
    """

    def __init__(
        self,
        most: int,
        *,
        held: Callable[[], int],
        accepted: Callable[[], int],
        resize: Callable[[int], None],
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._portion = Portion(most, min(LEAST, most), TARGET)
        self.held = 0  # by the kernel, when it was looked at last
        self._held = held
        self._accepted = accepted
        self._resize = resize
        self._clock = clock
        self._sleep = sleep

    @property
    def size(self) -> int:
        """How many the kernel may hold."""
        return self._portion.size

    async def run(self) -> None:
        """Works for as long as the room lives."""
        while True:
            began, before = self._clock(), self._accepted()
            await self._sleep(INTERVAL)
            self.saw(self._held(), self._accepted() - before, self._clock() - began)

    def saw(self, held: int, accepted: int, seconds: float) -> None:
        """So many are held now, and so many were accepted in the last so many seconds."""
        self.held = held
        before = self._portion.size
        self._portion.took(held * seconds / max(1, accepted))  # s until the last of them is accepted
        if self._portion.size != before:
            self._resize(self._portion.size)
