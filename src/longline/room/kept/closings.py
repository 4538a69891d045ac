"""The end of connections whose session the store has: told to it in batches, before anything else.

That arms a will, or drops it; and begins the time for which the session is kept, or ends it. Whoever opens
the session of a device again in this room waits for it: the client may have said how it goes in the moment
before it came back.
"""

from collections.abc import Sequence
from typing import Final

from longline.flow.batcher import Batcher, Retry
from longline.model.times import wall_clock
from longline.room.kept.steps import Steps
from longline.room.session.session import Session
from longline.saver.port.sessions import CloseSession, SessionStore
from longline.telemetry.faults import Faults

BATCH: Final = 1000
RETRY: Final = Retry(0.1, 1.0)
SESSIONS: Final = 1 << 30  # more than a process can have


class Closings:
    """Owned by the room, which runs `run` as a task. Bounded by the number of connections that can end.

    `max_expiry` in seconds: what a client may say at its end, too, is no more.
    """

    def __init__(self, store: SessionStore, steps: Steps, faults: Faults, *, max_expiry: int) -> None:
        self.max_expiry = max_expiry
        self._store = store
        self._steps = steps
        self._ended: Batcher[CloseSession] = Batcher(
            "room.closings", self._close, faults=faults, limit=SESSIONS, batch=BATCH, retry=RETRY
        )

    def add(self, session: Session, *, again: bool = False) -> None:
        """A session's connection has ended, or its client has said that it goes.

        `again`: the store is to be told also where it was told before.
        """
        kept = session.kept
        if kept is None or (kept.closed == kept.epoch and not again):
            return
        kept.closed = kept.epoch
        self._steps.note(session)
        expires_in = kept.expires_in
        if expires_in is not None:
            expires_in = min(expires_in, self.max_expiry)
        # Whoever has taken it over has another epoch, by which this is fenced.
        self._ended.add(
            CloseSession(session.tenant.app, session.ordinal, kept.epoch, wall_clock(), kept.will, expires_in)
        )

    def waiting(self) -> int:
        """How many the store has not been told of yet."""
        return len(self._ended)

    async def finished(self) -> None:
        """Returns when the store was told of all that have ended so far."""
        await self._ended.settled()

    async def run(self) -> None:
        """Works for as long as the room lives."""
        await self._ended.run()

    async def _close(self, batch: Sequence[CloseSession]) -> None:
        # What their connections were sent is known before they are not any more.
        await self._steps.finished()
        await self._store.close(batch)
