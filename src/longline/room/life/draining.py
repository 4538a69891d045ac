"""Moves the clients of this room to others, before an upgrade or because an operator asked for it.

MQTT 5 clients are told by DISCONNECT where to go, those of 3.1.1 by a message on `$link/moved` before their
connection is closed. Those with nothing under way go first. How fast, `pace` decides. Meanwhile the room is
shut: who connects is told to go elsewhere too. While there is no other room, nobody is told, and it is open.
"""

import asyncio
import random as random_module
import time
from collections import deque
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Final

import msgspec
import structlog

from longline.errors import LonglineError
from longline.mqtt.reasons import ReasonCode
from longline.register.port import Register
from longline.room.life.authority import ANONYMOUS
from longline.room.life.drain_pace import Pace, Watch
from longline.room.session.client import Services
from longline.room.session.session import Session

TICK: Final = 0.1  # s
LOOK: Final = 0.5  # s between looks for who is back
SLICE: Final = 2000  # sessions gone through before the loop may serve others
HURRY: Final = 0.9  # share of a limited time within which all should be told

log = structlog.get_logger()


class DrainPhase(Enum):
    """How a drain stands."""

    IDLE = "idle"  # there was none, or it was only asked how it would be
    MOVING = "moving"
    WAITING = "waiting"  # for another room that takes clients
    FINISHED = "finished"  # nobody is left; the room stays shut
    OUT_OF_TIME = "out_of_time"  # the rest was told that the server shuts down
    ABORTED = "aborted"  # the room is open again


class DrainPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done.

    `dry_run`: only say what it would be. `within`: seconds for all of it; whoever is left then is told that
    the server shuts down. None: as long as it takes. `stopping`: wait neither for another room, where there
    is none, nor for who was told to turn up there. `for_good`: this server does not come back (0x9D instead
    of 0x9C). `rate`: clients told in the first second, and how much more in every further one; it stays
    between `lowest` and `highest`. `jitter`: seconds within which a client is asked to come back, at a moment
    drawn for it.
    """

    dry_run: bool = False
    within: float | None = None
    stopping: bool = False
    for_good: bool = False
    rate: float = 50.0
    lowest: float = 5.0
    highest: float = 5000.0
    jitter: float = 0.5


class DrainProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far it has come.

    `total` were there when it began, `moved` were told to go, `returned` of them are on another node by now,
    `failed` were not found there in time. `rate` in clients a second; `left` is the estimate of the seconds
    to come.
    """

    phase: DrainPhase
    total: int = 0
    moved: int = 0
    returned: int = 0
    failed: int = 0
    rate: float = 0.0
    left: float = 0.0


class Draining:
    """One for a room.

    `node` names this node. `others` says whether another room takes clients now. `where` names the server, as
    `host:port`, that a client, by the names of its app and device and the transport that it came by, should
    go to; None where it should come back by the address that it knows.
    """

    def __init__(
        self,
        node: Callable[[], str],
        *,
        services: Services,
        register: Register,
        others: Callable[[], bool],
        where: Callable[[str, str, str], str | None],
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        random: Callable[[], float] = random_module.random,
    ) -> None:
        self._node = node
        self._services = services
        self._sessions = services.sessions
        self._register = register
        self._others = others
        self._where = where
        self._now = now
        self._sleep = sleep
        self._random = random
        self._ended: asyncio.Event | None = None  # while a drain is under way
        self._aborted = False
        self._phase = DrainPhase.IDLE
        self._total = 0
        self._moved = 0
        self._idle: deque[Session] = deque()
        self._busy: deque[Session] = deque()
        self._watch = Watch(register, node, 0.0)
        self._take(DrainPlan())

    # --- what others ask --------------------------------------------------------------------------

    @property
    def draining(self) -> bool:
        """Whether this room wants no new clients."""
        return self._phase not in (DrainPhase.IDLE, DrainPhase.ABORTED)

    def progress(self) -> DrainProgress:
        """How far it has come."""
        left = self._pace.estimate(max(0, self._total - self._moved))
        over = self._phase not in (DrainPhase.IDLE, DrainPhase.MOVING, DrainPhase.WAITING)
        return DrainProgress(
            phase=self._phase,
            total=self._total,
            moved=self._moved,
            returned=self._watch.returned,
            failed=self._watch.failed,
            rate=self._pace.rate,
            left=0.0 if over else left if self._deadline is None else min(left, self._deadline - self._now()),
        )

    def abort(self) -> None:
        """Tells nobody more, and opens the room, also when all is over already."""
        self._aborted = True
        if self._phase is not DrainPhase.IDLE:
            self._phase = DrainPhase.ABORTED
        self._services.redirect = None

    def hurry(self, within: float) -> None:
        """Has a drain that is under way end within so many seconds."""
        if self._ended is not None:
            self._take(msgspec.structs.replace(self._plan, within=within))

    async def run(self, plan: DrainPlan) -> DrainProgress:
        """Carries a plan out. One that is under way goes on by this one, and both end together."""
        if self._ended is not None:
            if plan.dry_run:
                return self.progress()
            ended = self._ended
            self._take(plan)
            await ended.wait()
            return self.progress()
        self._aborted = False
        self._phase = DrainPhase.IDLE
        self._moved = 0
        counters = self._services.counters
        self._total = counters.sessions - counters.attachments
        self._watch = Watch(self._register, self._node, plan.jitter)
        self._take(plan)
        if plan.dry_run:
            return self.progress()
        self._ended = asyncio.Event()
        try:
            await self._drain()
        except asyncio.CancelledError:
            self.abort()
            raise
        finally:
            self._idle.clear()
            self._busy.clear()
            self._ended.set()
            self._ended = None
        progress = self.progress()
        log.info("drained", **msgspec.to_builtins(progress))
        return progress

    # --- the work ---------------------------------------------------------------------------------

    def _take(self, plan: DrainPlan) -> None:
        self._plan = plan
        self._pace = Pace(plan.rate, plan.lowest, plan.highest)
        self._deadline = None if plan.within is None else self._now() + plan.within

    async def _drain(self) -> None:
        credit = 1.0  # clients that may be told now
        before = looked = self._now()
        while not self._aborted:
            now = self._now()
            others = self._others()
            out_of_time = self._deadline is not None and now >= self._deadline
            if out_of_time or (self._plan.stopping and not others):
                await self._close_rest()
                return
            if others:
                self._phase = DrainPhase.MOVING
                self._services.redirect = self._where
                rate = self._rate(now)
                credit = min(credit + rate * (now - before), max(1.0, rate))
                while credit >= 1.0 and (session := await self._next()) is not None:
                    credit -= 1.0
                    self._tell(session, now)
            else:
                self._phase = DrainPhase.WAITING
                self._services.redirect = None
            before = now
            if now - looked >= LOOK:
                looked = now
                await self._look(now)
            if others and await self._over():
                self._phase = DrainPhase.FINISHED
                return
            await self._sleep(TICK)

    def _rate(self, now: float) -> float:
        """What the pace allows; with little time left more, for a rest that is closed at once is worse."""
        rate = self._pace.rate
        if self._deadline is not None:
            left = max(TICK, (self._deadline - now) * HURRY)
            rate = max(rate, max(0, self._total - self._moved) / left)
        return rate

    async def _look(self, now: float) -> None:
        try:
            self._pace.judge(await self._watch.look(now), now)
        except LonglineError as error:
            # Nobody can be let in anywhere while the session table does not answer.
            self._pace.slow_down(now)
            log.warning("drain_is_blind", code=error.code, error=error.message)

    async def _over(self) -> bool:
        """Whether all are told, and nobody is looked for any more."""
        if self._idle or self._busy or (len(self._watch) and not self._plan.stopping):
            return False
        await self._gather()
        return not self._idle and not self._busy

    async def _next(self) -> Session | None:
        """Whom to tell next: first those with nothing under way."""
        if not self._idle and not self._busy:
            await self._gather()
        while self._idle:
            session = self._idle.popleft()
            if busy(session):
                self._busy.append(session)
            elif here(session):
                return session
        while self._busy:
            session = self._busy.popleft()
            if here(session):
                return session
        return None

    async def _gather(self) -> None:
        for tenant in list(self._sessions.tenants.values()):
            for done, session in enumerate(list(tenant.sessions.values()), 1):
                if leads(session):
                    (self._busy if busy(session) else self._idle).append(session)
                if done % SLICE == 0:
                    await asyncio.sleep(0)

    def _tell(self, session: Session, now: float) -> None:
        attachment = session.attachment
        if attachment is None:
            return
        self._moved += 1
        self._total = max(self._total, self._moved)  # who came in while the room was being shut
        if not session.device.startswith(ANONYMOUS):  # else it comes back by another name
            self._watch.add(session.tenant.app, session.device, now)
        reason = ReasonCode.SERVER_MOVED if self._plan.for_good else ReasonCode.USE_ANOTHER_SERVER
        outlet = attachment.outlet
        server = self._where(session.tenant.name, session.device, outlet.came_by)
        outlet.move(reason, server, int(self._random() * self._plan.jitter * 1000))

    async def _close_rest(self) -> None:
        self._services.redirect = self._where if self._others() else None
        self._idle.clear()
        self._busy.clear()
        await self._gather()
        self._phase = DrainPhase.OUT_OF_TIME if self._idle or self._busy else DrainPhase.FINISHED
        done = 0
        for sessions in (self._idle, self._busy):
            while sessions:
                attachment = sessions.popleft().attachment
                if attachment is not None:
                    attachment.outlet.close(ReasonCode.SERVER_SHUTTING_DOWN, "server_shutting_down")
                done += 1
                if done % SLICE == 0:
                    await asyncio.sleep(0)


def leads(session: Session) -> bool:
    """Whether its client is to be told: others that are attached to the connection go with the first."""
    attachment = session.attachment
    return attachment is not None and attachment.first is None and not attachment.outlet.ended


def here(session: Session) -> bool:
    """Whether the client is connected, and was not told to go."""
    return session.attachment is not None and not session.attachment.outlet.ended


def busy(session: Session) -> bool:
    """Whether something is under way between the client and us."""
    attachment = session.attachment
    if attachment is not None and attachment.sharing is not None:
        return any(_busy(each.session) for each in attachment.neighbours())
    return _busy(session)


def _busy(session: Session) -> bool:
    window = session.window
    return window.waits() or bool(window.inflight) or session.queue is not None
