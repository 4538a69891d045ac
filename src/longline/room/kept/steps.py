"""How far messages from queues have got, on its way to the store in batches.

PUBACK and PUBCOMP settle a message. PUBREC releases it, and PUBREL follows when that is committed: a client
that may have completed a message is never sent it again. PUBREL ends a packet identifier of the client's own,
and PUBCOMP follows: only then may the client use it for another message.

What was written, and has no answer by the time that it is this session's turn here, or when its connection
ends, is noted: the next connection gets it marked as a duplicate.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from longline.errors import LonglineError
from longline.flow.batcher import Batcher, Retry
from longline.room.push.pace import BulkPace
from longline.room.session.inflight import queue_identifier
from longline.room.session.session import Session
from longline.saver.port.queues import Complete, QueueStore, Settle, Step
from longline.telemetry.faults import Faults

LIMIT: Final = 1 << 30  # bounded by what is in flight: at most a window for each session
BATCH: Final = 1000
RETRY: Final = Retry(0.2, 5.0)


class Stepping(Protocol):
    """A client whose next packet waits for the store."""

    def released(self, session: Session, packet_id: int) -> None:
        """The store knows that the client has a message with QoS 2 from its queue."""

    def completed(self, packet_id: int) -> None:
        """The store has forgotten a packet identifier of the client's."""


class StepTaken(NamedTuple):
    """A step, and who is told when it is committed. None: a note of what is unanswered by then."""

    step: Settle | Complete | None
    session: Session
    client: Stepping | None = None


class Steps:
    """Owned by the room, which runs `run` as a task. `delay` in seconds."""

    def __init__(self, store: QueueStore, faults: Faults, pace: BulkPace, *, delay: float) -> None:
        self._store = store
        self._faults = faults
        self._pace = pace
        self._unnoted: set[Session] = set()  # written to, and not looked at yet
        # Told of who may be given more that is retained.
        self.replayed: Callable[[Session], None] | None = None
        self._gathered: Batcher[StepTaken] = Batcher(
            "room.steps", self._take, faults=faults, limit=LIMIT, batch=BATCH, retry=RETRY, delay=delay
        )

    def waiting(self) -> int:
        """How many the store does not have yet."""
        return len(self._gathered)

    def written(self, session: Session) -> None:
        """Messages from the queue were written to a session's connection."""
        if session not in self._unnoted:
            self._unnoted.add(session)
            self._gathered.add(StepTaken(None, session))

    def settled(self, session: Session, place: int) -> None:
        """A message has had its last answer, or cannot be sent."""
        self._add(session, place, Step.SETTLED)

    def released(self, client: Stepping, session: Session, place: int) -> None:
        """PUBREC has come; `client.released` is told when that is committed."""
        self._add(session, place, Step.RELEASED, client)

    def completed(self, client: Stepping, session: Session, packet_id: int) -> None:
        """PUBREL has come; `client.completed` is told when the identifier is forgotten."""
        kept = session.kept
        if kept is not None:
            step = Complete(session.tenant.app, session.ordinal, kept.number, packet_id)
            self._gathered.add(StepTaken(step, session, client))

    def note(self, session: Session) -> None:
        """Notes what was written to a session's connection, which ends, if any of it has no answer."""
        noted = self._noted(session)
        if noted is not None:
            self._gathered.add(StepTaken(noted, session))

    def _noted(self, session: Session) -> Settle | None:
        kept, inflight = session.kept, session.window.inflight
        if kept is None or inflight is None or kept.written <= kept.sent or not inflight.unanswered():
            return None
        kept.sent = kept.written
        return Settle(session.tenant.app, session.ordinal, kept.number, kept.written, Step.SENT)

    async def finished(self) -> None:
        """Returns when every step taken in so far is committed."""
        await self._gathered.settled()

    async def run(self) -> None:
        """Commits what is gathered, for as long as the room lives."""
        await self._gathered.run()

    def _add(self, session: Session, place: int, step: Step, client: Stepping | None = None) -> None:
        kept = session.kept
        if kept is not None:
            if kept.given is not None and kept.given.pop(place, None) is not None and not kept.given:
                kept.given = None
            if kept.replayed is not None and place in kept.replayed:
                kept.replayed.discard(place)
                kept.replaying -= 1
                if not kept.replayed:
                    kept.replayed = None
                    if self.replayed is not None:
                        self.replayed(session)
            settle = Settle(session.tenant.app, session.ordinal, kept.number, place, step)
            self._gathered.add(StepTaken(settle, session, client))

    async def _take(self, batch: Sequence[StepTaken]) -> None:
        settles = [taken.step for taken in batch if isinstance(taken.step, Settle)]
        completes = [taken.step for taken in batch if isinstance(taken.step, Complete)]
        noting = {session: session.kept for step, session, _ in batch if step is None}
        before = {kept: kept.sent for kept in noting.values() if kept is not None}
        for session in noting:
            self._unnoted.discard(session)
            noted = self._noted(session)
            if noted is not None:
                settles.append(noted)
        try:
            with self._pace.asking():
                if settles:
                    await self._store.settle(settles)
                if completes:
                    await self._store.complete(completes)
        except Exception as error:
            for kept, sent in before.items():
                kept.sent = sent
            if len(batch) > 1 or (isinstance(error, LonglineError) and error.retryable):  # it is done again
                self._unnoted.update(noting)
            raise
        self._tell(batch)

    def _tell(self, batch: Sequence[StepTaken]) -> None:
        """These are committed."""
        for step, session, client in batch:
            if client is None:
                continue
            try:
                if isinstance(step, Settle):
                    client.released(session, queue_identifier(step.place))
                elif isinstance(step, Complete):
                    client.completed(step.packet_id)
            except Exception as error:
                self._faults.note("room.steps", error)
