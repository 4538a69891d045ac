"""A device's side of its connections, without a socket or a clock: bytes and `now` (seconds) come in,
events and bytes come out.

An `MqttClient` outlives its connections. Each of them is one `Link`, from `connect` to `lost`; what must
survive between them is kept here: which messages were handled, which publishes were not answered, which
filters the device wants. `device` drives it with asyncio.

Keep alive, section 3.1.2.10: something is sent at least every `interval`, and when nothing was heard for
that long a PINGREQ asks for a sign of life. A peer that then stays silent for `grace` is dead, whatever TCP
believes: a phone that changed networks would otherwise wait for minutes.
"""

import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from longline import errors
from longline.model.events import SEND_ID
from longline.model.topics import (
    ANSWER_TOPIC,
    ATTACH_TOPIC,
    ATTACHED_MARK,
    DETACH_TOPIC,
    GAP_TOPIC,
    GROUP_PREFIX,
    LINK_PREFIX,
    PUSH_PREFIX,
    prefix_of,
)
from longline.mqtt.link import Link, Phase, Role
from longline.mqtt.moving import MOVED_TOPIC, Endpoint, read_moved_notice, read_moved_properties
from longline.mqtt.packets import (
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Subscription,
)
from longline.mqtt.properties import Properties, PropertyId, get_int, get_str, user_properties
from longline.mqtt.reasons import ReasonCode
from longline.sdk.heartbeat import LearntHeartbeat
from longline.sdk.link_answer import LinkAnswer, read_link_answer
from longline.sdk.message import Message
from longline.sdk.missed import Missed, read_missed
from longline.sdk.refusals import Verdict, judge, refused
from longline.sdk.send_ids import new_send_id, tells_app_server
from longline.sdk.state import DeviceMemory
from longline.sdk.times import moment
from longline.sdk.topics import checked_filter, checked_topic
from longline.version import VERSION

MAX_PACKET_SIZE: Final = 1024 * 1024  # bytes we take: a push of 256 KiB and then some
HEADER: Final = 48  # bytes at most that a PUBLISH has beside topic and payload: lengths, identifiers
HTTP_THERE: Final = "an HTTP server answers there, and none of MQTT (usually at 1883; by WebSocket, ws://…)"
MAX_SENDS: Final = 5  # connections on which one publish may go unanswered before it is given up


@dataclass(frozen=True)
class Opened:
    """The server has let the device in."""

    session_present: bool


@dataclass(frozen=True)
class Answered:
    """A publish or a subscribe is settled: `error` is None when the server took it."""

    call: int
    error: errors.LonglineError | None


@dataclass(frozen=True)
class Ended:
    """This connection is over, and the transport is to be closed once the output is written.

    With the verdict `MOVE`, the device is wanted at one of `endpoints` (anywhere, when there are none) in
    `after` seconds.
    """

    error: errors.LonglineError
    verdict: Verdict
    endpoints: tuple[Endpoint, ...] = ()
    after: float = 0.0


@dataclass(frozen=True)
class AppMissed:
    """What a device of an app that is attached has missed."""

    app: str
    missed: Missed


Event = Opened | Answered | Ended | Message | Missed | AppMissed | LinkAnswer


@dataclass(slots=True)
class Statistics:
    """What a device has seen since it was made. `duplicates` were dropped, `received` were handed out.

    `failures` are connections that broke or were never made; `moves` are those that the server ended in order
    to have the device elsewhere. `gaps` is how often it was told that it has missed something.
    """

    connects: int = 0
    failures: int = 0
    moves: int = 0
    received: int = 0
    duplicates: int = 0
    acked: int = 0
    published: int = 0
    overflowed: int = 0
    gaps: int = 0
    last_error: errors.LonglineError | None = None


@dataclass
class _Outgoing:
    """A publish with QoS 1 that the server has not answered."""

    call: int
    publish: Publish
    sends: int = 0
    abandoned: bool = False
    kept: bool = False  # never given up: it outlives whoever waits for it


@dataclass
class _Wanted:
    """A filter that the device wants on every connection; `call` waits for its first answer."""

    qos: int
    call: int | None


@dataclass(frozen=True, slots=True)
class Identity:
    """Who connects and how. `protocol` is 5 or 4 (3.1.1), times are in seconds."""

    app: str
    device: str
    protocol: int = 5
    keep_alive: int = 60
    receive_maximum: int = 100
    session_expiry: int = 0
    connect_timeout: float = 10.0


class MqttClient:
    """See above. `state` outlives the process, `heartbeat` the connections."""

    __slots__ = (
        "_acknowledge",
        "_attached",
        "_calls",
        "_keep_alive",
        "_last_sent",
        "_link",
        "_next_packet_id",
        "_peer_max_packet",
        "_peer_window",
        "_pinged_at",
        "_report",
        "_state",
        "_subscribing",
        "_taken",
        "_unanswered",
        "_waiting",
        "_wanted",
        "heartbeat",
        "identity",
        "paused",
        "port",
        "statistics",
    )

    def __init__(
        self,
        identity: Identity,
        acknowledge: Callable[[Message], Awaitable[None]],
        report: Callable[[Message, str], Awaitable[None]],
        state: DeviceMemory,
        heartbeat: LearntHeartbeat,
    ) -> None:
        self.identity = identity
        self.heartbeat = heartbeat
        self.port = 0  # that this connection was made to: a server that is named without one means the same
        self.statistics = Statistics()
        self.paused = False  # whether the driver has stopped reading: then silence is no sign of death
        self._acknowledge = acknowledge
        self._report = report
        self._state = state
        self._wanted: dict[str, _Wanted] = {}
        self._subscribing: dict[int, list[str]] = {}
        self._waiting: list[_Outgoing] = []
        self._unanswered: dict[int, _Outgoing] = {}
        self._attached: frozenset[str] = frozenset()  # the apps that share this connection
        self._calls = itertools.count(1)
        self._next_packet_id = 0
        # Packet identifiers of what waits to be sent again. No set: an empty one takes three times as much,
        # and a device is one of many.
        self._taken: dict[int, None] = {}
        self._link = self._fresh_link(0.0)
        self._link.closed()
        self._last_sent = 0.0
        self._pinged_at: float | None = None
        self._keep_alive = float(identity.keep_alive)
        self._peer_window = 0
        self._peer_max_packet = 0

    # --- one connection ---------------------------------------------------------------------------

    @property
    def open(self) -> bool:
        """Whether the server has let us in and neither side has said the last word."""
        return self._link.phase is Phase.OPEN

    def connect(self, token: str, now: float) -> None:
        """A transport is there: begin on it, with CONNECT. An empty token is none."""
        identity = self.identity
        self._link = self._fresh_link(now)
        self._subscribing.clear()
        self._attached = frozenset()
        self._last_sent = now
        self._pinged_at = None
        self._keep_alive = float(identity.keep_alive)
        properties: Properties = {
            PropertyId.SESSION_EXPIRY_INTERVAL: identity.session_expiry,
            PropertyId.RECEIVE_MAXIMUM: identity.receive_maximum,
            PropertyId.MAXIMUM_PACKET_SIZE: MAX_PACKET_SIZE,
            PropertyId.USER_PROPERTY: [("client-name", "longline"), ("client-version", VERSION)],
        }
        self._link.send(
            Connect(
                identity.protocol,
                identity.device,
                clean_start=not identity.session_expiry,
                keep_alive=identity.keep_alive,
                username=identity.app,
                password=token.encode("utf-8") or None,
                properties=properties,
            )
        )

    def feed(self, data: bytes, now: float) -> list[Event]:
        """Bytes have arrived."""
        link = self._link
        if self._pinged_at is not None and not self.paused:
            self.heartbeat.survived(self._keep_alive)
        self._pinged_at = None  # whatever it says, the peer is alive
        events: list[Event] = []
        for packet in link.receive(data, now):
            self._on_packet(packet, now, events)
        if link.fault is not None:
            link.close(link.fault.reason)
            # The usual mistake is a port of the wrong protocol; no packet of MQTT begins so.
            http = data.startswith(b"HTTP/")
            said = HTTP_THERE if http else f"the server broke the protocol: {link.fault.message}"
            broken = errors.Unavailable(said)
            events.append(Ended(broken, Verdict.RETRY))
        return events

    def tick(self, now: float) -> Ended | None:
        """A deadline may have come: sends what keep alive asks for, or tells that the peer is dead."""
        link = self._link
        if link.phase is not Phase.OPEN or not self._keep_alive:
            return None
        if self.paused:
            self._pinged_at = None
        if self._pinged_at is not None and now >= self._pinged_at + self._grace:
            self.heartbeat.died(self._keep_alive)
            link.close(ReasonCode.KEEP_ALIVE_TIMEOUT)
            return Ended(errors.Unavailable("the server fell silent"), Verdict.RETRY)
        if self._pinged_at is None and now >= self._quiet_since + self._interval:
            self._send(Pingreq(), now)
            self._pinged_at = now
        return None

    @property
    def deadline(self) -> float | None:
        """When `tick` is due, None when never; while the link is open it only moves later."""
        if not self.open or not self._keep_alive:
            return None
        if self._pinged_at is not None:
            return self._pinged_at + self._grace
        return self._quiet_since + self._interval

    def take_output(self) -> list[bytes]:
        """What is to be written."""
        return self._link.take_output()

    def disconnect(self) -> None:
        """Says good-bye, if there is anybody to say it to."""
        self._link.close()

    def lost(self) -> None:
        """The transport is gone."""
        self._link.closed()

    # --- calls of the device ----------------------------------------------------------------------

    def publish(
        self, topic: str, payload: bytes, qos: int, now: float, *, kept: bool = False, send_id: str = ""
    ) -> int:
        """Sends a message, when the connection and the server's window allow.

        Returns the number of the call, which `Answered` will name. QoS 0 is never answered and is written at
        once: ask only while `open`. What is `kept` is sent on as many connections as it takes. By `send_id`
        an app server knows what is sent again, also after a restart; unless given it is one of its own.
        """
        call = next(self._calls)
        publish = Publish(checked_topic(topic), payload, qos)
        if qos and self.identity.protocol == 5 and tells_app_server(topic):
            publish.properties = {PropertyId.USER_PROPERTY: [(SEND_ID, send_id or new_send_id())]}
        if qos == 0:
            self._send(publish, now)
            self.statistics.published += 1
        else:
            self._waiting.append(_Outgoing(call, publish, kept=kept))
        return call

    def pump(self, now: float) -> list[Event]:
        """Writes what waited for the window; the events are publishes that can never be sent."""
        events: list[Event] = []
        held: list[_Outgoing] = []
        while self._waiting and self.open and len(self._unanswered) < self._peer_window:
            outgoing = self._waiting.pop(0)
            self._taken.pop(outgoing.publish.packet_id, None)
            if outgoing.abandoned:
                continue
            publish = outgoing.publish
            if not self._may_say(publish.topic):
                self._taken[publish.packet_id] = None
                held.append(outgoing)
                continue
            size = len(publish.topic.encode("utf-8")) + len(publish.payload) + HEADER
            if self._peer_max_packet and size > self._peer_max_packet:
                too_large = errors.PayloadTooLarge(f"the server takes {self._peer_max_packet} bytes a packet")
                events.append(Answered(outgoing.call, too_large))
                continue
            if outgoing.sends >= MAX_SENDS and not outgoing.kept:
                given_up = errors.Unavailable(f"sent {outgoing.sends} times and never answered")
                events.append(Answered(outgoing.call, given_up))
                continue
            if not publish.packet_id:
                publish.packet_id = self._take_packet_id()
            outgoing.sends += 1
            self._unanswered[publish.packet_id] = outgoing
            self._send(publish, now)
        self._waiting[:0] = held
        return events

    def _may_say(self, topic: str) -> bool:
        """Whether a topic or filter is the device's own, or of an app that shares this connection now."""
        if not topic.startswith(ATTACHED_MARK):
            return True
        return topic[1:].partition("/")[0] in self._attached

    def withdraw(self, call: int) -> None:
        """Nobody waits for this publish any more: it is not sent, or not again."""
        for outgoing in (*self._waiting, *self._unanswered.values()):
            if outgoing.call == call:
                outgoing.abandoned = True

    def subscribe(self, filter: str, qos: int, now: float) -> int:
        """Wants a filter, now and on every later connection; `Answered` names the call."""
        call = next(self._calls)
        self._wanted[checked_filter(filter)] = _Wanted(qos, call)
        if self.open and self._may_say(filter):
            self._send_subscribe([filter], now)
        return call

    def attach(self, app: str, device: str, token: str, now: float) -> None:
        """Asks for another app on this connection; `LinkAnswer` says what became of it."""
        request = msgspec.json.encode({"app": app, "device": device, "token": token})
        self._send(Publish(ATTACH_TOPIC, request), now)

    def detach(self, app: str, reason: errors.LonglineError, now: float) -> list[Event]:
        """An app is not wanted any more: its filters are not, and the events are its publishes."""
        if self.open:
            self._send(Publish(DETACH_TOPIC, msgspec.json.encode({"app": app})), now)
        self._attached -= {app}
        prefix = prefix_of(app)
        events: list[Event] = []
        for filter in [filter for filter in self._wanted if filter.startswith(prefix)]:
            call = self._wanted.pop(filter).call
            if call is not None:
                events.append(Answered(call, reason))
        for outgoing in (*self._waiting, *self._unanswered.values()):
            if outgoing.publish.topic.startswith(prefix) and not outgoing.abandoned:
                outgoing.abandoned = True
                events.append(Answered(outgoing.call, reason))
        return events

    def handled(self, message: Message) -> bool:
        """Whether the consumer was done with this push before."""
        return message.id is not None and (message.prefix, message.id) in self._state.handled

    def ack(self, message: Message, now: float) -> None:
        """The consumer is done with a message: PUBACK, or PUBREC where it has QoS 2, if the connection that
        brought it is still there.

        PUBACKs leave in the order in which the consumer finishes. One consumer finishes in the order of
        arrival, which is what [MQTT-4.6.0-2] asks for.
        """
        if message.id is not None:
            self._state.handled.add((message.prefix, message.id))
        if message.packet_id and message.link is self._link and self.open:
            # With QoS 2, the server sends it again until it has this, and then no more.
            answer: Packet = Puback(message.packet_id) if message.qos == 1 else Pubrec(message.packet_id)
            self._send(answer, now)
            self.statistics.acked += 1
        message.packet_id = 0

    # --- packets ----------------------------------------------------------------------------------

    def _on_packet(self, packet: Packet, now: float, events: list[Event]) -> None:
        if isinstance(packet, Publish):
            self._on_publish(packet, now, events)
        elif isinstance(packet, Pubrel):
            self._send(Pubcomp(packet.packet_id), now)
        elif isinstance(packet, Puback):
            self._on_puback(packet, events)
            events.extend(self.pump(now))
        elif isinstance(packet, Connack):
            self._on_connack(packet, now, events)
        elif isinstance(packet, Suback):
            self._on_suback(packet, events)
        elif isinstance(packet, Disconnect):
            self._link.close()
            events.append(self._ended(packet.reason, packet.properties))

    def _on_connack(self, packet: Connack, now: float, events: list[Event]) -> None:
        properties = packet.properties
        if packet.reason:
            events.append(self._ended(packet.reason, properties))
            return
        server_keep_alive = get_int(properties, PropertyId.SERVER_KEEP_ALIVE)
        if server_keep_alive is not None:  # [MQTT-3.1.2-21]
            self._keep_alive = float(server_keep_alive)
        self._peer_window = get_int(properties, PropertyId.RECEIVE_MAXIMUM) or 65_535
        self._peer_max_packet = get_int(properties, PropertyId.MAXIMUM_PACKET_SIZE) or 0
        self.statistics.connects += 1
        events.append(Opened(packet.session_present))
        for outgoing in self._unanswered.values():
            # [MQTT-3.3.1-1] a copy is marked; in a new session it is the first of its kind again.
            outgoing.publish.dup = packet.session_present
        self._taken.update(dict.fromkeys(self._unanswered))
        self._waiting[:0] = self._unanswered.values()  # [MQTT-4.4.0-1], in their order
        self._unanswered.clear()
        self._subscribe_to([filter for filter in self._wanted if self._may_say(filter)], now)
        events.extend(self.pump(now))

    def _ended(self, reason: int, properties: Properties | None) -> Ended:
        error, verdict = judge(reason, get_str(properties, PropertyId.REASON_STRING))
        if verdict is not Verdict.MOVE:
            return Ended(error, verdict)
        endpoints, after = read_moved_properties(properties, self.port)
        return Ended(error, verdict, tuple(endpoints), after)

    def _on_publish(self, packet: Publish, now: float, events: list[Event]) -> None:
        if packet.topic.startswith(LINK_PREFIX):
            if packet.topic == GAP_TOPIC:
                missed = read_missed(packet.payload)
                if missed is not None:
                    self.statistics.gaps += 1
                    events.append(missed)
            elif packet.topic == ANSWER_TOPIC:
                answer = read_link_answer(packet.payload)
                if answer is not None:
                    self._on_link_answer(answer, now, events)
            if packet.qos:
                self._send(Puback(packet.packet_id), now)
            if packet.topic == MOVED_TOPIC:
                # How MQTT 3.1.1 is told; the server closes the connection behind it.
                endpoints, after = read_moved_notice(packet.payload)
                moved = errors.Unavailable("the server wants this device elsewhere")
                events.append(Ended(moved, Verdict.MOVE, tuple(endpoints), after))
            return
        app, topic = self.identity.app, packet.topic
        if topic.startswith(ATTACHED_MARK):
            app, _, topic = topic[1:].partition("/")
        if topic == GAP_TOPIC:
            missed = read_missed(packet.payload)
            if missed is not None:
                self.statistics.gaps += 1
                events.append(AppMissed(app, missed))
            if packet.qos:
                self._send(Puback(packet.packet_id), now)
            return
        message = self._message(packet, app, topic)
        if self.handled(message):
            self.statistics.duplicates += 1
            self.ack(message, now)
        else:
            events.append(message)

    def _on_link_answer(self, answer: LinkAnswer, now: float, events: list[Event]) -> None:
        if answer.status == "attached":
            self._attached |= {answer.app}
            prefix = prefix_of(answer.app)
            self._subscribe_to([filter for filter in self._wanted if filter.startswith(prefix)], now)
            events.extend(self.pump(now))
        elif answer.status == "ended":
            self._attached -= {answer.app}
        events.append(answer)

    def _message(self, packet: Publish, app: str, topic: str) -> Message:
        # The id is taken from the topic, which only the server can choose. The user property says the same,
        # but on a plain topic any other device could write one there, and have our pushes taken for copies.
        # In a group the server alone writes them, too.
        is_push, in_group = topic.startswith(PUSH_PREFIX), topic.startswith(GROUP_PREFIX)
        told = dict(user_properties(packet.properties))
        id = told.get("message-id") if in_group else None
        sequence = told.get("sequence", "") if in_group else ""
        return Message(
            id=topic.removeprefix(PUSH_PREFIX) if is_push else id,
            group=topic.removeprefix(GROUP_PREFIX) if in_group else None,
            sequence=int(sequence) if sequence.isascii() and sequence.isdigit() and len(sequence) < 20 else 0,
            sender=told.get("sender") if in_group else None,
            topic=topic,
            payload=packet.payload,
            qos=packet.qos,
            duplicate=packet.dup,
            content_type=get_str(packet.properties, PropertyId.CONTENT_TYPE),
            sent_at=moment(told.get("sent-at", "")),
            link=self._link,
            packet_id=packet.packet_id,
            acknowledge=self._acknowledge,
            report=self._report,
            wants_answer=is_push and get_str(packet.properties, PropertyId.RESPONSE_TOPIC) is not None,
            app=app,
            prefix="" if topic == packet.topic else prefix_of(app),
        )

    def _on_puback(self, packet: Puback, events: list[Event]) -> None:
        outgoing = self._unanswered.pop(packet.packet_id, None)
        if outgoing is None:
            return  # the answer to a copy of what an earlier connection settled
        error: errors.LonglineError | None = None
        if packet.reason >= ReasonCode.UNSPECIFIED_ERROR:
            said = get_str(packet.properties, PropertyId.REASON_STRING)
            error = refused(f"publish to {outgoing.publish.topic!r}", packet.reason, said)
        else:
            self.statistics.published += 1
        events.append(Answered(outgoing.call, error))

    def _on_suback(self, packet: Suback, events: list[Event]) -> None:
        filters = self._subscribing.pop(packet.packet_id, [])
        for filter, reason in zip(filters, packet.reasons, strict=False):
            wanted = self._wanted.get(filter)
            if wanted is None:
                continue
            error: errors.LonglineError | None = None
            if reason >= ReasonCode.UNSPECIFIED_ERROR:
                # Asked again on every connection, it would be refused on every connection.
                del self._wanted[filter]
                error = refused(f"subscribe to {filter!r}", reason)
            if wanted.call is not None:
                events.append(Answered(wanted.call, error))
                wanted.call = None
            elif error is not None:
                self.statistics.last_error = error

    # --- sending ----------------------------------------------------------------------------------

    def _send(self, packet: Packet, now: float) -> None:
        self._link.send(packet)
        self._last_sent = now

    def _subscribe_to(self, filters: list[str], now: float) -> None:
        if filters:
            self._send_subscribe(filters, now)

    def _send_subscribe(self, filters: list[str], now: float) -> None:
        packet_id = self._take_packet_id()
        self._subscribing[packet_id] = filters
        wanted = [Subscription(filter, self._wanted[filter].qos) for filter in filters]
        self._send(Subscribe(packet_id, wanted), now)

    def _take_packet_id(self) -> int:
        """A packet identifier that is not in use, section 2.2.1."""
        while True:
            self._next_packet_id = self._next_packet_id % 65_535 + 1
            packet_id = self._next_packet_id
            used = packet_id in self._unanswered or packet_id in self._subscribing or packet_id in self._taken
            if not used:
                return packet_id

    def _fresh_link(self, now: float) -> Link:
        return Link(Role.CLIENT, MAX_PACKET_SIZE, now=now)

    @property
    def _quiet_since(self) -> float:
        return min(self._last_sent, self._link.last_heard)

    @property
    def _interval(self) -> float:
        return self.heartbeat.within(self._keep_alive)

    @property
    def _grace(self) -> float:
        return min(max(self._keep_alive * 0.5, 1.0), 20.0)
