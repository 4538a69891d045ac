"""Carries out what other parts tell this room through the bus.

Pushes to devices are written as they come. A broadcast is a task of its own, because it visits every
session of its app: it goes through them in slices and lets the loop serve heartbeats, unicasts and
new connections in between. Broadcasts run one after the other, so each device sees them in order;
`BROADCASTS` may wait, and then the room stops taking commands, which makes their senders wait.
"""

import asyncio

import structlog
from pyroaring import BitMap

from longline.bus.port import AppChanged, Bus, Close, Command, Resync, Why
from longline.errors import LonglineError
from longline.model import wall_clock
from longline.mqtt.reasons import ReasonCode
from longline.room.broker import Broker, Frames
from longline.room.directory import Directory
from longline.room.inbox import Inbox
from longline.room.receipts import Receipts
from longline.room.session import UNKNOWN, Session
from longline.saver.port import Broadcast, Saver, Unicast

BROADCASTS = 64
SLICE = 500  # commands carried out before the loop may serve others

REASONS = {
    Why.TAKEN_OVER: ReasonCode.SESSION_TAKEN_OVER,
    Why.KICKED: ReasonCode.ADMINISTRATIVE_ACTION,
    Why.BANNED: ReasonCode.ADMINISTRATIVE_ACTION,
    Why.DEVICE_DELETED: ReasonCode.ADMINISTRATIVE_ACTION,
    Why.APP_DELETED: ReasonCode.ADMINISTRATIVE_ACTION,
    Why.KEY_ROTATED: ReasonCode.NOT_AUTHORIZED,
}

log = structlog.get_logger()


class Commands:
    """Owned by the room, which runs `receive` and `broadcast` as tasks."""

    def __init__(
        self,
        node: str,
        bus: Bus,
        *,
        broker: Broker,
        saver: Saver,
        directory: Directory,
        inbox: Inbox,
        receipts: Receipts,
        fanout_slice: int,
    ) -> None:
        self._node = node
        self._bus = bus
        self._broker = broker
        self._saver = saver
        self._directory = directory
        self._inbox = inbox
        self._receipts = receipts
        self._slice = fanout_slice
        self._broadcasts: asyncio.Queue[Broadcast] = asyncio.Queue(BROADCASTS)

    async def receive(self) -> None:
        """Takes commands for as long as the room lives."""
        while True:
            commands = await self._bus.receive(self._node)
            now = wall_clock()
            for done, command in enumerate(commands, 1):
                if isinstance(command, Unicast):
                    self._unicast(command, now)
                elif isinstance(command, Broadcast):
                    await self._broadcasts.put(command)
                else:
                    await self._carry_out(command)
                if done % SLICE == 0:
                    await asyncio.sleep(0)

    def _unicast(self, command: Unicast, now: int) -> None:
        frames = Frames(command.message)
        for target in command.targets:
            session = self._broker.session(command.app, target.device)
            if session is not None:
                if session.ordinal == UNKNOWN:
                    session.missed = True  # it is just connecting: it reads this from the store
                else:
                    self._broker.offer(session, frames, target.position, False, now)

    async def _carry_out(self, command: Command) -> None:
        if isinstance(command, Close):
            session = self._broker.session(command.app, command.device)
            if session is not None and session.epoch == command.epoch:
                close(session, command.why)
        elif isinstance(command, AppChanged):
            self._directory.forget(command.name)
            tenant = self._broker.tenants.get(command.app)
            if tenant is None:
                return
            if command.why is not None:
                for done, session in enumerate(self._sessions(command.app), 1):
                    close(session, command.why)
                    if done % self._slice == 0:
                        await asyncio.sleep(0)
            else:
                pubsub = await self._pubsub(command.name)
                if pubsub is not None:
                    tenant.pubsub = pubsub
        elif isinstance(command, Resync):
            log.warning("resync", reason="commands to this node were lost")
            for app in list(self._broker.tenants):
                for session in self._sessions(app):
                    session.more = session.missed = True
                    if session.ordinal != UNKNOWN:  # else its first read is still to come
                        self._inbox.want(session)

    async def _pubsub(self, name: str) -> bool | None:
        """Whether the app allows plain publish/subscribe; None when that cannot be found out."""
        try:
            app = await self._directory.find(name)
        except LonglineError:
            return None
        return app.pubsub if app is not None else None

    def _sessions(self, app: int) -> list[Session]:
        tenant = self._broker.tenants.get(app)
        return list(tenant.sessions.values()) if tenant is not None else []

    async def broadcast(self) -> None:
        """Writes broadcasts to the sessions they are for, for as long as the room lives."""
        while True:
            command = await self._broadcasts.get()
            tenant = self._broker.tenants.get(command.app)
            if tenant is not None:
                await self._fan_out(command, list(tenant.sessions.values()))
            if command.message.online_only:
                await self._end(command)

    async def _fan_out(self, command: Broadcast, sessions: list[Session]) -> None:
        audience = BitMap.deserialize(command.audience)
        frames = Frames(command.message)
        for start in range(0, len(sessions), self._slice):
            now = wall_clock()
            for session in sessions[start : start + self._slice]:
                if session.ordinal == UNKNOWN:
                    session.missed = True
                elif session.ordinal in audience:
                    self._broker.offer(session, frames, command.position, True, now)
            await asyncio.sleep(0)

    async def _end(self, command: Broadcast) -> None:
        """An online-only broadcast is over for whoever it was not written to."""
        self._receipts.note_all()
        await self._receipts.settled()
        try:
            await self._saver.settle_rest(command.app, command.position, "offline", wall_clock())
        except LonglineError as error:
            log.warning("settle_rest_failed", code=error.code, message_id=command.message.id)


def close(session: Session, why: Why) -> None:
    """Ends a session's connection."""
    if session.connection is not None:
        session.connection.close(REASONS[why], why.value)
