"""Says once an hour which devices are connected here: who stays for days connects in none of them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from longline.errors import LonglineError
from longline.model.statistics import HOUR
from longline.model.times import wall_clock
from longline.room.session.sessions import Sessions
from longline.saver.port.statistics import Seen, StatisticsStore

SLICE: Final = 1000  # sessions told of at once
PAUSE: Final = 0.05  # s between slices
AFTER: Final = 1.0  # s into the hour: clocks differ
RETRY: Final = 5.0  # s

log = structlog.get_logger()


class Attendance:
    """Owned by the room, which runs `run` as a task."""

    def __init__(
        self,
        sessions: Sessions,
        store: StatisticsStore,
        clock: Callable[[], int] = wall_clock,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._sessions = sessions
        self._store = store
        self._clock = clock
        self._sleep = sleep

    async def run(self) -> None:
        """Works for as long as the room lives."""
        while True:
            left = HOUR - self._clock() % HOUR
            await self._sleep(left / 1000 + AFTER)
            await self.tell()

    async def tell(self) -> None:
        """Tells of all who are connected now."""
        for app in list(self._sessions.tenants):
            sessions = self._sessions.of(app)
            for first in range(0, len(sessions), SLICE):
                there = [
                    session.ordinal
                    for session in sessions[first : first + SLICE]
                    if session.attachment is not None and session.ordinal >= 0
                ]
                if there:
                    await self._note(Seen(app, there))
                    await self._sleep(PAUSE)

    async def _note(self, seen: Seen) -> None:
        for attempt in range(3):
            try:
                await self._store.seen([seen], self._clock())
                return
            except LonglineError as error:
                if attempt == 2:
                    log.warning("attendance_not_told", devices=len(seen.ordinals), code=error.code)
                    return
                await self._sleep(RETRY)
