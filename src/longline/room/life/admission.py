"""From CONNECT to CONNACK: the session bound, in the index, and told what is waiting for it.

CONNECTs that arrive together are worked on together: one `bind` and one `arrive` for all. The order
of the two, with the session put into the room's index in between, is what makes a push that is sent
at this very moment arrive: either its commit comes first and `arrive` finds it, or its binding is
read after `bind` and the room is told of it while the session is there.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple, TypeVar

from longline.errors import (
    AppNotFound,
    BadToken,
    Banned,
    Fenced,
    LonglineError,
    Overloaded,
    Unavailable,
)
from longline.model.apps import App
from longline.model.times import wall_clock
from longline.mqtt.link import Phase
from longline.mqtt.packets import MQTT_5_0, Connack, Connect
from longline.mqtt.properties import Properties, PropertyId, get_int
from longline.mqtt.reasons import ReasonCode
from longline.register.port import Bind, Bound, Register
from longline.room.counters import RoomCounters
from longline.room.life.authority import Authority
from longline.room.life.entrance import Asking, Entrance
from longline.room.life.takeovers import Takeovers
from longline.room.push.inbox import Inbox
from longline.room.push.pace import BulkPace
from longline.room.session.client import ClientConnection
from longline.room.session.session import Gone, Session
from longline.room.session.sessions import Sessions
from longline.room.session.window import ASK
from longline.room.turn import Turn
from longline.saver.app_cache import AppCache
from longline.saver.port.inboxes import Arrival, Arrive, InboxStore
from longline.settings import RoomSettings
from longline.telemetry.faults import Faults

YIELD_EVERY: Final = 32  # tokens verified before the loop may serve others: under a millisecond
PLACE: Final = "room.admission"
SUCCESS: Final = ReasonCode.SUCCESS  # looked up once: a member of an enum costs more than it seems

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


class Caller(NamedTuple):
    """A CONNECT whose token is good."""

    client: ClientConnection
    packet: Connect
    app: App
    device: str


class Admission:
    """Owned by the room, which runs `run` as a task. At most `connect_queue` CONNECTs wait here.

    While `turned_away` is set nobody is let in, and it is told who asks, by app and device. Whatever is wrong
    with one of them costs the others nothing. `fenced` is told when a node's name, which
    it is given, turns out to have been declared dead.
    """

    def __init__(
        self,
        settings: RoomSettings,
        node: str,
        *,
        counters: RoomCounters,
        turn: Turn,
        faults: Faults,
        sessions: Sessions,
        inboxes: InboxStore,
        register: Register,
        authority: Authority,
        apps: AppCache,
        inbox: Inbox,
        takeovers: Takeovers,
        fenced: Callable[[str], None],
        pace: BulkPace,
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._node = node
        self._counters = counters
        self._turn = turn
        self._faults = faults
        self._sessions = sessions
        self._inboxes = inboxes
        self._register = register
        self._authority = authority
        self._apps = apps
        self._inbox = inbox
        self._takeovers = takeovers
        self._pace = pace
        self._fenced = fenced
        self._suspended = False
        self.turned_away: Callable[[str, str], None] | None = None
        self._clock = clock
        self._entrance = Entrance(self._serve, counters, patience=settings.connect_patience, clock=clock)

    def admit(self, client: ClientConnection, packet: Connect) -> None:
        """Takes a CONNECT in; answers it at once only when it cannot be served."""
        if self.turned_away is not None:
            self.turned_away(packet.username or "", packet.client_id)
            refuse(client, Unavailable("this node cannot reach its store"))
        elif self._suspended:
            refuse(client, Unavailable("this node takes no clients now"))
        elif self._turn.pressed:
            refuse(client, Overloaded("the stores do not keep up"))
        elif len(self._entrance) >= self._settings.connect_queue:
            refuse(client, Overloaded("too many CONNECTs are waiting"))
        else:
            self._entrance.add(client, packet)

    def configure(self, settings: RoomSettings) -> None:
        """Goes by other settings from now on."""
        self._settings = settings
        self._authority.anonymous_app = settings.anonymous_app

    async def suspend(self) -> None:
        """Refuses CONNECTs from now on as unavailable; returns when those taken in before are answered."""
        self._suspended = True
        await self._entrance.idle()

    def resume(self, node: str) -> None:
        """Takes CONNECTs in again, for sessions of this node."""
        self._node = node
        self._suspended = False

    def waiting(self) -> int:
        return len(self._entrance)

    async def run(self) -> None:
        """Answers CONNECTs for as long as the room lives."""
        await self._entrance.run()

    # --- a batch ----------------------------------------------------------------------------------

    async def _serve(self, batch: Sequence[Asking]) -> None:
        try:
            callers = await self._identify(batch)
            if callers:
                await self._welcome(callers)
        except Exception as error:  # something is wrong with one of them that nobody foresaw
            unanswered = [asking for asking in batch if asking[0].link.phase is Phase.CONNECTING]
            if len(batch) == 1:
                for client, _ in unanswered:
                    self._refuse(client, error)
                return
            for asking in unanswered:
                await self._serve([asking])

    async def _identify(self, batch: Sequence[Asking]) -> list[Caller]:
        apps = await self._authority.look_up([packet for _, packet in batch])
        began = self._clock()
        callers = []
        for done, (client, packet) in enumerate(batch, 1):
            if client.transport is not None:
                try:
                    app = apps.get(packet.username)
                    if app is None:
                        app = await self._authority.find(packet, client.certificate)
                        apps = {}  # any may have changed meanwhile
                    device = self._authority.identify(packet, app, client.certificate)
                    if self._came_later(app.number, device, client):
                        client.close(ReasonCode.SESSION_TAKEN_OVER, "taken_over")
                    else:
                        callers.append(Caller(client, packet, app, device))
                except Exception as error:
                    self._refuse(client, error)
            if done % YIELD_EVERY == 0:
                await asyncio.sleep(0)
                apps = await self._authority.look_up([packet for _, packet in batch[done:]])
        self._entrance.portion.took(self._clock() - began)
        return callers

    def _came_later(self, app: int, device: str, client: ClientConnection) -> bool:
        """Whether the device has come again and was let in before this CONNECT, its earlier one."""
        session = self._sessions.find(app, device)
        if session is None or session.attachment is None:
            return False
        outlet = session.attachment.outlet
        return isinstance(outlet, ClientConnection) and outlet.asked_at > client.asked_at

    async def _welcome(self, callers: Sequence[Caller]) -> None:
        now = wall_clock()
        bounds = await self._ask(
            self._register.bind,
            [Bind(caller.app.number, caller.device, self._node, now) for caller in callers],
        )
        names = {caller.app.app for caller in callers}
        for name in names:
            if self._apps.remembered(name) is None:  # it was changed while we bound these
                with suppress(LonglineError):
                    await self._apps.find(name)
        # However old that is by now: it was looked up, or looked at, for this portion.
        apps = {name: self._apps.latest(name) for name in names}
        opened = []
        for caller, bound in zip(callers, bounds, strict=True):
            session = self._open(caller, bound, apps[caller.app.app])
            if session is not None:
                opened.append((caller, session))
        if not opened:
            return
        arrivals = await self._ask(
            self._inboxes.arrive,
            [Arrive(session.tenant.app, session.device, now) for _, session in opened],
        )
        for (caller, session), arrival in zip(opened, arrivals, strict=True):
            try:
                self._answer(caller, session, arrival, now)
            except Exception as error:
                session.gone = Gone.CLOSED
                self._refuse(caller.client, error)

    async def _ask(
        self, call: Callable[[Sequence[Asked]], Awaitable[Sequence[Answer]]], batch: Sequence[Asked]
    ) -> list[Answer | Exception]:
        """Asks a store for all at once, or, when something nobody foresaw is wrong with one, for each."""
        try:
            with self._pace.asking():
                return list(await call(batch))
        except LonglineError as error:
            return [error] * len(batch)
        except Exception as error:
            if len(batch) == 1:
                return [error]
        return [answer for item in batch for answer in await self._ask(call, [item])]

    def _open(self, caller: Caller, bound: Bound | Exception, known: App | None) -> Session | None:
        """Puts the session into the index, in place of an older one of the same device."""
        client = caller.client
        if isinstance(bound, Exception):
            self._refuse(client, bound)
            return None
        try:
            session = self._session(caller, bound.binding.epoch, known)
            self._sessions.open(session)
            if client.transport is None:  # it went while we bound it
                self._sessions.end(session)
            else:
                client.attachment = self._sessions.attach(session, client)
            if bound.previous is not None and bound.previous.node != self._node:
                self._takeovers.add(caller.app.number, caller.device, bound.previous)
        except Exception as error:
            self._refuse(client, error)
            return None
        return session

    def _session(self, caller: Caller, epoch: int, known: App | None) -> Session:
        packet, app = caller.packet, caller.app
        window = self._settings.inflight_window
        if packet.properties is not None:
            receive_maximum = get_int(packet.properties, PropertyId.RECEIVE_MAXIMUM)
            if receive_maximum is not None:
                window = min(window, receive_maximum)
        if known is None:
            raise Unavailable("the app is being changed")
        if known.number != app.number:
            raise AppNotFound
        tenant = self._sessions.enter(app.number, app.app, app.pubsub, known.generation)
        # It may have been changed without our hearing of it.
        tenant.pubsub = known.pubsub
        self._sessions.renew(tenant, known.generation)
        if app.generation < tenant.generation and app.device_secret != known.device_secret:
            raise BadToken("the token was signed with an earlier device secret of this app")
        session = Session(tenant, caller.device, epoch, window)
        session.expiry = get_int(packet.properties, PropertyId.SESSION_EXPIRY_INTERVAL) or 0
        return session

    def _answer(
        self, caller: Caller, session: Session, arrival: Arrival | Exception | None, now: int
    ) -> None:
        client = caller.client
        # Gone meanwhile, taken over by a later CONNECT of the same batch, or kicked
        if session.attachment is None or client.ended:
            return
        if isinstance(arrival, Exception):
            self._refuse(client, arrival)
        elif arrival is None:
            self._apps.forget(caller.app.app)
            session.gone = Gone.CLOSED
            refuse(client, AppNotFound())
        elif arrival.banned_until > now:
            session.gone = Gone.CLOSED
            refuse(client, Banned())
        else:
            self._accept(caller, session, arrival)

    def _accept(self, caller: Caller, session: Session, arrival: Arrival) -> None:
        session.ordinal = arrival.ordinal
        session.lost_before = self._counters.receipts_lost
        do = session.window.open(arrival.log_after, arrival.pending)
        granted, connack = self._connack(caller)
        caller.client.accept(connack, granted)
        if do & ASK:
            self._inbox.ask(session)

    def _refuse(self, client: ClientConnection, error: Exception) -> None:
        if isinstance(error, Fenced):
            self._fenced(self._node)
            error = Unavailable("this node was taken for dead and is about to come back")
        elif not isinstance(error, LonglineError):
            self._faults.note(PLACE, error)
            error = Unavailable("something went wrong with this CONNECT")
        refuse(client, error)

    def _connack(self, caller: Caller) -> tuple[int, Connack]:
        """The keep alive granted, in seconds, and the answer that says what we offer, section 3.2.2.3."""
        packet, settings = caller.packet, self._settings
        granted = min(packet.keep_alive or settings.default_keep_alive, settings.max_keep_alive)
        if packet.version != MQTT_5_0:
            return granted, Connack(False, SUCCESS)
        properties: Properties = {
            PropertyId.RECEIVE_MAXIMUM: settings.receive_maximum,
            PropertyId.RETAIN_AVAILABLE: 1,
            PropertyId.MAXIMUM_PACKET_SIZE: settings.max_packet_size,
            PropertyId.SHARED_SUBSCRIPTION_AVAILABLE: 0,
        }
        if packet.properties is not None and PropertyId.SESSION_EXPIRY_INTERVAL in packet.properties:
            properties[PropertyId.SESSION_EXPIRY_INTERVAL] = (
                0  # subscriptions end with the connection; pushes wait anyway
            )
        if settings.topic_alias_maximum:
            properties[PropertyId.TOPIC_ALIAS_MAXIMUM] = settings.topic_alias_maximum
        if granted != packet.keep_alive:
            properties[PropertyId.SERVER_KEEP_ALIVE] = granted
        if not packet.client_id:
            properties[PropertyId.ASSIGNED_CLIENT_IDENTIFIER] = caller.device
        return granted, Connack(False, SUCCESS, properties)


def refuse(client: ClientConnection, error: LonglineError) -> None:
    """Answers a CONNECT with an error's reason, if the client is still there."""
    if client.transport is None:
        return
    if error.retryable:
        client.turn_away(ReasonCode(error.reason), error.code, error.message)
    else:
        client.refuse(ReasonCode(error.reason), error.code, error.message)
