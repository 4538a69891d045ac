"""Binds sessions anew that are here and that the session table has not, or not under this name.

A room that was declared dead and lives goes on under another name; a store that failed over may have lost
the sessions of its last moments. In either case the connections are good, and their clients need not hear of
it. Epochs decide: where a device has a newer session by now, this one's connection is closed as taken over,
and no other's.

What may have been sent to a session that nobody could find is looked for as when a device connects: first it
is bound, so that from then on it is found, and then the store is asked whether anything is pending. The same
answer says who must not be here any more, of which nobody could tell this room.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from longline.errors import Fenced, LonglineError
from longline.flow.batcher import Batcher, Retry
from longline.model.commands import CloseReason
from longline.model.times import wall_clock
from longline.mqtt.reasons import ReasonCode
from longline.register.port import Rebind, Register
from longline.room.counters import RoomCounters
from longline.room.push.pushes import Pushes
from longline.room.session.session import Gone, Session
from longline.room.session.sessions import Sessions
from longline.saver.port.inboxes import Arrival, Arrive, InboxStore
from longline.saver.port.sessions import KeepSession, SessionStore
from longline.telemetry.faults import Faults

BATCH: Final = 200  # sessions in one step: of one room, so many at most are on the way to the store
PAUSE: Final = 0.02  # s between steps: all rooms of a host may do this at once, beside their other work
RETRY: Final = Retry(0.5, 5.0)
SLICE: Final = 2000  # sessions gathered before the loop may serve others
SESSIONS: Final = 1 << 30  # more than a process can have


class Rebinding:
    """Owned by the room, which runs `run` as a task. Bounded by the number of sessions.

    `departed` is told of a session that ended while it was bound anew. `fenced` is told when the node's name
    turns out to be dead; whoever gives it another one calls `everybody` again. `left` is awaited with a
    former name when nobody is bound to it any more; until then whatever tells others of that name stays, so
    that they find its sessions if this process ends meanwhile.
    """

    def __init__(
        self,
        node: str,
        *,
        register: Register,
        inboxes: InboxStore,
        kept: SessionStore,
        sessions: Sessions,
        pushes: Pushes,
        counters: RoomCounters,
        faults: Faults,
        arrived: Callable[[Session, bool], None],
        departed: Callable[[Session], None],
        fenced: Callable[[str], None],
        left: Callable[[str], Awaitable[None]],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._node = node
        self._register = register
        self._inboxes = inboxes
        self._kept = kept
        self._sessions = sessions
        self._pushes = pushes
        self._counters = counters
        self._faults = faults
        self._arrived = arrived
        self._departed = departed
        self._fenced = fenced
        self._left = left
        self._former: list[str] = []
        self._sleep = sleep
        self._unsure: set[Session] = set()  # of which a step got no answer: it may have been carried out
        self._waiting: Batcher[Session] = Batcher(
            "room.rebinding", self._work, faults=faults, limit=SESSIONS, batch=BATCH, retry=RETRY, sleep=sleep
        )

    def add(self, session: Session) -> None:
        """The table has not got this session."""
        self._waiting.add(session)

    async def everybody(self, node: str) -> None:
        """The node has another name: every session is to go there. Returns when all of them are noted."""
        former, self._node = self._node, node
        for tenant in list(self._sessions.tenants.values()):
            for done, session in enumerate(list(tenant.sessions.values()), 1):
                self._waiting.add(session)
                if done % SLICE == 0:
                    await asyncio.sleep(0)
        self._former.append(former)
        if not len(self._waiting):
            await self._leave()

    def waiting(self) -> int:
        return len(self._waiting)

    async def run(self) -> None:
        """Works for as long as the room lives."""
        await self._waiting.run()

    async def _work(self, batch: Sequence[Session]) -> None:
        node = self._node  # which may be another one when this is over
        sessions = [s for s in dict.fromkeys(batch) if s.attachment is not None or s in self._unsure]
        try:
            await self._check(await self._keep(node, await self._rebind(node, sessions)))
        except Fenced:
            self._fenced(node)
            return
        except LonglineError as error:
            if error.retryable or len(batch) > 1:
                raise
            self._give_up(batch[0])
        except Exception as error:
            if len(batch) > 1:
                raise
            self._faults.note("room.rebinding", error)
            self._give_up(batch[0])
        if not self._waiting.waiting:
            await self._leave()
        await self._sleep(PAUSE)

    async def _leave(self) -> None:
        while self._former:
            await self._left(self._former.pop(0))

    async def _rebind(self, node: str, sessions: Sequence[Session]) -> list[Session]:
        """Binds these; returns those that are bound and here."""
        now = wall_clock()
        asked = [Rebind(s.tenant.app, s.device, node, s.epoch, now) for s in sessions]
        try:
            epochs = await self._register.rebind(asked)
        except Fenced:
            raise
        except LonglineError:  # of some it may have been carried out
            self._unsure.update(sessions)
            raise
        self._unsure.difference_update(sessions)
        bound = []
        for session, epoch in zip(sessions, epochs, strict=True):
            if epoch is None:
                self._close(session, CloseReason.TAKEN_OVER, Gone.TAKEN_OVER, ReasonCode.SESSION_TAKEN_OVER)
                continue
            session.epoch = epoch
            if session.attachment is None:  # it went meanwhile, and was unbound as what it was before
                self._departed(session)
            else:
                self._counters.rebound += 1
                bound.append(session)
        return bound

    async def _keep(self, node: str, sessions: Sequence[Session]) -> list[Session]:
        """Has those go on that the store has; returns all that go on."""
        having = [(s, kept) for s in sessions if (kept := s.kept) is not None and kept.number]
        if not having:
            return list(sessions)
        answers = await self._kept.keep(
            [
                KeepSession(s.tenant.app, s.ordinal, kept.number, kept.epoch, s.epoch, node)
                for s, kept in having
            ]
        )
        lost = set()
        for (session, kept), goes_on in zip(having, answers, strict=True):
            if not goes_on:  # it is over, or another connection's
                lost.add(session)
                self._lose(session)
                continue
            kept.epoch = session.epoch
            if session.attachment is None:  # it went meanwhile, and was closed as what it was before
                self._departed(session)
        return [session for session in sessions if session not in lost]

    async def _check(self, sessions: Sequence[Session]) -> None:
        """Has read what was sent to these meanwhile, and ends those that must not be here any more."""
        now = wall_clock()
        asked = [
            Arrive(s.tenant.app, s.device, now, not s.guest, s.tenant.limits.inbox_messages or 0)
            for s in sessions
        ]
        arrivals = await self._inboxes.arrive(asked)
        for session, arrival in zip(sessions, arrivals, strict=True):
            if session.attachment is None or session.window.fresh():
                continue
            reason = _reason_to_end(session, arrival, now)
            if reason is not None:
                self._close(session, reason, Gone.CLOSED, ReasonCode.ADMINISTRATIVE_ACTION)
            elif arrival is not None:
                if arrival.pending:
                    self._pushes.lost(session)
                self._arrived(session, arrival.shadow)

    def _close(self, session: Session, why: CloseReason, gone: Gone, reason: ReasonCode) -> None:
        self._sessions.close(session, gone, reason, why.value)

    def _give_up(self, session: Session) -> None:
        """Nobody could find it here: its client is better off with a new one."""
        self._unsure.discard(session)
        self._lose(session)

    def _lose(self, session: Session) -> None:
        self._sessions.close(
            session, Gone.BROKEN, ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR, "session_forgotten"
        )


def _reason_to_end(session: Session, arrival: Arrival | None, now: int) -> CloseReason | None:
    if arrival is None:
        return CloseReason.APP_DELETED
    if (
        arrival.ordinal != session.ordinal and not session.guest
    ):  # it was deleted, and has just been registered again
        return CloseReason.DEVICE_DELETED
    return CloseReason.BANNED if arrival.banned_until > now else None
