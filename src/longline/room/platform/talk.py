"""`group/{group}`: what members say in groups, on its way to all of them.

It enters the pipeline as what app servers say does, in batches and in the order in which it came, and is
answered after the commit. Whether its sender is a member, the store says in the same step: who is none is
told what is told where there is no such group. The sender gets what it has said as every member does, with
its sequence.

What a session that is kept sends with QoS 2 gets its id together with its packet identifier, and enters once
under that id, also when the connection, or the room, does not live to send PUBREC.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from longline.delivery.draft import Draft
from longline.delivery.ids import MessageIds
from longline.delivery.pipeline import Pipeline
from longline.errors import (
    AppNotFound,
    Fenced,
    GroupNotFound,
    LonglineError,
    MessageRateExceeded,
    Overloaded,
    RateLimited,
    StoreError,
    Unavailable,
)
from longline.flow.batcher import Retry
from longline.model.audience import InGroup
from longline.model.groups import valid_group_name
from longline.model.messages import MAX_PAYLOAD, MAX_TTL
from longline.model.pubsub import Publication
from longline.model.times import wall_clock
from longline.model.topics import GROUP_PREFIX
from longline.mqtt.packets import Publish
from longline.mqtt.properties import Properties, PropertyId, get_int, get_str
from longline.mqtt.reasons import ReasonCode
from longline.room.counters import RoomCounters
from longline.room.intake import Intake
from longline.room.pubsub.rooms import Publisher
from longline.room.pubsub.rules import Refusal
from longline.room.push.pace import BulkPace
from longline.room.session.session import Session
from longline.room.turn import Turn
from longline.room.wire.answers import SUCCESS, Answer
from longline.saver.app_cache import AppCache
from longline.saver.port.messages import Accepted
from longline.saver.port.queues import Declined, QueuePublication, QueueStore, Received
from longline.telemetry.faults import Faults

BATCH: Final = 500  # messages
OVERHEAD: Final = 400  # bytes that one takes besides its payload
RETRY: Final = Retry(0.1, 2.0)  # s, while the store cannot be reached
PLACE: Final = "room.talk"
TEXT: Final = "text/plain;charset=utf-8"
BYTES: Final = "application/octet-stream"
LONGEST_TYPE: Final = 255  # bytes of a content type: more is none (RFC 6838, section 4.2)

ANSWERS: Final = frozenset((0x83, 0x87, 0x90, 0x97, 0x99))

NO_GROUP: Final = Refusal(
    ReasonCode.NOT_AUTHORIZED, GroupNotFound.code, "there is no such group, or the device is not a member"
)
EMPTY: Final = Refusal(
    ReasonCode.PAYLOAD_FORMAT_INVALID, "payload_empty", "a message to a group has at least one byte"
)
TOO_LARGE: Final = Refusal(
    ReasonCode.QUOTA_EXCEEDED, "payload_too_large", f"a message to a group has at most {MAX_PAYLOAD} bytes"
)


class Utterance:
    """A message that waits, and who is told: nobody, when it came with QoS 0.

    `once`: it is taken once by its packet identifier. `named`: it has the id that goes with that.
    """

    __slots__ = ("answer", "draft", "named", "once", "publisher", "session", "size", "tried")

    def __init__(
        self, publisher: Publisher, session: Session, draft: Draft, answer: Answer | None, once: bool
    ) -> None:
        self.publisher = publisher
        self.session = session
        self.draft = draft
        self.answer = answer
        self.once = once
        self.named = not once
        self.tried = 0  # the epoch under which its id was asked for last
        self.size = OVERHEAD + len(draft.payload)


class GroupTalk(Intake[Utterance]):
    """Owned by the room, which runs `run` as a task. Fulfils `Handler`. Bounds as those of `Intake`."""

    def __init__(
        self,
        pipeline: Pipeline,
        apps: AppCache,
        queues: QueueStore,
        counters: RoomCounters,
        turn: Turn,
        faults: Faults,
        pace: BulkPace,
        *,
        limit: int,
        limit_bytes: int,
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
        self._pipeline = pipeline
        self._apps = apps
        self._queues = queues
        self._counters = counters
        self._pace = pace
        self._clock = clock
        self._ids = MessageIds()

    def refusal(self, session: Session, packet: Publish) -> Refusal | None:
        if not valid_group_name(packet.topic[len(GROUP_PREFIX) :]):
            return NO_GROUP
        if not packet.payload:
            return EMPTY
        return TOO_LARGE if len(packet.payload) > MAX_PAYLOAD else None

    def take(self, publisher: Publisher, session: Session, packet: Publish, answer: Answer | None) -> None:
        if answer is None and self.full():
            self._counters.talk_lost += 1
            return
        properties = packet.properties or {}
        expiry = get_int(properties, PropertyId.MESSAGE_EXPIRY_INTERVAL)
        draft = Draft(
            audience=InGroup(packet.topic[len(GROUP_PREFIX) :]),
            payload=packet.payload,
            content_type=_content_type(properties),
            ttl=None if expiry is None else min(expiry, MAX_TTL),
            qos=min(packet.qos, 1),
            id=self._ids.make(self._clock()),
            sender=session.device,
        )
        once = answer is not None and answer.qos == 2 and session.durable
        self._take_in(Utterance(publisher, session, draft, answer, once))

    async def _carry_out(self, batch: Sequence[Utterance]) -> Sequence[Utterance]:
        """Apps side by side, the messages of each in their order. Returns those to be tried again."""
        of: dict[str, list[Utterance]] = {}
        for item in batch:
            of.setdefault(item.session.tenant.name, []).append(item)
        with self._pace.asking():
            again = await asyncio.gather(*(self._say_all(name, items) for name, items in of.items()))
        return [item for items in again for item in items]

    async def _say_all(self, name: str, items: Sequence[Utterance]) -> Sequence[Utterance]:
        """Returns those of an app that the store could not be asked about: all behind the first of these."""
        for done, run in _runs(items):
            try:
                await self._say(name, run)
            except (Unavailable, Overloaded):
                return items[done:]
            except Exception as error:
                self._faults.note(PLACE, error)
                for item in run:
                    self._tell(item, StoreError())
        return ()

    async def _say(self, name: str, run: Sequence[Utterance]) -> None:
        """A run of messages that enter together: one that is taken once comes alone."""
        first = run[0]
        if first.once and not first.named and not await self._name(first):
            return
        app = await self._apps.find(name)
        if app is None or app.number != first.session.tenant.app:
            for item in run:
                self._tell(item, AppNotFound())
            return
        key = f"group\n{first.draft.id}" if first.once else None  # no app server's key has a line feed
        try:
            sent = await self._pipeline.send(
                app, [item.draft for item in run], self._clock(), key=key, digest=b""
            )
        except (Unavailable, Overloaded):
            raise
        except MessageRateExceeded as error:
            # As many as may, in their order: they are of several members, who know nothing of each other.
            if error.left:
                await self._say(name, run[: error.left])
            for item in run[error.left :]:
                self._tell(item, error)
            return
        except LonglineError as error:
            for item in run:
                self._tell(item, error)
            return
        for item, result in zip(run, sent.results, strict=True):
            self._tell(item, None if isinstance(result, Accepted) else result)

    async def _name(self, item: Utterance) -> bool:
        """Has the store keep the id of a message by its packet identifier; False when it was answered."""
        kept, answer, session = item.session.kept, item.answer, item.session
        if kept is None or answer is None:
            item.named = True  # the session is not kept any more: nobody can send it again
            return True
        item.tried = kept.epoch
        now = self._clock()
        asked = QueuePublication(
            session.tenant.app,
            Publication(item.draft.id or "", "", b"", 2, at=now),
            now,
            session.device,
            Received(session.ordinal, kept.number, kept.epoch, answer.packet_id),
            matching=False,
        )
        (found,) = await self._queues.publish([asked])
        if isinstance(found, Declined):
            if found.code == Fenced.code and session.kept is not None and session.kept.epoch != item.tried:
                raise Unavailable  # it goes on under another epoch: again, under that
            self._tell(item, Fenced() if found.code == Fenced.code else AppNotFound())
            return False
        item.draft = _with_id(item.draft, found.id)
        item.named = True
        return True

    def _tell(self, item: Utterance, error: LonglineError | None) -> None:
        self._over(item)
        if error is None:
            self._counters.talk_stored += 1
        else:
            self._counters.talk_refused += 1
        answer = item.answer
        if answer is None or isinstance(error, Fenced):
            return  # with MQTT 3.1.1 any PUBREC says yes; the client repeats it where its session is now
        try:
            if error is None:
                item.publisher.settle(answer, SUCCESS)
            else:
                text = NO_GROUP.message if isinstance(error, GroupNotFound) else error.message
                item.publisher.report(error.code, text)
                item.publisher.settle(answer, _reason(error), text)
        except Exception as fault:
            self._faults.note(PLACE, fault)


def _reason(error: LonglineError) -> ReasonCode:
    """The reason code of PUBACK and PUBREC for an error: sections 3.4.2.1 and 3.5.2.1 know few."""
    if isinstance(error, RateLimited):
        return ReasonCode.QUOTA_EXCEEDED
    return ReasonCode(error.reason) if error.reason in ANSWERS else ReasonCode.UNSPECIFIED_ERROR


def _runs(items: Sequence[Utterance]) -> list[tuple[int, Sequence[Utterance]]]:
    """What enters together, in order, and how many are before it."""
    runs: list[tuple[int, Sequence[Utterance]]] = []
    start = 0
    for place, item in enumerate(items):
        if item.once:
            if start < place:
                runs.append((start, items[start:place]))
            runs.append((place, items[place : place + 1]))
            start = place + 1
    if start < len(items):
        runs.append((start, items[start:]))
    return runs


def _content_type(properties: Properties) -> str:
    given = get_str(properties, PropertyId.CONTENT_TYPE)
    if given and len(given.encode()) <= LONGEST_TYPE:
        return given
    return TEXT if get_int(properties, PropertyId.PAYLOAD_FORMAT_INDICATOR) == 1 else BYTES


def _with_id(draft: Draft, id: str) -> Draft:
    return Draft(
        audience=draft.audience,
        payload=draft.payload,
        content_type=draft.content_type,
        ttl=draft.ttl,
        qos=draft.qos,
        id=id,
        sender=draft.sender,
    )
