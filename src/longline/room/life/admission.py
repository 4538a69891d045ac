"""From CONNECT to CONNACK: who is it, which app, and what is waiting for it.

CONNECTs that arrive together are worked on together: one `bind` and one `arrive` for all. The order
of the two, with the session put into the room's index in between, is what makes a push that is sent
at this very moment arrive: either its commit comes first and `arrive` finds it, or its binding is
read after `bind` and the room is told of it while the session is there.
"""

import asyncio
import select
import uuid
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from longline.errors import (
    AppNotFound,
    BadToken,
    Banned,
    Fenced,
    LonglineError,
    NotSupported,
    Overloaded,
    Unavailable,
)
from longline.model.apps import App, valid_app_name
from longline.model.devices import valid_device_name
from longline.model.times import wall_clock
from longline.mqtt.packets import MQTT_5_0, Connack, Connect
from longline.mqtt.properties import AUTHENTICATION_METHOD, Properties, PropertyId, get_int
from longline.mqtt.reasons import ReasonCode
from longline.register.port import Bind, Register
from longline.room.broker import Broker
from longline.room.life.directory import Directory
from longline.room.life.takeovers import Takeovers
from longline.room.life.tokens import token_device
from longline.room.push.inbox import Inbox
from longline.room.session.session import Gone, Session
from longline.room.wire.connection import Connection
from longline.room.wire.policy import ANONYMOUS
from longline.saver.bundle import Saver
from longline.saver.port.inboxes import Arrival, Arrive
from longline.settings import RoomSettings

BATCH = 256  # CONNECTs worked on together
YIELD_EVERY = 32  # tokens verified before the loop may serve others: under a millisecond


class Caller(NamedTuple):
    """A CONNECT whose token is good."""

    connection: Connection
    packet: Connect
    app: App
    device: str


class Admission:
    """Owned by the room, which runs `run` as a task. At most `connect_queue` CONNECTs wait here.

    `fenced` is set when this node turns out to have been declared dead.
    """

    def __init__(
        self,
        settings: RoomSettings,
        node: str,
        *,
        broker: Broker,
        saver: Saver,
        register: Register,
        directory: Directory,
        inbox: Inbox,
        takeovers: Takeovers,
        fenced: asyncio.Event,
    ) -> None:
        self._settings = settings
        self._node = node
        self._broker = broker
        self._saver = saver
        self._register = register
        self._directory = directory
        self._inbox = inbox
        self._takeovers = takeovers
        self._fenced = fenced
        self._waiting: deque[tuple[Connection, Connect]] = deque()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._suspended = False

    def admit(self, connection: Connection, packet: Connect) -> None:
        """Takes a CONNECT in; answers it at once only when it cannot be served."""
        if self._suspended:
            refuse(connection, Unavailable("this node takes no clients now"))
        elif self._broker.pressed:
            refuse(connection, Overloaded("the stores do not keep up"))
        elif len(self._waiting) >= self._settings.connect_queue:
            refuse(connection, Overloaded("too many CONNECTs are waiting"))
        else:
            self._waiting.append((connection, packet))
            self._wake.set()
            self._idle.clear()

    def configure(self, settings: RoomSettings) -> None:
        """Goes by other settings from now on."""
        self._settings = settings

    async def suspend(self) -> None:
        """Refuses CONNECTs from now on as unavailable; returns when those taken in before are answered."""
        self._suspended = True
        await self._idle.wait()

    def resume(self, node: str) -> None:
        """Takes CONNECTs in again, for sessions of this node."""
        self._node = node
        self._suspended = False

    def waiting(self) -> int:
        return len(self._waiting)

    async def run(self) -> None:
        """Answers CONNECTs for as long as the room lives."""
        while True:
            if not self._waiting:
                self._idle.set()
            await self._wake.wait()
            batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            if not self._waiting:
                self._wake.clear()
            await self._look_up_apps(batch)
            callers = []
            for done, (connection, packet) in enumerate(batch, 1):
                if connection.transport is not None:
                    try:
                        callers.append(await self._identify(connection, packet))
                    except LonglineError as error:
                        refuse(connection, error)
                if done % YIELD_EVERY == 0:
                    await asyncio.sleep(0)
            callers = still_there(callers)
            if callers:
                await self._welcome(callers)

    async def _look_up_apps(self, batch: Sequence[tuple[Connection, Connect]]) -> None:
        """Has the directory learn of apps it does not know, in one read for all that the batch names."""
        names = {packet.username or "" for _, packet in batch}
        unknown = [
            name for name in names if valid_app_name(name) and self._directory.remembered(name) is None
        ]
        if len(unknown) > 1:
            # What fails here fails again, and is answered, in `_identify`.
            await asyncio.gather(*map(self._directory.find, unknown), return_exceptions=True)

    async def _identify(self, connection: Connection, packet: Connect) -> Caller:
        """Checks everything that CONNECT itself can tell."""
        if packet.will is not None:
            raise NotSupported("wills are not supported yet")
        if packet.properties is not None and AUTHENTICATION_METHOD in packet.properties:
            raise UnknownMethod("no authentication method but user name and password")
        name = packet.username
        anonymous = name is None and self._settings.anonymous_app is not None
        if anonymous:
            name = self._settings.anonymous_app
        if not name:
            raise BadToken("no app: the user name of CONNECT must be one")
        app = self._directory.remembered(name)
        if app is None and valid_app_name(name):  # else it is nobody's: not asked for, not remembered
            app = await self._directory.find(name)
        if app is None:
            raise AppNotFound
        device = packet.client_id
        if anonymous:
            device = device or ANONYMOUS + uuid.uuid4().hex
        else:
            subject = token_device(app, packet.password)
            device = device or subject
            if device != subject:
                raise BadToken("the token was made for another device than the client identifier")
        if not valid_device_name(device):
            raise BadDevice("the client identifier is not a valid device name")
        return Caller(connection, packet, app, device)

    async def _welcome(self, callers: Sequence[Caller]) -> None:
        now = wall_clock()
        sessions: list[Session] = []
        try:
            bounds = await self._register.bind(
                [Bind(caller.app.number, caller.device, self._node, now) for caller in callers]
            )
            for caller, bound in zip(callers, bounds, strict=True):
                sessions.append(self._open(caller, bound.binding.epoch))
                if bound.previous is not None and bound.previous.node != self._node:
                    self._takeovers.add(caller.app.number, caller.device, bound.previous)
            arrivals = await self._saver.inboxes.arrive(
                [Arrive(caller.app.number, caller.device, now) for caller in callers]
            )
        except LonglineError as error:
            if isinstance(error, Fenced):
                self._fenced.set()
                error = Unavailable("this node was taken for dead and is about to come back")
            for caller in callers:
                refuse(caller.connection, error)
            return
        for caller, session, arrival in zip(callers, sessions, arrivals, strict=True):
            # Gone meanwhile, taken over by a later CONNECT of the same batch, or kicked
            if session.connection is None or caller.connection.ended:
                continue
            if arrival is None:
                self._directory.forget(caller.app.app)
                session.gone = Gone.CLOSED
                refuse(caller.connection, AppNotFound())
            else:
                self._answer(caller, session, arrival, now)

    def _open(self, caller: Caller, epoch: int) -> Session:
        """Puts the session into the index, in place of an older one of the same device."""
        connection, packet = caller.connection, caller.packet
        window = self._settings.inflight_window
        receive_maximum = get_int(packet.properties, PropertyId.RECEIVE_MAXIMUM)
        if receive_maximum is not None:
            window = min(window, receive_maximum)
        largest = get_int(packet.properties, PropertyId.MAXIMUM_PACKET_SIZE)
        if largest is not None:
            connection.max_outgoing = largest
        tenant = self._broker.enter(caller.app.number, caller.app.app, caller.app.pubsub)
        known = self._directory.remembered(caller.app.app)
        if known is not None:
            tenant.pubsub = known.pubsub  # it may have been changed without our hearing of it
        session = Session(tenant, caller.device, epoch, connection, window)
        previous = self._broker.open(session)
        if previous is not None:
            previous.gone = Gone.TAKEN_OVER
            if previous.connection is not None:
                previous.connection.close(ReasonCode.SESSION_TAKEN_OVER, "taken_over")
        if connection.transport is None:  # it went while we bound it
            self._broker.close(session)
        else:
            connection.session = session
            self._broker.counters.sessions += 1
        return session

    def _answer(self, caller: Caller, session: Session, arrival: Arrival, now: int) -> None:
        connection = caller.connection
        if arrival.banned_until > now:
            session.gone = Gone.CLOSED
            refuse(connection, Banned())
            return
        session.ordinal = arrival.ordinal
        session.lost_before = self._broker.counters.receipts_lost
        session.log_position = session.log_read = session.log_cursor = arrival.log_after
        session.more = session.gap = arrival.pending or session.missed
        granted, connack = self._connack(caller)
        connection.accept(session, connack, granted)
        if session.more:
            self._inbox.want(session)

    def _connack(self, caller: Caller) -> tuple[int, Connack]:
        """The keep alive granted, in seconds, and the answer that says what we offer, section 3.2.2.3."""
        packet, settings = caller.packet, self._settings
        granted = min(packet.keep_alive or settings.default_keep_alive, settings.max_keep_alive)
        if packet.version != MQTT_5_0:
            return granted, Connack(False, ReasonCode.SUCCESS)
        properties: Properties = {
            PropertyId.RECEIVE_MAXIMUM: settings.receive_maximum,
            PropertyId.MAXIMUM_QOS: 1,
            PropertyId.RETAIN_AVAILABLE: 0,
            PropertyId.MAXIMUM_PACKET_SIZE: settings.max_packet_size,
            PropertyId.TOPIC_ALIAS_MAXIMUM: settings.topic_alias_maximum,
            PropertyId.SUBSCRIPTION_IDENTIFIER_AVAILABLE: 0,
            PropertyId.SHARED_SUBSCRIPTION_AVAILABLE: 0,
        }
        if packet.properties is not None and PropertyId.SESSION_EXPIRY_INTERVAL in packet.properties:
            properties[PropertyId.SESSION_EXPIRY_INTERVAL] = (
                0  # subscriptions end with the connection; pushes wait anyway
            )
        if granted != packet.keep_alive:
            properties[PropertyId.SERVER_KEEP_ALIVE] = granted
        if not packet.client_id:
            properties[PropertyId.ASSIGNED_CLIENT_IDENTIFIER] = caller.device
        return granted, Connack(False, ReasonCode.SUCCESS, properties)


class UnknownMethod(NotSupported):
    """Enhanced authentication is not offered."""

    code = "bad_authentication_method"
    reason = ReasonCode.BAD_AUTHENTICATION_METHOD


class BadDevice(LonglineError):
    """The client identifier is not a valid device name."""

    code = "bad_device_name"
    reason = ReasonCode.CLIENT_IDENTIFIER_NOT_VALID


def still_there(callers: Sequence[Caller]) -> list[Caller]:
    """Those who have not hung up, which the kernel knows before their transports do.

    When this process has stood still for a while there are CONNECTs of clients that went elsewhere meanwhile.
    To bind those now would take their sessions away from where they are.
    """
    poll = select.poll()
    handles = []
    for caller in callers:
        transport = caller.connection.transport
        peer = transport.get_extra_info("socket") if transport is not None else None
        handle = peer.fileno() if peer is not None else -1
        handles.append(handle)
        if handle >= 0:
            poll.register(handle, select.POLLRDHUP)
    gone = {handle for handle, _ in poll.poll(0)}
    there = []
    for caller, handle in zip(callers, handles, strict=True):
        if handle in gone:
            # Its transport is not read from meanwhile, and would not notice.
            caller.connection.close(ReasonCode.SERVER_UNAVAILABLE, "hung_up")
        elif caller.connection.transport is not None:
            there.append(caller)
    return there


def refuse(connection: Connection, error: LonglineError) -> None:
    """Answers a CONNECT with an error's reason, if the connection is still there."""
    if connection.transport is not None:
        connection.refuse(ReasonCode(error.reason), error.code, error.message)
