"""Reads from the store what sessions could not be given at once.

Sessions that have room ask here; everything asked for while a read is under way goes into the next
one, so a reconnect storm is a few large reads. A session is read for as long as it has room and the
store has more. Bounded by the number of sessions: each is in each list at most once. What was read is
written as fast as `BulkPace` allows.

When commands were lost, every session is looked at again, a few at a time and behind those that ask, so that
a recovery is no storm. One that is sent a push meanwhile does not have to wait for its turn. Those that have
a little room are in the same list: by the time that their turn comes they may have more.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from longline.errors import LonglineError
from longline.flow.batcher import Batcher, Retry
from longline.flow.line import Portion
from longline.model.times import wall_clock
from longline.room.push.flights import Flights
from longline.room.push.frames import Frames
from longline.room.push.pace import BulkPace
from longline.room.push.pushes import Pushes
from longline.room.push.receipts import Receipts
from longline.room.session.session import Attachment, Session
from longline.room.session.window import ASK, CAUGHT_UP
from longline.saver.port.inboxes import Fetch, InboxStore, Page
from longline.telemetry.faults import Faults

BATCH: Final = 500  # sessions in one read
LEAST: Final = 32  # the same, while the store is slow
TARGET: Final = 0.5  # s that a read may take, and the writing of what was read
RETRY: Final = Retry(0.2, 0.2)  # s, after a read that failed
LOOK: Final = 250  # sessions that are looked at again, every LOOK_EVERY seconds
LOOK_EVERY: Final = 0.05
FAILING: Final = 3  # reads in a row that failed, after which the store is taken to be in trouble
SESSIONS: Final = 1 << 30  # more than a process can have


class Inbox:
    """Owned by the room, which runs `run` and `run_looks` as tasks. The reader of `Pushes`.

    `caught_up` is called with a session for which nothing waits any more. `page_bytes`: how much is read for
    one session at once.
    """

    def __init__(
        self,
        store: InboxStore,
        receipts: Receipts,
        faults: Faults,
        pace: BulkPace,
        *,
        page_bytes: int,
        caught_up: Callable[[Session], None],
    ) -> None:
        self._store = store
        self._receipts = receipts
        self._faults = faults
        self._pace = pace
        self._page_bytes = page_bytes
        self._caught_up = caught_up
        self._asked = Batcher(
            "room.inbox",
            self._read,
            faults=faults,
            limit=SESSIONS,
            batch=Portion(BATCH, LEAST, TARGET),
            retry=RETRY,
        )
        self._looks: dict[Session, None] = {}
        self._wake_looks = asyncio.Event()
        self._failed = 0  # reads in a row
        self.pushes: Pushes | None = None  # given by whoever made both
        self.flights: Flights | None = None  # as well

    def ask(self, session: Session) -> None:
        """Its window is to be read for."""
        self._asked.add(session)

    def look(self, session: Session) -> None:
        """The same, when its turn comes."""
        self._looks[session] = None
        self._wake_looks.set()

    def waiting(self) -> int:
        return len(self._asked) + len(self._looks)

    def failing(self) -> bool:
        """Whether the store has not answered for a while."""
        return self._failed >= FAILING

    async def run(self) -> None:
        """Reads for whoever asks, for as long as the room lives."""
        await self._asked.run()

    async def run_looks(self) -> None:
        """Has everybody given to `look` read for in turn, for as long as the room lives."""
        while True:
            await self._wake_looks.wait()
            # Those that ask come first, and where time is short there are fewer.
            turns = int(LOOK / (1 + self._pace.weight)) if len(self._asked) < BATCH else 0
            for _ in range(min(turns, len(self._looks))):
                session = next(iter(self._looks))
                del self._looks[session]
                if session.window.looked() & ASK:
                    self.ask(session)
            if not self._looks:
                self._wake_looks.clear()
            await asyncio.sleep(LOOK_EVERY)

    async def _read(self, sessions: Sequence[Session]) -> Sequence[Session]:
        """Reads for these sessions; returns those for which the store did not answer."""
        # A session whose connection went is not read for; one that has another by now has asked again.
        asking = [
            (session, session.attachment)
            for session in dict.fromkeys(sessions)
            if session.attachment is not None and session.window.asked()
        ]
        doubted = [session for session, _ in asking if session.window.prepare()]
        if doubted:
            # What was acknowledged, here or on the connection before, must not come again.
            await self._receipts.settled()
        now = wall_clock()
        asking = [
            (session, attachment)
            for session, attachment in asking
            if session.attachment is attachment and session.window.begin()
        ]
        if not asking:
            self._failed = 0  # who asked is gone, or has no room: nothing is known of the store
            return ()
        pages = list(await self._pages([self._fetch(session, now) for session, _ in asking]))
        await self._prepare(asking, pages)
        self._failed = 0 if any(pages) else self._failed + 1
        frames: dict[str, Frames] = {}  # a broadcast is the same push for many of these sessions
        again = []
        written = 0
        begun = self._pace.begin()
        for (session, attachment), page in zip(asking, pages, strict=True):
            if session.attachment is not attachment:
                continue
            if page is None:
                if session.window.fail() & ASK:
                    again.append(session)
                continue
            try:
                self._give(session, page, frames, wall_clock())
            except Exception as error:
                self._faults.note("room.inbox", error)
                session.window.stop()  # tried again when the device acknowledges something, or comes back
            written += len(page.pushes)
            if written >= self._pace.slice:
                written = 0
                begun = await self._pace.pause(begun)
        return again

    def _fetch(self, session: Session, now: int) -> Fetch:
        window = session.window
        return Fetch(
            session.tenant.app,
            session.ordinal,
            window.inbox_written,
            window.log_written,
            window.to_read(),
            now,
            self._page_bytes,
            window.to_read_ahead(),
        )

    async def _pages(self, fetches: Sequence[Fetch]) -> Sequence[Page | None]:
        """What the store answers; None for a read that failed."""
        try:
            with self._pace.asking():
                return await self._store.fetch(fetches)
        except LonglineError:
            return [None] * len(fetches)
        except Exception as error:
            if len(fetches) == 1:
                self._faults.note("room.inbox", error)
                return [None]
        # Something is wrong with one of them: the others are read by themselves.
        return [page for fetch in fetches for page in await self._pages([fetch])]

    async def _prepare(self, asking: Sequence[tuple[Session, Attachment]], pages: list[Page | None]) -> None:
        """Sees to what has to be stored before pushes with QoS 2 are written."""
        if self.flights is None:
            return
        # With its connection a session has lost what it knew of its packet identifiers, while it is still its
        # turn in the store: what it chose now would take the place of those that the client holds.
        there = [
            (session, page)
            for (session, attachment), page in zip(asking, pages, strict=True)
            if session.durable and session.attachment is attachment
        ]
        failed = await self.flights.prepare(there) if there else ()
        if failed:
            pages[:] = [
                None if session in failed else page for (session, _), page in zip(asking, pages, strict=True)
            ]

    def _give(self, session: Session, page: Page, frames: dict[str, Frames], now: int) -> None:
        """Writes a page's pushes, as many as the session has room for."""
        window, pushes = session.window, self.pushes
        flights = self.flights if session.durable else None
        assert pushes is not None
        ahead, favoured = len(page.urgent), window.to_favour()
        for number, push in enumerate((*page.urgent, *page.pushes) if ahead else page.pushes):
            if number < ahead and not favoured:
                continue  # the others are not to be starved
            attachment = session.attachment
            if attachment is None or not attachment.outlet.ready() or window.free() <= 0:
                window.stop()
                return
            if flights is not None and not flights.ready(session, push):
                window.stop()
                return
            if number < ahead:
                if not window.take_ahead(push.position, push.broadcast):
                    continue
                favoured -= 1
            elif not window.take(push.position, push.broadcast):
                continue  # written on this very connection
            if push.message.expires_at <= now:
                continue  # the answer was on its way for too long: the store ends it
            frame = frames.get(push.message.id)
            if frame is None:
                frame = frames[push.message.id] = Frames(push.message)
            pushes.write(attachment, frame, push.position, push.broadcast, push.sent_before, now)
        do = window.end(page.log_after, page.complete)
        if do & CAUGHT_UP:
            if flights is not None:
                flights.caught_up(session)
            self._caught_up(session)
        elif do & ASK:
            self.ask(session)
