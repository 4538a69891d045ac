"""What the sessions of one room share, and how messages reach them.

Nothing here waits: what needs a store is handed to the room's tasks through `Desk`. A message is
encoded once for each protocol version; written bytes are gathered per connection and go to the
kernel once a turn of the event loop. One turn does a bounded amount of work (`turn_budget`
deliveries); a publisher that brought more is not read from until the rest of it is done.
"""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol, final

from longline.model import Message
from longline.mqtt.codec import PublishFrame
from longline.mqtt.packets import MQTT_5_0, Publish
from longline.mqtt.properties import SUBSCRIPTION_IDENTIFIER, TOPIC_ALIAS, Properties, PropertyId
from longline.room.counters import RoomCounters
from longline.room.session import InFlight, Session, Tenant
from longline.room.subscriptions import Subscriber, Subscriptions
from longline.room.wheel import Wheel

if TYPE_CHECKING:
    from longline.mqtt.packets import Connect
    from longline.room.connection import Connection

NOT_YET: Final = -1
REFUSED: Final = 0x80  # reason codes from here on are failures, section 2.4
PACKET_ID: Final = 2  # bytes that a packet identifier adds
TURN_BUDGET: Final = 20_000  # packets and deliveries in one turn of the loop: a few milliseconds
TURN_WRITES: Final = 1500  # connections written to in one turn: each is a system call


class Desk(Protocol):
    """Where the synchronous part leaves work that has to wait for a store. No call blocks or fails."""

    def admit(self, connection: "Connection", packet: "Connect") -> None:
        """A CONNECT came in: find out who it is, and answer it."""

    def refill(self, session: Session) -> None:
        """The session has room for pushes, and the store may have some."""

    def acknowledged(self, entry: InFlight) -> None:
        """The device has taken a push."""

    def written(self, entry: InFlight) -> None:
        """A push was written to the device's connection."""

    def dropped(self, session: Session, position: int, broadcast: bool, reason: str) -> None:
        """A push that is only for who can take it now could not be written."""

    def departed(self, session: Session) -> None:
        """The session is over; it is in no index any more."""

    def refused(self, connection: "Connection", code: str, message: str) -> None:
        """A peer did what it may not do. Counted already; a repetition on the same connection is not told."""


@final
class Frames:
    """A push as it goes over the wire, encoded at most once for each protocol version."""

    __slots__ = ("_frame4", "_frame5", "message")

    def __init__(self, message: Message) -> None:
        self.message = message
        self._frame4: PublishFrame | None = None
        self._frame5: PublishFrame | None = None

    def of(self, version: int, now_ms: int) -> PublishFrame:
        message = self.message
        if version == MQTT_5_0:
            frame = self._frame5
            if frame is None:
                properties: Properties = {
                    PropertyId.MESSAGE_EXPIRY_INTERVAL: max(0, (message.expires_at - now_ms + 999) // 1000),
                    PropertyId.CONTENT_TYPE: message.content_type,
                    PropertyId.USER_PROPERTY: [
                        ("message-id", message.id),
                        ("sent-at", str(message.created_at)),
                    ],
                }
                frame = self._frame5 = PublishFrame(
                    "push/" + message.id, message.payload, message.qos, False, properties, version
                )
            return frame
        frame = self._frame4
        if frame is None:
            frame = self._frame4 = PublishFrame(
                "push/" + message.id, message.payload, message.qos, False, None, version
            )
        return frame


@final
class Fanout:
    """A message with more subscribers than one turn may serve. Those of the moment it came get it."""

    __slots__ = ("connection", "packet", "reached", "served", "session", "subscribers")

    def __init__(
        self, connection: "Connection", session: Session, packet: Publish, subscribers: list[Subscriber]
    ) -> None:
        self.connection = connection
        self.session = session
        self.packet = packet
        self.subscribers = subscribers
        self.served = 0
        self.reached = 0


@final
class Broker:
    """The sessions of a room, by app and device, and the turn of the loop that they are served in."""

    __slots__ = (
        "_backlogged",
        "_fanouts",
        "_schedule",
        "_scheduled",
        "_touched",
        "clock",
        "counters",
        "desk",
        "now",
        "outbox_bytes",
        "session_queue",
        "spent",
        "tenants",
        "turn_budget",
        "turn_writes",
        "wheel",
    )

    def __init__(
        self,
        desk: Desk,
        schedule: Callable[[Callable[[], None]], object],
        clock: Callable[[], float],
        outbox_bytes: int,
        session_queue: int,
        turn_budget: int = TURN_BUDGET,
        turn_writes: int = TURN_WRITES,
    ) -> None:
        self.desk = desk
        self.counters = RoomCounters()
        self.wheel = Wheel()
        self.clock = clock  # seconds, rising
        self.now = clock()  # as of the last tick of the wheel
        self.outbox_bytes = outbox_bytes
        self.session_queue = session_queue
        self.turn_budget = turn_budget
        self.turn_writes = turn_writes
        self.tenants: dict[int, Tenant] = {}
        self.spent = 0  # deliveries in this turn
        self._schedule = schedule  # loop.call_soon
        self._scheduled = False
        self._touched: deque[Connection] = deque()  # each connection at most once
        self._backlogged: list[Connection] = []  # the same
        self._fanouts: deque[Fanout] = deque()  # at most one a connection

    # --- sessions ---------------------------------------------------------------------------------

    def session(self, app: int, device: str) -> Session | None:
        tenant = self.tenants.get(app)
        return tenant.sessions.get(device) if tenant is not None else None

    def enter(self, app: int, name: str, pubsub: bool) -> Tenant:
        """The app's tenant, made on its first session."""
        tenant = self.tenants.get(app)
        if tenant is None:
            tenant = self.tenants[app] = Tenant(app, name, pubsub, Subscriptions())
        return tenant

    def open(self, session: Session) -> Session | None:
        """Puts a session into the index; returns the one that it takes over, still with its connection."""
        sessions = session.tenant.sessions
        previous = sessions.get(session.device)
        sessions[session.device] = session
        return previous

    def close(self, session: Session) -> None:
        """Ends a session: its connection is gone. A newer session of the device stays as it is."""
        session.connection = None
        tenant = session.tenant
        if session.subscriptions is not None:
            for filter in session.subscriptions:
                tenant.subscriptions.remove(filter, session)
            session.subscriptions = None
        if tenant.sessions.get(session.device) is session:
            del tenant.sessions[session.device]
            if not tenant.sessions and self.tenants.get(tenant.app) is tenant:
                del self.tenants[tenant.app]
        session.queue = None
        if session.inflight is not None:
            for entry in session.inflight.values():
                if entry is not None and entry.online_only:
                    self.desk.dropped(session, entry.position, entry.broadcast, "disconnected")
        self.desk.departed(session)

    # --- the turn ---------------------------------------------------------------------------------

    def touch(self, connection: "Connection") -> None:
        """The connection has bytes to write: they go out at the end of this turn."""
        self._touched.append(connection)
        self._wake()

    def postpone(self, connection: "Connection") -> None:
        """The connection has packets left from this turn's chunk: they are worked on in the next."""
        self._backlogged.append(connection)
        self._wake()

    def _wake(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._schedule(self.turn)

    def turn(self) -> None:
        """Writes what was gathered; when all of that is out, goes on with what earlier turns left over."""
        self.spent = 0
        touched = self._touched
        for _ in range(min(len(touched), self.turn_writes)):
            touched.popleft().flush()
        if not touched:
            if self._fanouts:
                self._go_on(self._fanouts.popleft())
            backlogged = self._backlogged
            self._backlogged = []
            for connection in backlogged:
                connection.work_off()
        self._scheduled = bool(touched or self._fanouts or self._backlogged)
        if self._scheduled:
            self._schedule(self.turn)

    # --- pushes -----------------------------------------------------------------------------------

    def offer(self, session: Session, frames: Frames, position: int, broadcast: bool, now_ms: int) -> None:
        """Writes a push that has just been stored, or leaves it in the store to be read in its turn."""
        if position <= (session.log_position if broadcast else session.inbox_position):
            return  # read from the store already
        message = frames.message
        connection = session.connection
        if message.expires_at <= now_ms:
            return  # it was on its way for too long: the store ends it
        if message.online_only:
            if session.more or connection is None or not connection.ready() or session.free() <= 0:
                self.desk.dropped(session, position, broadcast, "busy")
            else:
                self.write_push(session, connection, frames, position, broadcast, False, now_ms)
            return
        if session.more or connection is None or not connection.ready() or session.free() <= 0:
            session.more = True
            session.missed = True
            self.counters.pushes_left += 1
            return
        if broadcast:
            session.log_position = position
        else:
            session.inbox_position = position
        self.write_push(session, connection, frames, position, broadcast, False, now_ms)

    def write_push(
        self,
        session: Session,
        connection: "Connection",
        frames: Frames,
        position: int,
        broadcast: bool,
        duplicate: bool,
        now_ms: int,
    ) -> None:
        """Writes a push into a window that has room for it."""
        message = frames.message
        frame = frames.of(connection.link.version, now_ms)
        entry = InFlight(session, position, broadcast, message.online_only, now_ms)
        if len(frame.at_most_once) + PACKET_ID > connection.max_outgoing:
            # [MQTT-3.1.2-24] a packet over the client's limit is not sent; nor is it worth keeping
            self.desk.dropped(session, position, broadcast, "too_large_for_client")
            return
        self.counters.pushes_sent += 1
        if message.qos == 0:
            connection.write(frame.at_most_once)
            self.desk.acknowledged(entry)
        else:
            packet_id = session.take_id(entry)
            connection.write(frame.with_id(packet_id, duplicate))
            self.desk.written(entry)

    def acknowledge(self, session: Session, packet_id: int, reason: int) -> bool:
        """A PUBACK: frees the window and uses the room. False when nothing had this identifier."""
        inflight = session.inflight
        if inflight is None or packet_id not in inflight:
            return False
        entry = inflight.pop(packet_id)
        if not inflight:
            session.inflight = None
        if entry is not None:
            if reason < REFUSED:
                self.counters.pushes_acked += 1
                self.desk.acknowledged(entry)
            else:
                entry.noted = True
                self.desk.dropped(session, entry.position, entry.broadcast, "refused_by_client")
        if session.more and not session.fetching and session.free() * 2 >= session.window:
            self.desk.refill(session)
        if session.queue is not None:
            self.drain(session)
        return True

    # --- plain publish/subscribe ------------------------------------------------------------------

    def publish(self, connection: "Connection", session: Session, packet: Publish) -> int:
        """Hands a device's message to whom wants it in its app; returns how many.

        NOT_YET when there are too many for one turn: `connection.published` is told when all are served.
        """
        subscribers = session.tenant.subscriptions.match(packet.topic)
        if not subscribers:
            return 0
        if len(subscribers) > self.turn_budget:
            self._fanouts.append(Fanout(connection, session, packet, subscribers))
            self._wake()
            return NOT_YET
        return self._fan_out(session, packet, subscribers)

    def _go_on(self, fanout: "Fanout") -> None:
        """Serves the next slice of a large fan-out."""
        end = fanout.served + self.turn_budget
        fanout.reached += self._fan_out(
            fanout.session, fanout.packet, fanout.subscribers[fanout.served : end]
        )
        fanout.served = end
        if end < len(fanout.subscribers):
            self._fanouts.append(fanout)
        else:
            fanout.connection.published(fanout.packet, fanout.reached)

    def _fan_out(self, session: Session, packet: Publish, subscribers: list[Subscriber]) -> int:
        frames4: list[PublishFrame | None] = [None, None]
        frames5: list[PublishFrame | None] = [None, None]
        properties = forwarded(packet.properties)
        reached = 0
        for subscriber in subscribers:
            receiver = subscriber.session
            connection = receiver.connection
            if connection is None or (subscriber.no_local and receiver is session):
                continue
            qos = packet.qos if packet.qos < subscriber.qos else subscriber.qos
            frames = frames5 if connection.link.version == MQTT_5_0 else frames4
            frame = frames[qos]
            if frame is None:
                version = connection.link.version
                frame = frames[qos] = PublishFrame(
                    packet.topic,
                    packet.payload,
                    qos,
                    False,
                    properties if version == MQTT_5_0 else None,
                    version,
                )
            if self._deliver(receiver, connection, frame, qos):
                reached += 1
        self.spent += len(subscribers)
        self.counters.messages_routed += reached
        return reached

    def _deliver(self, receiver: Session, connection: "Connection", frame: PublishFrame, qos: int) -> bool:
        if len(frame.at_most_once) + PACKET_ID > connection.max_outgoing:
            self.counters.messages_dropped_size += 1
            return False
        if qos == 0:
            if connection.blocked:
                self.counters.messages_dropped_slow += 1
                return False
            connection.write(frame.at_most_once)
            return True
        if receiver.queue is None and not connection.blocked and receiver.spare() > 0:
            connection.write(frame.with_id(receiver.take_id(None), False))
            return True
        queue = receiver.queue
        if queue is None:
            queue = receiver.queue = deque()
        if len(queue) >= self.session_queue:
            self.counters.messages_dropped_slow += 1
            return False
        queue.append(frame)
        return True

    def drain(self, session: Session) -> None:
        """Writes plain QoS 1 messages that waited, as far as the window and the connection allow."""
        queue = session.queue
        connection = session.connection
        if queue is None or connection is None:
            return
        while queue and not connection.blocked and session.spare() > 0:
            connection.write(queue.popleft().with_id(session.take_id(None), False))
        if not queue:
            session.queue = None


def forwarded(properties: Properties | None) -> Properties | None:
    """What of a publisher's properties goes on to subscribers: all but what is between it and us."""
    if properties is None or not (TOPIC_ALIAS in properties or SUBSCRIPTION_IDENTIFIER in properties):
        return properties
    rest = {k: v for k, v in properties.items() if k not in (TOPIC_ALIAS, SUBSCRIPTION_IDENTIFIER)}
    return rest or None
