"""MQTT packets as the specifications lay them out, written anew: nothing of it is the server's codec.

What is written may break any rule. What is read may break none: `parse` asserts the form of every packet that
a server sends (reserved bits, lengths in their shortest form, UTF-8, properties and reason codes where they
belong), whatever the test is about that has received it.
"""

from dataclasses import dataclass, field
from typing import Final, TypedDict

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE = range(1, 9)
SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT, AUTH = range(9, 16)

Value = int | str | bytes | tuple[str, str]
Property = tuple[int, Value]

# Properties, section 2.2.2.2 of MQTT 5.
FORMAT, EXPIRY, CONTENT_TYPE, RESPONSE_TOPIC, CORRELATION = 0x01, 0x02, 0x03, 0x08, 0x09
SUBSCRIPTION_ID, SESSION_EXPIRY, ASSIGNED_ID, SERVER_KEEP_ALIVE = 0x0B, 0x11, 0x12, 0x13
AUTH_METHOD, AUTH_DATA, PROBLEM_INFO, WILL_DELAY, RESPONSE_REQUEST = 0x15, 0x16, 0x17, 0x18, 0x19
RESPONSE_INFO, SERVER_REFERENCE, REASON, RECEIVE_MAXIMUM = 0x1A, 0x1C, 0x1F, 0x21
ALIAS_MAXIMUM, ALIAS, MAXIMUM_QOS, RETAIN_AVAILABLE, USER = 0x22, 0x23, 0x24, 0x25, 0x26
MAXIMUM_SIZE, WILDCARDS_AVAILABLE, IDS_AVAILABLE, SHARED_AVAILABLE = 0x27, 0x28, 0x29, 0x2A

_BYTES: Final = {FORMAT, PROBLEM_INFO, RESPONSE_REQUEST, MAXIMUM_QOS, RETAIN_AVAILABLE} | {
    WILDCARDS_AVAILABLE,
    IDS_AVAILABLE,
    SHARED_AVAILABLE,
}
_TWO: Final = {SERVER_KEEP_ALIVE, RECEIVE_MAXIMUM, ALIAS_MAXIMUM, ALIAS}
_FOUR: Final = {EXPIRY, SESSION_EXPIRY, WILL_DELAY, MAXIMUM_SIZE}
_BINARY: Final = {CORRELATION, AUTH_DATA}

# What a server may say where.
_EXPLAINED: Final = {REASON, USER}
FROM_SERVER: Final[dict[int, set[int]]] = {
    CONNACK: _EXPLAINED
    | {SESSION_EXPIRY, RECEIVE_MAXIMUM, MAXIMUM_QOS, RETAIN_AVAILABLE, MAXIMUM_SIZE, ASSIGNED_ID}
    | {ALIAS_MAXIMUM, WILDCARDS_AVAILABLE, IDS_AVAILABLE, SHARED_AVAILABLE, SERVER_KEEP_ALIVE}
    | {RESPONSE_INFO, SERVER_REFERENCE, AUTH_METHOD, AUTH_DATA},
    PUBLISH: {FORMAT, EXPIRY, ALIAS, RESPONSE_TOPIC, CORRELATION, USER, SUBSCRIPTION_ID, CONTENT_TYPE},
    PUBACK: _EXPLAINED,
    PUBREC: _EXPLAINED,
    PUBREL: _EXPLAINED,
    PUBCOMP: _EXPLAINED,
    SUBACK: _EXPLAINED,
    UNSUBACK: _EXPLAINED,
    DISCONNECT: _EXPLAINED | {SERVER_REFERENCE},
    AUTH: _EXPLAINED | {AUTH_METHOD, AUTH_DATA},
}
_TAKEN: Final = {0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99}
REASONS: Final[dict[int, set[int]]] = {
    CONNACK: {0x00, *range(0x80, 0x8B), 0x8C, 0x90, 0x95, 0x97, *range(0x99, 0x9E), 0x9F},
    PUBACK: _TAKEN,
    PUBREC: _TAKEN,
    PUBREL: {0x00, 0x92},
    PUBCOMP: {0x00, 0x92},
    SUBACK: {0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2},
    UNSUBACK: {0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91},
    DISCONNECT: {0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, *range(0x8D, 0x91), *range(0x93, 0xA3)},
    AUTH: {0x00, 0x18},
}


# --- writing -----------------------------------------------------------------------------------------------


def varint(value: int) -> bytes:
    out = bytearray()
    while True:
        value, low = divmod(value, 128)
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def u16(value: int) -> bytes:
    return value.to_bytes(2, "big")


def u32(value: int) -> bytes:
    return value.to_bytes(4, "big")


def text(value: str | bytes) -> bytes:
    """A string or binary data behind its length. Bytes go as they are, well-formed or not."""
    raw = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    return u16(len(raw)) + raw


def packet(first: int, body: bytes = b"") -> bytes:
    """A packet of any first byte."""
    return bytes([first]) + varint(len(body)) + body


def prop(id: int, value: Value) -> bytes:
    head = varint(id)
    if isinstance(value, tuple):
        return head + text(value[0]) + text(value[1])
    if not isinstance(value, int):
        return head + text(value)
    if id in _BYTES:
        return head + bytes([value])
    if id in _TWO:
        return head + u16(value)
    return head + (u32(value) if id in _FOUR else varint(value))


def props(*properties: Property) -> bytes:
    """Properties behind their length."""
    body = b"".join(prop(id, value) for id, value in properties)
    return varint(len(body)) + body


@dataclass(frozen=True)
class Will:
    topic: str | bytes
    payload: bytes = b"gone"
    qos: int = 0
    retain: int = 0
    properties: tuple[Property, ...] = ()


class ConnectFields(TypedDict, total=False):
    """Of `connect`, what a test may want to be different."""

    client_id: str | bytes
    user: str | bytes | None
    password: bytes | None
    clean: int
    keep_alive: int
    will: Will | None
    flags: int | None
    name: bytes | None
    level: int | None


def connect(
    version: int,
    client_id: str | bytes,
    user: str | bytes | None = None,
    password: bytes | None = None,
    *,
    clean: int = 1,
    keep_alive: int = 600,
    will: Will | None = None,
    properties: tuple[Property, ...] = (),
    flags: int | None = None,
    name: bytes | None = None,
    level: int | None = None,
) -> bytes:
    """CONNECT. `flags`, `name` and `level` stand in for those that belong to the rest."""
    made = clean << 1
    payload = text(client_id)
    if will is not None:
        made |= 4 | will.qos << 3 | will.retain << 5
        payload += props(*will.properties) if version == 5 else b""
        payload += text(will.topic) + text(will.payload)
    if user is not None:
        made |= 0x80
        payload += text(user)
    if password is not None:
        made |= 0x40
        payload += text(password)
    named = (b"MQIsdp" if version == 3 else b"MQTT") if name is None else name
    head = text(named) + bytes([version if level is None else level, made if flags is None else flags])
    between = props(*properties) if version == 5 else b""
    return packet(CONNECT << 4, head + u16(keep_alive) + between + payload)


def publish(
    version: int,
    topic: str | bytes,
    payload: bytes = b"",
    qos: int = 0,
    id: int = 0,
    *,
    retain: int = 0,
    dup: int = 0,
    properties: tuple[Property, ...] = (),
) -> bytes:
    body = text(topic) + (u16(id) if qos else b"") + (props(*properties) if version == 5 else b"")
    return packet(PUBLISH << 4 | dup << 3 | qos << 1 | retain, body + payload)


def answer(kind: int, id: int, reason: int | None = None, *properties: Property) -> bytes:
    """PUBACK, PUBREC, PUBREL or PUBCOMP."""
    body = u16(id) + (b"" if reason is None else bytes([reason]))
    return packet(
        kind << 4 | (2 if kind == PUBREL else 0), body + (props(*properties) if properties else b"")
    )


def subscribe(
    version: int, id: int, *filters: tuple[str | bytes, int], properties: tuple[Property, ...] = ()
) -> bytes:
    body = u16(id) + (props(*properties) if version == 5 else b"")
    return packet(SUBSCRIBE << 4 | 2, body + b"".join(text(name) + bytes([opts]) for name, opts in filters))


def unsubscribe(version: int, id: int, *filters: str | bytes) -> bytes:
    body = u16(id) + (props() if version == 5 else b"")
    return packet(UNSUBSCRIBE << 4 | 2, body + b"".join(text(name) for name in filters))


def matches(filter: list[str], topic: list[str]) -> bool:
    """Section 4.7, level by level, for topics that do not begin with `$`."""
    if not filter or not topic:
        return filter in (topic, ["#"])
    return filter[0] == "#" or (filter[0] in ("+", topic[0]) and matches(filter[1:], topic[1:]))


PING: Final = packet(PINGREQ << 4)
GOOD_BYE: Final = packet(DISCONNECT << 4)


def disconnect(reason: int, *properties: Property) -> bytes:
    return packet(DISCONNECT << 4, bytes([reason]) + props(*properties))


# --- reading -----------------------------------------------------------------------------------------------


@dataclass
class Packet:
    """A packet from the server; what its kind does not have is empty."""

    kind: int
    size: int  # of the whole packet, in bytes
    id: int = 0
    reason: int = 0
    reasons: list[int] = field(default_factory=list)
    session_present: bool = False
    topic: str = ""
    payload: bytes = b""
    qos: int = 0
    retain: bool = False
    dup: bool = False
    properties: list[Property] = field(default_factory=list)

    def all(self, id: int) -> list[Value]:
        return [value for known, value in self.properties if known == id]

    def get(self, id: int) -> Value | None:
        found = self.all(id)
        assert len(found) < 2, f"property 0x{id:02x} comes {len(found)} times"
        return found[0] if found else None

    def number(self, id: int, default: int = 0) -> int:
        found = self.get(id)
        return found if isinstance(found, int) else default


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, size: int) -> bytes:
        assert self.at + size <= len(self.data), "the packet ends inside a field"
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def varint(self) -> int:
        value = 0
        for place in range(4):
            byte = self.number(1)
            value |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                assert byte or not place, "a variable byte integer is longer than it need be"
                return value
        raise AssertionError("a variable byte integer has more than four bytes")

    def text(self) -> str:
        value = self.binary().decode("utf-8")
        assert "\0" not in value
        return value

    def binary(self) -> bytes:
        return self.take(self.number(2))

    def rest(self) -> bytes:
        return self.take(len(self.data) - self.at)

    def props(self, kind: int) -> list[Property]:
        end = self.varint() + self.at
        assert end <= len(self.data), "the properties are longer than the packet"
        found: list[Property] = []
        while self.at < end:
            id = self.varint()
            assert id in FROM_SERVER[kind], f"a server says property 0x{id:02x} in packet {kind}"
            if id not in (USER, SUBSCRIPTION_ID):
                assert id not in dict(found), f"property 0x{id:02x} comes twice"
            found.append((id, self.prop(id)))
        assert self.at == end, "a property reaches past the others"
        return found

    def prop(self, id: int) -> Value:
        if id in _BYTES:
            return self.number(1)
        if id in _TWO:
            return self.number(2)
        if id in _FOUR:
            return self.number(4)
        if id == SUBSCRIPTION_ID:
            return self.varint()
        if id == USER:
            return self.text(), self.text()
        return self.binary() if id in _BINARY else self.text()


def frame(data: bytes) -> int:
    """How many bytes the packet has that `data` begins with; 0 while that is not known or not all there."""
    if len(data) < 2:
        return 0
    reader = _Reader(data[1:5])
    if all(byte & 0x80 for byte in reader.data[:4]) and len(reader.data) < 4:
        return 0
    length = reader.varint()
    size = 1 + reader.at + length
    return size if len(data) >= size else 0


def parse(data: bytes, version: int) -> Packet:
    """A whole packet of a server, held to the rules of its form."""
    kind, flags = data[0] >> 4, data[0] & 15
    head = _Reader(data[1:])
    assert head.varint() == len(data) - 1 - head.at
    reader = _Reader(head.rest())
    found = Packet(kind, len(data))
    modern = version == 5
    if kind == PUBLISH:
        _parse_publish(found, reader, flags, modern)
        return found
    assert flags == (2 if kind == PUBREL else 0), "reserved flags of the fixed header"
    if kind == CONNACK:
        acknowledge = reader.number(1)
        assert acknowledge < 2, "reserved flags of CONNACK"
        found.session_present = acknowledge == 1
        found.reason = reader.number(1)
        assert not found.reason or not found.session_present
        if modern:
            found.properties = reader.props(kind)
    elif kind in (PUBACK, PUBREC, PUBREL, PUBCOMP):
        found.id = reader.number(2)
        assert found.id
        _parse_reason(found, reader, modern)
    elif kind in (SUBACK, UNSUBACK):
        found.id = reader.number(2)
        found.properties = reader.props(kind) if modern else []
        found.reasons = list(reader.rest())
        assert modern or kind == SUBACK or not found.reasons
    elif kind == DISCONNECT:
        assert modern, "a server of 3.1.1 says no good-bye"
        _parse_reason(found, reader, modern)
    else:
        assert kind == PINGRESP, f"a server sends packet {kind}"
    assert not reader.rest(), "the packet is longer than its content"
    known = REASONS.get(kind, {0}) if modern else {0, 1, 2, 3, 4, 5} if kind == CONNACK else {0, 1, 2, 0x80}
    assert {found.reason, *found.reasons} <= known, f"a reason that packet {kind} does not have"
    return found


def _parse_publish(found: Packet, reader: _Reader, flags: int, modern: bool) -> None:
    found.dup, found.qos, found.retain = bool(flags & 8), flags >> 1 & 3, bool(flags & 1)
    assert found.qos < 3
    assert found.qos or not found.dup
    found.topic = reader.text()
    assert not {"+", "#"} & set(found.topic)
    if found.qos:
        found.id = reader.number(2)
        assert found.id
    if modern:
        found.properties = reader.props(PUBLISH)
        assert found.number(ALIAS, 1) > 0
    assert found.topic or found.get(ALIAS)
    found.payload = reader.rest()


def _parse_reason(found: Packet, reader: _Reader, modern: bool) -> None:
    if modern and reader.at < len(reader.data):
        found.reason = reader.number(1)
        if reader.at < len(reader.data):
            found.properties = reader.props(found.kind)
