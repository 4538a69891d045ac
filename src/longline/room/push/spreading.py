"""Broadcasts whose sender asked for time: each goes through the sessions evenly over `spread_over` seconds.

That keeps the devices' answers from reaching the servers behind them all at once. It is a wish: how fast the
node can go comes first, and so does the order. A device for which something newer comes gets these before it,
and devices that come while one is under way read it from the log. At most `AT_ONCE` are under way.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

from longline.room.session.session import Session
from longline.telemetry.faults import Faults

AT_ONCE: Final = 256
TICK: Final = 0.1  # s between two steps of each

Write = Callable[[Sequence[Session]], Awaitable[bool]]


class _Walk(NamedTuple):
    sessions: Sequence[Session]
    seconds: float
    begun: float
    write: Write
    over: Callable[[], None]


class Spreading:
    """Owned by the room's broadcasts; the room runs `run` as a task."""

    def __init__(
        self,
        faults: Faults,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._faults = faults
        self._walks: list[tuple[_Walk, int]] = []  # and how many sessions it has passed
        self._under_way = 0
        self._wake = asyncio.Event()
        self._monotonic = monotonic
        self._sleep = sleep

    def add(
        self, sessions: Sequence[Session], seconds: float, write: Write, over: Callable[[], None]
    ) -> bool:
        """Has `write` called with all sessions, bit by bit, and then `over`; False when there is no place.

        `write` says whether it is to go on.
        """
        if self._under_way >= AT_ONCE:
            return False
        self._under_way += 1
        self._walks.append((_Walk(sessions, seconds, self._monotonic(), write, over), 0))
        self._wake.set()
        return True

    async def run(self) -> None:
        """Works for as long as the room lives."""
        while True:
            if not self._walks:
                self._wake.clear()
                await self._wake.wait()
            walks, self._walks = self._walks, []
            for walk, passed in walks:
                share = (self._monotonic() - walk.begun) / walk.seconds
                due = min(len(walk.sessions), int(len(walk.sessions) * share) + 1)
                if await self._write(walk, passed, due) and due < len(walk.sessions):
                    self._walks.append((walk, due))
                else:
                    self._under_way -= 1
                    self._end(walk)
            await self._sleep(TICK)

    def _end(self, walk: _Walk) -> None:
        try:
            walk.over()
        except Exception as error:
            self._faults.note("room.broadcasts", error)

    async def _write(self, walk: _Walk, passed: int, due: int) -> bool:
        try:
            return await walk.write(walk.sessions[passed:due])
        except Exception as error:
            self._faults.note("room.broadcasts", error)
            return True
