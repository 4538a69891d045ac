"""Long lists are gone through a slice at a time, in turns of those for whom they are.

All requests share one loop. What a thousand rows need to become an answer is a few milliseconds, which nobody
notices; a hundred such requests at once would be half a second in which no push and no heartbeat is answered.
So one list is gone through at a time, about `SLICE` rows of it in a turn of the loop, and apps take turns.

What waits is bounded by the requests that are worked on at once.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from longline.flow.turns import Turns

SLICE: Final = 100  # rows in one turn of the loop: a quarter of a millisecond
ROW: Final = 512  # bytes of JSON to be read that are worth a row
SHORT: Final = 10  # rows that are no matter
ROUND: Final = 1000  # rows of an app before it is another one's turn

T = TypeVar("T")
R = TypeVar("R")


class Rows:
    """One for a process."""

    def __init__(self) -> None:
        self._turns: Turns[int] = Turns(at_once=1, quantum=ROUND)

    async def each(
        self, app: int, rows: Sequence[T], make: Callable[[T], R], size: Callable[[T], int] | None = None
    ) -> list[R]:
        """What `make` makes of each row, in order, for the app of this number.

        `size` says how many ordinary rows one is worth.
        """
        sizes = [1] * len(rows) if size is None else [size(row) for row in rows]
        if sum(sizes) <= SHORT:
            return [make(row) for row in rows]
        made: list[R] = []
        left = SLICE
        async with self._turns.turn(app, sum(sizes)):
            for row, worth in zip(rows, sizes, strict=True):
                made.append(make(row))
                left -= worth
                if left <= 0:
                    left = SLICE
                    await asyncio.sleep(0)
        return made
