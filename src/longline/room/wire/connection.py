"""One socket: bytes between the transport and the link, and each packet to who deals with it.

An asyncio protocol without an asyncio base class, so that it can be compiled. The transport is
uvloop's or asyncio's. Nothing is ever awaited here: CONNECT, the only packet that needs a store, is
handed to the room's desk while reading is paused, and comes back through `accept` or `refuse`.
"""

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, cast, final

from longline.mqtt.link import Link, Phase, Role
from longline.mqtt.moving import MOVED_TOPIC, moved_notice, moved_properties
from longline.mqtt.packets import (
    CONNECT,
    DISCONNECT,
    MQTT_5_0,
    PINGREQ,
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBREC,
    PUBREL,
    SUBSCRIBE,
    UNSUBSCRIBE,
    Acknowledgement,
    Connack,
    Connect,
    Packet,
    Pingresp,
    Puback,
    Pubcomp,
    Publish,
    Pubrel,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
)
from longline.mqtt.properties import SUBSCRIPTION_IDENTIFIER
from longline.mqtt.reasons import ReasonCode
from longline.room.broker import Broker
from longline.room.desk import NOT_YET
from longline.room.session.session import Gone
from longline.room.wire.wheel import UNSET

if TYPE_CHECKING:
    from longline.room.session.session import Session
    from longline.room.wire.policy import Policy

CLOSE_GRACE: Final = 5  # ticks that a closed connection gets to take its last bytes
UNDER_WAY: Final = 1  # tick: part of the one under way is over already, and no deadline may come early
NO_SUBSCRIBERS: Final = 0x10  # as a number: in compiled code a member of an enum costs a look-up
MOVED_SIZE: Final = 64  # bytes that a DISCONNECT takes which names a server, besides that name
OWED: Final = -1
NO_LIMIT: Final = 268_435_460  # bytes: the largest packet that the wire can express, section 2.1.4


@final
class Answer:
    """The PUBACK of a publication that is not yet everyone's: `reason` is OWED until then."""

    __slots__ = ("packet_id", "reason")

    def __init__(self, packet_id: int, reason: int) -> None:
        self.packet_id = packet_id
        self.reason = reason


@final
class Connection:
    """The driver of one link. Idle, it owns no task, no timer and no buffer."""

    __slots__ = (
        "aliases",
        "answers",
        "backlog",
        "blocked",
        "broker",
        "ended",
        "keep_alive",
        "link",
        "max_outgoing",
        "peer",
        "policy",
        "publishing",
        "reported",
        "session",
        "slot",
        "touched",
        "transport",
        "waiting",
    )

    def __init__(self, broker: Broker, policy: "Policy") -> None:
        self.broker = broker
        self.policy = policy
        self.link = Link(Role.SERVER, policy.max_packet_size, policy.connect_packet_size)
        self.transport: asyncio.Transport | None = None
        self.session: Session | None = None
        self.ended = False  # we close: nothing more is taken or written
        self.blocked = False  # the transport holds more than outbox_bytes
        self.publishing = False  # the latest publication must be dealt with before the next is looked at
        self.touched = False  # in the broker's list of connections to flush
        self.waiting = 0  # bytes in link.output
        self.max_outgoing = NO_LIMIT
        self.keep_alive = 0  # ticks of silence that are allowed; 0: any
        self.slot = UNSET  # where the wheel has it
        self.peer: str | None = None  # the address, only where connections are counted by address
        self.reported: str | None = None  # the code of the latest fault
        self.backlog: list[Packet] | None = None  # what a turn's budget left over
        self.aliases: dict[int, str] | None = None  # the client's topic aliases
        self.answers: deque[Answer] | None = None  # PUBACKs that wait for other rooms, and those behind them

    # --- what the transport calls -----------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.broker.counters.connections += 1
        if not self.policy.admits(self):
            transport.abort()
            return
        transport.set_write_buffer_limits(high=self.broker.outbox_bytes)
        self.broker.wheel.set(self, self.policy.connect_timeout + UNDER_WAY)

    def data_received(self, data: bytes) -> None:
        broker = self.broker
        broker.counters.bytes_in += len(data)
        self._handle(self.link.feed(data, broker.now))

    def eof_received(self) -> bool:
        return False  # the transport closes itself: MQTT has no half-closed connections

    def pause_writing(self) -> None:
        # Who does not read what we write is not read from either, so answers cannot pile up.
        self.blocked = True
        self._pause_reading()

    def resume_writing(self) -> None:
        self.blocked = False
        if self.backlog is None and self.link.phase != Phase.CONNECTING:
            self._resume_reading()
        session = self.session
        if session is not None:
            self.broker.drain(session)
            if session.more and not session.fetching:
                self.broker.desk.refill(session)

    def connection_lost(self, error: Exception | None) -> None:
        broker = self.broker
        broker.counters.connections -= 1
        broker.wheel.clear(self)
        self.link.closed()
        self.transport = None
        self.backlog = None
        self.answers = None
        self.policy.released(self)
        session = self.session
        if session is not None:
            self.session = None
            broker.counters.sessions -= 1
            broker.close(session)

    # --- writing ----------------------------------------------------------------------------------

    def ready(self) -> bool:
        """Whether a message written now goes out: the link is open and the client takes what it is sent."""
        return not self.blocked and self.link.phase == Phase.OPEN

    def write(self, data: bytes) -> None:
        """Adds an encoded PUBLISH to this turn's output; nothing, when the last word has been said."""
        if self.link.phase != Phase.OPEN:
            return
        self.link.send_encoded(PUBLISH, data)
        self.waiting += len(data)
        if not self.touched:
            self.touched = True
            self.broker.touch(self)
        elif self.waiting > self.broker.outbox_bytes:
            self.flush()

    def send(self, packet: Packet) -> None:
        """Adds an answer to this turn's output; nothing, when the peer has said good-bye meanwhile."""
        if self.link.phase >= Phase.CLOSING:
            return
        self.link.send(packet)
        self._touch()

    def _touch(self) -> None:
        if not self.touched:
            self.touched = True
            self.broker.touch(self)

    def flush(self) -> None:
        """Gives this turn's output to the transport."""
        self.touched = False
        self.waiting = 0
        output = self.link.take_output()
        transport = self.transport
        if not output or transport is None:
            return
        data = output[0] if len(output) == 1 else b"".join(output)
        self.broker.counters.bytes_out += len(data)
        try:
            transport.write(data)
        except RuntimeError:  # uvloop: the transport was closed under us; connection_lost follows
            self.broker.counters.writes_too_late += 1

    # --- ending -----------------------------------------------------------------------------------

    def close(self, reason: ReasonCode, code: str) -> None:
        """Ends the connection from our side, told to MQTT 5 clients by a DISCONNECT with the reason."""
        if not self.ended:
            self.broker.counters.closed.add(code)
            self.link.close(reason)
            self._finish()

    def move(self, reason: ReasonCode, server: str | None, after_ms: int) -> None:
        """Sends the client to another server, as `host:port`, and ends the connection.

        None is where it came from. `after_ms` is when it is asked to be there, in milliseconds from now.
        """
        if self.ended:
            return
        self.broker.counters.closed.add("moved")
        if self.link.version == MQTT_5_0:
            fits = len(server or "") + MOVED_SIZE <= self.max_outgoing
            self.link.close(reason, moved_properties(server, after_ms) if fits else None)
        else:
            if self.link.phase == Phase.OPEN:
                self.link.send(Publish(MOVED_TOPIC, moved_notice(server, after_ms)))
            self.link.close(reason)
        self._finish()

    def fault(self, reason: ReasonCode, code: str, message: str) -> None:
        """Ends the connection because of what the peer did."""
        self.report(code, message)
        self.close(reason, code)

    def report(self, code: str, message: str) -> None:
        """Counts what the peer may not do, and tells of it, but not again while it goes on doing the same."""
        self.broker.counters.refused.add(code)
        if code != self.reported:
            self.reported = code
            self.broker.desk.refused(self, code, message)

    def _finish(self) -> None:
        self.ended = True
        self.flush()
        transport = self.transport
        if transport is not None:
            transport.close()
            self.broker.wheel.set(self, CLOSE_GRACE)

    def expired(self) -> None:
        """The wheel has come to this connection's deadline."""
        phase = self.link.phase
        transport = self.transport
        if transport is None:
            return
        if phase == Phase.OPEN:
            # [MQTT-3.1.2-22] silence for one and a half times the keep alive: the peer is gone
            left = self.keep_alive - int(self.broker.now - self.link.last_heard)
            if self.backlog is not None:  # we do not listen now
                self.broker.wheel.set(self, self.keep_alive)
            elif left <= 0:
                self.close(ReasonCode.KEEP_ALIVE_TIMEOUT, "keep_alive_timeout")
            else:
                self.broker.wheel.set(self, left)
        elif phase == Phase.FRESH:
            self.fault(ReasonCode.NOT_AUTHORIZED, "connect_timeout", "no CONNECT in time")
        elif phase == Phase.CONNECTING:
            self.broker.wheel.set(
                self, self.policy.connect_timeout
            )  # the stores answer, or fail, in bounded time
        else:
            transport.abort()

    # --- connecting -------------------------------------------------------------------------------

    def accept(self, session: "Session", connack: Connack, keep_alive: int) -> None:
        """The CONNECT was good. `keep_alive` in seconds, 0 for none."""
        self.keep_alive = (keep_alive * 3 + 1) // 2 + UNDER_WAY if keep_alive else 0
        if keep_alive:
            self.broker.wheel.set(self, self.keep_alive)
        else:
            self.broker.wheel.clear(self)
        self.send(connack)
        self._resume_reading()
        self._handle(self.link.resume())

    def refuse(self, reason: ReasonCode, code: str, message: str) -> None:
        """The CONNECT was not good: a CONNACK says why."""
        self.fault(reason, code, message)

    # --- packets ----------------------------------------------------------------------------------

    def work_off(self) -> None:
        """Goes on with the packets that an earlier turn left over."""
        packets = self.backlog
        self.backlog = None
        if packets is not None and self.transport is not None:
            self.link.last_heard = self.broker.now  # who was not read from could not be heard
            if not self.blocked:
                self._resume_reading()
            self._handle(packets)

    def _handle(self, packets: list[Packet]) -> None:
        broker = self.broker
        for done, packet in enumerate(packets, 1):
            if self.ended:
                return
            kind = packet.kind
            if kind == PUBLISH:
                self._publish(cast(Publish, packet))
            elif kind == PUBACK:
                self._acknowledge(cast(Puback, packet))
            elif kind == PINGREQ:
                self.send(Pingresp())
            elif kind == SUBSCRIBE:
                self._subscribe(cast(Subscribe, packet))
            elif kind == UNSUBSCRIBE:
                self._unsubscribe(cast(Unsubscribe, packet))
            elif kind == CONNECT:
                self._connect(cast(Connect, packet))
            elif kind == DISCONNECT:
                if self.session is not None:
                    self.session.gone = Gone.LEFT
                self._finish()
            elif kind in (PUBREC, PUBREL, PUBCOMP):
                self._stray(cast(Acknowledgement, packet))
            broker.spent += 1
            if (self.publishing or broker.pressed or broker.spent > broker.turn_budget) and self._has_to_wait(
                kind, done < len(packets)
            ):
                self.backlog = packets[done:]
                self._pause_reading()
                return
        fault = self.link.fault
        if fault is not None and not self.ended:
            self.broker.counters.closed.add(fault.code)
            self.report(fault.code, fault.message)
            self._finish()

    def _has_to_wait(self, kind: int, more: bool) -> bool:
        """Whether what comes behind a packet of this kind has to wait; `more`: some of it is here already."""
        broker = self.broker
        if self.publishing:  # nothing may overtake it
            return True
        if self.ended:
            return False
        if broker.pressed and kind == PUBLISH:
            broker.hold(self)
            return True
        if more and broker.spent > broker.turn_budget:
            broker.postpone(self)
            return True
        return False

    def _connect(self, packet: Connect) -> None:
        self._pause_reading()
        elsewhere = self.policy.elsewhere
        if elsewhere is None:
            self.broker.desk.admit(self, packet)
        else:
            self.move(ReasonCode.USE_ANOTHER_SERVER, elsewhere(packet.username or "", packet.client_id), 0)

    def _publish(self, packet: Publish) -> None:
        session = self.session
        if session is None:
            return
        broker = self.broker
        broker.counters.messages_in += 1
        refusal = self.policy.refusal(self, session, packet)
        if refusal is not None:
            if refusal.fatal or packet.qos == 0 or self.link.version != MQTT_5_0:
                # [MQTT-3.3.5-2] 3.1.1 has no negative PUBACK, and QoS 0 has no answer at all
                self.fault(refusal.reason, refusal.code, refusal.message)
            else:
                self.report(refusal.code, refusal.message)
                self._puback(packet.packet_id, refusal.reason)
            return
        reached = broker.publish(self, session, packet)
        if reached >= 0:
            if packet.qos == 1:
                self._puback(packet.packet_id, 0 if reached else NO_SUBSCRIBERS)
        elif reached == NOT_YET:
            self.publishing = True

    def published(self, packet: Publish, reached: int) -> None:
        """A publication with very many subscribers has reached them: the packets behind it are next."""
        if packet.qos == 1 and self.transport is not None:
            self._puback(packet.packet_id, 0 if reached else NO_SUBSCRIBERS)
        self.go_on()

    def go_on(self) -> None:
        """What the packets behind a publication had to wait for is done."""
        self.publishing = False
        if self.transport is not None:
            self.work_off()

    def owe(self, packet_id: int) -> Answer:
        """A PUBACK that `settle` sends."""
        answer = Answer(packet_id, OWED)
        if self.answers is None:
            self.answers = deque()
        self.answers.append(answer)
        return answer

    def owing(self) -> int:
        """How many PUBACKs the client waits for."""
        return len(self.answers) if self.answers is not None else 0

    def settle(self, answer: Answer, reason: int) -> None:
        """Sends a PUBACK that was owed, once those before it are out [MQTT-4.6.0-2]."""
        answer.reason = reason
        answers = self.answers
        if answers is None:
            return
        while answers and answers[0].reason != OWED:
            first = answers.popleft()
            self.send(Puback(first.packet_id, first.reason))
        if not answers:
            self.answers = None

    def _puback(self, packet_id: int, reason: int) -> None:
        if self.answers is None:
            self.send(Puback(packet_id, reason))
        else:
            self.answers.append(Answer(packet_id, reason))

    def _acknowledge(self, packet: Puback) -> None:
        session = self.session
        if session is not None and not self.broker.acknowledge(session, packet.packet_id, packet.reason):
            # A client may answer late, for a connection before this one: told of, not punished.
            self.report("unknown_packet_id", "PUBACK for what was not sent")

    def _stray(self, packet: Acknowledgement) -> None:
        """A step of QoS 2, left from a session that the client had elsewhere: answered, so that it ends."""
        self.report("unknown_packet_id", "a step of QoS 2 for what was not sent")
        if packet.kind == PUBREC:
            self.send(Pubrel(packet.packet_id, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND))
        elif packet.kind == PUBREL:
            self.send(Pubcomp(packet.packet_id, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND))

    def _subscribe(self, packet: Subscribe) -> None:
        session = self.session
        if session is None:
            return
        if packet.properties is not None and SUBSCRIPTION_IDENTIFIER in packet.properties:
            self.fault(
                ReasonCode.SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED,
                "subscription_identifiers_not_supported",
                "CONNACK said that subscription identifiers are not available",
            )
            return
        self.broker.spent += len(packet.subscriptions)
        reasons = [self.policy.subscribe(self, session, wanted) for wanted in packet.subscriptions]
        suback = Suback(packet.packet_id, reasons)
        rooms = self.broker.rooms
        if rooms is None or not rooms.told_first(self, suback):
            self.send(suback)

    def _unsubscribe(self, packet: Unsubscribe) -> None:
        session = self.session
        if session is None:
            return
        reasons: list[int] = []
        for filter in packet.filters:
            held = session.subscriptions
            if held is not None and filter in held:
                held.discard(filter)
                self.broker.unsubscribe(session, filter)
                reasons.append(ReasonCode.SUCCESS)
            else:
                reasons.append(ReasonCode.NO_SUBSCRIPTION_EXISTED)
        if session.subscriptions is not None and not session.subscriptions:
            session.subscriptions = None
        self.send(Unsuback(packet.packet_id, reasons))

    # --- reading ----------------------------------------------------------------------------------

    def _pause_reading(self) -> None:
        transport = self.transport
        if transport is not None and not transport.is_closing():
            transport.pause_reading()

    def _resume_reading(self) -> None:
        transport = self.transport
        if transport is not None and not transport.is_closing():
            transport.resume_reading()
