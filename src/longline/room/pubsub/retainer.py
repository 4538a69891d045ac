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
from longline.errors import StoreError
from longline.flow.batcher import Retry
from longline.model.times import wall_clock
from longline.mqtt.packets import Publish
from longline.mqtt.reasons import ReasonCode
from longline.room.counters import RoomCounters
from longline.room.intake import Intake
from longline.room.pubsub.publications import publication
from longline.room.pubsub.rooms import Publisher
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
PLACE: Final = "room.retained"
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


class Retainer(Intake[Keeping]):
    """One for a room."""

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
        self._clock = clock
        self._sleep = sleep
        self._ids = MessageIds()

    def name(self) -> str:
        """An id for a publication that is to be kept."""
        return self._ids.make(self._clock())

    def keep(
        self,
        publisher: Publisher,
        session: Session,
        packet: Publish,
        answer: Answer | None,
        id: str,
        at: int = 0,
    ) -> None:
        """Takes a device's publication in, also when it is one too many; it came `at` (ms), 0: now.

        `publisher.settle` is told when it is committed; nothing becomes of one with QoS 0 while it is full.
        """
        now = self._clock()
        kept = publication(packet, id, at or now, session.device)
        if answer is None and self.full():
            self._counters.retained_lost += 1
        else:
            limits = session.tenant.limits
            most, most_bytes = limits.retained_messages or 0, limits.retained_bytes or 0
            retain = Retain(session.tenant.app, kept, now, most, most_bytes)
            self._take_in(Keeping(retain, publisher, answer))

    async def settled(self) -> None:
        """Returns when everything taken in so far is in the store, unless it takes longer than `PATIENCE`."""
        if len(self._queue):
            alarm = asyncio.ensure_future(self._sleep(PATIENCE))
            settled = asyncio.ensure_future(self.finished())
            try:
                await asyncio.wait({alarm, settled}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                alarm.cancel()
                settled.cancel()

    async def _carry_out(self, batch: Sequence[Keeping]) -> None:
        codes = await self._ask(self._keep, batch, lambda error: StoreError.code)
        for keeping in batch:
            self._over(keeping)
        for keeping, code in zip(batch, codes, strict=True):
            try:
                self._tell(keeping, code)
            except Exception as error:
                self._faults.note(PLACE, error)

    async def _keep(self, batch: Sequence[Keeping]) -> Sequence[str | None]:
        """The code of what kept the store from keeping each, if anything did."""
        return await self._store.keep([keeping.retain for keeping in batch])

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
