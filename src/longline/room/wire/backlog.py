"""How many connections the kernel may hold for a listener: as many as are accepted while a client is patient.

They are accepted in the order in which they came. Where more are held than that, each connection that is
accepted has been given up before, and so has the next. While a room is slow to accept them, the kernel is
therefore to hold fewer: a client that finds no place tries again by itself after a second, and costs nothing
meanwhile.

To accept is quicker than to let in. Where more come than can be let in, and most have gone when their turn
comes, each that is accepted beyond those that are let in leaves the others less of the processor: what it
takes to find out. Then the kernel holds no more than were let in of late, until fewer wait than that; and
what it holds already is swept (`sweeping.py`).
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from longline.flow.line import Portion

LEAST: Final = 128  # connections: a burst of many rooms is no storm
FEWEST: Final = 4  # the same, where most have gone when their turn comes
TARGET: Final = 1.0  # s that a connection may wait to be accepted
INTERVAL: Final = 0.1  # s
SWEPT: Final = 512  # connections at a time: some milliseconds


class Crowd(NamedTuple):
    """How many that were accepted wait to be let in; and so far, how many were there when their turn came,
    and how many had gone by then."""

    waiting: int
    served: int
    gone: int


class Backlog:
    """Owned by the room, which runs `run` as a task. `most` connections, and `resize` tells the kernel.

    `held` is how many the kernel holds now, `accepted` how many were accepted so far, and `crowd` what became
    of them. `sweep` takes so many of those that the kernel holds, closes those that have gone, and says how
    many had.
    """

    def __init__(
        self,
        most: int,
        *,
        held: Callable[[], int],
        accepted: Callable[[], int],
        crowd: Callable[[], Crowd],
        resize: Callable[[int], None],
        sweep: Callable[[int], Awaitable[int]],
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
        self._sweep = sweep
        self._clock = clock
        self._sleep = sleep

    @property
    def size(self) -> int:
        """How many the kernel may hold."""
        return self._portion.size

    async def run(self) -> None:
        """Works for as long as the room lives."""
        swept = 0
        while True:
            began, before = self._clock(), self._accepted()
            await self._sleep(INTERVAL)
            accepted, seconds = self._accepted() - before, self._clock() - began
            in_vain = self.saw(self._held(), accepted, seconds, self._crowd(), swept)
            swept = await self._sweep(SWEPT) if in_vain and self.held > self._fewest else 0

    def saw(self, held: int, accepted: int, seconds: float, crowd: Crowd, swept: int = 0) -> bool:
        """So many are held now, and so many were accepted in the last so many seconds. Whether in vain.

        `swept`: how many more had gone.
        """
        self.held = held
        portion, before = self._portion, self._portion.size
        served = crowd.served - self._before.served
        gone = crowd.gone - self._before.gone + swept
        self._before = crowd
        behind = held + crowd.waiting > served  # else those that go come to go, and are in nobody's way
        in_vain = behind and gone > served
        if in_vain:
            portion.size = min(before, max(self._fewest, served))
        else:
            portion.took(held * seconds / max(1, accepted))  # s until the last of them is accepted
            if behind and (crowd.waiting > served or before < LEAST):
                portion.size = min(before, portion.size)
        if portion.size != before:
            self._resize(portion.size)
        return in_vain
