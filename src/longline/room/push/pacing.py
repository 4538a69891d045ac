"""Broadcasts whose sender asked for time: each goes through the sessions evenly over `spread_over` seconds.

That keeps the devices' answers from reaching the servers behind them all at once. A broadcast that overtakes
one of these does no harm: a device that is offered an earlier one late reads it from the log. Devices that
come while it is under way read it from the log, too. At most `AT_ONCE` are under way; further ones wait.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from longline.room.session.session import Session

AT_ONCE = 256
TICK = 0.1  # s between two steps of each

Write = Callable[[Sequence[Session]], Awaitable[bool]]


class _Walk(NamedTuple):
    sessions: Sequence[Session]
    seconds: float
    begun: float
    write: Write
    over: Callable[[], Awaitable[None]]


class Pacing:
    """Owned by the room's broadcasts; the room runs `run` as a task."""

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._walks: list[tuple[_Walk, int]] = []  # and how many sessions it has passed
        self._places = asyncio.Semaphore(AT_ONCE)
        self._wake = asyncio.Event()
        self._monotonic = monotonic
        self._sleep = sleep

    async def add(
        self, sessions: Sequence[Session], seconds: float, write: Write, over: Callable[[], Awaitable[None]]
    ) -> None:
        """Has `write` called with all sessions, bit by bit, and then `over`; waits while too many are under
        way.

        `write` says whether it is to go on.
        """
        await self._places.acquire()
        self._walks.append((_Walk(sessions, seconds, self._monotonic(), write, over), 0))
        self._wake.set()

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
                if await walk.write(walk.sessions[passed:due]) and due < len(walk.sessions):
                    self._walks.append((walk, due))
                else:
                    self._places.release()
                    await walk.over()
            await self._sleep(TICK)
