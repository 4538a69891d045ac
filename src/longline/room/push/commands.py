"""Carries out what other parts tell this room through the bus."""

import asyncio
from collections.abc import Callable

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
    Forward,
    Resync,
    Routes,
    Unicast,
)
from longline.model.times import wall_clock
from longline.mqtt.reasons import ReasonCode
from longline.room.broker import Broker
from longline.room.life.directory import Directory
from longline.room.pubsub.routes import RouteTable
from longline.room.push.broadcasts import Broadcasts
from longline.room.push.frames import Frames
from longline.room.push.inbox import Inbox
from longline.room.push.recent import Recent
from longline.room.session.session import UNKNOWN, Gone, Session

SLICE = 500  # commands carried out, or sessions gone through, before the loop may serve others
REMEMBERED = 16_384  # deliveries of online_only unicasts that are known when they come again
RETRY_AFTER = 0.5  # s, after a bus that could not be read

REASONS = {
    CloseReason.TAKEN_OVER: ReasonCode.SESSION_TAKEN_OVER,
    CloseReason.KICKED: ReasonCode.ADMINISTRATIVE_ACTION,
    CloseReason.BANNED: ReasonCode.ADMINISTRATIVE_ACTION,
    CloseReason.DEVICE_DELETED: ReasonCode.ADMINISTRATIVE_ACTION,
    CloseReason.APP_DELETED: ReasonCode.ADMINISTRATIVE_ACTION,
    CloseReason.KEY_ROTATED: ReasonCode.NOT_AUTHORIZED,
}

log = structlog.get_logger()


class Commands:
    """Owned by the room, which runs `receive` as a task. `fenced` is set when the node's queue is gone."""

    def __init__(
        self,
        node: str,
        bus: Bus,
        *,
        broker: Broker,
        directory: Directory,
        inbox: Inbox,
        broadcasts: Broadcasts,
        routes: RouteTable,
        fenced: asyncio.Event,
    ) -> None:
        self._node = node
        self._bus = bus
        self._broker = broker
        self._directory = directory
        self._inbox = inbox
        self._broadcasts = broadcasts
        self._routes = routes
        self._fenced = fenced
        self._seen = Recent(REMEMBERED)
        self._listening = asyncio.Event()
        self._listening.set()
        self._stay: asyncio.Timeout | None = None

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

    def leave(self) -> None:
        """Takes no more commands, until `listen`."""
        self._listening.clear()
        if self._stay is not None:
            self._stay.reschedule(asyncio.get_running_loop().time())
            self._stay = None

    def listen(self, node: str) -> None:
        """Takes commands from this node's queue."""
        self._node = node
        self._listening.set()

    async def _take(self) -> None:
        while True:
            try:
                commands = await self._bus.receive(self._node)
            except LonglineError as error:
                if isinstance(error, Fenced):
                    self._fenced.set()  # nothing reaches those who are here, though nobody new may come
                log.warning("bus_unread", code=error.code, reason=error.message)
                await asyncio.sleep(RETRY_AFTER)
                continue
            now = wall_clock()
            for done, command in enumerate(commands, 1):
                if isinstance(command, Unicast):
                    self._unicast(command, now)
                elif isinstance(command, Broadcast):
                    await self._broadcasts.add(command)
                elif isinstance(command, Forward):
                    await self._routes.forward(command)
                else:
                    await self._carry_out(command)
                if done % SLICE == 0:
                    await asyncio.sleep(0)

    # --- carrying out -----------------------------------------------------------------------------

    def _unicast(self, command: Unicast, now: int) -> None:
        frames = Frames(command.message)
        for target in command.targets:
            session = self._broker.session(command.app, target.device)
            if session is None:
                continue
            if session.ordinal == UNKNOWN:
                session.missed = True  # it is just connecting: it reads this from the store
            elif not command.message.online_only or self._seen.add((command.message.id, target.ordinal)):
                self._broker.offer(session, frames, target.position, False, now, target.before)

    async def _carry_out(self, command: Command) -> None:
        if isinstance(command, Close):
            session = self._broker.session(command.app, command.device)
            if session is not None and session.epoch == command.epoch:
                close(session, command.reason)
        elif isinstance(command, Routes):
            await self._routes.changed(command)
        elif isinstance(command, Cancelled):
            self._broadcasts.cancel(command.app, command.message_id)
        elif isinstance(command, AppChanged):
            await self._change(command)
        elif isinstance(command, Resync):
            await self._resync()

    async def _change(self, command: AppChanged) -> None:
        self._directory.forget(command.name)
        tenant = self._broker.tenants.get(command.app)
        if tenant is None:
            return
        reason = command.reason
        if reason is not None:
            await self._each(command.app, lambda session: close(session, reason))
            return
        try:
            app = await self._directory.find(command.name)
        except LonglineError:
            return  # who connects next finds out
        if app is not None:
            tenant.pubsub = app.pubsub

    async def _resync(self) -> None:
        """Commands were lost: whatever they may have said is found out in other ways."""
        log.warning("resync", reason="commands to this node were lost")
        self._broker.counters.resyncs += 1
        self._directory.clear()
        await self._routes.rebuild()
        for app in list(self._broker.tenants):
            await self._each(app, self._read_again)

    def _read_again(self, session: Session) -> None:
        if session.ordinal == UNKNOWN:
            session.missed = True  # its first read is still to come
        else:
            self._inbox.again(session)

    async def _each(self, app: int, act: Callable[[Session], None]) -> None:
        """Acts on every session of an app, a slice at a time."""
        tenant = self._broker.tenants.get(app)
        for done, session in enumerate(list(tenant.sessions.values()) if tenant is not None else (), 1):
            act(session)
            if done % SLICE == 0:
                await asyncio.sleep(0)


def close(session: Session, reason: CloseReason) -> None:
    """Ends a session's connection."""
    session.gone = Gone.TAKEN_OVER if reason == CloseReason.TAKEN_OVER else Gone.CLOSED
    if session.connection is not None:
        session.connection.close(REASONS[reason], reason.value)
