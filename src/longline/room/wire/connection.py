"""One socket: bytes between the transport and the link, and each packet to who deals with it.

An asyncio protocol without an asyncio base class, so that it can be compiled. The transport is
uvloop's or asyncio's. Nothing is ever awaited here. What the packets mean is the business of the class that
derives from this one (`session/client.py`): it says of each packet whether the next may follow.
"""

import asyncio
from collections.abc import Callable
from typing import Final, final

from longline.flow.unread import UNKNOWN, unread
from longline.mqtt.link import Link, Phase, Role
from longline.mqtt.moving import MOVED_TOPIC, moved_notice, moved_properties
from longline.mqtt.packets import MQTT_5_0, PUBLISH, Connack, Packet, Publish
from longline.mqtt.reasons import ReasonCode
from longline.room.counters import RoomCounters
from longline.room.session.outlet import Outlet
from longline.room.turn import Turn
from longline.room.wire.answers import Answers
from longline.room.wire.wheel import Wheel
from longline.telemetry.faults import Faults

CLOSE_GRACE: Final = 5  # ticks that a closed connection gets to take its last bytes
UNDER_WAY: Final = 1  # tick: part of the one under way is over already, and no deadline may come early
MOVED_SIZE: Final = 64  # bytes that a DISCONNECT takes which names a server, besides that name

FULL: Final = 16_384  # bytes unread, from where on a peer may not be able to send more

EVERYBODY: Final = "everybody"  # instead of a peer's address, in the log

NO_LIMIT: Final = 268_435_460  # bytes: the largest packet that the wire can express, section 2.1.4

# What may follow a packet:
GO_ON: Final = 0  # the next one
WAIT: Final = 1  # nothing, until `go_on` is called
HOLD: Final = 2  # nothing, until the stores keep up again
AGAIN: Final = 3  # nothing, and it is not dealt with itself, until `go_on` is called

# Their members are looked up here, once, and compared by `is`: in compiled code the rest costs more than the
# call.
_FRESH: Final = Phase.FRESH
_CONNECTING: Final = Phase.CONNECTING
_OPEN: Final = Phase.OPEN
_CLOSING: Final = Phase.CLOSING
_CLOSED: Final = Phase.CLOSED


@final
class WireLimits:
    """Of each connection. Sizes in bytes; `connect_timeout` in ticks of the wheel."""

    __slots__ = ("connect_packet_size", "connect_timeout", "max_packet_size", "outbox_bytes")

    def __init__(
        self, outbox_bytes: int, max_packet_size: int, connect_packet_size: int, connect_timeout: int
    ) -> None:
        self.outbox_bytes = outbox_bytes
        self.max_packet_size = max_packet_size
        self.connect_packet_size = connect_packet_size
        self.connect_timeout = connect_timeout


class Wire:
    """What all connections of a room share.

    `admits` says whether a new connection may stay, `released` is told that one is gone. `report` takes a
    code, the peer's address and a message.
    """

    __slots__ = ("admits", "counters", "faults", "limits", "released", "report", "turn", "wheel")

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

    __slots__ = ("aliases", "answers", "backlog", "counted", "max_outgoing", "origin", "reported", "unread")

    def __init__(self) -> None:
        self.counted: str | None = None  # the network that it counts for, where connections are counted so
        self.origin: str | None = None  # the client's address, where a proxy has told it
        self.reported: str | None = None  # the code of the latest fault
        self.max_outgoing = NO_LIMIT  # bytes: the client's Maximum Packet Size
        self.backlog: list[Packet] | None = None  # what has to wait; while there is one, nothing is read
        self.aliases: dict[int, str] | None = None  # the client's topic aliases
        self.answers: Answers | None = None  # while a PUBACK has to wait
        self.unread = 0  # bytes that we had not read when its time was up last


class Connection(Outlet):
    """The driver of one link. Idle, it owns no task, no timer and no buffer.

    A class derived from it deals with the packets: `received`, `flowing`, `lost`.
    """

    __slots__ = ("_extras", "keep_alive", "link", "parting", "transport", "waiting", "wire")

    def __init__(self, wire: Wire, origin: str | None = None) -> None:
        super().__init__()
        self.wire = wire
        self.link = Link(Role.SERVER, wire.limits.max_packet_size, wire.limits.connect_packet_size)
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
        """Deals with a packet; returns what may follow it: GO_ON, WAIT, HOLD or AGAIN."""
        raise NotImplementedError

    def flowing(self) -> None:
        """The client takes what it is sent again."""
        raise NotImplementedError

    def lost(self) -> None:
        """The connection is gone."""
        raise NotImplementedError

    # --- what the transport calls -----------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        wire = self.wire
        wire.counters.accepted += 1
        wire.counters.connections += 1
        if not wire.admits(self):
            transport.abort()
            return
        transport.set_write_buffer_limits(high=wire.limits.outbox_bytes)
        wire.wheel.set(self, wire.limits.connect_timeout + UNDER_WAY)

    def data_received(self, data: bytes) -> None:
        wire = self.wire
        wire.counters.bytes_in += len(data)
        self._take(self.link.feed(data, wire.wheel.now))

    def eof_received(self) -> bool:
        return False  # the transport closes itself: MQTT has no half-closed connections

    def pause_writing(self) -> None:
        self.blocked = True
        self._listen()

    def resume_writing(self) -> None:
        self.blocked = False
        self.link.last_heard = self.wire.wheel.now  # as in `go_on`
        if self._extras is not None:
            self._extras.unread = 0
        self._listen()
        self.flowing()

    def connection_lost(self, error: Exception | None) -> None:
        wire = self.wire
        wire.counters.connections -= 1
        wire.wheel.clear(self)
        self.ended = True
        self.link.closed()
        self.transport = None
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
        turn = self.wire.turn
        count = len(packets)
        done = 0
        try:
            while done < count and not self.ended:
                packet = packets[done]
                # Who publishes waits for the next turn, the first time, too; a PINGREQ for no publication.
                if turn.spent > turn.budget and (done or packet.kind == PUBLISH):
                    self._put_aside(packets[done:])
                    turn.later(self.go_on)
                    return
                follows = self.received(packet)
                if follows == AGAIN:
                    self._put_aside(packets[done:])
                    return
                done += 1
                turn.spent += 1
                if follows != GO_ON:
                    self._put_aside(packets[done:])
                    if follows == HOLD:
                        self.wire.counters.publishers_paused += 1
                        turn.hold(self.go_on)
                    return
        except Exception as error:  # our own: what this peer has sent must not cost the others anything
            self.wire.faults.note("room.packets", error)
            self.abort()
            return
        fault = self.link.fault
        if fault is not None and not self.ended:
            self.wire.counters.closed.add(fault.code)
            self.report(fault.code, fault.message)
            self.finish()

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
        if self.transport is not None:
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

    def limit(self, size: int) -> None:
        """The client takes no packets with more bytes."""
        self.extras.max_outgoing = size
        self.limited = True

    def takes(self, size: int) -> bool:
        extras = self._extras
        return extras is None or size <= extras.max_outgoing

    def write(self, data: bytes) -> None:
        link = self.link
        if link.phase is not _OPEN:
            return
        link.send_encoded(PUBLISH, data)
        self.waiting += len(data)
        if not self.touched:
            self.touched = True
            self.wire.turn.touch(self)
        elif self.waiting > self.wire.limits.outbox_bytes:
            self.flush()

    def send(self, packet: Packet) -> None:
        """Adds an answer to this turn's output; nothing, when the peer has said good-bye meanwhile."""
        link = self.link
        if link.phase is _CLOSING or link.phase is _CLOSED:
            return
        link.send(packet)
        if not self.touched:
            self.touched = True
            self.wire.turn.touch(self)

    def flush(self) -> None:
        self.touched = False
        self.waiting = 0
        output = self.link.take_output()
        transport = self.transport
        if not output or transport is None:
            return
        data = output[0] if len(output) == 1 else b"".join(output)
        counters = self.wire.counters
        counters.bytes_out += len(data)
        try:
            transport.write(data)
        except RuntimeError:  # uvloop: the transport was closed under us; connection_lost follows
            counters.writes_too_late += 1

    # --- opening ----------------------------------------------------------------------------------

    def hear_out(self) -> None:
        """A CONNECT came in: nothing more is read until `accept` or `refuse`."""
        self.mqtt5 = self.link.version == MQTT_5_0
        self._listen()

    def accept(self, connack: Connack, keep_alive: int) -> None:
        """The CONNECT was good. `keep_alive` in seconds, 0 for none."""
        self.keep_alive = (keep_alive * 3 + 1) // 2 + UNDER_WAY if keep_alive else 0
        if keep_alive:
            self.wire.wheel.set(self, self.keep_alive)
        else:
            self.wire.wheel.clear(self)
        self.send(connack)
        self._listen()
        self._take(self.link.resume())

    def refuse(self, reason: ReasonCode, code: str, message: str) -> None:
        """The CONNECT was not good: a CONNACK says why."""
        self.fault(reason, code, message)

    def turn_away(self, reason: ReasonCode, code: str, message: str) -> None:
        """The CONNECT comes at a bad time, which is not its peer's doing: told of once for everybody."""
        self.wire.counters.refused.add(code)
        self.wire.report(code, EVERYBODY, message)
        self.close(reason, code)

    # --- ending -----------------------------------------------------------------------------------

    def close(self, reason: ReasonCode, code: str) -> None:
        if not self.ended:
            self.wire.counters.closed.add(code)
            self.parting = int(reason)
            self.link.close(reason)
            self.finish()

    def move(self, reason: ReasonCode, server: str | None, after_ms: int) -> None:
        if self.ended:
            return
        self.wire.counters.closed.add("moved")
        self.parting = int(reason)
        if self.link.version == MQTT_5_0:
            fits = self.takes(len(server or "") + MOVED_SIZE)
            self.link.close(reason, moved_properties(server, after_ms) if fits else None)
        else:
            if self.link.phase is _OPEN:
                self.link.send(Publish(MOVED_TOPIC, moved_notice(server, after_ms)))
            self.link.close(reason)
        self.finish()

    def fault(self, reason: ReasonCode, code: str, message: str) -> None:
        """Ends the connection because of what the peer did."""
        self.report(code, message)
        self.close(reason, code)

    def report(self, code: str, message: str) -> None:
        """Counts what the peer may not do, and tells of it, but not again while it goes on doing the same."""
        self.wire.counters.refused.add(code)
        extras = self.extras
        if code != extras.reported:
            extras.reported = code
            self.wire.report(code, self.peer or "gone", message)

    def finish(self) -> None:
        """The last word is said: it goes out, and then the transport is closed."""
        self.ended = True
        self.flush()
        transport = self.transport
        if transport is not None:
            transport.close()
            self.wire.wheel.set(self, CLOSE_GRACE)

    def abort(self) -> None:
        self.ended = True
        transport = self.transport
        if transport is not None:
            transport.abort()

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

    def expired(self) -> None:
        wire = self.wire
        phase = self.link.phase
        if self.transport is None:
            return
        if phase is _OPEN:
            # [MQTT-3.1.2-22] silence for one and a half times the keep alive: the peer is gone
            left = self.keep_alive - int(wire.wheel.now - self.link.last_heard)
            if self.backlog is not None or (self.blocked and self._spoke()):  # we do not listen now
                wire.wheel.set(self, self.keep_alive)
            elif left <= 0:
                self.close(ReasonCode.KEEP_ALIVE_TIMEOUT, "keep_alive_timeout")
            else:
                wire.wheel.set(self, left)
        elif phase is _FRESH:
            self.fault(ReasonCode.NOT_AUTHORIZED, "connect_timeout", "no CONNECT in time")
        elif phase is _CONNECTING:
            wire.wheel.set(self, wire.limits.connect_timeout)  # the stores answer, or fail, in bounded time
        else:
            self.abort()
