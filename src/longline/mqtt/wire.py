"""The primitive encodings of MQTT, section 1.5: integers, variable byte integers, strings and binary data.

Reading stops at the first thing that the standard forbids by raising `Violation`. It never leaves this
package: the decoder turns it into a `Fault`, a value. Writing something that the wire cannot hold is our
own mistake and raises `LocalProtocolError`, which does leave.
"""

from typing import Final

MALFORMED_PACKET: Final = 0x81
PROTOCOL_ERROR: Final = 0x82

MAX_REMAINING_LENGTH: Final = 268_435_455  # four bytes of seven bits, section 2.1.4
LONGEST_ID_3_1: Final = 23  # characters of a client identifier in MQTT 3.1
MAX_FIELD_LENGTH: Final = 65_535  # bytes of a string or of binary data, sections 1.5.4 and 1.5.6


class LocalProtocolError(Exception):
    """This side tried to send what MQTT forbids, then or ever: a mistake in our code, not the peer's."""


class Violation(Exception):
    """The peer's bytes break a rule; `reason` is the MQTT 5 reason code to answer with."""

    def __init__(self, reason: int, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


def malformed(message: str) -> Violation:
    """A packet that cannot be read by the rules of the standard, section 4.13."""
    return Violation(MALFORMED_PACKET, message)


def protocol_error(message: str) -> Violation:
    """A packet that can be read and says something that is not allowed, section 4.13."""
    return Violation(PROTOCOL_ERROR, message)


class Reader:
    """A cursor over the body of one packet: it never looks past `end`, whatever follows in the same chunk."""

    __slots__ = ("data", "end", "pos")

    def __init__(self, data: bytes, pos: int, end: int) -> None:
        self.data = data
        self.pos = pos
        self.end = end

    def left(self) -> int:
        """How many bytes are unread."""
        return self.end - self.pos

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        pos = self.pos
        if size > self.end - pos:
            raise malformed("the packet ends inside a field")
        self.pos = pos + size
        return self.data[pos : pos + size]

    def u8(self) -> int:
        """One byte."""
        pos = self.pos
        if pos >= self.end:
            raise malformed("the packet ends inside a field")
        self.pos = pos + 1
        return self.data[pos]

    def u16(self) -> int:
        """A two byte integer, section 1.5.2."""
        pos = self.pos
        if pos + 2 > self.end:
            raise malformed("the packet ends inside a field")
        self.pos = pos + 2
        data = self.data
        return data[pos] << 8 | data[pos + 1]

    def u32(self) -> int:
        """A four byte integer, section 1.5.3."""
        return self.u16() << 16 | self.u16()

    def packet_id(self) -> int:
        """A packet identifier, section 2.2.1."""
        value = self.u16()
        if value == 0:
            raise protocol_error("a packet identifier is zero")  # [MQTT-2.2.1-3]
        return value

    def varint(self) -> int:
        """A variable byte integer, section 1.5.5."""
        value = 0
        shift = 0
        while shift < 28:
            byte = self.u8()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if byte == 0 and shift > 0:
                    raise malformed("a variable byte integer is longer than it need be")  # [MQTT-1.5.5-1]
                return value
            shift += 7
        raise malformed("a variable byte integer is longer than four bytes")

    def binary(self) -> bytes:
        """Binary data, section 1.5.6."""
        return self.take(self.u16())

    def string(self) -> str:
        """A UTF-8 string, section 1.5.4."""
        return read_text(self.binary())


def read_text(raw: bytes) -> str:
    """The text of a UTF-8 string of the wire; a byte order mark stays part of it [MQTT-1.5.4-3]."""
    try:
        text = raw.decode("utf-8")  # refuses surrogates and overlong forms: [MQTT-1.5.4-1]
    except UnicodeDecodeError:
        raise malformed("a string is not well-formed UTF-8") from None
    if "\0" in text:
        raise malformed("a string contains U+0000")  # [MQTT-1.5.4-2]
    return text


def write_u16(value: int) -> bytes:
    """A two byte integer: a packet identifier, a number of seconds, a length."""
    if not 0 <= value <= 0xFFFF:
        raise LocalProtocolError(f"{value} does not fit two bytes")
    return value.to_bytes(2, "big")


def write_u32(value: int) -> bytes:
    """A four byte integer."""
    if not 0 <= value <= 0xFFFFFFFF:
        raise LocalProtocolError(f"{value} does not fit four bytes")
    return value.to_bytes(4, "big")


def write_packet_id(value: int) -> bytes:
    """A packet identifier, which is never zero [MQTT-2.2.1-3]."""
    if not 0 < value <= 0xFFFF:
        raise LocalProtocolError(f"{value} is not a packet identifier")
    return value.to_bytes(2, "big")


def write_varint(value: int) -> bytes:
    """A variable byte integer, in as few bytes as it needs."""
    if value < 0 or value > MAX_REMAINING_LENGTH:
        raise LocalProtocolError(f"{value} does not fit a variable byte integer")
    if value < 0x80:
        return value.to_bytes(1, "big")
    if value < 0x4000:
        return ((value & 0x7F | 0x80) << 8 | value >> 7).to_bytes(2, "big")
    if value < 0x200000:
        return ((value & 0x7F | 0x80) << 16 | (value >> 7 & 0x7F | 0x80) << 8 | value >> 14).to_bytes(
            3, "big"
        )
    return (
        (value & 0x7F | 0x80) << 24
        | (value >> 7 & 0x7F | 0x80) << 16
        | (value >> 14 & 0x7F | 0x80) << 8
        | value >> 21
    ).to_bytes(4, "big")


def write_binary(value: bytes) -> bytes:
    """Binary data behind its length."""
    if len(value) > MAX_FIELD_LENGTH:
        raise LocalProtocolError(f"{len(value)} bytes do not fit a field of MQTT")
    return len(value).to_bytes(2, "big") + value


def write_string(value: str) -> bytes:
    """A UTF-8 string behind its length."""
    return write_binary(text_bytes(value))


def text_bytes(value: str) -> bytes:
    """The UTF-8 of a string that may go on the wire."""
    if "\0" in value:
        raise LocalProtocolError("a string contains U+0000")  # [MQTT-1.5.4-2]
    try:
        return value.encode("utf-8")
    except UnicodeEncodeError:
        raise LocalProtocolError("a string contains a surrogate") from None  # [MQTT-1.5.4-1]
