"""The order in which packets may travel over one connection.

A link has two ends, a client and a server, and a life of five phases:

    FRESH        Nothing has been said. Only the client may speak, and its first word is CONNECT.
    CONNECTING   CONNECT has passed, CONNACK has not. The two ends may exchange AUTH; the next word that
                 changes anything is the server's CONNACK.
    OPEN         CONNACK said yes. Everything that belongs to the role may travel.
    CLOSING      Our last word is said: DISCONNECT, a CONNACK that says no, or silence. What is in `output` is
                 to be written, then the transport is to be closed. Whatever still arrives is not read.
    CLOSED       The transport is gone.

Three packets move a link to its next phase: CONNECT and CONNACK whichever way they pass, and DISCONNECT when
we send it. Which packets may pass is in two tables, `MAY_ARRIVE` and `MAY_SEND`, one row for each role and
phase. `may_pass` then takes away what this link does not have: 3.1.1 knows no AUTH and no DISCONNECT from a
server, AUTH needs a CONNECT that named an authentication method, and a client that named one says nothing
but AUTH until it is let in.

The two ends err differently. A packet that may not arrive is the peer's fault: it becomes `fault`, a value.
A packet that may not be sent is our own mistake: `LocalProtocolError`.

Packets are read ahead of being dealt with, so the peer's last word, a DISCONNECT or a fault, is known before
what it said earlier is answered. It has `left` then: nothing more of it is read, but the phase stays as it
is, and answers may be sent, until whoever drives the link has dealt with the packets before and calls
`close`, which says our last word.

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
    MQTT_3_1_1,
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
from longline.mqtt.shared_output import SharedOutput
from longline.mqtt.wire import MAX_REMAINING_LENGTH, PROTOCOL_ERROR
from longline.mqtt.writing import encode_within


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


def _bits(kinds: frozenset[int]) -> int:
    """A set of packet types as one number, so that the hot path asks it with a shift."""
    bits = 0
    for kind in kinds:
        bits |= 1 << kind
    return bits


def _passes(
    table: dict[Role, dict[Phase, frozenset[int]]], arriving: bool
) -> dict[Role, dict[Phase, list[int]]]:
    """What `may_pass` says of every row of a table, in bits: worked out once and not for every connection.

    Of a row there are four: without and with an authentication method, and the same in version 5.
    """
    return {
        role: {
            phase: [
                _bits(may_pass(row, Role(1 - role) if arriving else role, phase, version, authenticating))
                for version in (MQTT_3_1_1, MQTT_5_0)
                for authenticating in (False, True)
            ]
            for phase, row in rows.items()
        }
        for role, rows in table.items()
    }


_ARRIVALS: Final = _passes(MAY_ARRIVE, True)
_SENDABLE: Final = _passes(MAY_SEND, False)

NO_LIMIT: Final = MAX_REMAINING_LENGTH + 5  # bytes: what the wire can express at most, section 2.1.4

_SENT: Final = 16  # in `_passing`, which kinds may be sent stands behind which may arrive

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
class Link(Decoder):
    """One end of one connection: bytes and the time go in, packets and bytes come out.

    It is the decoder of what its peer sends, and does not have one: there are millions, and another object
    for each would be mostly its headers. `receive` and `resume` read in order what `feed` just decodes.

    `max_packet_size` is what we read at most, in bytes, once the link is open; until a client is let in, a
    server reads no more than `connect_max_size`. `last_heard` is the `now` at which the peer was last known
    to be alive, in the caller's seconds: to a server only whole packets tell it [MQTT-3.1.2-22], to a client,
    to whom the standard sets no such rule, any bytes.
    """

    __slots__ = (
        "_count",
        "_open_size",
        "_output",
        "_passing",
        "authenticating",
        "last_heard",
        "left",
        "more",
        "phase",
    )

    def __init__(
        self, role: Role, max_packet_size: int, connect_max_size: int | None = None, now: float = 0.0
    ) -> None:
        server = role is _SERVER
        first_size = connect_max_size if server and connect_max_size is not None else max_packet_size
        super().__init__(first_size, 0, server)
        self._open_size = max_packet_size
        self._output: list[bytes] | None = None
        self._count = 0  # pieces of `_output` that are this link's: others may share it and have more
        self.last_heard = now
        self.authenticating = False  # whether CONNECT named an authentication method
        self.left = False  # the peer has said its last word
        self.more = False  # further packets may have arrived: `resume` reads on
        self.phase = _FRESH
        self._enter(_FRESH)

    @property
    def over(self) -> bool:
        """Whether the last word is said: nothing is read or sent any more."""
        return self.phase is _CLOSING or self.phase is _CLOSED

    @property
    def role(self) -> Role:
        """Which end it is."""
        return _SERVER if self.from_client else _CLIENT

    @property
    def output(self) -> list[bytes] | None:
        """What is to be written, None when that is nothing."""
        output = self._output
        return None if output is None else output[: self._count]

    def take_output(self) -> list[bytes]:
        """What is to be written, in order; it is the caller's from now on."""
        output = self._output
        if output is None:
            return []
        self._output = None
        return output[: self._count]

    def take_joined(self, shared: SharedOutput) -> bytes:
        """The same in one piece, by what it shares with other links; empty when it is nothing."""
        output = self._output
        if output is None:
            return b""
        self._output = None
        return shared.joined(output, self._count)

    # --- arriving ---------------------------------------------------------------------------------------

    def receive(self, data: bytes, now: float, ahead: int = -1) -> list[Packet]:
        """Take bytes from the peer; returns the packets they complete, `ahead` at most if that is not -1.

        What is decoded takes a hundred times as much as the smallest packets do: who deals with them one by
        one asks for as many as are soon dealt with, and for `more` then.

        When these are dealt with, look at `fault`: `close` answers it.
        """
        packets = self._read_on(data, ahead)
        if packets or not self.from_client:
            self.last_heard = now
        return packets

    def resume(self, ahead: int = -1) -> list[Packet]:
        """The packets that a client sent behind its CONNECT; to be asked for after CONNACK was sent.

        And those for which there was `more` to be read.
        """
        return self._read_on(b"", ahead)

    def _read_on(self, data: bytes, ahead: int) -> list[Packet]:
        self.more = False
        if self.left or self.over:
            return []
        at_most = self._at_most()
        packets = self.feed(data, at_most if at_most >= 0 else ahead)
        more = at_most < 0 and len(packets) == ahead and self.held > 0
        passed = 0
        for packet in packets:
            kind = packet.kind
            if not self._passing >> kind & 1:
                self.fault = fault_of(PROTOCOL_ERROR, "a packet came that may not come now")
                break
            passed += 1
            if _MOVES_ON >> kind & 1:
                if kind != DISCONNECT:
                    self._move_on(packet)
                if kind == DISCONNECT or self.over:
                    self._leave()
                    self.fault = None  # what follows the last packet is not read, not even to complain
                    break
        if passed < len(packets):
            del packets[passed:]
        if self.fault is not None:
            self._leave()
        elif at_most == 1 and self._at_most() < 0:  # read CONNECT alone, and now know that we may read on
            packets.extend(self._read_on(b"", ahead))
        else:
            self.more = more and not self.left
        return packets

    def _leave(self) -> None:
        self.left = True
        self.forget()

    # --- sending ----------------------------------------------------------------------------------------

    def send(self, packet: Packet, at_most: int = NO_LIMIT) -> bool:
        """Put a packet into `output`. Raises LocalProtocolError when it may not be sent, now or ever.

        False when its receiver takes no packets of more than `at_most` bytes, and it cannot be said in so few
        (`encode_within`): then nothing has changed.
        """
        kind = packet.kind
        self._check_sendable(kind)
        if isinstance(packet, Connect):
            data = encode(packet, packet.version)
            self.version = packet.version
        elif at_most < NO_LIMIT:
            data = encode_within(packet, self.version, at_most)
            if not data:
                return False
        else:
            data = encode(packet, self.version)
        self._write(data)
        if _MOVES_ON >> kind & 1:
            self._move_on(packet)
        return True

    def send_publish(self, data: bytes, shared: SharedOutput) -> None:
        """Put bytes into `output` that are one PUBLISH of this link's version.

        For messages encoded once for many links, whose `output` is `shared` as far as it is the same.
        """
        if self.phase is not _OPEN:  # where both may always send it
            self._check_sendable(PUBLISH)
        output = self._output
        if output is None:
            self._output = shared.begun(data)
            self._count = 1
        elif self._count < len(output) and output[self._count] is data:
            self._count += 1
        else:
            self._write(data)

    def close(self, reason: int = 0, properties: Properties | None = None, at_most: int = NO_LIMIT) -> None:
        """Say the last word for `reason`, as far as role, phase and version have one, and be CLOSING.

        A server says it by DISCONNECT, or by CONNACK to a client that is not let in yet; 3.1.1 has fewer
        words, and then the transport is just closed. A client of 3.1.1 says good-bye only without a
        failure: DISCONNECT would make the server forget its will. A peer that said good-bye is told nothing,
        nor is one that takes no packets as large, `at_most` bytes.
        """
        if self.over:
            return
        if self.left and self.fault is None:
            self._enter(_CLOSING)
        else:
            self._say_last(reason, properties, at_most)

    def no_good_bye(self, reason: int, message: str) -> None:
        """A DISCONNECT has arrived that is not to be taken for one: it is a fault of the peer's."""
        self.fault = fault_of(reason, message)

    def accuse(self, fault: Fault) -> None:
        """A packet that may arrive has turned out to be a fault of the peer's: it is its last."""
        self.more = False
        self.fault = fault
        self._leave()

    def hung_up(self) -> None:
        """The peer sends nothing more, without having said so, and is told nothing more either."""
        if not self.over:
            self._enter(_CLOSING)

    def closed(self) -> None:
        """The transport is gone. Nothing is held any more."""
        self._output = None
        self._enter(_CLOSED)

    def _check_sendable(self, kind: int) -> None:
        if not self._passing >> (_SENT + kind) & 1:
            raise LocalProtocolError(f"packet type {kind} may not be sent while {self.phase.name}")

    def _write(self, data: bytes) -> None:
        output = self._output
        if output is None:
            self._output = [data]
            self._count = 1
            return
        if self._count < len(output):  # who shares it has more behind, and this is something else
            output = self._output = output[: self._count]
        output.append(data)
        self._count += 1

    def _say_last(self, reason: int, properties: Properties | None, at_most: int) -> None:
        version = self.version
        packet: Packet | None = None
        if self.from_client and self.phase is not _OPEN:
            reason = _REFUSALS.get(reason, reason)
            known = reason in CONNACK_REASONS if version == MQTT_5_0 else return_code(reason) is not None
            if known and reason:  # a CONNACK of success would let the client in
                packet = Connack(False, reason, properties)
        elif version == MQTT_5_0:
            if reason in DISCONNECT_REASONS:
                packet = Disconnect(reason, properties)
        elif not self.from_client and reason == 0:
            packet = Disconnect()
        if packet is not None and version:
            data = encode_within(packet, version, at_most)
            if data:
                self._write(data)
        self._enter(_CLOSING)

    # --- phases -----------------------------------------------------------------------------------------

    def _move_on(self, packet: Packet) -> None:
        """CONNECT or CONNACK has passed, in either direction, or a DISCONNECT of ours."""
        if isinstance(packet, Connect):
            properties = packet.properties
            self.authenticating = properties is not None and AUTHENTICATION_METHOD in properties
            self._enter(_CONNECTING)
        elif isinstance(packet, Connack) and packet.reason == 0:
            self.max_packet_size = self._open_size
            self._enter(_OPEN)
        else:
            self._enter(_CLOSING)  # DISCONNECT, or a CONNACK that says no [MQTT-3.2.2-7]

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        role = self.role
        # In FRESH no version is agreed yet, and neither row has anything to take away.
        which = 2 if self.version == MQTT_5_0 else 0
        if self.authenticating:
            which += 1
        self._passing = _ARRIVALS[role][phase][which] | _SENDABLE[role][phase][which] << _SENT
        if phase is _CLOSING or phase is _CLOSED:
            self.forget()

    def _at_most(self) -> int:
        """How many packets are read before somebody decides how to go on: CONNECT alone, and nothing until
        it is answered; -1 for as many as come."""
        if self.from_client:
            if self.phase is _FRESH:
                return 1
            if self.phase is _CONNECTING and not self.authenticating:
                return 0
        return -1
