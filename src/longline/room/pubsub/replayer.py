"""Reads retained messages for those who have subscribed, as fast as they take them.

Sessions that still have to get some ask here, and are read for together, a bounded number of topics and
messages at a time. One that takes no more, or has as many waiting as it should, asks again when it has room
(`Fanout.drain`): so a filter that matches everything costs no more memory than a small one, and those who
subscribe take turns.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

from longline.errors import LonglineError
from longline.flow.batcher import Batcher, Retry
from longline.model.pubsub import Publication
from longline.room.pubsub.fanout import Fanout
from longline.room.pubsub.message import FanoutMessage
from longline.room.pubsub.publications import stored_message
from longline.room.pubsub.replays import Replay, Replays
from longline.room.pubsub.retainer import Retainer
from longline.room.pubsub.subscriptions import Subscriber
from longline.room.push.pace import BulkPace
from longline.room.session.session import Session
from longline.saver.port.retained import FindRetained, RetainedPage, RetainedStore
from longline.telemetry.faults import Faults

SESSIONS: Final = 1 << 30  # more than a process can have: each waits at most once
BATCH: Final = 64  # sessions in one read, and filters, a session's share of which is one in any case
PAGE: Final = 250  # messages for one session in one read
RETRY: Final = Retry(0.2, 2.0)  # s, after a read that failed
PLACE: Final = "room.retained"

# Of a subscription's options, section 3.8.3.1
QOS: Final = 3
NO_LOCAL: Final = 4

SessionReplays = Replays[Subscriber[Session]]


class Reading(NamedTuple):
    """What is read for a session: pages of its first subscriptions, and single topics."""

    session: Session
    replays: SessionReplays
    paged: list[Replay]
    ahead: list[str]
    finds: list[FindRetained]


class Replayer:
    """Owned by the room, which runs `run` as a task. `page_bytes`: how much is read for a session at once."""

    def __init__(
        self,
        store: RetainedStore,
        retainer: Retainer,
        fanout: Fanout,
        faults: Faults,
        pace: BulkPace,
        *,
        page_bytes: int,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._retainer = retainer
        self._fanout = fanout
        self._faults = faults
        self._pace = pace
        self._page_bytes = page_bytes
        self._asked: Batcher[Session] = Batcher(
            PLACE, self._read, faults=faults, limit=SESSIONS, batch=BATCH, retry=RETRY, sleep=sleep
        )

    def ask(self, session: Session) -> None:
        """The store is to be read for a session, which has not asked yet."""
        self._asked.add(session)

    def waiting(self) -> int:
        """How many sessions wait for a read."""
        return len(self._asked)

    async def run(self) -> None:
        """Reads for whoever asks, for as long as the room lives."""
        await self._asked.run()

    async def _read(self, sessions: Sequence[Session]) -> Sequence[Session]:
        """Reads for these sessions; returns those for which the store did not answer."""
        # What was published here before they subscribed is to be found.
        await self._retainer.settled()
        now = self._fanout.clock()
        share = max(1, BATCH // len(sessions))
        readings = [
            reading
            for session in dict.fromkeys(sessions)
            if (reading := self._reading(session, share, now)) is not None
        ]
        finds = [find for reading in readings for find in reading.finds]
        if not finds:
            return ()
        pages = iter(await self._pages(finds))
        messages: dict[str, FanoutMessage] = {}  # many have the same filters
        again = []
        written = 0
        begun = self._pace.begin()
        for reading in readings:
            answers = [next(pages) for _ in reading.finds]
            try:
                if any(answer is None for answer in answers):
                    self._fanout.let_go(reading.session)  # held messages have waited long enough
                    again.append(reading.session)
                    continue
                written += self._give(reading, [page for page in answers if page is not None], messages)
            except Exception as error:
                self._faults.note(PLACE, error)
                self._fanout.give_up(reading.session)
            if written >= self._pace.slice:
                written = 0
                begun = await self._pace.pause(begun)
        return again

    def _reading(self, session: Session, share: int, now: int) -> Reading | None:
        """What to read for a session; None when there is nothing, or it has no room."""
        replays = session.replays
        if replays is None or session.attachment is None:
            return None
        app = session.tenant.app
        ahead = list(replays.ahead)[:share]
        finds = [FindRetained(app, topic, now, limit=1) for topic in ahead]
        fanout = self._fanout
        rooms = {
            replay: fanout.room(session, fanout.options(session, replay.filter) & QOS)
            for replay in replays.queue[:share]
        }
        paged = [replay for replay, room in rooms.items() if room]
        for replay in paged:
            limit, limit_bytes = min(PAGE, rooms[replay]) // len(paged), self._page_bytes // len(paged)
            finds.append(FindRetained(app, replay.filter, now, replay.position, max(1, limit), limit_bytes))
        replays.asked = bool(finds)
        return Reading(session, replays, paged, ahead, finds) if finds else None

    async def _pages(self, finds: Sequence[FindRetained]) -> Sequence[RetainedPage | None]:
        """What the store answers; None for a read that is to be tried again."""
        try:
            with self._pace.asking():
                return await self._store.find(finds)
        except Exception as error:
            if isinstance(error, LonglineError) and error.retryable:
                return [None] * len(finds)
            if len(finds) == 1:
                self._faults.note(PLACE, error)
                return [RetainedPage(())]
        # Something is wrong with one of them: the others are read by themselves.
        return [page for find in finds for page in await self._pages([find])]

    def _give(
        self, reading: Reading, answers: Sequence[RetainedPage], messages: dict[str, FanoutMessage]
    ) -> int:
        """Writes what was read, as far as the session has room for it; returns how many messages."""
        session, replays = reading.session, reading.replays
        if session.replays is not replays:
            return 0  # it is over, or has unsubscribed from everything
        replays.asked = False
        written = 0
        for replay, page in zip(reading.paged, answers[len(reading.ahead) :], strict=True):
            if replay in replays.queue:  # else it has unsubscribed
                written += self._give_page(session, replays, replay, page, messages)
        for topic, page in zip(reading.ahead, answers, strict=False):
            if topic in replays.ahead:
                for replay in replays.queue:
                    if replay.awaits(topic):
                        for publication in page.publications:
                            written += self._send(session, replays, replay, publication, messages)
                replays.sent_ahead(topic)
        self._fanout.replayed(session)
        return written

    def _give_page(
        self,
        session: Session,
        replays: SessionReplays,
        replay: Replay,
        page: RetainedPage,
        messages: dict[str, FanoutMessage],
    ) -> int:
        fanout = self._fanout
        written = 0
        for publication in page.publications:
            granted = fanout.options(session, replay.filter) & QOS
            if not fanout.room(session, min(publication.qos, granted)):
                replays.moved(replay, publication.topic)
                return written
            if not replays.left_out(replay, publication.topic):
                written += self._send(session, replays, replay, publication, messages)
        if page.next:
            replays.moved(replay, page.next)
        else:
            replays.end(replay)
        return written

    def _send(
        self,
        session: Session,
        replays: SessionReplays,
        replay: Replay,
        publication: Publication,
        messages: dict[str, FanoutMessage],
    ) -> int:
        options = self._fanout.options(session, replay.filter)
        own = options & NO_LOCAL and publication.sender == session.device  # [MQTT-3.8.3-3]
        if own or replays.holds(publication.topic, publication.id):
            return 0
        try:
            message = messages.get(publication.id)
            if message is None:
                message = messages[publication.id] = stored_message(publication, self._fanout.clock, True)
            self._fanout.replay(session, message, min(publication.qos, options & QOS), options >> 8)
        except Exception as error:  # this one is no good: those behind it are
            self._faults.note(PLACE, error)
        return 1
