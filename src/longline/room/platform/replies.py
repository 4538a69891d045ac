"""`reply/{message_id}`: what devices answer to calls, on its way to who waits for it.

It goes to the store in batches, where whoever has the caller finds it. An answer that nobody waits for, or
not any more, is dropped and counted, and its device is told in MQTT 5 that there is nobody.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from longline.flow.batcher import Retry
from longline.model.messages import MAX_PAYLOAD
from longline.model.times import wall_clock
from longline.mqtt.packets import Publish
from longline.mqtt.reasons import ReasonCode
from longline.room.counters import RoomCounters
from longline.room.intake import Intake
from longline.room.pubsub.rooms import Publisher
from longline.room.pubsub.rules import Refusal
from longline.room.push.pace import BulkPace
from longline.room.session.session import Session
from longline.room.turn import Turn
from longline.room.wire.answers import NO_SUBSCRIBERS, SUCCESS, Answer
from longline.saver.port.calls import CallResult, CallStore
from longline.telemetry.faults import Faults

BATCH: Final = 500  # answers
RETRY: Final = Retry(0.1, 2.0)  # s, while the store cannot be reached
OVERHEAD: Final = 400  # bytes that an answer takes besides its payload
PLACE: Final = "room.replies"

TOO_LARGE: Final = Refusal(
    ReasonCode.QUOTA_EXCEEDED, "payload_too_large", f"an answer has at most {MAX_PAYLOAD} bytes"
)


class CallReply:
    """An answer that waits, and who is told: nobody, when it came with QoS 0."""

    __slots__ = ("answer", "publisher", "said", "size")

    def __init__(self, publisher: Publisher, said: CallResult, answer: Answer | None) -> None:
        self.publisher = publisher
        self.said = said
        self.answer = answer
        self.size = OVERHEAD + len(said.payload)


class CallReplies(Intake[CallReply]):
    """Fulfils `Handler`. Owned by the room, which runs `run` as a task.

    `limit` answers may wait, and `limit_bytes` of them.
    """

    def __init__(
        self,
        store: CallStore,
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
        self._store = store
        self._counters = counters
        self._pace = pace
        self._clock = clock

    def refusal(self, session: Session, packet: Publish) -> Refusal | None:
        return TOO_LARGE if len(packet.payload) > MAX_PAYLOAD else None

    def take(self, publisher: Publisher, session: Session, packet: Publish, answer: Answer | None) -> None:
        if answer is None and self.full():
            self._counters.replies_lost += 1
            return
        id = packet.topic.partition("/")[2]
        said = CallResult(session.tenant.app, id, session.ordinal, packet.payload, self._clock())
        self._take_in(CallReply(publisher, said, answer))

    async def _carry_out(self, batch: Sequence[CallReply]) -> None:
        given = await self._ask(self._give, batch, lambda error: False)
        for reply, wanted in zip(batch, given, strict=True):
            self._over(reply)
            if wanted:
                self._counters.replies_taken += 1
            else:
                self._counters.replies_unwanted += 1
            try:
                if reply.answer is not None:
                    reply.publisher.settle(reply.answer, SUCCESS if wanted else NO_SUBSCRIBERS)
            except Exception as error:
                self._faults.note(PLACE, error)

    async def _give(self, batch: Sequence[CallReply]) -> Sequence[bool]:
        """Whether somebody waits for each."""
        with self._pace.asking():
            return await self._store.answer([reply.said for reply in batch])
