"""How many connections the kernel may hold for a listener: as many as are accepted while a client is patient.

They are accepted in the order in which they came. Where more are held than that, each connection that is
accepted has been given up before, and so has the next. While a room is slow to accept them, the kernel is
therefore to hold fewer: a client that finds no place tries again by itself after a second, and costs nothing
meanwhile.

To accept is quicker than to let in. Where more wait to be let in than can be, and most have gone when their
turn comes, each that is accepted beyond those that are let in leaves the others less of the processor: what
it takes to find out. Then the kernel holds no more than were let in of late, until fewer wait than that.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from longline.flow.line import Portion

LEAST: Final = 128  # connections: a burst of many rooms is no storm
FEWEST: Final = 16  # the same, where most have gone when their turn comes
TARGET: Final = 1.0  # s that a connection may wait to be accepted
INTERVAL: Final = 0.1  # s


class Crowd(NamedTuple):
    """How many that were accepted wait to be let in; and so far, how many were there when their turn came,
    and how many had gone by then."""

    waiting: int
    served: int
    gone: int


class Backlog:
    """Owned by the room, which runs `run` as a task. `most` connections, and `resize` tells the kernel.

    `held` is how many the kernel holds now, `accepted` how many were accepted so far, and `crowd` what became
    of them.
    """

    def __init__(
        self,
        most: int,
        *,
        held: Callable[[], int],
        accepted: Callable[[], int],
        crowd: Callable[[], Crowd],
        resize: Callable[[int], None],
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._portion = Portion(most, min(LEAST, most), TARGET)
        self._fewest = min(FEWEST, most)
        self._before = Crowd(0, 0, 0)
        self.held = 0  # by the kernel, when it was looked at last
        self._held = held
        self._accepted = accepted
        self._crowd = crowd
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
            self.saw(self._held(), self._accepted() - before, self._clock() - began, self._crowd())

    def saw(self, held: int, accepted: int, seconds: float, crowd: Crowd) -> None:
        """So many are held now, and so many were accepted in the last so many seconds."""
        self.held = held
        portion, before = self._portion, self._portion.size
        served, gone = crowd.served - self._before.served, crowd.gone - self._before.gone
        self._before = crowd
        behind = crowd.waiting > served  # else those that go come to go, and are in nobody's way
        if behind and gone > served:
            portion.size = min(before, max(self._fewest, served))
        elif before >= LEAST or not behind:
            portion.took(held * seconds / max(1, accepted))  # s until the last of them is accepted
        if portion.size != before:
            self._resize(portion.size)
