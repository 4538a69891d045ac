"""Publications with QoS 1 and 2 on their way to the queues of sessions that are kept.

They reach who subscribes now without this, but for what sessions that are kept publish with QoS 2
(`withheld.py`). They go to the store in batches, in the order of publication, and are answered after the
commit; when the queue is full, publishers are not read from. The rooms of those in whose queues they are then
are told that there is something to read.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple, Protocol

from msgspec.structs import replace

from longline.delivery.ids import MessageIds
from longline.errors import Fenced, StoreError, TopicTooCostly
from longline.flow.batcher import Retry
from longline.model.pubsub import Publication
from longline.model.times import wall_clock
from longline.mqtt.packets import Publish
from longline.mqtt.reasons import ReasonCode
from longline.room.counters import RoomCounters
from longline.room.intake import Intake
from longline.room.kept.news import News
from longline.room.pubsub.groups import ForQueues, HeldForGroup
from longline.room.pubsub.message import FanoutMessage
from longline.room.pubsub.publications import publication
from longline.room.pubsub.rooms import Publisher
from longline.room.pubsub.shared import Groups
from longline.room.push.pace import BulkPace
from longline.room.session.session import Session
from longline.room.turn import Turn
from longline.room.wire.answers import NO_SUBSCRIBERS, QUOTA_EXCEEDED, SUCCESS, Answer
from longline.saver.port.queues import (
    Declined,
    Given,
    GroupChoice,
    Published,
    QueuePublication,
    QueueStore,
    Received,
)
from longline.telemetry.faults import Faults

BATCH: Final = 500  # messages
MESSAGES: Final = 20_000  # that may wait, and their
BYTES: Final = 16 * 1024 * 1024
OVERHEAD: Final = 300  # bytes that one takes besides its topic, payload and properties
RETRY: Final = Retry(0.1, 2.0)  # s, while the store cannot be reached
PLACE: Final = "room.deposits"


class Follower(Protocol):
    """Who waits for the commit of a publication."""

    def committed(self, groups: Sequence[str]) -> None:
        """The store has it, and has found sessions for these groups."""


class Replayed(NamedTuple):
    """A retained message for a new subscription of a session, with what the subscription asks for."""

    session: Session
    message: FanoutMessage
    qos: int
    identifier: int


class Deposit:
    """A publication on its way to queues, of sessions that groups have chosen, the `given` ones, and, where
    it comes from `session`, of all whose filters match. `queues` says for which groups the store is to
    choose; or `groups` names them.

    `publisher` is told with `answer`, where anybody waits for it. `packet_id`: that of one which is to be
    exactly once, else 0; `withheld` hears when it is committed. `taken`: somebody has it already.
    `replayed`: it is retained, and for one session.
    """

    __slots__ = (
        "answer",
        "app",
        "given",
        "groups",
        "packet_id",
        "publication",
        "publisher",
        "queues",
        "replayed",
        "session",
        "size",
        "taken",
        "tried",
        "withheld",
    )

    def __init__(self, app: int, publication: Publication, given: list[HeldForGroup]) -> None:
        self.app = app
        self.publication = publication
        self.given = given
        self.queues: ForQueues | None = None
        self.groups: list[str] = []
        self.publisher: Publisher | None = None
        self.answer: Answer | None = None
        self.session: Session | None = None
        self.replayed: Replayed | None = None
        self.packet_id = 0
        self.taken = False
        self.withheld: Follower | None = None
        self.tried = 0  # the epoch under which it was asked for last
        size = len(publication.topic) + len(publication.payload) + len(publication.properties)
        self.size = OVERHEAD + size


class Deposits(Intake[Deposit]):
    """One for a room."""

    def __init__(
        self,
        store: QueueStore,
        news: News,
        shares: Groups,
        counters: RoomCounters,
        turn: Turn,
        faults: Faults,
        pace: BulkPace,
        *,
        limit: int = MESSAGES,
        limit_bytes: int = BYTES,
        clock: Callable[[], int] = wall_clock,
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
        self._shares = shares
        self._store = store
        self._news = news
        self._counters = counters
        self._pace = pace
        self._clock = clock
        self._ids = MessageIds()
        # Writes a retained message to its session's connection, where the queue does not take it.
        self.replay_directly: Callable[[Session, FanoutMessage, int, int], None] | None = None

    def replay(self, session: Session, message: FanoutMessage, qos: int, identifier: int) -> bool:
        """Takes in what is retained, for a session that is kept; False when too much waits."""
        kept = session.kept
        if kept is None or not kept.number or self.full():
            return False
        now = self._clock()
        kept.replaying += 1
        retained = publication(message.packet, self._ids.make(now), now, "")
        if message.ends:
            retained = replace(retained, expires_at=message.ends)
        deposit = Deposit(session.tenant.app, retained, [])
        deposit.replayed = Replayed(session, message, qos, identifier)
        self._take_in(deposit)
        return True

    def add(self, publisher: Publisher, session: Session, packet: Publish, answer: Answer) -> Deposit:
        """Takes a publication in, also when it is one too many; `publisher.settle` is told what became of it.

        One with QoS 2 from a session that is kept is taken once, also by the store. What groups have for
        queues may be added to `queues` in the same step.
        """
        now = self._clock()
        message = publication(packet, self._ids.make(now), now, session.device)
        deposit = Deposit(session.tenant.app, message, [])
        deposit.publisher = publisher
        deposit.answer = answer
        deposit.session = session
        deposit.queues = ForQueues(deposit.given)
        deposit.packet_id = packet.packet_id if packet.qos == 2 and session.durable else 0
        self._take_in(deposit)
        return deposit

    def give(self, held: HeldForGroup) -> bool:
        """Takes in what a group has for a member's queue, and nobody waits for; False when it is full."""
        if self.full():
            return False
        now = self._clock()
        message = publication(held.message.packet, self._ids.make(now), now, "")
        if held.message.ends:
            message = replace(message, expires_at=held.message.ends)
        self._take_in(Deposit(held.group.app, message, [held]))
        return True

    def leave(self, app: int, message: FanoutMessage, group: str | None, served: list[str]) -> bool:
        """Has the store choose who gets a message, for a group, or for all but the `served` ones."""
        if self.full():
            return False
        now = self._clock()
        left = publication(message.packet, self._ids.make(now), now, "")
        if message.ends:
            left = replace(left, expires_at=message.ends)
        deposit = Deposit(app, left, [])
        if group is not None:
            deposit.groups = [group]
        else:
            deposit.queues = ForQueues(deposit.given)
            deposit.queues.served = served
        self._take_in(deposit)
        return True

    async def _carry_out(self, batch: Sequence[Deposit]) -> Sequence[Deposit]:
        """Returns those that are to be tried again, under the epoch that their sessions have by now."""
        answers = await self._ask(self._publish, batch, lambda error: Declined(StoreError.code))
        again = [
            deposit
            for deposit, answer in zip(batch, answers, strict=True)
            if isinstance(answer, Declined) and answer.code == Fenced.code and _renamed(deposit)
        ]
        for deposit, answer in zip(batch, answers, strict=True):
            if deposit in again:
                continue
            self._over(deposit)
            try:
                self._tell(deposit, answer)
            except Exception as error:
                self._faults.note(PLACE, error)
        return again

    async def _publish(self, batch: Sequence[Deposit]) -> Sequence[Published | Declined]:
        with self._pace.asking():
            return await self._store.publish([_asked(deposit) for deposit in batch])

    def _tell(self, deposit: Deposit, answer: Published | Declined) -> None:
        counters = self._counters
        if deposit.replayed is not None:
            self._replayed(deposit, deposit.replayed, answer)
            return
        if isinstance(answer, Declined):
            self._declined(deposit, answer)
            return
        counters.deposits += len(answer.queued)
        counters.queues_full += answer.full
        if answer.queued:
            self._news.add(deposit.app, answer.queued)
        # Under an id that is not its own, it is one that was distributed before.
        if deposit.withheld is not None and answer.id == deposit.publication.id:
            deposit.withheld.committed(answer.groups)
        taken = deposit.taken or bool(answer.queued) or answer.again
        if not answer.again:
            self._count_dropped(deposit, answer)
        if deposit.given and not answer.again:
            given: list[HeldForGroup] = []
            groups: list[str] = []
            for held in self._refused(deposit, answer):
                queues = len(given)
                if not self._shares.refused(held, given):
                    if held.left is None:
                        groups.append(held.group.key)
                elif len(given) == queues:
                    taken = True
            if given or groups:
                follows = Deposit(deposit.app, deposit.publication, given)
                follows.groups = groups
                follows.publisher, follows.answer, follows.taken = deposit.publisher, deposit.answer, taken
                self._take_in(follows)
                return
        _settle(deposit, SUCCESS if taken else QUOTA_EXCEEDED if answer.full else NO_SUBSCRIBERS)

    def _declined(self, deposit: Deposit, answer: Declined) -> None:
        self._counters.deposits_refused += 1
        if deposit.packet_id and answer.code == Fenced.code:
            return  # its client repeats it to the connection that has the session now; this one ends
        reason, message = ReasonCode.UNSPECIFIED_ERROR, "the message could not be queued"
        if answer.code == TopicTooCostly.code:
            reason, message = ReasonCode.QUOTA_EXCEEDED, "too many subscriptions match the topic"
        if deposit.publisher is not None:
            deposit.publisher.report(answer.code, message)
        _settle(deposit, reason, message)

    def _count_dropped(self, deposit: Deposit, answer: Published) -> None:
        """Groups of which neither a room nor the store has anybody who can take the message."""
        asked = deposit.groups if deposit.queues is None else deposit.queues.unserved
        self._counters.shared_dropped += len(asked) - len(set(asked) & set(answer.groups))
        self._counters.shared_away += len(answer.groups)

    def _replayed(self, deposit: Deposit, replayed: Replayed, answer: Published | Declined) -> None:
        session, message, qos, identifier = replayed
        kept = session.kept
        if isinstance(answer, Published) and answer.queued:
            self._counters.deposits += 1
            if kept is not None:
                if kept.replayed is None:
                    kept.replayed = set()
                kept.replayed.add(answer.queued[0].place)
            self._news.add(deposit.app, answer.queued)
            return
        if kept is not None:
            kept.replaying -= 1
        if self.replay_directly is not None:  # the queue is full: as long as the connection lasts
            self.replay_directly(session, message, qos, identifier)

    def _refused(self, deposit: Deposit, answer: Published) -> list[HeldForGroup]:
        """What of a publication has not entered the queues that groups had chosen; of the rest, they hear."""
        places: dict[int, deque[int]] = {}
        for queued in answer.queued:
            places.setdefault(queued.ordinal, deque()).append(queued.place)
        refused = []
        for held in deposit.given:
            found = places.get(held.session.ordinal)
            if found:
                self._shares.queued(held, found.popleft())
            else:
                refused.append(held)
        return refused


def _settle(deposit: Deposit, reason: int, message: str = "") -> None:
    if deposit.publisher is not None and deposit.answer is not None:
        deposit.publisher.settle(deposit.answer, reason, message)


def _asked(deposit: Deposit) -> QueuePublication:
    session = deposit.session
    received = None
    kept = None if session is None else session.kept
    if deposit.packet_id and session is not None and kept is not None:
        deposit.tried = kept.epoch
        received = Received(session.ordinal, kept.number, kept.epoch, deposit.packet_id)
    given = tuple([_given(held) for held in deposit.given])
    if deposit.replayed is not None:
        to, _, qos, identifier = deposit.replayed
        given = (Given(to.ordinal, 0 if to.kept is None else to.kept.number, qos, True, identifier),)
    shares: GroupChoice | None = None
    queues = deposit.queues
    if deposit.groups:
        shares = GroupChoice(only=tuple(deposit.groups))
    elif queues is not None and queues.asks:
        shares = GroupChoice(served=tuple(queues.served))
    elif queues is not None and queues.unserved:
        shares = GroupChoice(only=tuple(queues.unserved))
    return QueuePublication(
        deposit.app,
        deposit.publication,
        deposit.publication.at,
        None if session is None else session.device,
        received,
        given,
        session is not None,
        shares=shares,
    )


def _given(held: HeldForGroup) -> Given:
    kept = held.session.kept
    number = 0 if kept is None else kept.number
    return Given(held.session.ordinal, number, held.qos, held.message.retain, held.identifier, held.group.key)


def _renamed(deposit: Deposit) -> bool:
    """Whether the session goes on under another epoch since."""
    kept = None if deposit.session is None else deposit.session.kept
    return kept is not None and kept.epoch != deposit.tried
