"""The properties of MQTT 5, section 2.2.2: one table, and the reader and the writer that it drives.

In memory the properties of a packet are a plain dict from identifier to value, or None when there are none:
most packets have none, and nothing is allocated for them. The two properties that may come several times
hold lists: User Property a list of pairs, Subscription Identifier a list of integers.
"""

from enum import IntEnum
from typing import Final, final

from longline.mqtt.wire import (
    PROTOCOL_ERROR,
    LocalProtocolError,
    Reader,
    Violation,
    malformed,
    protocol_error,
    write_binary,
    write_string,
    write_u16,
    write_u32,
    write_varint,
)

PropertyValue = int | str | bytes | list[int] | list[tuple[str, str]]
Properties = dict[int, PropertyValue]

# How many times a repeatable property may come in one packet. A pair costs five bytes on the wire and two
# hundred in memory, so the size of a packet alone does not bound what a peer can make us hold.
MAX_REPEATS: Final = 256
QUOTA_EXCEEDED: Final = 0x97
TOPIC_ALIAS_INVALID: Final = 0x94


class PropertyId(IntEnum):
    """The identifiers of section 2.2.2.2."""

    PAYLOAD_FORMAT_INDICATOR = 0x01
    MESSAGE_EXPIRY_INTERVAL = 0x02
    CONTENT_TYPE = 0x03
    RESPONSE_TOPIC = 0x08
    CORRELATION_DATA = 0x09
    SUBSCRIPTION_IDENTIFIER = 0x0B
    SESSION_EXPIRY_INTERVAL = 0x11
    ASSIGNED_CLIENT_IDENTIFIER = 0x12
    SERVER_KEEP_ALIVE = 0x13
    AUTHENTICATION_METHOD = 0x15
    AUTHENTICATION_DATA = 0x16
    REQUEST_PROBLEM_INFORMATION = 0x17
    WILL_DELAY_INTERVAL = 0x18
    REQUEST_RESPONSE_INFORMATION = 0x19
    RESPONSE_INFORMATION = 0x1A
    SERVER_REFERENCE = 0x1C
    REASON_STRING = 0x1F
    RECEIVE_MAXIMUM = 0x21
    TOPIC_ALIAS_MAXIMUM = 0x22
    TOPIC_ALIAS = 0x23
    MAXIMUM_QOS = 0x24
    RETAIN_AVAILABLE = 0x25
    USER_PROPERTY = 0x26
    MAXIMUM_PACKET_SIZE = 0x27
    WILDCARD_SUBSCRIPTION_AVAILABLE = 0x28
    SUBSCRIPTION_IDENTIFIER_AVAILABLE = 0x29
    SHARED_SUBSCRIPTION_AVAILABLE = 0x2A


# The same numbers where compiled code compares with them: there a member of an enum costs a dictionary
# lookup.
PAYLOAD_FORMAT_INDICATOR: Final = 0x01
MESSAGE_EXPIRY: Final = 0x02
RESPONSE_TOPIC: Final = 0x08
CORRELATION_DATA: Final = 0x09
SUBSCRIPTION_IDENTIFIER: Final = 0x0B
SESSION_EXPIRY_INTERVAL: Final = 0x11
AUTHENTICATION_METHOD: Final = 0x15
AUTHENTICATION_DATA: Final = 0x16
REQUEST_PROBLEM_INFORMATION: Final = 0x17
REASON_STRING: Final = 0x1F
MAXIMUM_PACKET_SIZE: Final = 0x27
TOPIC_ALIAS_MAXIMUM: Final = 0x22
TOPIC_ALIAS: Final = 0x23
USER_PROPERTY: Final = 0x26

# How a value is encoded.
BYTE: Final = 0
TWO_BYTES: Final = 1
FOUR_BYTES: Final = 2
VARINT: Final = 3
STRING: Final = 4
BINARY: Final = 5
PAIR: Final = 6

# What a value must be beyond its type.
ANY: Final = 0
FLAG: Final = 1  # 0 or 1
NON_ZERO: Final = 2
TOPIC_NAME: Final = 3  # no wildcards

# Where properties stand: a bit for the kind of each packet that has any, and one for the will inside CONNECT.
IN_WILL: Final = 1 << 0
IN_CONNECT: Final = 1 << 1
IN_CONNACK: Final = 1 << 2
IN_PUBLISH: Final = 1 << 3
IN_PUBACK: Final = 1 << 4
IN_PUBREC: Final = 1 << 5
IN_PUBREL: Final = 1 << 6
IN_PUBCOMP: Final = 1 << 7
IN_SUBSCRIBE: Final = 1 << 8
IN_SUBACK: Final = 1 << 9
IN_UNSUBSCRIBE: Final = 1 << 10
IN_UNSUBACK: Final = 1 << 11
IN_DISCONNECT: Final = 1 << 14
IN_AUTH: Final = 1 << 15

_MESSAGE: Final = IN_PUBLISH | IN_WILL
_AUTHENTICATION: Final = IN_CONNECT | IN_CONNACK | IN_AUTH
_ANSWERS: Final = (
    IN_CONNACK
    | IN_PUBACK
    | IN_PUBREC
    | IN_PUBREL
    | IN_PUBCOMP
    | IN_SUBACK
    | IN_UNSUBACK
    | IN_DISCONNECT
    | IN_AUTH
)
_EVERYWHERE: Final = _ANSWERS | _MESSAGE | IN_CONNECT | IN_SUBSCRIBE | IN_UNSUBSCRIBE


@final
class PropertyRow:
    """A row of the table: how the property is encoded, where it may stand, and what its value must be."""

    __slots__ = ("head", "id", "name", "places", "repeatable", "rule", "wire")

    def __init__(
        self, id: PropertyId, name: str, wire: int, places: int, rule: int = ANY, repeatable: bool = False
    ) -> None:
        self.id = int(id)
        self.head = self.id.to_bytes(1, "big")  # every identifier is below 0x80: a varint of one byte
        self.name = name
        self.wire = wire
        self.places = places
        self.rule = rule
        self.repeatable = repeatable


_ID = PropertyId
PROPERTY_TABLE: Final = [
    PropertyRow(_ID.PAYLOAD_FORMAT_INDICATOR, "Payload Format Indicator", BYTE, _MESSAGE, FLAG),
    PropertyRow(_ID.MESSAGE_EXPIRY_INTERVAL, "Message Expiry Interval", FOUR_BYTES, _MESSAGE),
    PropertyRow(_ID.CONTENT_TYPE, "Content Type", STRING, _MESSAGE),
    PropertyRow(_ID.RESPONSE_TOPIC, "Response Topic", STRING, _MESSAGE, TOPIC_NAME),
    PropertyRow(_ID.CORRELATION_DATA, "Correlation Data", BINARY, _MESSAGE),
    PropertyRow(
        _ID.SUBSCRIPTION_IDENTIFIER,
        "Subscription Identifier",
        VARINT,
        IN_PUBLISH | IN_SUBSCRIBE,
        NON_ZERO,
        True,
    ),
    PropertyRow(
        _ID.SESSION_EXPIRY_INTERVAL,
        "Session Expiry Interval",
        FOUR_BYTES,
        IN_CONNECT | IN_CONNACK | IN_DISCONNECT,
    ),
    PropertyRow(_ID.ASSIGNED_CLIENT_IDENTIFIER, "Assigned Client Identifier", STRING, IN_CONNACK),
    PropertyRow(_ID.SERVER_KEEP_ALIVE, "Server Keep Alive", TWO_BYTES, IN_CONNACK),
    PropertyRow(_ID.AUTHENTICATION_METHOD, "Authentication Method", STRING, _AUTHENTICATION),
    PropertyRow(_ID.AUTHENTICATION_DATA, "Authentication Data", BINARY, _AUTHENTICATION),
    PropertyRow(_ID.REQUEST_PROBLEM_INFORMATION, "Request Problem Information", BYTE, IN_CONNECT, FLAG),
    PropertyRow(_ID.WILL_DELAY_INTERVAL, "Will Delay Interval", FOUR_BYTES, IN_WILL),
    PropertyRow(_ID.REQUEST_RESPONSE_INFORMATION, "Request Response Information", BYTE, IN_CONNECT, FLAG),
    PropertyRow(_ID.RESPONSE_INFORMATION, "Response Information", STRING, IN_CONNACK),
    PropertyRow(_ID.SERVER_REFERENCE, "Server Reference", STRING, IN_CONNACK | IN_DISCONNECT),
    PropertyRow(_ID.REASON_STRING, "Reason String", STRING, _ANSWERS),
    PropertyRow(_ID.RECEIVE_MAXIMUM, "Receive Maximum", TWO_BYTES, IN_CONNECT | IN_CONNACK, NON_ZERO),
    PropertyRow(_ID.TOPIC_ALIAS_MAXIMUM, "Topic Alias Maximum", TWO_BYTES, IN_CONNECT | IN_CONNACK),
    PropertyRow(_ID.TOPIC_ALIAS, "Topic Alias", TWO_BYTES, IN_PUBLISH, NON_ZERO),
    PropertyRow(_ID.MAXIMUM_QOS, "Maximum QoS", BYTE, IN_CONNACK, FLAG),
    PropertyRow(_ID.RETAIN_AVAILABLE, "Retain Available", BYTE, IN_CONNACK, FLAG),
    PropertyRow(_ID.USER_PROPERTY, "User Property", PAIR, _EVERYWHERE, ANY, True),
    PropertyRow(
        _ID.MAXIMUM_PACKET_SIZE, "Maximum Packet Size", FOUR_BYTES, IN_CONNECT | IN_CONNACK, NON_ZERO
    ),
    PropertyRow(
        _ID.WILDCARD_SUBSCRIPTION_AVAILABLE, "Wildcard Subscription Available", BYTE, IN_CONNACK, FLAG
    ),
    PropertyRow(
        _ID.SUBSCRIPTION_IDENTIFIER_AVAILABLE, "Subscription Identifier Available", BYTE, IN_CONNACK, FLAG
    ),
    PropertyRow(_ID.SHARED_SUBSCRIPTION_AVAILABLE, "Shared Subscription Available", BYTE, IN_CONNACK, FLAG),
]


def _by_id() -> list[PropertyRow | None]:
    rows: list[PropertyRow | None] = [None] * 0x80
    for row in PROPERTY_TABLE:
        rows[row.id] = row
    return rows


_ROWS: Final = _by_id()


# --- typed access ------------------------------------------------------------------------------------------


def get_int(properties: Properties | None, id: int) -> int | None:
    """The value of an integer property; None when the packet has none."""
    value = properties.get(id) if properties is not None else None
    return value if isinstance(value, int) else None


def get_str(properties: Properties | None, id: int) -> str | None:
    """The value of a string property; None when the packet has none."""
    value = properties.get(id) if properties is not None else None
    return value if isinstance(value, str) else None


def get_bytes(properties: Properties | None, id: int) -> bytes | None:
    """The value of a binary property; None when the packet has none."""
    value = properties.get(id) if properties is not None else None
    return value if isinstance(value, bytes) else None


def user_properties(properties: Properties | None) -> list[tuple[str, str]]:
    """The user properties in their order [MQTT-3.3.2-18], a new list; a name may come several times."""
    value = properties.get(USER_PROPERTY) if properties is not None else None
    return [pair for pair in value if isinstance(pair, tuple)] if isinstance(value, list) else []


def subscription_identifiers(properties: Properties | None) -> list[int]:
    """The subscription identifiers of a PUBLISH or SUBSCRIBE, a new list."""
    value = properties.get(SUBSCRIPTION_IDENTIFIER) if properties is not None else None
    return [number for number in value if isinstance(number, int)] if isinstance(value, list) else []


def without_secrets(properties: Properties | None) -> Properties | None:
    """What may appear in a log: everything but authentication data."""
    if properties is None or AUTHENTICATION_DATA not in properties:
        return properties
    return {**properties, AUTHENTICATION_DATA: b"***"}


# --- reading -----------------------------------------------------------------------------------------------


def read_properties(reader: Reader, place: int, from_client: bool) -> Properties | None:
    """The properties that begin at the cursor, with their length before them; None when that is zero."""
    length = reader.varint()
    if length == 0:
        return None
    packet_end = reader.end
    end = reader.pos + length
    if end > packet_end:
        raise malformed("the properties are longer than the packet")
    reader.end = end  # no value may reach past the properties
    properties: Properties = {}
    pairs: list[tuple[str, str]] = []
    numbers: list[int] = []
    while reader.pos < end:
        row = _read_row(reader, place, from_client)
        if row.id == USER_PROPERTY:
            _check_repeats(len(pairs), "too many user properties")
            name = reader.string()
            pairs.append((name, reader.string()))  # [MQTT-1.5.7-1]
            properties[USER_PROPERTY] = pairs
        elif row.id == SUBSCRIPTION_IDENTIFIER and place == IN_PUBLISH:
            _check_repeats(len(numbers), "too many subscription identifiers")
            numbers.append(_read_number(reader, row))
            properties[SUBSCRIPTION_IDENTIFIER] = numbers
        elif row.id in properties:
            raise protocol_error("a property comes twice")
        elif row.wire == STRING:
            properties[row.id] = _read_string(reader, row)
        elif row.wire == BINARY:
            properties[row.id] = reader.binary()
        elif row.id == SUBSCRIPTION_IDENTIFIER:
            # Once in SUBSCRIBE, section 3.8.2.1.2, and a list all the same.
            properties[SUBSCRIPTION_IDENTIFIER] = [_read_number(reader, row)]
        else:
            properties[row.id] = _read_number(reader, row)
    reader.end = packet_end
    return properties


def unpack_message_properties(data: bytes) -> Properties | None:
    """What `pack_message_properties` has packed; None for nothing.

    Raises ValueError for what it cannot have packed.
    """
    if not data:
        return None
    framed = write_varint(len(data)) + data
    try:
        return read_properties(Reader(framed, 0, len(framed)), IN_PUBLISH, False)
    except Violation as violation:
        raise ValueError(violation.message) from None


def _read_row(reader: Reader, place: int, from_client: bool) -> PropertyRow:
    """Read an identifier and find its row, if the property may stand here."""
    id = reader.varint()
    row = _ROWS[id] if id < 0x80 else None
    if row is None or not row.places & place:
        raise malformed("a property does not belong in this packet")  # section 2.2.2.2
    if id == SUBSCRIPTION_IDENTIFIER and place == IN_PUBLISH and from_client:
        raise protocol_error("a client's PUBLISH has a subscription identifier")  # [MQTT-3.3.4-6]
    if id == SESSION_EXPIRY_INTERVAL and place == IN_DISCONNECT and not from_client:
        raise protocol_error("a server's DISCONNECT has a session expiry interval")  # [MQTT-3.14.2-2]
    return row


def _check_repeats(count: int, message: str) -> None:
    if count >= MAX_REPEATS:
        raise Violation(QUOTA_EXCEEDED, message)


def _read_string(reader: Reader, row: PropertyRow) -> str:
    value = reader.string()
    if row.rule == TOPIC_NAME and (not value or "+" in value or "#" in value):
        # [MQTT-3.3.2-14], [MQTT-4.7.3-1]
        raise malformed("a response topic is empty or has wildcards")
    return value


def _read_number(reader: Reader, row: PropertyRow) -> int:
    wire = row.wire
    if wire == BYTE:
        value = reader.u8()
    elif wire == TWO_BYTES:
        value = reader.u16()
    elif wire == FOUR_BYTES:
        value = reader.u32()
    else:
        value = reader.varint()
    if row.rule == NON_ZERO and value == 0:
        # [MQTT-3.3.2-8] has a reason code of its own.
        reason = TOPIC_ALIAS_INVALID if row.id == TOPIC_ALIAS else PROTOCOL_ERROR
        raise Violation(reason, "a property is zero that must not be")
    if row.rule == FLAG and value > 1:
        raise protocol_error("a property is neither 0 nor 1")
    return value


# --- writing -----------------------------------------------------------------------------------------------


def write_properties(properties: Properties | None, place: int) -> bytes:
    """The properties with their length before them: a zero byte when there are none [MQTT-2.2.2-1]."""
    if not properties:
        return b"\0"
    parts: list[bytes] = []
    for id, value in properties.items():
        row = _ROWS[id] if 0 <= id < 0x80 else None
        if row is None or not row.places & place:
            raise LocalProtocolError(f"property 0x{id:02x} does not belong in this packet")
        if isinstance(value, list):
            if not row.repeatable:
                raise LocalProtocolError(f"{row.name} comes once at most")
            for item in value:
                parts += (row.head, _write_value(row, item))
        elif row.repeatable:
            raise LocalProtocolError(f"{row.name} is a list")
        else:
            parts += (row.head, _write_value(row, value))
    body = b"".join(parts)
    return write_varint(len(body)) + body


def pack_message_properties(properties: Properties | None) -> bytes:
    """The properties of a PUBLISH as on the wire, but without their length before them; empty for none."""
    if not properties:
        return b""
    framed = write_properties(properties, IN_PUBLISH)
    start = 1
    while framed[start - 1] & 0x80:  # the length, section 1.5.5
        start += 1
    return framed[start:]


def pack_subscription_identifier(identifier: int) -> bytes:
    """A subscription identifier as a property of PUBLISH."""
    return b"\x0b" + write_varint(identifier)


def pack_topic_alias(alias: int) -> bytes:
    """A topic alias as a property of PUBLISH."""
    return b"\x23" + write_u16(alias)


def _write_value(row: PropertyRow, value: int | str | bytes | tuple[str, str]) -> bytes:
    wire = row.wire
    if isinstance(value, tuple):
        if wire == PAIR:
            return write_string(value[0]) + write_string(value[1])
    elif isinstance(value, str):
        if wire == STRING:
            if row.rule == TOPIC_NAME and (not value or "+" in value or "#" in value):
                raise LocalProtocolError(f"{row.name} is empty or has wildcards")
            return write_string(value)
    elif isinstance(value, bytes):
        if wire == BINARY:
            return write_binary(value)
    elif wire < STRING:
        return _write_number(row, value)
    raise LocalProtocolError(f"{row.name} cannot hold a {type(value).__name__}")


def _write_number(row: PropertyRow, value: int) -> bytes:
    if (row.rule == NON_ZERO and value == 0) or (row.rule == FLAG and value not in (0, 1)):
        raise LocalProtocolError(f"{row.name} cannot be {value}")
    if row.wire == BYTE:
        return value.to_bytes(1, "big")
    if row.wire == TWO_BYTES:
        return write_u16(value)
    if row.wire == FOUR_BYTES:
        return write_u32(value)
    return write_varint(value)
