"""The stream of packets: bytes in whatever pieces the network cuts them, packets out, and the way back.

The decoder never raises on a peer's bytes. The first thing that the standard forbids becomes its `fault`,
with the reason code to answer with; the packets before it are still delivered, and nothing after it is.
"""

from typing import Final, final

from longline.mqtt.packets import (
    CONNECT,
    MQTT_3_1,
    MQTT_3_1_1,
    MQTT_5_0,
    PUBLISH,
    PUBREL,
    SUBSCRIBE,
    UNSUBSCRIBE,
    Connect,
    Packet,
)
from longline.mqtt.properties import PAYLOAD_FORMAT_INDICATOR, Properties
from longline.mqtt.reading import (
    UNSUPPORTED_PROTOCOL_VERSION,
    read_body,
    read_connect,
    read_protocol_level,
    read_publish,
)
from longline.mqtt.reasons import ReasonCode, reason_name
from longline.mqtt.wire import LocalProtocolError, Reader, Violation, malformed, protocol_error
from longline.mqtt.writing import PublishFrame, encode

__all__ = [
    "Decoder",
    "Fault",
    "LocalProtocolError",
    "PublishFrame",
    "encode",
    "fault_of",
    "payload_is_as_declared",
]

PACKET_TOO_LARGE: Final = 0x95
_KNOWN: Final = (MQTT_3_1, MQTT_3_1_1, MQTT_5_0)  # levels that we speak


@final
class Fault:
    """Why a peer's bytes are not read any further.

    `reason` is the MQTT 5 reason code to answer with, `code` its name for counters and logs, and `message`
    a sentence of ours: it never repeats what the peer sent, so it may be logged, and equal mistakes have
    equal messages.
    """

    __slots__ = ("code", "message", "reason")

    def __init__(self, reason: ReasonCode, code: str, message: str) -> None:
        self.reason = reason
        self.code = code
        self.message = message

    def __repr__(self) -> str:
        return f"Fault(0x{int(self.reason):02x} {self.code}: {self.message})"


def fault_of(reason: int, message: str) -> Fault:
    """A fault whose code is the name of its reason."""
    return Fault(ReasonCode(reason), reason_name(reason), message)


class Decoder:
    """Packets from the bytes of one connection.

    `max_packet_size` is in bytes and counts the whole packet, header included, as the property of that name
    does; it may be changed between calls, for a CONNECT has no reason to be as large as a message.
    `version` is 0 until a CONNECT is read; a client, which reads none, is given the version it asked for.
    `fault` is what the peer did wrong: nothing after it is read.
    `from_client` tells whose bytes these are: servers and clients may say different things.

    Memory: nothing is held between packets. Of a packet that is not there yet, its own bytes are held and
    no more, and a packet that announces more than `max_packet_size` is refused at its header.

    Time: linear in the bytes, however they are sliced. What is held grows in place, and is read only once
    the announced length is there.
    """

    __slots__ = ("_held", "_wanted", "fault", "from_client", "max_packet_size", "version")

    def __init__(self, max_packet_size: int, version: int = 0, from_client: bool = True) -> None:
        self.max_packet_size = max_packet_size
        self.version = version
        self.from_client = from_client
        self.fault: Fault | None = None
        self._held: bytearray | None = None
        self._wanted = 0  # how many bytes must be held before it is worth to look at them again

    @property
    def held(self) -> int:
        """How many bytes wait for the rest of their packet, or to be asked for."""
        return len(self._held) if self._held is not None else 0

    def feed(self, data: bytes, at_most: int = -1) -> list[Packet]:
        """Take the next bytes of the stream; returns the packets that they complete, in order.

        `at_most` stops after so many packets (0 only gathers) and holds the rest unread, for who must
        decide something before it knows how to read on; -1 reads everything. `feed(b"")` reads what is
        held.
        """
        if self.fault is not None:
            return []
        held = self._held
        if held is not None:
            held += data
            if at_most == 0 or len(held) < self._wanted:
                return []
            data = bytes(held)
            self._held = None
        packets: list[Packet] = []
        try:
            pos = self._read(data, packets, at_most)
        except Violation as violation:
            self.fault = fault_of(violation.reason, violation.message)
            return packets
        if pos < len(data):
            self._held = bytearray(data[pos:])
        return packets

    def forget(self) -> None:
        """Drop what is held: nobody will ask for it."""
        self._held = None

    def _read(self, data: bytes, packets: list[Packet], at_most: int) -> int:
        """Read whole packets into `packets`; returns where the first unread one begins."""
        self._wanted = 0
        size = len(data)
        pos = 0
        while pos < size and (at_most < 0 or len(packets) < at_most):
            first = data[pos]
            self._check_first_byte(first)
            body = pos + 2
            if body > size:
                self._wanted = 2
                break
            length = data[pos + 1]
            padded = False
            if length >= 0x80:
                length, body = _long_length(data, pos + 1)
                if body == 0:  # the length itself is not there yet
                    self._wanted = size - pos + 1
                    break
                padded = data[body - 1] == 0
            end = body + length
            if end - pos > self.max_packet_size:
                if self.version == 0:
                    self._look_ahead(Reader(data, body, min(end, size)))
                raise Violation(PACKET_TOO_LARGE, "the packet is larger than allowed")
            if end > size:
                self._wanted = end - pos
                break
            packet: Packet
            if first >> 4 == PUBLISH:
                packet = read_publish(first, data, body, end, self.version, self.from_client)
            elif first >> 4 == CONNECT:
                connect = self._read_connect(Reader(data, body, end))
                connect.size = end - pos
                packet = connect
            else:
                packet = read_body(first >> 4, Reader(data, body, end), self.version, self.from_client)
            if padded and self.version == MQTT_5_0:
                # [MQTT-1.5.5-1]. 3.1.1 has no such rule, and small devices write lengths of a fixed size.
                raise malformed("the remaining length is longer than it need be")
            packets.append(packet)
            pos = end
        return pos

    def _check_first_byte(self, first: int) -> None:
        """Whether a packet may begin like this. It takes one byte to know, so a stranger costs no more."""
        kind = first >> 4
        if kind != PUBLISH:
            flags = first & 15
            expected = 2 if kind in (PUBREL, SUBSCRIBE, UNSUBSCRIBE) else 0
            if self.version == MQTT_3_1 and expected:
                flags &= 7  # there, these have QoS 1, and DUP when they are sent again
            if flags != expected:
                # [MQTT-2.1.3-1], and for single packets [MQTT-3.6.1-1], [MQTT-3.8.1-1], [MQTT-3.10.1-1],
                # [MQTT-3.14.1-1] and [MQTT-3.15.1-1]
                raise malformed("the flags of the fixed header are not those of the packet")
            if kind == CONNECT:
                return
            if kind == 0:
                raise malformed("packet type 0 is reserved")
        if self.version == 0:
            raise protocol_error("the first packet is not CONNECT")  # [MQTT-3.1.0-1]

    def _look_ahead(self, reader: Reader) -> None:
        """The version of a CONNECT that is not read, where it can be seen: its answer takes that form."""
        try:
            level = read_protocol_level(reader)
        except Violation:
            return
        if level in _KNOWN:
            self.version = level

    def _read_connect(self, reader: Reader) -> Connect:
        if not self.from_client:
            raise protocol_error("a server sent CONNECT")
        level = read_protocol_level(reader)
        if self.version != 0 and self.version != level:
            raise protocol_error("a second CONNECT speaks another version")  # [MQTT-3.1.0-2]
        # Set before anything can go wrong: the answer to a bad CONNECT has the form of its version, and the
        # answer to a version that we do not speak the one that all understand, [MQTT-3.1.2-2]. Bridges ask
        # by such a level (0x84) whether we know them as bridges, and ask again as others do when we say no.
        known = level in _KNOWN
        self.version = level if known else MQTT_3_1_1
        if not known:
            raise Violation(UNSUPPORTED_PROTOCOL_VERSION, "no protocol of this name has this level")
        return read_connect(reader, level)


def _long_length(data: bytes, pos: int) -> tuple[int, int]:
    """A remaining length of several bytes, and where the body begins; (0, 0) when some are missing."""
    value = 0
    shift = 0
    size = len(data)
    while pos < size:
        byte = data[pos]
        pos += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, pos
        shift += 7
        if shift == 28:
            raise malformed("the remaining length is longer than four bytes")  # section 2.1.4
    return 0, 0


def payload_is_as_declared(payload: bytes, properties: Properties | None) -> bool:
    """Whether a payload that its Payload Format Indicator calls text is UTF-8, section 3.3.2.3.2.

    Receivers may check it, and answer 0x99. The decoder does not: that answer is not one to a bad packet.
    """
    if properties is None or properties.get(PAYLOAD_FORMAT_INDICATOR) != 1:
        return True
    try:
        payload.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
