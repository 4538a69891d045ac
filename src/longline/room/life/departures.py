"""Takes sessions that are over out of the session table, and saves how far they had read the log."""

import asyncio
from collections.abc import Sequence
from typing import Final

from longline.flow.batcher import Batcher, Retry
from longline.flow.line import Portion
from longline.model.times import wall_clock
from longline.register.port import Register, Unbind
from longline.room.counters import RoomCounters
from longline.room.kept.closings import Closings
from longline.room.push.receipts import Receipts
from longline.room.session.session import Gone, Session
from longline.saver.port.inboxes import Cursor, InboxStore
from longline.telemetry.faults import Faults

MOST: Final = 1000  # sessions taken out together
LEAST: Final = 32
TARGET: Final = 0.5  # s that the stores may take for them
RETRY: Final = Retry(0.5, 0.5)
DISCONNECTED: Final = "disconnected"  # why a connection ended: its client said so
LOST: Final = "connection_lost"  # it broke, or its client went without a word
SESSIONS: Final = 1 << 30  # more than a process can have


class Departures:
    """Owned by the room, which runs `run` as a task. Bounded by the number of connections that can end.

    `linger` in ms: how long a device whose connection broke still counts as there.
    """

    def __init__(
        self,
        store: InboxStore,
        register: Register,
        receipts: Receipts,
        closings: Closings,
        counters: RoomCounters,
        faults: Faults,
        *,
        linger: int,
    ) -> None:
        self._store = store
        self._receipts = receipts
        self._closings = closings
        self._counters = counters
        self._register = register
        self.linger = linger
        self._gone: Batcher[tuple[Session, int]] = Batcher(  # and when, in ms
            "room.departures",
            self._take_out,
            faults=faults,
            limit=SESSIONS,
            batch=Portion(MOST, LEAST, TARGET),
            retry=RETRY,
        )
        self._nobody = asyncio.Event()  # set whenever the last session has ended

    def add(self, session: Session) -> None:
        """The session has ended."""
        if session.kept is not None:
            self._closings.add(session)
        self._gone.add((session, wall_clock()))
        if not self._counters.sessions:
            self._nobody.set()

    def waiting(self) -> int:
        return len(self._gone)

    async def everybody(self) -> None:
        """Returns when no session is left here."""
        while self._counters.sessions:
            self._nobody.clear()
            await self._nobody.wait()

    async def finished(self) -> None:
        """Returns when every session that ended so far is out of the table, and closed in the store."""
        await self._closings.finished()
        await self._gone.idle()

    async def run(self) -> None:
        """Works for as long as the room lives."""
        await self._gone.run()

    async def _take_out(self, batch: Sequence[tuple[Session, int]]) -> None:
        # Who was taken over owns nothing any more: neither the binding nor the cursor is its to change.
        ended = [(session, at) for session, at in batch if session.gone != Gone.TAKEN_OVER]
        cursors = [cursor for session, _ in ended if (cursor := self._cursor(session)) is not None]
        if cursors:
            # A cursor must not be on disk before the receipts of what it has passed, and it is only
            # taken from a session that still owns its device.
            await self._receipts.settled()
            await self._store.advance(cursors)
        if ended:
            # The session's epoch fences this: a newer session of the device stays bound.
            await self._register.unbind([self._unbind(session, at) for session, at in ended])
        for session, _ in batch:
            session.window.close()  # what is in flight points back: only the collector would find the cycle

    def _unbind(self, session: Session, at: int) -> Unbind:
        linger = self.linger if session.gone == Gone.BROKEN else 0
        reason = session.why or (DISCONNECTED if session.gone == Gone.LEFT else LOST)
        return Unbind(session.tenant.app, session.device, session.epoch, at, linger, reason)

    def _cursor(self, session: Session) -> Cursor | None:
        """None unless the session got further in the log than the store knows, and lost no receipt."""
        if session.ordinal < 0 or session.lost_before != self._counters.receipts_lost:
            return None
        position = session.window.log_settled()
        if position <= session.window.log_stored:
            return None
        return Cursor(session.tenant.app, session.ordinal, position, session.epoch, session.told)
