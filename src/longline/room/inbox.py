"""Reads from the store what sessions could not be given at once.

Sessions that have room ask here; everything asked for while a read is under way goes into the next
one, so a reconnect storm is a few large reads. A session is read for as long as it has room and the
store has more. Bounded by the number of sessions: each is in the list at most once.
"""

import asyncio
from collections import deque
from collections.abc import Sequence

from longline.errors import LonglineError
from longline.model import wall_clock
from longline.room.broker import Broker, Frames
from longline.room.receipts import Receipts
from longline.room.session import Session
from longline.saver.port import Fetch, Page, Saver

BATCH = 500  # sessions in one read
RETRY_AFTER = 0.2  # s, after a read that failed


class Inbox:
    """Owned by the room, which runs `run` as a task."""

    def __init__(self, saver: Saver, broker: Broker, receipts: Receipts) -> None:
        self._saver = saver
        self._broker = broker
        self._receipts = receipts
        self._wanted: deque[Session] = deque()
        self._wake = asyncio.Event()

    def want(self, session: Session) -> None:
        """The session has room and the store may have more."""
        if not session.fetching:
            session.fetching = True
            self._wanted.append(session)
            self._wake.set()

    def waiting(self) -> int:
        return len(self._wanted)

    async def run(self) -> None:
        """Reads for whoever asks, for as long as the room lives."""
        while True:
            await self._wake.wait()
            sessions = [self._wanted.popleft() for _ in range(min(BATCH, len(self._wanted)))]
            if not self._wanted:
                self._wake.clear()
            await self._read([session for session in sessions if session.connection is not None])

    async def _read(self, sessions: Sequence[Session]) -> None:
        if any(session.inbox_position == 0 for session in sessions):
            # The first read of a connection: what the one before it acknowledged must not come again.
            await self._receipts.settled()
        now = wall_clock()
        asking = []
        fetches = []
        for session in sessions:
            free = session.free()
            if free <= 0:
                session.fetching = False  # the next acknowledgement asks again
                continue
            session.missed = False
            asking.append(session)
            fetches.append(
                Fetch(
                    session.tenant.app,
                    session.ordinal,
                    session.inbox_position,
                    session.log_position,
                    free,
                    now,
                    self._broker.outbox_bytes,
                )
            )
        if not fetches:
            return
        try:
            pages = await self._saver.fetch(fetches)
        except LonglineError:
            await asyncio.sleep(RETRY_AFTER)
            for session in asking:
                session.fetching = False
                self.want(session)
            return
        frames: dict[str, Frames] = {}  # a broadcast is the same push for many of these sessions
        for session, page in zip(asking, pages, strict=True):
            session.fetching = False
            if session.connection is not None:
                self._give(session, page, frames, now)

    def _give(self, session: Session, page: Page, frames: dict[str, Frames], now: int) -> None:
        for push in page.pushes:
            connection = session.connection
            if connection is None or not connection.ready() or session.free() <= 0:
                return  # `more` stays set, and the positions are those of what was written
            if push.broadcast:
                session.log_position = push.position
            else:
                session.inbox_position = push.position
            frame = frames.get(push.message.id)
            if frame is None:
                frame = frames[push.message.id] = Frames(push.message)
            self._broker.write_push(
                session, connection, frame, push.position, push.broadcast, push.sent_before, now
            )
        session.log_position = max(session.log_position, page.log_after)
        session.more = session.missed or not page.complete
        if not session.more:
            self._broker.drain(session)
        elif session.free() > 0:
            self.want(session)
