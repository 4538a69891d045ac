"""The order in which packets may travel over one connection.

A link has two ends, a client and a server, and a life of five phases:

    FRESH        Nothing has been said. Only the client may speak, and its first word is CONNECT.
    CONNECTING   CONNECT has passed, CONNACK has not. The two ends may exchange AUTH; the next word that
                 changes anything is the server's CONNACK.
    OPEN         CONNACK said yes. Everything that belongs to the role may travel.
    CLOSING      The last word is said, by us or by the peer: DISCONNECT, a CONNACK that says no, the answer
                 to a fault, or silence. What is in `output` is to be written, then the transport is to be
                 closed. Whatever still arrives is not read.
    CLOSED       The transport is gone.

Three packets move a link to its next phase, and they do so whichever way they pass: CONNECT, CONNACK and
DISCONNECT. Which packets may pass is in two tables, `MAY_ARRIVE` and `MAY_SEND`, one row for each role and
phase. `may_pass` then takes away what this link does not have: 3.1.1 knows no AUTH and no DISCONNECT from a
server, AUTH needs a CONNECT that named an authentication method, and a client that named one says nothing
but AUTH until it is let in.

The two ends err differently. A packet that may not arrive is the peer's fault: it becomes `fault`, a
value, and the right closing packet is put into `output`. A packet that may not be sent is our own mistake:
`LocalProtocolError`.

A client may send more right behind its CONNECT, before it knows whether it is let in (section 3.1.4). A
server must not act on that unless it lets the client in [MQTT-3.1.4-6], so it does not even decode it: the
bytes stay held, and `resume` returns their packets once CONNACK is sent. That is no licence to fill our
memory: whoever drives the link stops reading from the transport until then, and what is held is at most
what one read brought.
"""

from enum import IntEnum
from typing import Final, final

from longline.mqtt.codec import Decoder, Fault, LocalProtocolError, encode, fault_of
from longline.mqtt.packets import (
    AUTH,
    CONNACK,
    CONNECT,
    DISCONNECT,
    MQTT_5_0,
    PINGREQ,
    PINGRESP,
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBREC,
    PUBREL,
    SUBACK,
    SUBSCRIBE,
    UNSUBACK,
    UNSUBSCRIBE,
    Connack,
    Connect,
    Disconnect,
    Packet,
)
from longline.mqtt.properties import AUTHENTICATION_METHOD, Properties
from longline.mqtt.reasons import CONNACK_REASONS, DISCONNECT_REASONS, ReasonCode, return_code
from longline.mqtt.wire import PROTOCOL_ERROR


class Role(IntEnum):
    """Which end of the link we are."""

    CLIENT = 0
    SERVER = 1


class Phase(IntEnum):
    """How far the link is: see the theory above."""

    FRESH = 0
    CONNECTING = 1
    OPEN = 2
    CLOSING = 3
    CLOSED = 4


_NOTHING: Final[frozenset[int]] = frozenset()
_DELIVERY: Final = frozenset([PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP])
_CLIENT_SAYS: Final = _DELIVERY | {SUBSCRIBE, UNSUBSCRIBE, PINGREQ, DISCONNECT, AUTH}
_SERVER_SAYS: Final = _DELIVERY | {SUBACK, UNSUBACK, PINGRESP, DISCONNECT, AUTH}

MAY_ARRIVE: Final[dict[Role, dict[Phase, frozenset[int]]]] = {
    Role.CLIENT: {
        Phase.FRESH: _NOTHING,
        Phase.CONNECTING: frozenset([CONNACK, AUTH]),  # [MQTT-3.2.0-1]
        Phase.OPEN: _SERVER_SAYS,  # no second CONNACK [MQTT-3.2.0-2]
        Phase.CLOSING: _NOTHING,
        Phase.CLOSED: _NOTHING,
    },
    Role.SERVER: {
        Phase.FRESH: frozenset([CONNECT]),  # [MQTT-3.1.0-1]
        Phase.CONNECTING: frozenset([AUTH, DISCONNECT]),  # the rest is held until CONNACK is sent
        Phase.OPEN: _CLIENT_SAYS,  # no second CONNECT [MQTT-3.1.0-2]
        Phase.CLOSING: _NOTHING,
        Phase.CLOSED: _NOTHING,
    },
}

MAY_SEND: Final[dict[Role, dict[Phase, frozenset[int]]]] = {
    Role.CLIENT: {
        Phase.FRESH: frozenset([CONNECT]),
        Phase.CONNECTING: _CLIENT_SAYS,
        Phase.OPEN: _CLIENT_SAYS,
        Phase.CLOSING: _NOTHING,  # [MQTT-3.14.4-1]
        Phase.CLOSED: _NOTHING,
    },
    Role.SERVER: {
        Phase.FRESH: _NOTHING,
        Phase.CONNECTING: frozenset([CONNACK, AUTH]),
        Phase.OPEN: _SERVER_SAYS,
        Phase.CLOSING: _NOTHING,
        Phase.CLOSED: _NOTHING,
    },
}


def may_pass(
    row: frozenset[int], sender: Role, phase: Phase, version: int, authenticating: bool
) -> frozenset[int]:
    """What of a table's row a link of this version may carry, with an authentication method or without."""
    if version != MQTT_5_0 and sender is Role.SERVER:
        row = row - {DISCONNECT}  # 3.1.1 lets only clients say good-bye
    if version != MQTT_5_0 or not authenticating:
        return row - {AUTH}  # [MQTT-4.12.0-6], [MQTT-4.12.0-7]
    if sender is Role.CLIENT and phase is Phase.CONNECTING:
        return row & {AUTH, DISCONNECT}  # [MQTT-3.1.2-30]
    return row


_MOVES_ON: Final = 1 << CONNECT | 1 << CONNACK | 1 << DISCONNECT

# What CONNACK says instead of a reason that only DISCONNECT has.
_REFUSALS: Final[dict[int, int]] = {
    int(ReasonCode.SERVER_SHUTTING_DOWN): int(ReasonCode.SERVER_UNAVAILABLE),
    int(ReasonCode.MESSAGE_RATE_TOO_HIGH): int(ReasonCode.CONNECTION_RATE_EXCEEDED),
}

_FRESH: Final = Phase.FRESH
_CONNECTING: Final = Phase.CONNECTING
_OPEN: Final = Phase.OPEN
_CLOSING: Final = Phase.CLOSING
_CLOSED: Final = Phase.CLOSED
_SERVER: Final = Role.SERVER
_CLIENT: Final = Role.CLIENT


@final
class Link:
    """One end of one connection: bytes and the time go in, packets and bytes come out.

    `max_packet_size` is what we read at most, in bytes, once the link is open; until a client is let in, a
    server reads no more than `connect_max_size`. `last_heard` is the `now` of the last bytes, in the
    caller's seconds.
    """

    __slots__ = (
        "_arrivals",
        "_at_most",
        "_decoder",
        "_max_packet_size",
        "_output",
        "_sendable",
        "authenticating",
        "last_heard",
        "phase",
        "role",
    )

    def __init__(
        self, role: Role, max_packet_size: int, connect_max_size: int | None = None, now: float = 0.0
    ) -> None:
        server = role is _SERVER
        first_size = connect_max_size if server and connect_max_size is not None else max_packet_size
        self._decoder = Decoder(first_size, 0, server)
        self._max_packet_size = max_packet_size
        self._output: list[bytes] | None = None
        self.role = role
        self.authenticating = False  # whether CONNECT named an authentication method
        self.last_heard = now
        self.phase = _FRESH
        self._enter(_FRESH)

    @property
    def over(self) -> bool:
        """Whether the last word is said: nothing is read or sent any more."""
        return self.phase is _CLOSING or self.phase is _CLOSED

    @property
    def version(self) -> int:
        """The protocol level, 4 or 5; 0 before CONNECT."""
        return self._decoder.version

    @property
    def fault(self) -> Fault | None:
        """What the peer did wrong; then the phase is CLOSING or CLOSED."""
        return self._decoder.fault

    @property
    def held(self) -> int:
        """How many bytes that arrived are not yet packets: a part of one, or what waits for `resume`."""
        return self._decoder.held

    @property
    def output(self) -> list[bytes] | None:
        """What is to be written, None when that is nothing."""
        return self._output

    def take_output(self) -> list[bytes]:
        """What is to be written, in order; it is the caller's from now on."""
        output = self._output
        if output is None:
            return []
        self._output = None
        return output

    # --- arriving ---------------------------------------------------------------------------------------

    def feed(self, data: bytes, now: float) -> list[Packet]:
        """Take bytes from the peer; returns the packets they complete. Look at `fault` and `over` after."""
        self.last_heard = now
        return self._receive(data)

    def resume(self) -> list[Packet]:
        """The packets that a client sent behind its CONNECT; to be asked for after CONNACK was sent."""
        return self._receive(b"")

    def _receive(self, data: bytes) -> list[Packet]:
        if self.over:
            return []
        decoder = self._decoder
        at_most = self._at_most
        packets = decoder.feed(data, at_most)
        passed = 0
        for packet in packets:
            kind = packet.kind
            if not self._arrivals >> kind & 1:
                decoder.fault = fault_of(PROTOCOL_ERROR, "a packet came that may not come now")
                break
            passed += 1
            if _MOVES_ON >> kind & 1:
                self._move_on(packet)
                if self.over:
                    decoder.fault = None  # what follows the last packet is not read, not even to complain
                    break
        if passed < len(packets):
            del packets[passed:]
        fault = decoder.fault
        if fault is not None:
            self._say_last(int(fault.reason), None)
        elif at_most == 1 and self._at_most < 0:  # read CONNECT alone, and now know that we may read on
            packets.extend(self._receive(b""))
        return packets

    # --- sending ----------------------------------------------------------------------------------------

    def send(self, packet: Packet) -> None:
        """Put a packet into `output`. Raises LocalProtocolError when it may not be sent, now or ever."""
        kind = packet.kind
        self._check_sendable(kind)
        if isinstance(packet, Connect):
            data = encode(packet, packet.version)
            self._decoder.version = packet.version
        else:
            data = encode(packet, self._decoder.version)
        self._write(data)
        if _MOVES_ON >> kind & 1:
            self._move_on(packet)

    def send_encoded(self, kind: int, data: bytes) -> None:
        """Put bytes into `output` that are one packet of this kind and of this link's version.

        For messages encoded once for many links. CONNECT, CONNACK and DISCONNECT move the link on and go by
        `send`.
        """
        self._check_sendable(kind)
        if _MOVES_ON >> kind & 1:
            raise LocalProtocolError("a packet that moves the link on was sent as bytes")
        self._write(data)

    def close(self, reason: int = 0, properties: Properties | None = None) -> None:
        """Say the last word for `reason`, as far as role, phase and version have one, and be CLOSING.

        A server says it by DISCONNECT, or by CONNACK to a client that is not let in yet; 3.1.1 has fewer
        words, and then the transport is just closed. A client of 3.1.1 says good-bye only without a
        failure: DISCONNECT would make the server forget its will.
        """
        if not self.over:
            self._say_last(reason, properties)

    def closed(self) -> None:
        """The transport is gone. Nothing is held any more."""
        self._output = None
        self._enter(_CLOSED)

    def _check_sendable(self, kind: int) -> None:
        if not self._sendable >> kind & 1:
            raise LocalProtocolError(f"packet type {kind} may not be sent while {self.phase.name}")

    def _write(self, data: bytes) -> None:
        output = self._output
        if output is None:
            self._output = [data]
        else:
            output.append(data)

    def _say_last(self, reason: int, properties: Properties | None) -> None:
        version = self._decoder.version
        packet: Packet | None = None
        if self.role is _SERVER and self.phase is not _OPEN:
            reason = _REFUSALS.get(reason, reason)
            known = reason in CONNACK_REASONS if version == MQTT_5_0 else return_code(reason) is not None
            if known and reason:  # a CONNACK of success would let the client in
                packet = Connack(False, reason, properties)
        elif version == MQTT_5_0:
            if reason in DISCONNECT_REASONS:
                packet = Disconnect(reason, properties)
        elif self.role is _CLIENT and reason == 0:
            packet = Disconnect()
        if packet is not None and version:
            self._write(encode(packet, version))
        self._enter(_CLOSING)

    # --- phases -----------------------------------------------------------------------------------------

    def _move_on(self, packet: Packet) -> None:
        """CONNECT, CONNACK or DISCONNECT has passed, in either direction."""
        if isinstance(packet, Connect):
            properties = packet.properties
            self.authenticating = properties is not None and AUTHENTICATION_METHOD in properties
            self._enter(_CONNECTING)
        elif isinstance(packet, Connack) and packet.reason == 0:
            self._decoder.max_packet_size = self._max_packet_size
            self._enter(_OPEN)
        else:
            self._enter(_CLOSING)  # DISCONNECT, or a CONNACK that says no [MQTT-3.2.2-7]

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        role = self.role
        peer = _CLIENT if role is _SERVER else _SERVER
        # In FRESH no version is agreed yet, and neither row has anything to take away.
        version = self._decoder.version
        self._arrivals = _bits(may_pass(MAY_ARRIVE[role][phase], peer, phase, version, self.authenticating))
        self._sendable = _bits(may_pass(MAY_SEND[role][phase], role, phase, version, self.authenticating))
        self._at_most = -1
        if phase is _CLOSING or phase is _CLOSED:
            self._decoder.forget()
        elif role is _SERVER:
            if phase is _FRESH:
                self._at_most = 1
            elif phase is _CONNECTING and not self.authenticating:
                self._at_most = 0


def _bits(kinds: frozenset[int]) -> int:
    """A set of packet types as one number, so that the hot path asks it with a shift."""
    bits = 0
    for kind in kinds:
        bits |= 1 << kind
    return bits
