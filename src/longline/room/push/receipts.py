"""Gathers what devices have taken, and tells the store in batches.

A receipt waits at most `delay` for company. The bound is `limit` receipts; beyond it the newest are
forgotten and counted, which costs a repeated delivery later and never a loss. "Written to the
connection" is progress, not outcome: it waits a second, and is dropped when the acknowledgement
overtakes it, so a device that acknowledges promptly costs one write and not two; unless somebody looks. While
the store is late it waits for longer: then devices are late, too, and twice the work would make both later.

How many are settled together is as the store has time: all rooms come at once after a broadcast, and what it
cannot do before their deadline would be asked of it again.
"""

from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final, Literal

from longline.flow.batcher import Batcher, Retry
from longline.flow.line import Portion
from longline.model.ledger import State
from longline.model.times import wall_clock
from longline.room.counters import RoomCounters
from longline.room.push.pace import LATE, BulkPace
from longline.room.push.sent import SentPush
from longline.room.session.session import Session
from longline.saver.port.inboxes import InboxStore, Receipt
from longline.telemetry.faults import Faults
from longline.telemetry.traces import Tracer, now_ns

NOTE_AFTER: Final = 1000  # ms until an unacknowledged push is noted as sent
NOTE_LATE: Final = 20_000  # ms, while the store is late
LOOK_BACK: Final = 20_000  # pushes that are gone through when somebody looks; the tick finds older ones
NOTE_AT_ONCE: Final = 1000  # of them that are noted then
RETRY: Final = Retry(0.2, 5.0)
MOST: Final = 20_000  # receipts settled together
FIRST: Final = 500  # and at first; fewer only where the store is slow with these
LEAST: Final = 64
TARGET: Final = 0.25  # s that the store may take for them
TAKEN: Final = State.ACKED


class Receipts:
    """Owned by the room, which runs `run` as a task. Nothing else here waits, but `settled`.

    `delay` in seconds. The outcomes of `Pushes` come here.
    """

    def __init__(
        self,
        store: InboxStore,
        counters: RoomCounters,
        faults: Faults,
        pace: BulkPace,
        *,
        delay: float,
        limit: int,
    ) -> None:
        self._store = store
        self._pace = pace
        self._counters = counters
        self._limit = limit
        self._gathered: Batcher[Receipt] = Batcher(
            "room.receipts",
            self._settle_all,
            faults=faults,
            limit=limit,
            batch=Portion(MOST, LEAST, TARGET, FIRST),
            retry=RETRY,
            delay=delay,
        )
        self._unnoted: deque[SentPush] = deque()
        self.tracer: Tracer | None = None
        self.unanswered: Callable[[Session], None] | None = None  # told of who leaves pushes unacknowledged

    @property
    def delay(self) -> float:
        """Seconds that a receipt waits for company."""
        return self._gathered.delay

    @delay.setter
    def delay(self, delay: float) -> None:
        self._gathered.delay = delay

    def acknowledged(self, push: SentPush) -> None:
        """A device took a push."""
        push.noted = True
        if self.tracer is not None:
            self._trace("ack", push)
        if not self._gathered.add(push.receipt(TAKEN, wall_clock())):
            self._counters.receipts_lost = self._gathered.lost

    def written(self, push: SentPush) -> None:
        """A push was written; noted after a while unless it is acknowledged first."""
        if len(self._unnoted) >= self._limit:
            self._note(self._unnoted.popleft())
        self._unnoted.append(push)
        if self.tracer is not None:
            self._trace("write", push)

    def _trace(self, step: Literal["write", "ack"], push: SentPush) -> None:
        assert self.tracer is not None
        if self.tracer.traces(push.message_id):
            device, now = push.session.device, now_ns()
            about = {"longline.device": device}
            begin = now if step == "write" else push.sent_at * 1_000_000
            self.tracer.add(step, push.message_id, begin, now, about, device=device)

    def dropped(self, session: Session, position: int, broadcast: bool, reason: str) -> None:
        """A push will not be written to this device."""
        app, ordinal = session.tenant.app, session.ordinal
        self._add(
            Receipt(app, ordinal, position, broadcast, State.DROPPED, wall_clock(), 0, reason, session.epoch)
        )

    def note(self, app: int) -> None:
        """Notes the latest that was written to an app's devices: somebody looks at what became of it."""
        noted = 0
        for push in islice(reversed(self._unnoted), LOOK_BACK):
            if not push.noted and push.session.tenant.app == app:
                self._note(push)
                noted += 1
                if noted == NOTE_AT_ONCE:
                    return

    def note_all(self) -> None:
        """Notes everything written so far, without waiting for its acknowledgement."""
        while self._unnoted:
            self._note(self._unnoted.popleft())

    def tick(self) -> None:
        """Notes what was written a while ago and is still unacknowledged. Once a second."""
        after = NOTE_AFTER if self._pace.late() <= LATE else NOTE_LATE
        before = wall_clock() - after
        unnoted = self._unnoted
        while unnoted and (unnoted[0].noted or unnoted[0].sent_at <= before):
            self._note(unnoted.popleft())

    async def settled(self) -> None:
        """Returns when every receipt gathered so far is committed."""
        await self._gathered.settled()

    def waiting(self) -> int:
        return len(self._gathered)

    async def run(self) -> None:
        """Commits what is gathered, for as long as the room lives."""
        await self._gathered.run()

    async def _settle_all(self, batch: Sequence[Receipt]) -> None:
        with self._pace.asking():
            await self._store.settle(batch)

    def _note(self, push: SentPush) -> None:
        if not push.noted:
            push.noted = True
            self._add(push.receipt(State.PENDING, wall_clock()))
            if self.unanswered is not None:
                self.unanswered(push.session)

    def _add(self, receipt: Receipt) -> None:
        if not self._gathered.add(receipt):
            self._counters.receipts_lost = self._gathered.lost
