"""Takes sessions that are over out of the session table, and saves how far they had read the log."""

import asyncio

from longline.errors import LonglineError
from longline.register.port import Register, Unbind
from longline.room.counters import RoomCounters
from longline.room.receipts import Receipts
from longline.room.session import UNKNOWN, Session
from longline.saver.port import Cursor, Saver

BATCH = 1000
RETRY_AFTER = 0.5  # s


class Departures:
    """Owned by the room, which runs `run` as a task. Bounded by the number of connections that can end."""

    def __init__(self, saver: Saver, register: Register, receipts: Receipts, counters: RoomCounters) -> None:
        self._saver = saver
        self._receipts = receipts
        self._counters = counters
        self._register = register
        self._gone: list[Session] = []
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def add(self, session: Session) -> None:
        """The session has ended."""
        self._gone.append(session)
        self._wake.set()
        self._idle.clear()

    def waiting(self) -> int:
        return len(self._gone)

    async def finished(self) -> None:
        """Returns when every session that ended so far is out of the table."""
        await self._idle.wait()

    async def run(self) -> None:
        """Works for as long as the room lives."""
        while True:
            if not self._gone:
                self._idle.set()
                self._wake.clear()
            await self._wake.wait()
            batch = self._gone[:BATCH]
            try:
                # The session's epoch fences both: a newer session of the device stays bound.
                await self._register.unbind([Unbind(s.tenant.app, s.device, s.epoch) for s in batch])
                cursors = [
                    Cursor(s.tenant.app, s.ordinal, s.settled_log()) for s in batch if self._has_read(s)
                ]
                if cursors:
                    # A cursor must not be on disk before the receipts of what it has passed.
                    await self._receipts.settled()
                    await self._saver.advance(cursors)
            except LonglineError:
                await asyncio.sleep(RETRY_AFTER)
                continue
            del self._gone[: len(batch)]
            for session in batch:
                session.inflight = None  # its entries point back: a cycle that only the collector would find

    def _has_read(self, session: Session) -> bool:
        """Whether the session got further in the log than the store knows, and lost no receipt on the way."""
        return (
            session.ordinal != UNKNOWN
            and session.settled_log() > session.log_cursor
            and session.lost_before == self._counters.receipts_lost
        )
