"""Reads the queues of sessions whose clients are here, and writes what is in them, as far as they have room.

A queue is only ever read in order. `news` says that there may be more; a session that has room then is read
for, together with others that ask meanwhile, and again for as long as it has room and there is more. Pushes
and queued messages share the client's Receive Maximum. The packet identifier of a message is that of its
place; one whose identifier still stands for the place 32,768 before it waits until that is settled.
"""

from collections.abc import Sequence
from typing import Final

from longline.errors import LonglineError
from longline.flow.batcher import Batcher, Retry
from longline.flow.line import Portion
from longline.mqtt.properties import pack_subscription_identifier
from longline.room.counters import RoomCounters
from longline.room.kept.steps import Steps
from longline.room.pubsub.fanout import Fanout
from longline.room.pubsub.message import FanoutMessage
from longline.room.pubsub.publications import stored_message
from longline.room.push.pace import BulkPace
from longline.room.session.inflight import FromQueue, Inflight, queue_identifier
from longline.room.session.session import Attachment, Persistence, Session
from longline.saver.port.queues import QueueEntry, QueuePage, QueueStore, Read
from longline.telemetry.faults import Faults

SESSIONS: Final = 1 << 30  # more than a process can have: each waits at most once
BATCH: Final = 200  # sessions in one read
LEAST: Final = 16  # the same, while the store is slow
TARGET: Final = 0.25  # s that a read may take
PAGE: Final = 100  # messages for one session in one read
RETRY: Final = Retry(0.2, 2.0)  # s, after a read that failed
PLACE: Final = "room.queues"

Forms = dict[tuple[str, int, bool], FanoutMessage]  # by id, QoS and retain flag: many have the same


class QueueReader:
    """Owned by the room, which runs `run` as a task. `page_bytes`: how much is read for a session at once."""

    def __init__(
        self,
        store: QueueStore,
        steps: Steps,
        fanout: Fanout,
        counters: RoomCounters,
        faults: Faults,
        pace: BulkPace,
        *,
        page_bytes: int,
    ) -> None:
        self._store = store
        self._steps = steps
        self._fanout = fanout
        self._counters = counters
        self._faults = faults
        self._pace = pace
        self._page_bytes = page_bytes
        self._asked: Batcher[Session] = Batcher(
            PLACE,
            self._read,
            faults=faults,
            limit=SESSIONS,
            batch=Portion(BATCH, LEAST, TARGET),
            retry=RETRY,
        )

    def waiting(self) -> int:
        """How many sessions wait for a read."""
        return len(self._asked)

    def news(self, session: Session) -> None:
        """Something may be in a session's queue."""
        kept = session.kept
        if kept is not None:
            kept.more = True
            self.ask(session)

    def ask(self, session: Session) -> None:
        """Has the queue read, if there may be more in it, and the client has room."""
        kept = session.kept
        if (
            kept is not None
            and kept.number
            and kept.durable
            and kept.more
            and not kept.asked
            and room(session, kept)
        ):
            kept.asked = True
            self._asked.add(session)

    async def run(self) -> None:
        """Reads for whoever asks, for as long as the room lives."""
        await self._asked.run()

    async def _read(self, sessions: Sequence[Session]) -> Sequence[Session]:
        """Reads for these sessions; returns those for which the store did not answer."""
        now = self._fanout.clock()
        reading: list[tuple[Session, Persistence, Attachment, Read]] = []
        for session in dict.fromkeys(sessions):
            kept, attachment = session.kept, session.attachment
            if kept is None or attachment is None or not room(session, kept):
                if kept is not None:
                    kept.asked = False
                continue
            kept.more = False  # what comes from now on is news
            limit = min(PAGE, attachment.spare())
            read = Read(
                session.tenant.app, session.ordinal, kept.number, kept.read, limit, now, self._page_bytes
            )
            reading.append((session, kept, attachment, read))
        if not reading:
            return ()
        pages = await self._pages([read for *_, read in reading])
        forms: Forms = {}
        again = []
        written = 0
        begun = self._pace.begin()
        for (session, kept, attachment, _), page in zip(reading, pages, strict=True):
            if page is None:
                kept.more = True
                again.append(session)
                continue
            kept.asked = False
            if session.attachment is not attachment:
                continue
            try:
                self._give(session, kept, attachment, page, forms)
            except Exception as error:
                self._faults.note(PLACE, error)
            self.ask(session)
            written += len(page.entries)
            if written >= self._pace.slice:
                written = 0
                begun = await self._pace.pause(begun)
        return again

    async def _pages(self, reads: Sequence[Read]) -> Sequence[QueuePage | None]:
        """What the store answers; None for a read that is to be tried again."""
        try:
            with self._pace.asking():
                return await self._store.read(reads)
        except Exception as error:
            if isinstance(error, LonglineError) and error.retryable:
                return [None] * len(reads)
            if len(reads) == 1:
                self._faults.note(PLACE, error)
                return [QueuePage((), True)]
        # Something is wrong with one of them: the others are read by themselves.
        return [page for read in reads for page in await self._pages([read])]

    def _give(
        self, session: Session, kept: Persistence, attachment: Attachment, page: QueuePage, forms: Forms
    ) -> None:
        """Writes a page's messages, as many as the session has room for."""
        window = session.window
        inflight = window.inflight
        if inflight is None:
            inflight = window.inflight = Inflight()
        if not page.complete:
            kept.more = True
        for entry in page.entries:
            kept.read = entry.place - 1
            if not room(session, kept):
                kept.more = True
                break
            kept.read = entry.place
            try:
                if not self._write(session, kept, attachment, inflight, entry, forms):
                    self._steps.settled(session, entry.place)
            except Exception as error:  # this one is no good: those behind it are
                self._faults.note(PLACE, error)
                self._steps.settled(session, entry.place)
        if kept.written:
            self._steps.written(session)

    def _write(
        self,
        session: Session,
        kept: Persistence,
        attachment: Attachment,
        inflight: Inflight,
        entry: QueueEntry,
        forms: Forms,
    ) -> bool:
        """Writes a message; False when it cannot be sent to this client."""
        publication, outlet, fanout = entry.publication, attachment.outlet, self._fanout
        if not fanout.may_receive(session, publication.topic):  # it was put there by other rules
            return False
        key = (publication.id, publication.qos, entry.retain)
        form = forms.get(key)
        if form is None:
            form = forms[key] = stored_message(publication, fanout.clock, entry.retain)
        if not form.renew(fanout.clock()):  # [MQTT-3.3.2-5]
            fanout.expired(1)
            return False
        if not fanout.may_receive(session, publication.topic):
            return False
        frame = form.frame(outlet.mqtt5, entry.qos)
        if entry.identifiers and outlet.mqtt5:
            frame = frame.extended(b"".join(map(pack_subscription_identifier, entry.identifiers)))
        if outlet.particular:
            if not outlet.takes(frame.size):
                self._counters.messages_dropped_size += 1
                return False
            frame = outlet.abbreviated(frame, publication.topic)
        packet_id = queue_identifier(entry.place)
        inflight.put(packet_id, FromQueue(entry.place, entry.qos))
        kept.written = entry.place
        outlet.write(frame.with_id(packet_id, entry.place <= kept.sent))
        self._counters.queue_sent += 1
        fanout.turn.spent += 1
        return True


def room(session: Session, kept: Persistence) -> bool:
    """Whether a session's client can be sent the next message now, within its window."""
    attachment = session.attachment
    if attachment is None or not attachment.outlet.ready() or attachment.spare() <= 0:
        return False
    inflight = session.window.inflight
    return inflight is None or queue_identifier(kept.read + 1) not in inflight
