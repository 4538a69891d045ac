"""At CONNECT, with the store's answers there: the session in the index, and what its client is told.

Nothing is waited for here. In which order the stores are asked is admission's.
"""

from collections.abc import Callable
from typing import Final, NamedTuple, final

from longline.errors import AppNotFound, BadToken, Banned, Unavailable
from longline.model.apps import App
from longline.model.times import wall_clock
from longline.mqtt.packets import MQTT_3_1_1, MQTT_5_0, Connack, Connect
from longline.mqtt.properties import Properties, PropertyId, get_int
from longline.mqtt.reasons import ReasonCode
from longline.register.port import Bound
from longline.room.counters import RoomCounters
from longline.room.kept.opening import Opening
from longline.room.life.authority import KnownClient
from longline.room.life.entrant import Entrant
from longline.room.life.takeovers import Takeovers
from longline.room.push.gaps import Gaps
from longline.room.push.inbox import Inbox
from longline.room.push.parking import Parking
from longline.room.session.client import ClientConnection
from longline.room.session.session import Gone, Session
from longline.room.session.sessions import Sessions
from longline.room.session.window import ASK
from longline.saver.app_cache import AppCache
from longline.saver.port.inboxes import Arrival
from longline.saver.port.sessions import KeptSession
from longline.settings import RoomSettings

# Looked up once: a member of an enum costs more than it seems.
SUCCESS: Final = ReasonCode.SUCCESS
CLOSED: Final = Gone.CLOSED
ASSIGNED_CLIENT_IDENTIFIER: Final = PropertyId.ASSIGNED_CLIENT_IDENTIFIER
MAXIMUM_PACKET_SIZE: Final = PropertyId.MAXIMUM_PACKET_SIZE
RECEIVE_MAXIMUM: Final = PropertyId.RECEIVE_MAXIMUM
RETAIN_AVAILABLE: Final = PropertyId.RETAIN_AVAILABLE
SERVER_KEEP_ALIVE: Final = PropertyId.SERVER_KEEP_ALIVE
SESSION_EXPIRY_INTERVAL: Final = PropertyId.SESSION_EXPIRY_INTERVAL
SHARED_SUBSCRIPTION_AVAILABLE: Final = PropertyId.SHARED_SUBSCRIPTION_AVAILABLE
TOPIC_ALIAS_MAXIMUM: Final = PropertyId.TOPIC_ALIAS_MAXIMUM


class Caller(NamedTuple):
    """A CONNECT of somebody who may come in."""

    client: Entrant
    packet: Connect
    app: App
    identity: KnownClient

    @property
    def device(self) -> str:
        """Its name."""
        return self.identity.device


@final
class Reception:
    """Owned by admission. `arrived` is told of each who is let in, and whether its device's shadow has
    something new; `refuse` refuses a client with an error.
    """

    def __init__(
        self,
        settings: RoomSettings,
        *,
        counters: RoomCounters,
        sessions: Sessions,
        apps: AppCache,
        inbox: Inbox,
        gaps: Gaps,
        parking: Parking,
        opening: Opening,
        takeovers: Takeovers,
        arrived: Callable[[Session, bool], None],
        refuse: Callable[[Entrant, Exception], None],
    ) -> None:
        self.settings = settings
        self._counters = counters
        self._sessions = sessions
        self._apps = apps
        self._inbox = inbox
        self._gaps = gaps
        self._parking = parking
        self._opening = opening
        self._takeovers = takeovers
        self._arrived = arrived
        self._refuse = refuse

    def registers(self, caller: Caller) -> bool:
        """Whether it becomes a device: what is kept of a client is a device's."""
        return (
            not caller.identity.anonymous
            or self.settings.anonymous_devices
            or self._opening.keeps(caller.packet)
        )

    def came_later(self, app: int, device: str, client: Entrant) -> bool:
        """Whether the device has come again and was let in before this CONNECT, its earlier one."""
        session = self._sessions.find(app, device)
        if session is None or session.attachment is None:
            return False
        sharing, outlet = session.attachment.sharing, session.attachment.outlet
        if sharing is not None and sharing.first is not None:
            return sharing.asked_at > client.asked_at
        return isinstance(outlet, ClientConnection) and outlet.asked_at > client.asked_at

    def open(self, caller: Caller, bound: Bound | Exception, known: App | None, node: str) -> Session | None:
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
                client.enter(session)
            if bound.previous is not None and bound.previous.node != node:
                self._takeovers.add(caller.app.number, caller.device, bound.previous)
        except Exception as error:
            self._refuse(client, error)
            return None
        return session

    def _session(self, caller: Caller, epoch: int, known: App | None) -> Session:
        packet, app = caller.packet, caller.app
        window = self.settings.inflight_window
        if packet.properties is not None:
            receive_maximum = get_int(packet.properties, RECEIVE_MAXIMUM)
            if receive_maximum is not None:
                window = min(window, receive_maximum)
        if known is None:
            raise Unavailable("the app is being changed")
        if known.number != app.number:
            raise AppNotFound
        tenant = self._sessions.enter(app.number, app.app, app.pubsub, known.generation)
        # It may have been changed without our hearing of it.
        tenant.pubsub = known.pubsub
        self._sessions.rule(tenant, known)
        self._sessions.renew(tenant, known.generation)
        if app.generation < tenant.generation and not _still_good(app, known):
            raise BadToken("the token is by a secret or an issuer that the app has replaced")
        session = Session(tenant, caller.device, epoch, window)
        session.expiry = get_int(packet.properties, SESSION_EXPIRY_INTERVAL) or 0
        return session

    def answer(self, caller: Caller, session: Session, arrival: Arrival | Exception | None, now: int) -> bool:
        """Answers a CONNECT, unless the store has to open its session first: then True."""
        client = caller.client
        if not here(client, session):
            return False
        if isinstance(arrival, Exception):
            self._refuse(client, arrival)
        elif arrival is None:
            self._apps.forget(caller.app.app)
            session.gone = CLOSED
            self._refuse(client, AppNotFound())
        elif arrival.banned_until > now:
            session.gone = CLOSED
            self._refuse(client, Banned())
        else:
            session.ordinal = arrival.ordinal
            if self._opening.prepare(session, caller.packet, arrival.session):
                return True
            self.accept(caller, session, arrival, None)
        return False

    def accept(self, caller: Caller, session: Session, arrival: Arrival, found: KeptSession | None) -> None:
        """Lets it in. `found`: its session, where the store has opened one."""
        session.lost_before = self._counters.receipts_lost
        do = 0
        if arrival.standing is None or not self._parking.holds(session, arrival):
            # A room that had the device until now may have sent it something that came after our look.
            sent = found is not None and not all(flight.released for flight in found.flights)
            do = session.window.open(arrival.log_after, arrival.pending or sent)
        granted, connack = self._connack(caller, found is not None and found.present)
        caller.client.accept(connack, granted)
        session.tenant.traffic.connects += 1
        if found is not None:
            self._opening.begin(caller.client, session, found)
        if caller.identity.until and caller.app.access.end_at_expiry:
            caller.client.end_at(caller.identity.until)
        if not session.guest:
            self._gaps.open(session, arrival)
        if do & ASK:
            self._inbox.ask(session)
        self._arrived(session, arrival.shadow)

    def _connack(self, caller: Caller, present: bool) -> tuple[int, Connack]:
        """The keep alive granted, in seconds, and the answer that says what we offer, section 3.2.2.3."""
        packet, settings = caller.packet, self.settings
        granted = min(packet.keep_alive or settings.default_keep_alive, settings.max_keep_alive)
        if packet.version != MQTT_5_0:
            return granted, Connack(present and packet.version == MQTT_3_1_1, SUCCESS)
        properties: Properties = {
            RECEIVE_MAXIMUM: settings.receive_maximum,
            RETAIN_AVAILABLE: 1,
            MAXIMUM_PACKET_SIZE: settings.max_packet_size,
            SHARED_SUBSCRIPTION_AVAILABLE: 1,
        }
        terms = self._opening.terms(packet)
        if terms.granted != terms.asked:  # section 3.2.2.3.2
            properties[SESSION_EXPIRY_INTERVAL] = terms.granted
        if settings.topic_alias_maximum:
            properties[TOPIC_ALIAS_MAXIMUM] = settings.topic_alias_maximum
        if granted != packet.keep_alive:
            properties[SERVER_KEEP_ALIVE] = granted
        if not packet.client_id:
            properties[ASSIGNED_CLIENT_IDENTIFIER] = caller.device
        return granted, Connack(present, SUCCESS, properties)


def here(client: Entrant, session: Session) -> bool:
    """Whether it has neither gone meanwhile, nor been taken over by a later CONNECT, nor kicked."""
    return session.attachment is not None and not client.ended


def _still_good(app: App, known: App) -> bool:
    """Whether what an app was, when it let somebody in, is what it is now."""
    return (
        app.device_secret in known.device_secrets(wall_clock()) and app.access.tokens == known.access.tokens
    )
