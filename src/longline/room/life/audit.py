"""Finds the sessions that the session table has forgotten when its store has lost what it was told last.

A store that fails over loses the writes of its last moments, unless it is told to wait for copies of each; a
device that had just come here then counts as being where it was before. Nobody would find it again for as
long as it stays. So it is bound anew, and its client does not hear of it.

This looks at every session of the room, and only when a server of the store has failed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from longline.errors import LonglineError
from longline.register.port import Register
from longline.room.counters import RoomCounters
from longline.room.session.session import Session
from longline.room.session.sessions import Sessions
from longline.telemetry.faults import Faults

SLICE = 500  # sessions asked for at a time
TOGETHER = 0.5  # s: what fails together is looked at once
RETRY_AFTER = 1.0

log = structlog.get_logger()


class Audit:
    """Owned by the room, which runs `run` as a task. `rebind` is given the sessions that it finds."""

    def __init__(
        self,
        register: Register,
        sessions: Sessions,
        rebind: Callable[[Session], None],
        counters: RoomCounters,
        faults: Faults,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._register = register
        self._sessions = sessions
        self._rebind = rebind
        self._counters = counters
        self._faults = faults
        self._sleep = sleep

    async def run(self) -> None:
        """Works for as long as the room lives."""
        seen = 0
        while True:
            try:
                doubts = await self._register.doubted(seen)
                await self._sleep(TOGETHER)
                await self._look()
            except LonglineError as error:
                log.warning("audit_failed", code=error.code, error=error.message)
                await self._sleep(RETRY_AFTER)
                continue
            except Exception as error:
                self._faults.note("room.audit", error)
                await self._sleep(RETRY_AFTER)
                continue
            seen = doubts  # what failed meanwhile is looked at again

    async def _look(self) -> None:
        for app in list(self._sessions.tenants):
            sessions = self._sessions.of(app)
            for start in range(0, len(sessions), SLICE):
                await self._compare(app, sessions[start : start + SLICE])

    async def _compare(self, app: int, sessions: Sequence[Session]) -> None:
        bindings = await self._register.locate(app, [session.device for session in sessions])
        for session, binding in zip(sessions, bindings, strict=True):
            if session.attachment is None or (binding is not None and binding.epoch == session.epoch):
                continue
            if binding is None or binding.epoch < session.epoch:
                self._counters.sessions_forgotten += 1
            self._rebind(session)
