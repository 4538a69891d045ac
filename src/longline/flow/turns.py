"""Work that takes turns: who has much of it waits for its own, and not the others for it.

Deficit round robin (Shreedhar and Varghese, 1995): who waits is served in a circle; in each round one may do
work of `quantum`, and what is left of that is good for the next round while one still waits. So shares are
equal in work, however it is cut, and finding the next one costs the same with any number of them.

Who has had nothing to do goes before the circle, once, and takes a place in it with what it has besides (new
and old flows of RFC 8290, section 4.1). So a single piece waits for what is under way and for no round.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Hashable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
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
        # In both, the first line is the next one, and has been given its quantum already. A line without work
        # keeps its place in the circle until its turn comes: who comes again by then is no newcomer.
        self._newcomers: dict[K, _Line] = {}
        self._circle: dict[K, _Line] = {}

    async def take(self, who: K, cost: int) -> None:
        """Waits for one's turn to do work of `cost` units, which ends with `give`."""
        if self.waiting or not self._fits(cost):
            await self._wait(who, cost)
        else:
            self.under_way += cost

    def give(self, cost: int) -> None:
        """The work of a turn is done."""
        self.under_way -= cost
        if self.waiting:
            self._serve()
        elif self._circle:
            self._circle.clear()

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
        line = self._newcomers.get(who)
        if line is None:
            line = self._circle.get(who)
        if line is None:
            line = self._newcomers[who] = _Line()
            line.credit = self._quantum
        line.append((cost, turn))
        self.waiting += 1
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self.waiting -= 1
            else:  # it came at the same moment
                self.under_way -= cost
            self._serve()
            raise

    def _serve(self) -> None:
        """Lets those go that fit, in their turn."""
        while self._newcomers or self._circle:
            lines = self._newcomers or self._circle
            who = next(iter(lines))
            line = lines[who]
            while line and line[0][1].cancelled():
                line.popleft()
            if not line:
                del lines[who]
                if lines is self._newcomers:
                    self._circle[who] = line
                continue
            cost, turn = line[0]
            if cost > line.credit:
                # Its round is over: to the end of the circle, with what it saved.
                del lines[who]
                self._circle[who] = line
                line.credit += self._quantum
                continue
            if not self._fits(cost):
                return
            line.popleft()
            line.credit -= cost
            self.waiting -= 1
            self.under_way += cost
            turn.set_result(None)


class Lanes(Generic[K]):
    """Turns for small work and for large work, beside each other: who has little waits for no large piece.

    In one line it would, though it has its turn first: until the large piece is done that went before it, and
    where it is put off to a round of the others, for the next one as well.

    `least`: the cost from which work is large.
    """

    def __init__(self, small: Turns[K], large: Turns[K], least: int) -> None:
        self._small = small
        self._large = large
        self._least = least

    @property
    def waiting(self) -> int:
        """Pieces of work that wait."""
        return self._small.waiting + self._large.waiting

    def turn(self, who: K, cost: int) -> AbstractAsyncContextManager[None]:
        """As `Turns.turn`."""
        return (self._large if cost >= self._least else self._small).turn(who, cost)
