"""A room without sockets, stores or time: the test moves the bytes, the turns of the loop and the clock.

What the room hands over to its tasks, the transport and the clock are plain objects, because the real
connection and its like may be compiled, and compiled classes can be neither subclassed nor patched.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, cast

from longline.bus.local import LocalBus
from longline.model.messages import Message
from longline.mqtt.codec import Decoder, encode
from longline.mqtt.packets import MQTT_5_0, Connack, Connect, Packet
from longline.mqtt.properties import Properties, PropertyId, get_int
from longline.room.counters import RoomCounters
from longline.room.kept.apps import KeptApps
from longline.room.kept.closings import Closings
from longline.room.kept.deposits import Deposits
from longline.room.kept.filings import Filings
from longline.room.kept.news import News
from longline.room.kept.reader import QueueReader
from longline.room.kept.steps import Steps
from longline.room.life.departures import Departures
from longline.room.platform.handlers import Handler, Platform
from longline.room.pubsub.fanout import Fanout
from longline.room.pubsub.hearing import Hearing
from longline.room.pubsub.retainer import Retainer
from longline.room.pubsub.rules import Rules
from longline.room.pubsub.shared import Groups
from longline.room.push.frames import Frames
from longline.room.push.pace import BulkPace
from longline.room.push.pushes import Pushes
from longline.room.push.receipts import Receipts
from longline.room.push.sent import SentPush
from longline.room.session.client import ClientConnection, Services
from longline.room.session.session import Session
from longline.room.session.sessions import Sessions
from longline.room.turn import Turn
from longline.room.wire.connection import Connection, ListenerShare, WireLimits
from longline.room.wire.wheel import Wheel
from longline.telemetry.faults import Faults
from longline.telemetry.traffic import Traffic
from tests.fakes.saver import FakeSaver
from tests.words import without_words

APP = 7
MAX_EXPIRY = 1000  # s
NOW_MS = 1_800_000_000_000
PEER = ("192.0.2.1", 50_000)


class Turns:
    """What `call_soon` has gathered. One `turn` runs what was there when it began, as a loop does."""

    def __init__(self) -> None:
        self.waiting: deque[Callable[[], object]] = deque()

    def soon(self, callback: Callable[..., object], *args: object) -> None:
        self.waiting.append(lambda: callback(*args))

    def turn(self) -> None:
        for _ in range(len(self.waiting)):
            self.waiting.popleft()()

    def settle(self) -> None:
        while self.waiting:
            self.turn()


class Driven(Protocol):
    """What a transport tells of itself."""

    def data_received(self, data: bytes, /) -> None: ...

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...

    def connection_lost(self, error: Exception | None, /) -> None: ...


class FakeTransport(asyncio.Transport):
    """The server's end of a connection: what is written stays in `writes` until the test takes it.

    `room` bytes are taken at once; what is beyond waits, and `pause_writing` is called when more than the
    limit does. `read` takes what waits, as a peer that reads again.
    """

    def __init__(self, turns: Turns, peer: tuple[str, int] | None = PEER) -> None:
        super().__init__()
        self.turns = turns
        self.peer = peer
        self.protocol: Driven | None = None
        self.writes: list[bytes] = []
        self.reading = True
        self.closing = False
        self.aborted = False
        self.high = 0
        self.held = 0
        self.slow = False  # the peer does not read
        self.socket: socket.socket | None = None  # what would be below it
        self.told: dict[str, object] = {}  # what else it tells of itself

    def get_extra_info(self, name: str, default: object = None) -> object:
        known = {"peername": self.peer, "socket": self.socket, **self.told}
        return known.get(name) or default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.high = high or 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self.closing:
            raise RuntimeError("the handler is closed")  # as uvloop does
        self.writes.append(bytes(data))
        if self.slow:
            before, self.held = self.held, self.held + len(data)
            if before <= self.high < self.held and self.protocol is not None:
                self.protocol.pause_writing()

    def read(self) -> None:
        """The peer has read everything."""
        blocked, self.held, self.slow = self.held > self.high, 0, False
        if blocked and self.protocol is not None:
            self.protocol.resume_writing()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = cast(Driven, protocol)

    def pause_reading(self) -> None:
        if self.closing:
            raise RuntimeError("the handler is closed")
        self.reading = False

    def resume_reading(self) -> None:
        if self.closing:
            raise RuntimeError("the handler is closed")
        self.reading = True

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            if not self.held:  # else only once the peer has read
                self.turns.soon(self._lose)

    def abort(self) -> None:
        self.closing = self.aborted = True
        self.turns.soon(self._lose)

    def _lose(self) -> None:
        if self.protocol is not None:
            protocol, self.protocol = self.protocol, None
            protocol.connection_lost(None)


@dataclass
class Noted:
    """Notes what the synchronous parts hand over, and passes on what a task of the room was put in for."""

    admission: Callable[[ClientConnection, Connect], None] | None = None
    inbox: Callable[[Session], None] | None = None
    looks: Callable[[Session], None] | None = None
    receipts: Receipts | None = None
    departures: Departures | None = None
    admitted: list[tuple[ClientConnection, Connect]] = field(default_factory=list)
    asked: list[Session] = field(default_factory=list)
    looked: list[Session] = field(default_factory=list)
    acks: list[SentPush] = field(default_factory=list)
    sent: list[SentPush] = field(default_factory=list)
    drops: list[tuple[str, int, bool, str]] = field(default_factory=list)
    gone: list[Session] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    refused_peers: list[str] = field(default_factory=list)

    def admit(self, client: ClientConnection, packet: Connect) -> None:
        self.admitted.append((client, packet))
        if self.admission is not None:
            self.admission(client, packet)

    def ask(self, session: Session) -> None:
        self.asked.append(session)
        if self.inbox is not None:
            self.inbox(session)

    def look(self, session: Session) -> None:
        self.looked.append(session)
        if self.looks is not None:
            self.looks(session)

    def acknowledged(self, push: SentPush) -> None:
        self.acks.append(push)
        if self.receipts is not None:
            self.receipts.acknowledged(push)

    def written(self, push: SentPush) -> None:
        self.sent.append(push)
        if self.receipts is not None:
            self.receipts.written(push)

    def dropped(self, session: Session, position: int, broadcast: bool, reason: str) -> None:
        self.drops.append((session.device, position, broadcast, reason))
        if self.receipts is not None:
            self.receipts.dropped(session, position, broadcast, reason)

    def departed(self, session: Session) -> None:
        self.gone.append(session)
        if self.departures is not None:
            self.departures.add(session)

    def refused(self, code: str, peer: str, message: str) -> None:
        self.refusals.append(code)
        self.refused_peers.append(peer)


class Peer:
    """A client at the other end of a `FakeTransport`."""

    def __init__(
        self,
        room: "RoomFixture",
        version: int,
        address: tuple[str, int] | None = PEER,
        share: ListenerShare | None = None,
    ) -> None:
        self.room = room
        self.version = version
        self.connection = ClientConnection(room.services, share or room.share)
        self.wire = FakeTransport(room.turns, address)
        self.wire.protocol = self.connection
        self.reasons: list[str] = []  # the words in which it was told why, in all packets so far
        self._decoder = Decoder(1 << 28, version, False)
        self._read = 0
        # A transport by shape: asyncio calls it the same way.
        self.connection.connection_made(cast(asyncio.Transport, self.wire))

    def bytes(self, data: bytes) -> None:
        """Bytes arrive in one chunk."""
        self.connection.data_received(data)

    def send(self, *packets: Packet) -> None:
        """Packets arrive in one chunk."""
        self.bytes(b"".join(encode(packet, self.version) for packet in packets))

    def hang_up(self) -> None:
        """The peer sends no more; the transport closes unless it is asked to stay."""
        if not self.wire.closing and not self.connection.eof_received():
            self.wire.close()

    def unread(self) -> list[Packet]:
        """What the server has written since the last look, without running the loop and without words."""
        packets: list[Packet] = []
        for data in self.wire.writes[self._read :]:
            packets += self._decoder.feed(data)
        self._read = len(self.wire.writes)
        assert self._decoder.fault is None, self._decoder.fault
        for packet in packets:
            self.reasons += without_words(packet)
        return packets

    def receive(self) -> list[Packet]:
        """What the server has written by the time its loop has nothing to do."""
        self.room.turns.settle()
        return self.unread()

    @property
    def session(self) -> Session:
        session = self.connection.session
        assert session is not None
        return session

    @property
    def over(self) -> bool:
        self.room.turns.settle()
        return self.connection.transport is None


class RoomFixture:
    """The synchronous parts of a room, and the world around them."""

    def __init__(
        self,
        *,
        outbox_bytes: int = 4096,
        session_queue: int = 4,
        session_queue_bytes: int = 1 << 20,
        turn_budget: int = 1000,
        turn_writes: int = 1000,
        max_packet_size: int = 4096,
        connect_packet_size: int = 512,
        will_packet_size: int = 0,
        will_packets_bytes: int = 0,
        connect_timeout: int = 10,
        outbox_timeout: int = 1000,
        max_subscriptions: int = 5,
        max_filter_bytes: int = 1 << 20,
        receive_maximum: int = 1000,
        max_topic_levels: int = 8,
        max_share_groups: int = 100,
        max_share_matches: int = 100,
        max_share_members: int = 100,
        max_share_name: int = 40,
        topic_alias_maximum: int = 0,
        max_index_levels: int = 1000,
        match_limit: int = 10_000,
        publish_rate: float = 0.0,
        retained_limit: int = 1000,
        deposits_limit: int = 1000,
        admits: Callable[[Connection], bool] = lambda connection: True,
        pubsub: bool = True,
        handlers: Mapping[str, Handler] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.turns = Turns()
        self.noted = Noted()
        self.faults = Faults()
        self.time = 1000.0
        self.released: list[str] = []
        self.pubsub = pubsub
        self.counters = RoomCounters()
        self.turn = Turn(self.turns.soon, self.faults, turn_budget, turn_writes)
        self.wheel = Wheel(self.time)
        self.share = ListenerShare()
        self.wall = NOW_MS
        self.fanout = Fanout(
            self.counters,
            self.turn,
            self.faults,
            session_queue,
            session_queue_bytes,
            lambda: self.wall,
            match_limit=match_limit,
        )
        self.shares = Groups("here", self.fanout, self.counters, self.faults, max_share_matches)
        self.saver = FakeSaver()
        self.retainer = Retainer(
            self.saver.retained,
            self.counters,
            self.turn,
            self.faults,
            limit=retained_limit,
            clock=lambda: self.wall,
            sleep=sleep,
        )
        self.pushes = Pushes(self.counters, self.noted, self.noted)
        self.sessions = Sessions(
            self.counters, self.faults, self.fanout, self.pushes, self.noted.departed, Traffic()
        )
        self.rules = Rules(
            receive_maximum=receive_maximum,
            max_subscriptions=max_subscriptions,
            max_filter_bytes=max_filter_bytes,
            max_topic_levels=max_topic_levels,
            topic_alias_maximum=topic_alias_maximum,
            max_index_levels=max_index_levels,
            publish_rate=publish_rate,
            shares=self.shares,
            max_share_groups=max_share_groups,
            max_share_members=max_share_members,
            max_share_name=max_share_name,
        )
        store = self.saver.kept_sessions
        self.bus = LocalBus(1000)
        self.pace = BulkPace(1000)
        self.steps = Steps(store, self.faults, self.pace, delay=0.0)
        self.closings = Closings(store, self.steps, self.faults, max_expiry=MAX_EXPIRY)
        self.reader = QueueReader(
            store, self.steps, self.fanout, self.counters, self.faults, self.pace, page_bytes=1 << 20
        )
        self.fanout.reader = self.reader.ask
        self.hearing = Hearing(self.faults, now=lambda: 0.0)
        self.kept_apps = KeptApps(lambda: "n1", store, self.bus, self.hearing, self.sessions.tenants)
        self.filings = Filings(store, self.kept_apps, self.turn, self.faults)
        self.news = News("n1", self.bus, self._filled, self.faults)
        self.deposits = Deposits(
            store,
            self.news,
            self.shares,
            self.counters,
            self.turn,
            self.faults,
            self.pace,
            limit=deposits_limit,
            clock=lambda: self.wall,
            sleep=sleep,
        )
        self.shares.give = self.deposits.give
        self.shares.leave_to_store = self.deposits.leave
        self.fanout.keeper = self.deposits.replay
        self.deposits.replay_directly = self.fanout.replay_directly
        self.steps.replayed = self.fanout.replayed
        self.shares.settle = self.steps.settled
        self.services = Services(
            WireLimits(
                outbox_bytes,
                max_packet_size,
                connect_packet_size,
                connect_timeout,
                outbox_timeout,
                will_packet_size,
                will_packets_bytes,
            ),
            self.counters,
            self.turn,
            self.wheel,
            self.faults,
            admits=admits,
            released=self.released.append,
            report=self.noted.refused,
            sessions=self.sessions,
            fanout=self.fanout,
            retainer=self.retainer,
            deposits=self.deposits,
            filings=self.filings,
            steps=self.steps,
            closings=self.closings,
            pushes=self.pushes,
            platform=Platform(handlers or {}),
            rules=self.rules,
            admit=self.noted.admit,
        )
        self._epoch = 0

    def _filled(self, app: int, device: str) -> None:
        session = self.sessions.find(app, device)
        if session is not None:
            self.reader.news(session)

    def peer(
        self,
        version: int = MQTT_5_0,
        address: tuple[str, int] | None = PEER,
        share: ListenerShare | None = None,
    ) -> Peer:
        """A connection that has said nothing yet; it came by the listener that has this share."""
        return Peer(self, version, address, share)

    def client(
        self,
        device: str,
        version: int = MQTT_5_0,
        *,
        keep_alive: int = 0,
        window: int = 16,
        properties: Properties | None = None,
        ordinal: int = 1,
        pending: bool = False,
    ) -> Peer:
        """A device that was let in."""
        peer = self.peer(version)
        peer.send(Connect(version, device, keep_alive=keep_alive, properties=properties))
        self.let_in(peer, window=window, ordinal=ordinal, pending=pending)
        assert isinstance(peer.receive()[0], Connack)
        return peer

    def let_in(self, peer: Peer, *, window: int = 16, ordinal: int = 1, pending: bool = False) -> None:
        """Does for a CONNECT what admission does, without stores."""
        client, packet = self.noted.admitted.pop()
        assert client is peer.connection
        session = self.session(packet.client_id, window=window, ordinal=ordinal)
        session.expiry = get_int(packet.properties, PropertyId.SESSION_EXPIRY_INTERVAL) or 0
        session.window.open(0, pending)
        self.sessions.open(session)
        client.attachment = self.sessions.attach(session, client)
        client.accept(Connack(), packet.keep_alive)

    def session(
        self, device: str, app: int = APP, name: str = "news", *, window: int = 16, ordinal: int = 1
    ) -> Session:
        """A session that is in no index yet."""
        self._epoch += 1
        session = Session(self.sessions.enter(app, name, self.pubsub), device, self._epoch, window)
        session.ordinal = ordinal
        return session

    def tick(self, count: int = 1) -> None:
        """Seconds pass."""
        for _ in range(count):
            self.time += 1
            for outlet in self.wheel.advance():
                outlet.expired()
            self.turn.second()
            self.turns.settle()

    def offer(
        self,
        peer: Peer,
        position: int,
        *,
        broadcast: bool = False,
        message: Message | None = None,
        before: int = 0,
    ) -> None:
        """A push that has just been stored is routed to the device."""
        frames = Frames(message or a_message(position))
        self.pushes.offer(peer.session, frames, position, broadcast, NOW_MS, before)


def a_message(
    number: int, *, qos: int = 1, online_only: bool = False, payload: bytes | None = None
) -> Message:
    return Message(
        id=f"m{number}",
        app="news",
        payload=payload or b"payload %d" % number,
        content_type="text/plain",
        created_at=NOW_MS,
        expires_at=NOW_MS + 60_000,
        qos=qos,
        online_only=online_only,
    )
