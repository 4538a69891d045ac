"""What the sessions of one room share, and how messages reach them.

Nothing here waits: what needs a store is handed to the room's tasks through `Desk`. A message is
encoded once for each protocol version; written bytes are gathered per connection and go to the
kernel once a turn of the event loop. One turn does a bounded amount of work (`turn_budget`
deliveries); a publisher that brought more is not read from until the rest of it is done.
"""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, final

from longline.mqtt.codec import PublishFrame
from longline.mqtt.packets import MQTT_5_0, Publish
from longline.room.counters import RoomCounters
from longline.room.desk import LATER, NOT_YET, Desk, Rooms
from longline.room.pubsub.subscriptions import Subscriber, Subscriptions
from longline.room.push.frames import Frames, forwarded
from longline.room.session.session import InFlight, Session, Tenant
from longline.room.wire.wheel import Wheel

if TYPE_CHECKING:
    from longline.room.wire.connection import Connection

REFUSED: Final = 0x80  # reason codes from here on are failures, section 2.4
PACKET_ID: Final = 2  # bytes that a packet identifier adds
TURN_BUDGET: Final = 20_000  # packets and deliveries in one turn of the loop: a few milliseconds
TURN_WRITES: Final = 1500  # connections written to in one turn: each is a system call


@final
class Fanout:
    """A message with more subscribers than one turn may serve. Those of the moment it came get it."""

    __slots__ = ("done", "packet", "reached", "sender", "served", "subscribers")

    def __init__(
        self,
        sender: Session | None,
        packet: Publish,
        subscribers: list[Subscriber[Session]],
        done: Callable[[int], None],
    ) -> None:
        self.sender = sender
        self.packet = packet
        self.subscribers = subscribers
        self.done = done  # called with how many it has reached
        self.served = 0
        self.reached = 0


@final
class Broker:
    """The sessions of a room, by app and device, and the turn of the loop that they are served in."""

    __slots__ = (
        "_backlogged",
        "_fanouts",
        "_held",
        "_schedule",
        "_scheduled",
        "_touched",
        "clock",
        "counters",
        "desk",
        "now",
        "outbox_bytes",
        "pressed",
        "rooms",
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
        self.rooms: Rooms | None = None  # while there are others
        self.spent = 0  # deliveries in this turn
        self._schedule = schedule  # loop.call_soon
        self._scheduled = False
        self._touched: deque[Connection] = deque()  # each connection at most once
        self._backlogged: list[Connection] = []  # the same
        self.pressed = False  # the stores do not keep up: who publishes is not read from
        self._held: list[Connection] = []  # for that reason; each connection at most once
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
                self.unsubscribe(session, filter)
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

    def hold(self, connection: "Connection") -> None:
        """The connection is not read from, and its packets wait, until the stores keep up again."""
        self.counters.publishers_paused += 1
        self._held.append(connection)

    def relieve(self) -> None:
        """The stores keep up again."""
        self.pressed = False
        if self._held:
            self._backlogged += self._held
            self._held = []
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

    def offer(
        self,
        session: Session,
        frames: Frames,
        position: int,
        broadcast: bool,
        now_ms: int,
        before: int = 0,
    ) -> None:
        """Writes a push that has just been stored, or leaves it in the store to be read in its turn.

        One that comes twice is written once, but for `online_only` ones, which no store can be asked about.
        `before`: the position of a unicast that has to be written first; it may never come by itself.
        """
        message = frames.message
        connection = session.connection
        if message.online_only:
            if message.expires_at <= now_ms:
                return
            if session.more or connection is None or not connection.ready() or session.free() <= 0:
                self.desk.dropped(session, position, broadcast, "busy")
            else:
                self.write_push(session, connection, frames, position, broadcast, False, now_ms)
            return
        if position <= (session.log_position if broadcast else session.inbox_position):
            if position <= (session.log_read if broadcast else session.inbox_read):
                return  # read from the store already
            if session.in_flight(position, broadcast):
                return
            # Written and acknowledged already, or late: what came before it was stored after it.
            session.gap = True
            self.counters.pushes_late += 1
        elif message.expires_at <= now_ms:
            return  # it was on its way for too long: the store ends it
        early = before > session.inbox_position and not session.more
        if (
            early
            or session.gap
            or session.more
            or connection is None
            or not connection.ready()
            or session.free() <= 0
        ):
            session.more = True
            session.missed = True
            self.counters.pushes_left += 1
            if (early or session.gap) and not session.fetching:
                self.desk.refill(session)
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

    def subscribe(self, session: Session, filter: str, qos: int, no_local: bool) -> None:
        """Enters or replaces a session's subscription."""
        tenant = session.tenant
        held = session.subscriptions
        if held is None:
            held = session.subscriptions = set()
        held.add(filter)
        rooms = self.rooms
        if rooms is not None and not tenant.subscriptions.wanted(filter):
            rooms.wanted(tenant.app, filter)
        tenant.subscriptions.add(filter, session, qos, no_local)

    def unsubscribe(self, session: Session, filter: str) -> None:
        """Takes a subscription out of the index; the session's own list is the caller's."""
        tenant = session.tenant
        rooms = self.rooms
        had = tenant.subscriptions.remove(filter, session)
        if had and rooms is not None and not tenant.subscriptions.wanted(filter):
            rooms.unwanted(tenant.app, filter)

    def publish(self, connection: "Connection", session: Session, packet: Publish) -> int:
        """Hands a device's message to whom wants it in its app; returns how many.

        NOT_YET when there are too many for one turn: `connection.published` is told when all are served.
        With other rooms, also what `Rooms.relay` says.
        """
        tenant = session.tenant
        subscribers = tenant.subscriptions.match(packet.topic)
        reached = 0
        if subscribers:
            if len(subscribers) > self.turn_budget:
                self._publish_in_slices(connection, session, packet, subscribers)
                return NOT_YET
            reached = self._fan_out(session, packet, subscribers)
        rooms = self.rooms
        if rooms is None:
            return reached
        return rooms.relay(connection, tenant.app, packet, reached)

    def _publish_in_slices(
        self,
        connection: "Connection",
        session: Session,
        packet: Publish,
        subscribers: list[Subscriber[Session]],
    ) -> None:
        def done(reached: int) -> None:
            rooms = self.rooms
            if rooms is not None:
                reached = rooms.relay(connection, session.tenant.app, packet, reached)
            if reached == LATER:
                connection.go_on()
            elif reached != NOT_YET:
                connection.published(packet, reached)

        self._slice(session, packet, subscribers, done)

    def distribute(self, app: int, packet: Publish, done: Callable[[int], None]) -> bool:
        """Hands another room's message to the subscribers here.

        False when there are too many for one turn: `done` is called when all are served.
        """
        tenant = self.tenants.get(app)
        if tenant is None:
            return True
        subscribers = tenant.subscriptions.match(packet.topic)
        if len(subscribers) > self.turn_budget:
            self._slice(None, packet, subscribers, done)
            return False
        if subscribers:
            self._fan_out(None, packet, subscribers)
        return True

    def _slice(
        self,
        sender: Session | None,
        packet: Publish,
        subscribers: list[Subscriber[Session]],
        done: Callable[[int], None],
    ) -> None:
        self._fanouts.append(Fanout(sender, packet, subscribers, done))
        self._wake()

    def _go_on(self, fanout: "Fanout") -> None:
        """Serves the next slice of a large fan-out."""
        end = fanout.served + self.turn_budget
        fanout.reached += self._fan_out(fanout.sender, fanout.packet, fanout.subscribers[fanout.served : end])
        fanout.served = end
        if end < len(fanout.subscribers):
            self._fanouts.append(fanout)
        else:
            fanout.done(fanout.reached)

    def _fan_out(
        self, sender: Session | None, packet: Publish, subscribers: list[Subscriber[Session]]
    ) -> int:
        frames4: list[PublishFrame | None] = [None, None]
        frames5: list[PublishFrame | None] = [None, None]
        properties = forwarded(packet.properties)
        reached = 0
        for subscriber in subscribers:
            receiver = subscriber.who
            connection = receiver.connection
            if connection is None or (subscriber.no_local and receiver is sender):
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
