"""Takes sessions that are over out of the session table, and saves how far they had read the log."""

import asyncio

from longline.errors import LonglineError
from longline.model.times import wall_clock
from longline.register.port import Register, Unbind
from longline.room.counters import RoomCounters
from longline.room.push.receipts import Receipts
from longline.room.session.session import UNKNOWN, Gone, Session
from longline.saver.bundle import Saver
from longline.saver.port.inboxes import Cursor

BATCH = 1000
RETRY_AFTER = 0.5  # s


class Departures:
    """Owned by the room, which runs `run` as a task. Bounded by the number of connections that can end.

    `linger` in ms: how long a device whose connection broke still counts as there.
    """

    def __init__(
        self, saver: Saver, register: Register, receipts: Receipts, counters: RoomCounters, *, linger: int
    ) -> None:
        self._saver = saver
        self._receipts = receipts
        self._counters = counters
        self._register = register
        self.linger = linger
        self._gone: list[tuple[Session, int]] = []  # and when, in ms
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def add(self, session: Session) -> None:
        """The session has ended."""
        self._gone.append((session, wall_clock()))
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
            # Who was taken over owns nothing any more: neither the binding nor the cursor is its to change.
            ended = [(session, at) for session, at in batch if session.gone != Gone.TAKEN_OVER]
            try:
                cursors = [cursor for session, _ in ended if (cursor := self._cursor(session)) is not None]
                if cursors:
                    # A cursor must not be on disk before the receipts of what it has passed, and it is only
                    # taken from a session that still owns its device.
                    await self._receipts.settled()
                    await self._saver.inboxes.advance(cursors)
                if ended:
                    # The session's epoch fences this: a newer session of the device stays bound.
                    await self._register.unbind([self._unbind(session, at) for session, at in ended])
            except LonglineError:
                await asyncio.sleep(RETRY_AFTER)
                continue
            del self._gone[: len(batch)]
            for session, _ in batch:
                session.inflight = None  # its entries point back: a cycle that only the collector would find

    def _unbind(self, session: Session, at: int) -> Unbind:
        linger = self.linger if session.gone == Gone.BROKEN else 0
        return Unbind(session.tenant.app, session.device, session.epoch, at, linger)

    def _cursor(self, session: Session) -> Cursor | None:
        """None unless the session got further in the log than the store knows, and lost no receipt."""
        if session.ordinal == UNKNOWN or session.lost_before != self._counters.receipts_lost:
            return None
        position = session.settled_log()
        if position <= session.log_cursor:
            return None
        return Cursor(session.tenant.app, session.ordinal, position, session.epoch)
