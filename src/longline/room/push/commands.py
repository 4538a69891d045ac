"""Carries out what other parts tell this room through the bus.

No command waits for another one's work: what takes long is handed to whoever does it. Whatever is wrong with
one costs the others nothing. Those of one app are carried out in their order; apps take turns (`turns`), and
while some wait for theirs, more is taken from the bus: one app's many deliveries hold up nobody's few.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog

from longline.bus.port import Bus
from longline.errors import Fenced, LonglineError
from longline.model.commands import (
    AppChanged,
    Broadcast,
    Cancelled,
    Close,
    CloseReason,
    Command,
    Desired,
    Filled,
    Forward,
    Looked,
    Resync,
    Routes,
    SessionsKept,
    Unicast,
    Vouched,
)
from longline.model.times import wall_clock
from longline.mqtt.reasons import ReasonCode
from longline.room.counters import RoomCounters
from longline.room.kept.apps import KeptApps
from longline.room.kept.reader import QueueReader
from longline.room.pubsub.routes import RouteTable
from longline.room.push.broadcasts import Broadcasts
from longline.room.push.pushes import Pushes
from longline.room.push.receipts import Receipts
from longline.room.push.turns import AppTurns
from longline.room.push.unicasts import Unicasts
from longline.room.session.session import Gone, Session, Tenant
from longline.room.session.sessions import Sessions
from longline.saver.app_cache import AppCache
from longline.telemetry.faults import Faults

SLICE: Final = 500  # deliveries, other commands, or sessions gone through, before the loop may serve others
RETRY_AFTER: Final = 0.5  # s, after a bus that could not be read
LOOK_EVERY: Final = 60.0  # s between two looks at the apps of which somebody is here

REASONS: Final = {
    CloseReason.TAKEN_OVER: ReasonCode.SESSION_TAKEN_OVER,
    CloseReason.KICKED: ReasonCode.ADMINISTRATIVE_ACTION,
    CloseReason.BANNED: ReasonCode.ADMINISTRATIVE_ACTION,
    CloseReason.DEVICE_DELETED: ReasonCode.ADMINISTRATIVE_ACTION,
    CloseReason.APP_DELETED: ReasonCode.ADMINISTRATIVE_ACTION,
    CloseReason.KEY_ROTATED: ReasonCode.NOT_AUTHORIZED,
}

log = structlog.get_logger()


class Commands:
    """Owned by the room, which runs `receive` and `look` as tasks. `desired` is told of sessions for which
    there may be something new in their shadows, `released` of those that an operator has vouched for,
    `fenced` when a node's queue is gone.
    """

    def __init__(
        self,
        node: str,
        bus: Bus,
        *,
        counters: RoomCounters,
        faults: Faults,
        sessions: Sessions,
        pushes: Pushes,
        receipts: Receipts,
        apps: AppCache,
        broadcasts: Broadcasts,
        routes: RouteTable,
        kept_apps: KeptApps,
        reader: QueueReader,
        desired: Callable[[Session], None],
        released: Callable[[Session], None],
        fenced: Callable[[str], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._node = node
        self._bus = bus
        self._counters = counters
        self._faults = faults
        self._sessions = sessions
        self._pushes = pushes
        self._receipts = receipts
        self._apps = apps
        self._broadcasts = broadcasts
        self._routes = routes
        self._kept_apps = kept_apps
        self._reader = reader
        self._desired = desired
        self._released = released
        self._fenced = fenced
        self._sleep = sleep
        self._unicasts = Unicasts(sessions, pushes, broadcasts, faults)
        self._listening = asyncio.Event()
        self._listening.set()
        self._stay: asyncio.Timeout | None = None
        self._untold = False  # of what became of apps meanwhile

    # --- receiving --------------------------------------------------------------------------------

    async def receive(self) -> None:
        """Takes commands for as long as the room lives."""
        while True:
            await self._listening.wait()
            stay = self._stay = asyncio.timeout(None)  # until `leave` sets it to now
            try:
                async with stay:
                    await self._take()
            except TimeoutError:
                if not stay.expired():
                    raise
            self._stay = None

    def leave(self) -> None:
        """Takes no more commands, until `listen`."""
        self._listening.clear()
        if self._stay is not None:
            self._stay.reschedule(asyncio.get_running_loop().time())
            self._stay = None

    def listen(self, node: str) -> None:
        """Takes commands from this node's queue, and asks for what the former one's may have said of apps."""
        self._node = node
        self._untold = True
        self._listening.set()

    async def _take(self) -> None:
        if self._untold:
            self._kept_apps.forget()
            await self._learn_all()
            self._untold = False
        node = self._node
        turns = AppTurns()
        ahead: asyncio.Task[list[Command]] | None = None
        try:
            while True:
                if not turns:
                    taking = self._taken(node) if ahead is None else ahead
                    ahead = None
                    await self._sort(await taking, turns)
                elif await self._serve(turns):
                    if ahead is None and not turns.full():
                        ahead = asyncio.create_task(self._taken(node), name="room.commands-ahead")
                    await asyncio.sleep(0)
                    if ahead is not None and ahead.done():
                        taken, ahead = ahead, None
                        await self._sort(taken.result(), turns)
        except Fenced:
            # Nothing reaches those who are here, though nobody new may come. This queue never comes back.
            log.warning("queue_gone", reason="the others took this node for dead")
            self._listening.clear()
            self._fenced(node)
        finally:
            if ahead is not None:
                ahead.add_done_callback(_forget)
                ahead.cancel()

    async def _taken(self, node: str) -> list[Command]:
        """What the bus has for us, once there is something. Raises `Fenced`."""
        while True:
            try:
                return await self._bus.receive(node)
            except Fenced:
                raise
            except LonglineError as error:
                log.warning("bus_unread", code=error.code, reason=error.message)
                await asyncio.sleep(RETRY_AFTER)
            except Exception as error:
                self._faults.note("room.commands", error)
                await asyncio.sleep(RETRY_AFTER)
                return [Resync()]  # what the bus had taken for us, nobody knows

    async def _sort(self, commands: Sequence[Command], turns: AppTurns) -> None:
        """Puts commands where they wait for the turn of their app; those that are of none have it now."""
        for command in turns.sort(commands):
            await self._tried(command)

    async def _serve(self, turns: AppTurns) -> bool:
        """Carries out a slice of what waits; whether there is more."""
        now = wall_clock()
        done = 0
        while done < SLICE and (line := turns.next()) is not None:
            command = line.commands[0]
            if isinstance(command, Unicast):
                done += self._unicasts.serve(turns, SLICE - done, now)
                continue
            await self._tried(command)
            # For one of them many pushes are gone through.
            spent = SLICE if isinstance(command, Looked) else 1
            if isinstance(command, Filled):
                spent = len(command.devices)
            turns.spend(spent, True)
            done += spent
        return bool(turns)

    async def _tried(self, command: Command) -> None:
        try:
            await self._carry_out(command)
        except Exception as error:
            self._faults.note("room.commands", error)

    # --- carrying out -----------------------------------------------------------------------------

    async def _carry_out(self, command: Command) -> None:
        if isinstance(command, Broadcast):
            self._broadcasts.add(command)
        elif isinstance(command, Forward):
            self._routes.forward(command)
        elif isinstance(command, Filled | Desired | Vouched):
            self._news(command)
        elif isinstance(command, SessionsKept):
            self._kept_apps.there(command.app)
            if command.asks:
                self._routes.owe(command.node, command.asks)
        elif isinstance(command, Close):
            session = self._sessions.find(command.app, command.device)
            if session is not None and session.epoch == command.epoch:
                self._close(session, command.reason)
        elif isinstance(command, Routes):
            self._routes.changed(command)
        elif isinstance(command, Cancelled):
            self._broadcasts.cancel(command.app, command.message_id)
        elif isinstance(command, Looked):
            self._receipts.note(command.app)
        elif isinstance(command, AppChanged):
            await self._change(command)
        elif isinstance(command, Resync):
            await self._resync()

    def _news(self, command: Filled | Desired | Vouched) -> None:
        """There is something to read for devices."""
        if not isinstance(command, Filled):
            session = self._sessions.find(command.app, command.device)
            if session is not None:
                act = self._desired if isinstance(command, Desired) else self._released
                act(session)
            return
        for device in command.devices:
            session = self._sessions.find(command.app, device)
            if session is not None:
                self._reader.news(session)

    async def _change(self, command: AppChanged) -> None:
        self._apps.forget(command.name)
        tenant = self._sessions.tenants.get(command.app)
        if tenant is None:
            return
        reason = command.reason
        if reason is not None:
            await self._each(command.app, lambda session: self._close(session, reason))
            return
        self._sessions.renew(tenant, command.generation)
        await self._learn(tenant)

    async def look(self) -> None:
        """Finds out what has become of apps without being told, for as long as the room lives.

        A center whose command was lost has answered all the same, with keys that nobody would get again. That
        connections are to end is in the store, so they do within twice `LOOK_EVERY`.
        """
        while True:
            await self._sleep(LOOK_EVERY)
            await self._learn_all(LOOK_EVERY)

    async def _learn(self, tenant: Tenant, max_age: float | None = None) -> None:
        """Takes over what has become of an app, when it was changed."""
        try:
            app = await self._apps.find(tenant.name, max_age=max_age)
        except LonglineError:
            return  # who connects next finds out
        if app is None or app.number != tenant.app:
            deleted = CloseReason.APP_DELETED
            await self._each(tenant.app, lambda session: self._close(session, deleted))
        elif self._apps.latest(tenant.name) is app:  # else it changed while it was read, and is read again
            tenant.pubsub = app.pubsub
            self._sessions.rule(tenant, app)
            self._sessions.renew(tenant, app.generation)

    async def _learn_all(self, max_age: float | None = None) -> None:
        """The same of every app that somebody is here of, and which of them have sessions that are kept."""
        await self._kept_apps.look()
        for tenant in list(self._sessions.tenants.values()):
            try:
                await self._learn(tenant, max_age)
            except Exception as error:
                self._faults.note("room.commands", error)

    async def _resync(self) -> None:
        """Commands were lost: whatever they may have said is found out in other ways."""
        log.warning("resync", reason="commands to this node were lost")
        self._counters.resyncs += 1
        self._apps.clear()
        self._kept_apps.forget()
        self._routes.doubt()
        await self._learn_all()
        for app in list(self._sessions.tenants):
            await self._each(app, self._lost)

    def _lost(self, session: Session) -> None:
        self._pushes.lost(session)
        self._reader.news(session)
        self._desired(session)

    async def _each(self, app: int, act: Callable[[Session], None]) -> None:
        """Acts on every session of an app, a slice at a time."""
        for done, session in enumerate(self._sessions.of(app), 1):
            try:
                act(session)
            except Exception as error:
                self._faults.note("room.commands", error)
            if done % SLICE == 0:
                await asyncio.sleep(0)

    def _close(self, session: Session, reason: CloseReason) -> None:
        gone = Gone.TAKEN_OVER if reason == CloseReason.TAKEN_OVER else Gone.CLOSED
        self._sessions.close(session, gone, REASONS[reason], reason.value)


def _forget(taken: "asyncio.Task[list[Command]]") -> None:
    """Nobody wants to know any more."""
    if not taken.cancelled():
        taken.exception()
