"""What devices have to tell their app servers, on its way to the store.

It goes there in batches, in the order in which it came, and is answered after the commit; while too much
waits, who sends it with QoS 1 or 2 is not read from, and what comes with QoS 0 is dropped.

What a session that is kept sends with QoS 2 is stored together with its packet identifier, so that it is
taken once also when the connection, or the room, does not live to send PUBREC.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from itertools import groupby
from typing import Final

from longline.errors import Fenced, StoreError
from longline.flow.batcher import Retry
from longline.model.events import FLEETING, Event
from longline.model.pubsub import Publication
from longline.mqtt.reasons import ReasonCode
from longline.room.counters import RoomCounters
from longline.room.intake import Intake
from longline.room.pubsub.rooms import Publisher
from longline.room.push.pace import BulkPace
from longline.room.session.session import Session
from longline.room.turn import Turn
from longline.room.wire.answers import SUCCESS, Answer
from longline.saver.port.events import EventStore
from longline.saver.port.queues import Declined, QueuePublication, QueueStore, Received
from longline.telemetry.faults import Faults

BATCH: Final = 1000  # events
OVERHEAD: Final = 400  # bytes that one takes besides its payload and what is said of it
RETRY: Final = Retry(0.1, 2.0)  # s, while the store cannot be reached
PLACE: Final = "room.upstream"
REFUSED: Final = "the store did not take it"


class Report:
    """An event that waits, and who is told: nobody, when it came with QoS 0. `once`: see above."""

    __slots__ = ("answer", "event", "id", "once", "publisher", "session", "size", "tried")

    def __init__(
        self, publisher: Publisher, session: Session, id: str, event: Event, answer: Answer | None, once: bool
    ) -> None:
        self.publisher = publisher
        self.session = session
        self.id = id
        self.event = event
        self.answer = answer
        self.once = once
        self.tried = 0  # the epoch under which it was stored last, or not
        self.size = OVERHEAD + len(event.data) + len(event.payload)


class EventWriter(Intake[Report]):
    """Owned by the room, which runs `run` as a task. `limit`: events that may wait, `limit_bytes`: theirs.

    To the store each is an event of this writer as their source, so that one which is stored again, because
    nobody heard that it was, changes nothing.
    """

    def __init__(
        self,
        store: EventStore,
        queues: QueueStore,
        counters: RoomCounters,
        turn: Turn,
        faults: Faults,
        pace: BulkPace,
        *,
        limit: int,
        limit_bytes: int,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__(
            PLACE,
            turn,
            faults,
            limit=limit,
            limit_bytes=limit_bytes,
            batch=BATCH,
            retry=RETRY,
            sleep=sleep,
        )
        self._store = store
        self._queues = queues
        self._counters = counters
        self._pace = pace
        self._source = FLEETING + secrets.token_hex(8)
        self._sequence = 0

    def add(
        self,
        publisher: Publisher,
        session: Session,
        kind: str,
        id: str,
        at: int,
        data: bytes,
        payload: bytes,
        answer: Answer | None,
    ) -> None:
        """Takes an event in; `publisher.settle` is told what became of it.

        One without an answer is dropped when there is no room for it; any other is taken also when it is one
        too many.
        """
        if answer is None and self.full():
            self._counters.upstream_lost += 1
            return
        once = answer is not None and answer.qos == 2 and session.durable
        source, sequence = "", 0
        if not once:
            self._sequence += 1
            source, sequence = self._source, self._sequence
        event = Event(session.tenant.app, kind, session.device, at, data, source, sequence, payload=payload)
        report = Report(publisher, session, id, event, answer, once)
        self._take_in(report)

    async def _carry_out(self, batch: Sequence[Report]) -> Sequence[Report]:
        """Returns those that are to be tried again, under the epoch that their sessions have by now."""
        codes: list[str] = []
        for once, group in groupby(batch, lambda report: report.once):
            some = list(group)
            codes += await self._ask(
                self._taken if once else self._stored, some, lambda error: StoreError.code
            )
        again: list[Report] = []
        for report, code in zip(batch, codes, strict=True):
            if code == Fenced.code and _renamed(report):
                again.append(report)
                continue
            self._over(report)
            try:
                self._tell(report, code)
            except Exception as error:
                self._faults.note(PLACE, error)
        return again

    async def _stored(self, batch: Sequence[Report]) -> list[str]:
        """Has the store take them; the code of what kept it from it, for each, or nothing."""
        with self._pace.asking():
            await self._store.append([report.event for report in batch])
        return [""] * len(batch)

    async def _taken(self, batch: Sequence[Report]) -> list[str]:
        """The same for those that are to be taken once."""
        with self._pace.asking():
            answers = await self._queues.publish([_asked(report) for report in batch])
        return [answer.code if isinstance(answer, Declined) else "" for answer in answers]

    def _tell(self, report: Report, code: str) -> None:
        if code:
            self._counters.upstream_refused += 1
        else:
            self._counters.upstream_stored += 1
            report.session.tenant.traffic.upstream += 1
        if report.answer is None or code == Fenced.code:
            return  # with MQTT 3.1.1 any PUBREC says yes; the client repeats it where its session is now
        if code:
            report.publisher.report(code, REFUSED)
            report.publisher.settle(report.answer, ReasonCode.UNSPECIFIED_ERROR, REFUSED)
        else:
            report.publisher.settle(report.answer, SUCCESS)


def _asked(report: Report) -> QueuePublication:
    event, session = report.event, report.session
    publication = Publication(report.id, "", b"", 2, at=event.at)
    received = None
    kept, answer = session.kept, report.answer
    if kept is not None and answer is not None:
        report.tried = kept.epoch
        received = Received(session.ordinal, kept.number, kept.epoch, answer.packet_id)
    return QueuePublication(event.app, publication, event.at, session.device, received, event=event)


def _renamed(report: Report) -> bool:
    """Whether the session goes on under another epoch since."""
    kept = report.session.kept
    return kept is not None and kept.epoch != report.tried
