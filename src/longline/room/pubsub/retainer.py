"""What devices publish with RETAIN, on its way to the store.

A publication reaches those who subscribe now without waiting for this. It joins a queue that goes to the
store in batches, in order: so a topic is left with the message that was published last. One with QoS 1 or 2
is answered after the commit; when the queue is full, its publisher is not read from. One with QoS 0 is
dropped then, and counted: the topic keeps what it had.

Whoever looks in the store for what is retained comes here first (`settled`): what was published in this room
before is to be found.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from longline.delivery.ids import MessageIds
from longline.errors import LonglineError, StoreError
from longline.flow.batcher import Batcher, Retry
from longline.model.pubsub import Publication
from longline.model.times import wall_clock
from longline.mqtt.packets import Publish
from longline.mqtt.properties import MESSAGE_EXPIRY, get_int, pack_message_properties
from longline.mqtt.reasons import ReasonCode
from longline.room.counters import RoomCounters
from longline.room.pubsub.rooms import Publisher
from longline.room.push.frames import forwarded
from longline.room.session.session import Session
from longline.room.turn import Turn
from longline.room.wire.answers import OWED, Answer
from longline.saver.port.retained import Retain, RetainedStore
from longline.telemetry.faults import Faults

BATCH: Final = 500  # messages
MESSAGES: Final = 20_000  # that may wait, and their
BYTES: Final = 16 * 1024 * 1024
OVERHEAD: Final = 300  # bytes that one takes besides its topic, payload and properties
RETRY: Final = Retry(0.1, 2.0)  # s, while the store cannot be reached
PATIENCE: Final = 1.0  # s that a look into the store waits for what is under way there

REFUSED: Final = "retained_quota_exceeded"  # in the log and the metrics


class Keeping:
    """A publication to be kept, and who is told; `answer` is None for QoS 0. `size` in bytes."""

    __slots__ = ("answer", "publisher", "retain", "size")

    def __init__(self, retain: Retain, publisher: Publisher, answer: Answer | None) -> None:
        publication = retain.publication
        self.retain = retain
        self.publisher = publisher
        self.answer = answer
        self.size = OVERHEAD + len(publication.topic) + len(publication.payload) + len(publication.properties)


class Retainer:
    """Owned by the room, which runs `run` as a task."""

    def __init__(
        self,
        store: RetainedStore,
        counters: RoomCounters,
        turn: Turn,
        faults: Faults,
        *,
        limit: int = MESSAGES,
        limit_bytes: int = BYTES,
        clock: Callable[[], int] = wall_clock,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._counters = counters
        self._turn = turn
        self._faults = faults
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._clock = clock
        self._sleep = sleep
        self._ids = MessageIds()
        self._count = 0  # messages that wait, and
        self._size = 0  # their bytes
        self._queue: Batcher[Keeping] = Batcher(
            "room.retained", self._keep, faults=faults, limit=1 << 30, batch=BATCH, retry=RETRY, sleep=sleep
        )
        self._held_up: list[Callable[[], None]] = []  # at most one a connection

    def waiting(self) -> int:
        """How many the store does not have yet."""
        return self._count

    def full(self) -> bool:
        """Whether a message should be dropped, or its publisher wait."""
        return self._size >= self._limit_bytes or self._count >= self._limit

    def hold_up(self, go_on: Callable[[], None]) -> None:
        """Has a publisher go on when there is room again."""
        self._held_up.append(go_on)

    def keep(self, publisher: Publisher, session: Session, packet: Publish, answer: Answer | None) -> str:
        """Takes a device's publication in, also when it is one too many; returns the id that it gets.

        `publisher.settle` is told when it is committed; nothing becomes of one with QoS 0 while it is full.
        """
        now = self._clock()
        properties = forwarded(packet.properties)
        left = get_int(properties, MESSAGE_EXPIRY)
        if properties is not None and left is not None:
            properties = {name: value for name, value in properties.items() if name != MESSAGE_EXPIRY}
        publication = Publication(
            id=self._ids.make(now),
            topic=packet.topic,
            payload=packet.payload,
            qos=packet.qos,
            retain=True,
            properties=pack_message_properties(properties),
            at=now,
            expires_at=0 if left is None else now + 1000 * left,
            sender=session.device,
        )
        if answer is None and self.full():
            self._counters.retained_lost += 1
        else:
            keeping = Keeping(Retain(session.tenant.app, publication, now), publisher, answer)
            self._count += 1
            self._size += keeping.size
            self._queue.add(keeping)
        return publication.id

    async def finished(self) -> None:
        """Returns when everything taken in so far is in the store."""
        await self._queue.settled()

    async def settled(self) -> None:
        """The same, unless it takes longer than `PATIENCE`."""
        if len(self._queue):
            alarm = asyncio.ensure_future(self._sleep(PATIENCE))
            settled = asyncio.ensure_future(self.finished())
            try:
                await asyncio.wait({alarm, settled}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                alarm.cancel()
                settled.cancel()

    async def run(self) -> None:
        """Works for as long as the room lives."""
        await self._queue.run()

    async def _keep(self, batch: Sequence[Keeping]) -> None:
        codes = await self._codes(batch)
        self._count -= len(batch)
        self._size -= sum(keeping.size for keeping in batch)
        for keeping, code in zip(batch, codes, strict=True):
            try:
                self._tell(keeping, code)
            except Exception as error:
                self._faults.note("room.retained", error)
        if self._held_up and not self.full():
            held_up, self._held_up = self._held_up, []
            for go_on in held_up:
                self._turn.later(go_on)

    async def _codes(self, batch: Sequence[Keeping]) -> Sequence[str | None]:
        """What the store says of each. Raises what says that all of them are to be tried again."""
        try:
            return await self._store.keep([keeping.retain for keeping in batch])
        except Exception as error:
            if isinstance(error, LonglineError) and error.retryable:
                raise
            if len(batch) == 1:
                self._faults.note("room.retained", error)
                return [StoreError.code]
        # Something is wrong with one of them: the others are kept by themselves.
        return [code for keeping in batch for code in await self._codes([keeping])]

    def _tell(self, keeping: Keeping, code: str | None) -> None:
        reason, message = OWED, ""  # nothing against what is said of its receivers
        if code is None:
            self._counters.retained_kept += 1
        else:
            self._counters.retained_refused += 1
            reason, message = ReasonCode.UNSPECIFIED_ERROR, "the message could not be retained"
            if code == "quota_exceeded":
                reason, message = ReasonCode.QUOTA_EXCEEDED, "the app has as many retained messages as it may"
                keeping.publisher.report(REFUSED, message)
        if keeping.answer is not None:
            keeping.publisher.settle(keeping.answer, reason, message)
