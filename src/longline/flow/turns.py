"""Work that takes turns: who has much of it waits for its own, and not the others for it.

Deficit round robin (Shreedhar and Varghese, 1995): who waits is served in a circle; in each round one may do
work of `quantum`, and what is left of that is good for the next round while one still waits. So shares are
equal in work, however it is cut, and finding the next one costs the same with any number of them.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class _Line(deque[tuple[int, "asyncio.Future[None]"]]):
    """What somebody waits to do, in order, and what it may do in this round."""

    def __init__(self) -> None:
        super().__init__()
        self.credit = 0


class Turns(Generic[K]):
    """At most `at_once` units of work are under way; what is more than that all alone goes when nothing is.

    What waits is bounded by whoever brings it.
    """

    def __init__(self, at_once: int, quantum: int) -> None:
        self.under_way = 0
        self.waiting = 0  # pieces of work
        self._at_once = at_once
        self._quantum = quantum
        # The first one is whose turn it is; it has been given its quantum already.
        self._circle: dict[K, _Line] = {}

    async def take(self, who: K, cost: int) -> None:
        """Waits for one's turn to do work of `cost` units, which ends with `give`."""
        if self._circle or not self._fits(cost):
            await self._wait(who, cost)
        else:
            self.under_way += cost

    def give(self, cost: int) -> None:
        """The work of a turn is done."""
        self.under_way -= cost
        if self._circle:
            self._serve()

    @asynccontextmanager
    async def turn(self, who: K, cost: int) -> AsyncIterator[None]:
        """Takes one's turn, and gives it back at the end of an `async with` block."""
        await self.take(who, cost)
        try:
            yield
        finally:
            self.give(cost)

    def _fits(self, cost: int) -> bool:
        return self.under_way + cost <= self._at_once or not self.under_way

    async def _wait(self, who: K, cost: int) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line = self._circle.get(who)
        if line is None:
            line = self._circle[who] = _Line()
            line.credit = self._quantum
        line.append((cost, turn))
        self.waiting += 1
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it came at the same moment
                self.under_way -= cost
            self._serve()
            raise
        finally:
            self.waiting -= 1

    def _serve(self) -> None:
        """Lets those go that fit, in their turn."""
        circle = self._circle
        while circle:
            who = next(iter(circle))
            line = circle[who]
            while line and line[0][1].cancelled():
                line.popleft()
            if not line:
                del circle[who]
                continue
            cost, turn = line[0]
            if cost > line.credit:
                # Its round is over: to the end of the circle, with what it saved.
                del circle[who]
                circle[who] = line
                line.credit += self._quantum
                continue
            if not self._fits(cost):
                return
            line.popleft()
            line.credit -= cost
            self.under_way += cost
            turn.set_result(None)
