"""Reads from the store what sessions could not be given at once.

Sessions that have room ask here; everything asked for while a read is under way goes into the next
one, so a reconnect storm is a few large reads. A session is read for as long as it has room and the
store has more. Bounded by the number of sessions: each is in each list at most once.

When commands were lost, every session is read for again, a few at a time and behind those that ask, so that
a recovery is no storm. One that is sent a push meanwhile does not have to wait for its turn.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Sequence

from longline.errors import LonglineError
from longline.model.times import wall_clock
from longline.room.broker import Broker
from longline.room.push.frames import Frames
from longline.room.push.receipts import Receipts
from longline.room.session.session import Session
from longline.saver.bundle import Saver
from longline.saver.port.inboxes import Fetch, Page

BATCH = 500  # sessions in one read
RETRY_AFTER = 0.2  # s, after a read that failed
AGAIN = 250  # sessions that are read for again, every AGAIN_EVERY seconds
AGAIN_EVERY = 0.05
FAILING = 3  # reads in a row that failed, after which the store is taken to be in trouble


class Inbox:
    """Owned by the room, which runs `run` and `run_again` as tasks."""

    def __init__(self, saver: Saver, broker: Broker, receipts: Receipts) -> None:
        self._saver = saver
        self._broker = broker
        self._receipts = receipts
        self._wanted: deque[Session] = deque()
        self._wake = asyncio.Event()
        self._again: OrderedDict[Session, None] = OrderedDict()
        self._wake_again = asyncio.Event()
        self._failed = 0  # reads in a row

    def want(self, session: Session) -> None:
        """The session has room and the store may have more."""
        if not session.fetching:
            session.fetching = True
            self._wanted.append(session)
            self._wake.set()

    def again(self, session: Session) -> None:
        """Something for this session may have been lost on its way here."""
        if not session.gap:
            session.gap = True
            self._again[session] = None
            self._wake_again.set()

    def waiting(self) -> int:
        return len(self._wanted) + len(self._again)

    def failing(self) -> bool:
        """Whether the store has not answered for a while."""
        return self._failed >= FAILING

    async def run(self) -> None:
        """Reads for whoever asks, for as long as the room lives."""
        while True:
            await self._wake.wait()
            sessions = [self._wanted.popleft() for _ in range(min(BATCH, len(self._wanted)))]
            if not self._wanted:
                self._wake.clear()
            await self._read([session for session in sessions if session.connection is not None])

    async def run_again(self) -> None:
        """Has everybody asked for in `again` read for in turn, for as long as the room lives."""
        while True:
            await self._wake_again.wait()
            room = AGAIN if len(self._wanted) < BATCH else 0  # those that ask come first
            for _ in range(min(room, len(self._again))):
                session, _ = self._again.popitem(last=False)
                if session.gap and session.connection is not None:
                    self.want(session)
            if not self._again:
                self._wake_again.clear()
            await asyncio.sleep(AGAIN_EVERY)

    async def _read(self, sessions: Sequence[Session]) -> None:
        gaps = [session for session in sessions if session.gap]
        for session in gaps:
            session.read_again()
        if gaps:
            # What was acknowledged, here or on the connection before, must not come again.
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
                    free if session.skip is None else free + len(session.skip),
                    now,
                    self._broker.outbox_bytes,
                )
            )
        if not fetches:
            self._failed = 0  # who asked is gone: nothing is known of the store
            return
        try:
            pages = await self._saver.inboxes.fetch(fetches)
        except LonglineError:
            self._failed += 1
            await asyncio.sleep(RETRY_AFTER)
            for session in asking:
                session.fetching = False
                self.want(session)
            return
        self._failed = 0
        frames: dict[str, Frames] = {}  # a broadcast is the same push for many of these sessions
        for session, page in zip(asking, pages, strict=True):
            session.fetching = False
            if session.connection is not None:
                self._give(session, page, frames, now)

    def _give(self, session: Session, page: Page, frames: dict[str, Frames], now: int) -> None:
        # Nothing was written beside the reading so far: then it has no gap.
        whole_inbox = session.inbox_read == session.inbox_position
        whole_log = session.log_read == session.log_position
        complete = self._write(session, page, frames, now)
        if complete:
            session.log_position = max(session.log_position, page.log_after)
        if whole_inbox:
            session.inbox_read = session.inbox_position
        if whole_log:
            session.log_read = session.log_position
        if not complete:
            return  # `more` stays set, and the positions are those of what was written
        session.more = session.missed or session.gap or not page.complete
        if not session.more:
            session.skip = None
            self._broker.drain(session)
        elif session.free() > 0:
            self.want(session)

    def _write(self, session: Session, page: Page, frames: dict[str, Frames], now: int) -> bool:
        """Writes a page's pushes; False when the session could not be given all of them."""
        for push in page.pushes:
            connection = session.connection
            if connection is None or not connection.ready() or session.free() <= 0:
                return False
            if push.broadcast:
                session.log_position = push.position
            else:
                session.inbox_position = push.position
            if session.skip is not None and (push.position, push.broadcast) in session.skip:
                continue  # in flight on this very connection
            frame = frames.get(push.message.id)
            if frame is None:
                frame = frames[push.message.id] = Frames(push.message)
            self._broker.write_push(
                session, connection, frame, push.position, push.broadcast, push.sent_before, now
            )
        return True
