"""Gathers what devices have taken, and tells the store in batches.

A receipt waits at most `delay` for company. The bound is `limit` receipts; beyond it the newest are
forgotten and counted, which costs a repeated delivery later and never a loss. "Written to the
connection" is progress, not outcome: it waits a second, and is dropped when the acknowledgement
overtakes it, so a device that acknowledges promptly costs one write and not two.
"""

import asyncio
from collections import deque

from longline.errors import LonglineError
from longline.model.ledger import State
from longline.model.times import wall_clock
from longline.room.counters import RoomCounters
from longline.room.session.session import InFlight, Session
from longline.saver.bundle import Saver
from longline.saver.port.inboxes import Receipt

NOTE_AFTER = 1000  # ms until an unacknowledged push is noted as sent
RETRY_AFTER = 0.2  # s, doubled up to RETRY_MOST
RETRY_MOST = 5.0


class Receipts:
    """Owned by the room, which runs `run` as a task. Nothing else here waits, but `settled`.

    `delay` in seconds.
    """

    def __init__(self, saver: Saver, counters: RoomCounters, *, delay: float, limit: int) -> None:
        self._saver = saver
        self._counters = counters
        self.delay = delay
        self._limit = limit
        self._gathered: list[Receipt] = []
        self._unnoted: deque[InFlight] = deque()
        self._wake = asyncio.Event()
        self._rounds: list[asyncio.Future[None]] = []  # who waits for the next commit
        self._committing = False

    def acknowledged(self, entry: InFlight) -> None:
        """A device took a push."""
        entry.noted = True
        self._settle(entry, State.ACKED)

    def written(self, entry: InFlight) -> None:
        """A push was written; noted after a while unless it is acknowledged first."""
        if len(self._unnoted) >= self._limit:
            self._note(self._unnoted.popleft())
        self._unnoted.append(entry)

    def dropped(self, session: Session, position: int, broadcast: bool, reason: str) -> None:
        """A push will not be written to this device."""
        app, ordinal = session.tenant.app, session.ordinal
        self._add(
            Receipt(app, ordinal, position, broadcast, State.DROPPED, wall_clock(), 0, reason, session.epoch)
        )

    def note_all(self) -> None:
        """Notes everything written so far, without waiting for its acknowledgement."""
        while self._unnoted:
            self._note(self._unnoted.popleft())

    def tick(self) -> None:
        """Notes what was written a while ago and is still unacknowledged. Once a second."""
        now = wall_clock()
        unnoted = self._unnoted
        while unnoted and (unnoted[0].noted or unnoted[0].sent_at + NOTE_AFTER <= now):
            self._note(unnoted.popleft())

    async def settled(self) -> None:
        """Returns when every receipt gathered so far is committed."""
        if self._gathered or self._rounds or self._committing:
            waiter = asyncio.get_running_loop().create_future()
            self._rounds.append(waiter)
            self._wake.set()
            await waiter

    def waiting(self) -> int:
        return len(self._gathered)

    async def run(self) -> None:
        """Commits what is gathered, for as long as the room lives."""
        pause = RETRY_AFTER
        while True:
            await self._wake.wait()
            if self.delay and not self._rounds:
                await asyncio.sleep(self.delay)
            self._wake.clear()
            batch, self._gathered = self._gathered, []
            waiters, self._rounds = self._rounds, []
            self._committing = True
            try:
                if batch:  # empty when somebody only waited for the commit before
                    await self._saver.inboxes.settle(batch)
            except LonglineError:
                self._committing = False
                # Nothing of the batch was stored: it goes first next time, within the bound.
                room = self._limit - len(self._gathered)
                self._counters.receipts_lost += max(0, len(batch) - room)
                self._gathered = batch[: max(0, room)] + self._gathered
                self._rounds = waiters + self._rounds
                self._wake.set()
                await asyncio.sleep(pause)
                pause = min(RETRY_MOST, pause * 2)
            else:
                self._committing = False
                pause = RETRY_AFTER
                for waiter in waiters:
                    if not waiter.done():
                        waiter.set_result(None)

    def _note(self, entry: InFlight) -> None:
        if not entry.noted:
            entry.noted = True
            self._settle(entry, State.PENDING)

    def _settle(self, entry: InFlight, state: State) -> None:
        session = entry.session
        self._add(
            Receipt(
                session.tenant.app,
                session.ordinal,
                entry.position,
                entry.broadcast,
                state,
                wall_clock(),
                entry.sent_at,
                None,
                session.epoch,
            )
        )

    def _add(self, receipt: Receipt) -> None:
        if len(self._gathered) >= self._limit:
            self._counters.receipts_lost += 1
            return
        self._gathered.append(receipt)
        if len(self._gathered) == 1:
            self._wake.set()
