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
from longline.mqtt.packets import Publish
from longline.mqtt.properties import MESSAGE_EXPIRY, Properties, unpack_message_properties
from longline.room.pubsub.fanout import Fanout
from longline.room.pubsub.message import FanoutMessage
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


class Reading(NamedTuple):
    """What is read for a session: pages of its first subscriptions, and single topics."""

    session: Session
    replays: Replays[Subscriber[Session]]
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
        plain = session.plain
        replays = None if plain is None else plain.replays
        if replays is None or session.attachment is None:
            return None
        ahead = list(replays.ahead)[:share]
        app = session.tenant.app
        finds = [FindRetained(app, topic, now, limit=1) for topic in ahead]
        paged = [replay for replay in replays.queue[:share] if self._fanout.room(session, replay.qos)]
        for replay in paged:
            room = min(PAGE, self._fanout.room(session, replay.qos))
            limit, limit_bytes = max(1, room // len(paged)), self._page_bytes // len(paged)
            finds.append(FindRetained(app, replay.filter, now, replay.position, limit, limit_bytes))
        replays.asked = bool(finds)
        return Reading(session, replays, paged, ahead, finds) if finds else None

    async def _pages(self, finds: Sequence[FindRetained]) -> Sequence[RetainedPage | None]:
        """What the store answers; None for a read that failed."""
        try:
            with self._pace.asking():
                return await self._store.find(finds)
        except LonglineError:
            return [None] * len(finds)
        except Exception as error:
            if len(finds) == 1:
                self._faults.note(PLACE, error)
                return [None]
        # Something is wrong with one of them: the others are read by themselves.
        return [page for find in finds for page in await self._pages([find])]

    def _give(
        self, reading: Reading, answers: Sequence[RetainedPage], messages: dict[str, FanoutMessage]
    ) -> int:
        """Writes what was read, as far as the session has room for it; returns how many messages."""
        session, replays = reading.session, reading.replays
        plain = session.plain
        if plain is None or plain.replays is not replays:
            return 0  # it is over, or has unsubscribed from everything
        fanout = self._fanout
        replays.asked = False
        written = 0
        pages = answers[len(reading.ahead) :]
        for replay, page in zip(reading.paged, pages, strict=True):
            if replay not in replays.queue:
                continue  # it has unsubscribed
            position = page.next
            for publication in page.publications:
                if not fanout.room(session, min(publication.qos, replay.qos)):
                    position = publication.topic
                    break
                if not replays.left_out(replay, publication.topic):
                    written += self._send(session, replays, replay, publication, messages)
            else:
                if not position:
                    replays.end(replay)
                    continue
            replays.moved(replay, position)
        for topic, page in zip(reading.ahead, answers, strict=False):
            if topic in replays.ahead:
                for replay in replays.queue:
                    if replay.awaits(topic):
                        for publication in page.publications:
                            written += self._send(session, replays, replay, publication, messages)
                replays.sent_ahead(topic)
        fanout.replayed(session)
        return written

    def _send(
        self,
        session: Session,
        replays: Replays[Subscriber[Session]],
        replay: Replay,
        publication: Publication,
        messages: dict[str, FanoutMessage],
    ) -> int:
        if replays.holds(publication.topic, publication.id) or (
            replay.no_local and publication.sender == session.device
        ):
            return 0
        message = messages.get(publication.id)
        try:
            if message is None:
                message = messages[publication.id] = retained(publication, self._fanout.clock)
            self._fanout.replay(session, message, min(publication.qos, replay.qos))
        except Exception as error:  # this one is no good: those behind it are
            self._faults.note(PLACE, error)
        return 1


def retained(publication: Publication, clock: Callable[[], int]) -> FanoutMessage:
    """A publication as subscribers get it, with what is left of its time."""
    properties: Properties = unpack_message_properties(publication.properties) or {}
    if publication.expires_at:
        properties[MESSAGE_EXPIRY] = max(0, (publication.expires_at - clock() + 999) // 1000)
    packet = Publish(
        publication.topic, publication.payload, publication.qos, True, properties=properties or None
    )
    message = FanoutMessage(None, packet, clock, publication.id, True)
    message.ends = publication.expires_at
    return message
