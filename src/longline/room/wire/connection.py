"""One socket: bytes between the transport and the link, and each packet to who deals with it.

An asyncio protocol without an asyncio base class, so that it can be compiled. The transport is
uvloop's or asyncio's. Nothing is ever awaited here. What the packets mean is the business of the class that
derives from this one (`session/client.py`): it says of each packet whether the next may follow.
"""

import asyncio
from collections.abc import Callable
from typing import Final, cast, final

from longline.flow.bucket import Bucket
from longline.flow.unread import UNKNOWN, unread
from longline.model.times import wall_clock
from longline.mqtt.aliases import TELLING, TopicAliases
from longline.mqtt.codec import Fault, PublishFrame
from longline.mqtt.link import NO_LIMIT, Link, Phase, Role
from longline.mqtt.moving import MOVED_TOPIC, moved_notice, moved_properties
from longline.mqtt.packets import (
    MQTT_5_0,
    PUBLISH,
    SUBSCRIBE,
    UNSUBSCRIBE,
    Connack,
    Connect,
    Packet,
    Publish,
)
from longline.mqtt.properties import (
    MAXIMUM_PACKET_SIZE,
    REASON_STRING,
    REQUEST_PROBLEM_INFORMATION,
    TOPIC_ALIAS_MAXIMUM,
    Properties,
    get_int,
    pack_topic_alias,
)
from longline.mqtt.reasons import ReasonCode
from longline.room.counters import RoomCounters
from longline.room.session.outlet import Outlet
from longline.room.turn import ENDING, Turn
from longline.room.wire.answers import Answers
from longline.room.wire.large_connects import LargeConnects
from longline.room.wire.wheel import Wheel
from longline.telemetry.faults import Faults

CLOSE_GRACE: Final = 5  # ticks that a closed connection gets to take its last bytes
UNDER_WAY: Final = 1  # tick: part of the one under way is over already, and no deadline may come early
AHEAD: Final = 2048  # packets decoded before they are dealt with: they take more memory than their bytes did
NEVER: Final = 1 << 30  # ticks
FEW: Final = 16  # the same, once this turn has its work
DEAR: Final = 1 << PUBLISH | 1 << SUBSCRIBE | 1 << UNSUBSCRIBE  # packets that are dealt with in its time only
FULL: Final = 16_384  # bytes unread, from where on a peer may not be able to send more

TOO_LARGE_NOW: Final = "there are as many CONNECTs with large wills as there may be"
LARGER: Final = "the packet is larger than allowed"
EVERYBODY: Final = "everybody"  # instead of a peer's address, in the log

# What may follow a packet:
GO_ON: Final = 0  # the next one
WAIT: Final = 1  # nothing, until `go_on` is called
HOLD: Final = 2  # nothing, until the stores keep up again
AGAIN: Final = 3  # nothing, and it is not dealt with itself, until `go_on` is called
LAST: Final = 4  # the same, until the client is owed no answer any more
END: Final = 5  # nothing: it is the peer's last, by a fault that `accuse` has noted

# Their members are looked up here, once, and compared by `is`: in compiled code the rest costs more than the
# call.
_FRESH: Final = Phase.FRESH
_CONNECTING: Final = Phase.CONNECTING
_OPEN: Final = Phase.OPEN
_CLOSING: Final = Phase.CLOSING
_CLOSED: Final = Phase.CLOSED


@final
class WireLimits:
    """Of each connection. Sizes in bytes; `connect_timeout` and `outbox_timeout` in ticks of the wheel.

    `will_packet_size`: a CONNECT with a will, of which no more than `connect_packet_size` is anything else;
    `will_packets_bytes`: all that are larger than that together, of a room.
    """

    __slots__ = (
        "connect_packet_size",
        "connect_timeout",
        "max_packet_size",
        "outbox_bytes",
        "outbox_timeout",
        "will_packet_size",
        "will_packets_bytes",
    )

    def __init__(
        self,
        outbox_bytes: int,
        max_packet_size: int,
        connect_packet_size: int,
        connect_timeout: int,
        outbox_timeout: int,
        will_packet_size: int = 0,
        will_packets_bytes: int = 0,
    ) -> None:
        self.outbox_bytes = outbox_bytes
        self.max_packet_size = max_packet_size
        self.connect_packet_size = connect_packet_size
        self.connect_timeout = connect_timeout
        self.outbox_timeout = outbox_timeout
        self.will_packet_size = min(max(will_packet_size, connect_packet_size), max_packet_size)
        self.will_packets_bytes = will_packets_bytes


@final
class ListenerShare:
    """How many connections a listener has, of all that the room may have."""

    __slots__ = ("connections",)

    def __init__(self) -> None:
        self.connections = 0


class Wire:
    """What all connections of a room share.

    `admits` says whether a new connection may stay, `released` is told that one is gone. `report` takes a
    code, the peer's address and a message.
    """

    __slots__ = (
        "admits",
        "counters",
        "faults",
        "large",
        "limits",
        "released",
        "report",
        "turn",
        "wheel",
    )

    def __init__(
        self,
        limits: WireLimits,
        counters: RoomCounters,
        turn: Turn,
        wheel: Wheel,
        faults: Faults,
        *,
        admits: "Callable[[Connection], bool]",
        released: Callable[[str], None],
        report: Callable[[str, str, str], None],
    ) -> None:
        self.limits = limits
        self.large = LargeConnects(limits.will_packets_bytes, _displace)
        self.counters = counters
        self.turn = turn
        self.wheel = wheel
        self.faults = faults
        self.admits = admits
        self.released = released
        self.report = report


@final
class Extras:
    """What few connections have: the others are idle, and there are millions."""

    __slots__ = (
        "alias_size",
        "aliases",
        "answers",
        "backlog",
        "blocked_at",
        "counted",
        "ends_at",
        "held_back",
        "hung_up",
        "leaving",
        "max_outgoing",
        "names",
        "origin",
        "owed",
        "published",
        "reported",
        "spreading",
        "unread",
    )

    def __init__(self) -> None:
        self.ends_at = 0  # ms, when what it was let in with runs out and the app wants it to go then; else 0
        self.counted: str | None = None  # the network that it counts for, where connections are counted so
        self.origin: str | None = None  # the client's address, where a proxy has told it
        self.reported: str | None = None  # the code of the latest fault
        self.max_outgoing = NO_LIMIT  # bytes: the client's Maximum Packet Size
        self.backlog: list[Packet] | None = None  # what has to wait; while there is one, nothing is read
        self.aliases: dict[int, str] | None = None  # the client's topic aliases
        self.alias_size = 0  # bytes that they have
        self.names: TopicAliases | None = None  # ours
        self.answers: Answers | None = None  # while a PUBACK has to wait
        self.owed = 0  # SUBACKs and the like that have to wait
        self.spreading = 0  # messages that the store has, and that are still on their way to subscribers
        self.held_back = False  # what is put aside waits for these
        self.hung_up = False  # the peer sends no more
        self.leaving = False  # what is put aside waits for the answers that the client still gets
        self.unread = 0  # bytes that we had not read when its time was up last
        self.blocked_at = 0.0  # since when it takes no more of what it is sent, in the wheel's seconds
        self.published: Bucket | None = None  # where there is a rate at which it may publish


def _displace(connection: Outlet) -> None:
    """A CONNECT with a large will, that has not arrived whole, makes room for another."""
    cast(Connection, connection).turn_away(ReasonCode.SERVER_BUSY, "large_connects", TOO_LARGE_NOW)


class Connection(Outlet):
    """The driver of one link. Idle, it owns no task, no timer and no buffer.

    A class derived from it deals with the packets: `received`, `flowing`, `lost`.
    """

    __slots__ = (
        "_extras",
        "keep_alive",
        "link",
        "parting",
        "share",
        "transport",
        "waiting",
        "wire",
    )

    def __init__(self, wire: Wire, share: ListenerShare, origin: str | None = None) -> None:
        super().__init__()
        self.wire = wire
        self.share = share  # that of the listener which it came by
        self.link = Link(Role.SERVER, wire.limits.max_packet_size, wire.limits.will_packet_size)
        self.transport: asyncio.Transport | None = None  # None as well when it is gone
        self.waiting = 0  # bytes in link.output
        self.keep_alive = 0  # ticks of silence that are allowed; 0: any
        self.parting = 0  # the reason for which we end it, for a transport that has a word for it, too
        self._extras: Extras | None = None
        if origin is not None:
            self.extras.origin = origin

    @property
    def extras(self) -> Extras:
        """What this connection has that few have."""
        extras = self._extras
        if extras is None:
            extras = self._extras = Extras()
        return extras

    @property
    def backlog(self) -> list[Packet] | None:
        """What has to wait."""
        extras = self._extras
        return None if extras is None else extras.backlog

    @property
    def peer(self) -> str | None:
        """The client's address; None when it has gone before anybody asked."""
        extras = self._extras
        if extras is not None and extras.origin is not None:
            return extras.origin
        transport = self.transport
        name = transport.get_extra_info("peername") if transport is not None else None
        return str(name[0]) if name else None

    @property
    def came_by(self) -> str:
        transport = self.transport
        return "tcp" if transport is None else str(transport.get_extra_info("transport", "tcp"))

    def certificate(self) -> object:
        """What `ssl` tells of the client's verified certificate; nothing, where it has shown none."""
        transport = self.transport
        return None if transport is None else transport.get_extra_info("peercert")

    # --- what the derived class does --------------------------------------------------------------

    def received(self, packet: Packet) -> int:
        """Deals with a packet; returns what may follow it: GO_ON, WAIT, HOLD, AGAIN, LAST or END."""
        raise NotImplementedError

    def flowing(self) -> None:
        """The client takes what it is sent again."""
        raise NotImplementedError

    def lost(self) -> None:
        """The connection is gone."""
        raise NotImplementedError

    def owes(self) -> bool:
        """Whether the client still has to be answered; `answered` is called when it was."""
        raise NotImplementedError

    def time_over(self) -> bool:
        """What it was let in with has run out: it ends. Whether it did."""
        self.close(ReasonCode.MAXIMUM_CONNECT_TIME, "token_expired")
        return True

    # --- what the transport calls -----------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        wire = self.wire
        wire.counters.accepted += 1
        wire.counters.connections += 1
        self.share.connections += 1
        if not wire.admits(self):
            transport.abort()
            return
        transport.set_write_buffer_limits(high=wire.limits.outbox_bytes)
        wire.wheel.set(self, wire.limits.connect_timeout + UNDER_WAY)

    def data_received(self, data: bytes) -> None:
        wire = self.wire
        wire.counters.bytes_in += len(data)
        turn = wire.turn
        link = self.link
        packets = link.receive(data, wire.wheel.now, AHEAD if turn.spent <= turn.budget else FEW)
        if link.phase is _FRESH and link.held > wire.limits.connect_packet_size:
            if not wire.large.hold(self, link.held, False):
                self.turn_away(ReasonCode.SERVER_BUSY, "large_connects", TOO_LARGE_NOW)
            return
        self._take(packets)

    def eof_received(self) -> bool:
        """The peer sends no more. What it sent before is dealt with and answered, and then we close.

        MQTT knows no half-closed connections, so this is the end of one, if not yet its last packet.
        """
        if self.ended:
            return False
        if self.backlog is None and self.owes():
            self._leave([])
        if self.backlog is not None or self.link.phase is _CONNECTING:
            self.extras.hung_up = True
            return True  # the transport stays open (but that of TLS, which cannot)
        self.flush()
        return False

    def pause_writing(self) -> None:
        self.blocked = True
        self.extras.blocked_at = self.wire.wheel.now
        if self.link.phase is _OPEN:
            self._look_in(self.keep_alive - int(self.wire.wheel.now - self.link.last_heard))
        self._listen()

    def resume_writing(self) -> None:
        self.blocked = False
        self.link.last_heard = self.wire.wheel.now  # as in `go_on`
        if self._extras is not None:
            self._extras.unread = 0
        self._listen()
        self.flowing()

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        self.share.connections -= 1
        self.wire.wheel.clear(self)
        turn = self.wire.turn
        if self.backlog is not None and not self.ended:
            return  # what it sent before is dealt with first: to its peer, it may have ended in order
        if turn.spent > turn.budget:  # many have ended at once, and others wait
            self.ended = True
            turn.later(self._end)
        else:
            self._end()

    def _end(self) -> None:
        """Nothing more comes of this connection, which is gone."""
        wire = self.wire
        wire.turn.spent += ENDING
        wire.counters.connections -= 1
        wire.large.let_go(self)
        self.ended = True
        self.link.closed()
        extras = self._extras
        self._extras = None
        if extras is not None and extras.counted is not None:
            wire.released(extras.counted)
        try:
            self.lost()
        except Exception as raised:
            wire.faults.note("room.packets", raised)

    # --- reading ----------------------------------------------------------------------------------

    def _take(self, packets: list[Packet]) -> None:
        """Hands packets on, one after the other, until one has to wait."""
        link = self.link
        turn = self.wire.turn
        try:
            while True:
                if not self._hand_on(packets):
                    return
                if not link.more or self.ended:
                    break
                if turn.spent > turn.budget or (packets and turn.crowded):
                    self._put_aside([])
                    turn.later(self.go_on)
                    return
                packets = link.resume(AHEAD)
        except Exception as error:  # our own: what this peer has sent must not cost the others anything
            self.wire.faults.note("room.packets", error)
            self.abort()
            return
        if link.left or self.transport is None or self._extras is not None:
            self._all_taken()

    def _hand_on(self, packets: list[Packet]) -> bool:
        """Hands these on; False when some were put aside."""
        turn = self.wire.turn
        count = len(packets)
        done = 0
        while done < count and not self.ended:
            packet = packets[done]
            # Who publishes or subscribes waits for the next turn, the first time, too; a PINGREQ for none.
            if turn.spent > turn.budget and (done >= FEW or DEAR >> packet.kind & 1):
                self._put_aside(packets[done:])
                turn.later(self.go_on)
                return False
            follows = self.received(packet)
            if follows == AGAIN:
                self._put_aside(packets[done:])
                return False
            if follows == LAST:
                self._leave(packets[done:])
                return False
            done += 1
            turn.spent += 1
            if follows == END:
                return True
            if follows != GO_ON:
                self._put_aside(packets[done:])
                if follows == HOLD:
                    self.wire.counters.publishers_paused += 1
                    turn.hold(self.go_on)
                return False
        return True

    def _all_taken(self) -> None:
        """All that was read is dealt with: whoever had its last word with it is answered."""
        if self.ended:
            return
        fault = self.link.fault
        extras = self._extras
        if fault is None and self.transport is not None and (extras is None or not extras.hung_up):
            return
        if self.owes():
            self._leave([])
        elif fault is not None:
            self.fault(fault.reason, fault.code, fault.message)
        else:
            self.link.hung_up()
            self.finish()

    def _leave(self, packets: list[Packet]) -> None:
        """Puts what ends the connection aside until the client has its answers."""
        self._put_aside(packets)
        self.extras.leaving = True

    def answered(self) -> None:
        """Nothing is owed to the client any more."""
        extras = self._extras
        if extras is not None and extras.leaving:
            extras.leaving = False
            self.go_on()

    def _put_aside(self, packets: list[Packet]) -> None:
        self.extras.backlog = packets
        self._listen()

    def go_on(self) -> None:
        """Goes on with what was put aside, now that it does not have to wait any more."""
        extras = self._extras
        if extras is None or extras.backlog is None:
            return
        packets = extras.backlog
        extras.backlog = None
        self.link.last_heard = self.wire.wheel.now  # who was not read from could not be heard
        self._listen()
        self._take(packets)

    def _listen(self) -> None:
        """Reads from the transport, or does not.

        Who does not read what we write is not read from either, so answers cannot pile up; nor is who has
        packets that wait, or waits for the answer to its CONNECT.
        """
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        if self.blocked or self.backlog is not None or self.link.phase is _CONNECTING:
            transport.pause_reading()
        else:
            transport.resume_reading()

    # --- writing ----------------------------------------------------------------------------------

    def ready(self) -> bool:
        return not self.blocked and self.link.phase is _OPEN

    def takes(self, size: int) -> bool:
        return size <= self._max_outgoing()

    def abbreviated(self, frame: PublishFrame, topic: str) -> PublishFrame:
        names = self.extras.names
        if names is None:
            return frame
        alias = names.of(topic, self.takes(frame.size + TELLING))
        return frame.extended(pack_topic_alias(abs(alias)), alias < 0) if alias else frame

    def _max_outgoing(self) -> int:
        extras = self._extras
        return NO_LIMIT if extras is None else extras.max_outgoing

    def write(self, data: bytes) -> None:
        link = self.link
        if link.phase is not _OPEN:
            return
        turn = self.wire.turn
        link.send_publish(data, turn.shared)
        self.waiting += len(data)
        if not self.touched:
            self.touched = True
            turn.touch(self)
        elif self.waiting > self.wire.limits.outbox_bytes:
            self.flush()

    def send(self, packet: Packet) -> None:
        """Adds an answer to this turn's output; nothing, when the peer has said good-bye meanwhile."""
        link = self.link
        if link.phase is _CLOSING or link.phase is _CLOSED:
            return
        if not self.particular:
            link.send(packet)
        elif not link.send(packet, self._max_outgoing()):
            self.fault(
                ReasonCode.PACKET_TOO_LARGE,
                "answer_too_large",
                "the client takes no packet as large as its answer",
            )
            return
        if not self.touched:
            self.touched = True
            self.wire.turn.touch(self)

    def flush(self) -> None:
        self.touched = False
        self.waiting = 0
        wire = self.wire
        data = self.link.take_joined(wire.turn.shared)
        transport = self.transport
        if not data or transport is None:
            return
        counters = wire.counters
        counters.bytes_out += len(data)
        try:
            transport.write(data)
        except RuntimeError:  # uvloop: the transport was closed under us; connection_lost follows
            counters.writes_too_late += 1

    # --- opening ----------------------------------------------------------------------------------

    def hear_out(self, packet: Connect) -> bool:
        """A CONNECT came in: nothing more is read until `accept` or `refuse`. False when it is refused."""
        self.mqtt5 = self.link.version == MQTT_5_0
        # [MQTT-3.1.2-29]
        self.explains = self.mqtt5 and get_int(packet.properties, REQUEST_PROBLEM_INFORMATION) != 0
        largest = get_int(packet.properties, MAXIMUM_PACKET_SIZE)
        if largest is not None:
            self.extras.max_outgoing = largest
            self.particular = True
        aliases = get_int(packet.properties, TOPIC_ALIAS_MAXIMUM)
        if aliases:
            self.extras.names = TopicAliases(aliases)
            self.particular = True
        self._listen()
        wire = self.wire
        usual = wire.limits.connect_packet_size
        if packet.size > usual:
            will = packet.will
            if will is None or packet.size - len(will.payload) > usual:
                self.fault(ReasonCode.PACKET_TOO_LARGE, "packet_too_large", LARGER)
            elif not wire.large.hold(self, packet.size, True):
                self.turn_away(ReasonCode.SERVER_BUSY, "large_connects", TOO_LARGE_NOW)
        return not self.ended

    def accept(self, connack: Connack, keep_alive: int) -> None:
        """The CONNECT was good. `keep_alive` in seconds, 0 for none."""
        self.wire.large.let_go(self)
        self.keep_alive = (keep_alive * 3 + 1) // 2 + UNDER_WAY if keep_alive else 0
        if keep_alive:
            self.wire.wheel.set(self, self.keep_alive)
        else:
            self.wire.wheel.clear(self)
        self.send(connack)
        self._listen()
        self.link.last_heard = self.wire.wheel.now  # as in `go_on`
        self._take(self.link.resume(AHEAD))

    def end_at(self, moment: int) -> None:
        """It is to end at a moment, in ms of Unix time, as the wheel comes by: once it was accepted."""
        if self.ended or self.transport is None:
            return
        self.extras.ends_at = moment
        self._look_in(self.keep_alive)

    def refuse(self, reason: ReasonCode, code: str, message: str) -> None:
        """The CONNECT was not good: a CONNACK says why."""
        self.fault(reason, code, message)

    def turn_away(self, reason: ReasonCode, code: str, message: str) -> None:
        """The CONNECT comes at a bad time, which is not its peer's doing: told of once for everybody."""
        self.wire.counters.refused.add(code)
        self.wire.report(code, EVERYBODY, message)
        self._close(reason, code, message)

    def explanation(self, message: str) -> Properties | None:
        """Why something is refused, for who wants to know it; it never repeats what the peer has sent."""
        return {REASON_STRING: message} if self.explains and message else None

    # --- ending -----------------------------------------------------------------------------------

    def close(self, reason: ReasonCode, code: str) -> None:
        self._close(reason, code, "")

    def _close(self, reason: ReasonCode, code: str, message: str) -> None:
        if not self.ended:
            self.wire.counters.closed.add(code)
            self.parting = int(reason)
            self.ending(code)
            self._say_last(reason, self.explanation(message))
            self.finish()

    def _say_last(self, reason: ReasonCode, properties: Properties | None) -> None:
        self.link.close(reason, properties, self._max_outgoing())

    def ending(self, code: str) -> None:
        """It is ended from our side, for what this is the code of."""

    def move(self, reason: ReasonCode, server: str | None, after_ms: int) -> None:
        if self.ended:
            return
        self.wire.counters.closed.add("moved")
        self.parting = int(reason)
        self.ending("moved")
        if self.link.version == MQTT_5_0:
            self._say_last(reason, moved_properties(server, after_ms))
        else:
            if self.link.phase is _OPEN:
                self.link.send(Publish(MOVED_TOPIC, moved_notice(server, after_ms)))
            self.link.close(reason)
        self.finish()

    def fault(self, reason: ReasonCode, code: str, message: str) -> None:
        """Ends the connection because of what the peer did."""
        self.report(code, message)
        self._close(reason, code, message)

    def accuse(self, reason: ReasonCode, code: str, message: str) -> int:
        """Like `fault`, for what is found as a packet is dealt with: once the client has the answers that it
        is owed for those before [MQTT-4.3.2-4]."""
        self.link.accuse(Fault(reason, code, message))
        return END

    def report(self, code: str, message: str) -> None:
        """Counts what the peer may not do, and tells of it, but not again while it goes on doing the same."""
        self.wire.counters.refused.add(code)
        extras = self.extras
        if code != extras.reported:
            extras.reported = code
            self.wire.report(code, self.peer or "gone", message + self.who())

    def who(self) -> str:
        """Whose connection it is, for the log, once somebody has shown that it is his."""
        return ""

    def finish(self) -> None:
        """The last word is said: it goes out, and then the transport is closed."""
        transport = self.transport
        if transport is not None:
            self.ended = True
            self.flush()
            transport.close()
            self.wire.wheel.set(self, CLOSE_GRACE)
        elif not self.ended:
            self._end()

    def abort(self) -> None:
        transport = self.transport
        if transport is not None:
            self.ended = True
            transport.abort()
        elif not self.ended:
            self._end()

    def _spoke(self) -> bool:
        """Whether a client that is not read from has said something since its time was up last.

        What we did not read is not silence. When it has no room left to say more, nobody can know.
        """
        transport = self.transport
        if transport is None:
            return False
        extras = self.extras
        before = extras.unread
        extras.unread = unread(transport)
        return extras.unread > before or extras.unread == UNKNOWN or extras.unread >= FULL

    def _patience(self) -> int:
        """Ticks for which a client that takes nothing may go on so."""
        return self.wire.limits.outbox_timeout - int(self.wire.wheel.now - self.extras.blocked_at)

    def _look_in(self, ticks: int) -> None:
        """Has the wheel come by in so many ticks, where there is a keep alive.

        Or before that: when it has to have taken something, or when the connection is to end.
        """
        extras = self._extras
        soonest = ticks if self.keep_alive else NEVER
        if self.blocked:
            soonest = min(soonest, self._patience())
        if extras is not None and extras.ends_at:
            soonest = min(soonest, max(1, (extras.ends_at - wall_clock() + 999) // 1000))
        if soonest != NEVER:
            self.wire.wheel.set(self, soonest)

    def expired(self) -> None:
        wire = self.wire
        phase = self.link.phase
        if self.transport is None:
            return
        if phase is _OPEN:
            extras = self._extras
            if extras is not None and extras.ends_at and extras.ends_at <= wall_clock() and self.time_over():
                return
            # [MQTT-3.1.2-22] silence for one and a half times the keep alive: the peer is gone
            left = self.keep_alive - int(wire.wheel.now - self.link.last_heard)
            if self.blocked and self._patience() <= 0:
                self.close(ReasonCode.QUOTA_EXCEEDED, "slow_consumer")
            elif not self.keep_alive or left > 0:
                self._look_in(left)
            elif self.backlog is not None or (self.blocked and self._spoke()):  # we do not listen now
                self._look_in(self.keep_alive)
            else:
                self.close(ReasonCode.KEEP_ALIVE_TIMEOUT, "keep_alive_timeout")
        elif phase is _FRESH:
            self.fault(ReasonCode.NOT_AUTHORIZED, "connect_timeout", "no CONNECT in time")
        elif phase is _CONNECTING:
            wire.wheel.set(self, wire.limits.connect_timeout)  # the stores answer, or fail, in bounded time
        else:
            self.abort()
