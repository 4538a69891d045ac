"""The bodies of packets, from bytes, section 3: everything behind the fixed header.

Every function reads one whole packet and raises `Violation` at the first thing that the standard forbids.
Which reason code that carries follows section 4.13: 0x81 for bytes that make no packet, among them a topic or
a filter that is none; 0x82 for a packet that says what is not allowed; and the more specific codes where the
standard has one. (0x8F and 0x90 are for a filter and a topic that could be, and are not taken.)
"""

from typing import Final

from longline.mqtt.packets import (
    CONNACK,
    DISCONNECT,
    MQTT_3_1,
    MQTT_5_0,
    PINGREQ,
    PINGRESP,
    PUBACK,
    PUBCOMP,
    PUBREC,
    PUBREL,
    SUBACK,
    SUBSCRIBE,
    UNSUBACK,
    UNSUBSCRIBE,
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
    Will,
)
from longline.mqtt.properties import (
    AUTHENTICATION_DATA,
    AUTHENTICATION_METHOD,
    IN_AUTH,
    IN_CONNACK,
    IN_CONNECT,
    IN_DISCONNECT,
    IN_PUBLISH,
    IN_SUBACK,
    IN_SUBSCRIBE,
    IN_UNSUBACK,
    IN_UNSUBSCRIBE,
    IN_WILL,
    TOPIC_ALIAS,
    Properties,
    read_properties,
)
from longline.mqtt.reasons import (
    ACKNOWLEDGEMENT_REASONS,
    AUTH_REASONS_OF_CLIENT,
    AUTH_REASONS_OF_SERVER,
    CONNACK_REASONS,
    DISCONNECT_REASONS,
    SUBACK_REASONS,
    SUBACK_REASONS_V3,
    SUBACK_REASONS_V4,
    UNSUBACK_REASONS,
    reason_of_return_code,
)
from longline.mqtt.topics import is_shared, valid_filter
from longline.mqtt.wire import LONGEST_ID_3_1, Reader, Violation, malformed, protocol_error, read_text

# How many filters one SUBSCRIBE or UNSUBSCRIBE may have. Four bytes on the wire make an object of a
# hundred, so the size of a packet alone does not bound what a peer can make us hold.
MAX_FILTERS: Final = 1024

UNKNOWN: Final = 0  # no level of a protocol that we know

UNSUPPORTED_PROTOCOL_VERSION: Final = 0x84
CLIENT_IDENTIFIER_NOT_VALID: Final = 0x85
QUOTA_EXCEEDED: Final = 0x97


def read_body(kind: int, reader: Reader, version: int, from_client: bool) -> Packet:
    """Any packet but CONNECT, which decides the version, and PUBLISH, which needs the flags of its header."""
    packet: Packet
    if PUBACK <= kind <= PUBCOMP:
        packet = _read_acknowledgement(kind, reader, version, from_client)
    elif kind == PINGREQ:
        packet = Pingreq()
    elif kind == PINGRESP:
        packet = Pingresp()
    elif kind == SUBSCRIBE:
        packet = _read_subscribe(reader, version, from_client)
    elif kind == SUBACK:
        packet = _read_suback(reader, version, from_client)
    elif kind == UNSUBSCRIBE:
        packet = _read_unsubscribe(reader, version, from_client)
    elif kind == UNSUBACK:
        packet = _read_unsuback(reader, version, from_client)
    elif kind == CONNACK:
        packet = _read_connack(reader, version, from_client)
    elif kind == DISCONNECT:
        packet = _read_disconnect(reader, version, from_client)
    else:
        packet = _read_auth(reader, version, from_client)
    if reader.pos != reader.end:
        raise malformed("the packet is longer than its content")
    return packet


# --- messages --------------------------------------------------------------------------------------------


def read_publish(flags: int, data: bytes, pos: int, end: int, version: int, from_client: bool) -> Publish:
    """PUBLISH, section 3.3. Written without a Reader: this is what a busy server does all day."""
    if end - pos < 2:
        raise malformed("the packet ends inside a field")
    start = pos + 2
    pos = start + (data[pos] << 8 | data[pos + 1])
    if pos > end:
        raise malformed("the packet ends inside a field")
    topic = read_text(data[start:pos])  # [MQTT-3.3.2-1]
    if "+" in topic or "#" in topic:
        raise malformed("a topic name has wildcards")  # [MQTT-3.3.2-2]

    packet_id = 0
    qos = flags >> 1 & 3
    if qos == 0:
        if flags & 8:
            raise protocol_error("a message of QoS 0 says it is a duplicate")  # [MQTT-3.3.1-2]
    elif qos == 3:
        raise malformed("a message has both bits of QoS")  # [MQTT-3.3.1-4]
    else:
        if end - pos < 2:
            raise malformed("the packet ends inside a field")
        packet_id = data[pos] << 8 | data[pos + 1]
        if packet_id == 0:
            raise protocol_error("a packet identifier is zero")  # [MQTT-2.2.1-3], [MQTT-2.2.1-4]
        pos += 2

    properties: Properties | None = None
    if version == MQTT_5_0:
        if pos < end and data[pos] == 0:
            pos += 1
        else:
            reader = Reader(data, pos, end)
            properties = read_properties(reader, IN_PUBLISH, from_client)
            pos = reader.pos
    if not topic and (properties is None or TOPIC_ALIAS not in properties):
        raise protocol_error("a message has neither topic nor topic alias")  # section 3.3.2.1, [MQTT-4.7.3-1]
    return Publish(topic, data[pos:end], qos, flags & 1 != 0, flags & 8 != 0, packet_id, properties)


def _read_acknowledgement(kind: int, reader: Reader, version: int, from_client: bool) -> Packet:
    """PUBACK, PUBREC, PUBREL and PUBCOMP, sections 3.4 to 3.7."""
    packet_id = reader.packet_id()
    reason = 0
    properties: Properties | None = None
    # The reason may be left out when it is success, and the properties when there are none.
    if version == MQTT_5_0 and reader.pos < reader.end:
        reason = reader.u8()
        if reason not in ACKNOWLEDGEMENT_REASONS[kind]:
            raise protocol_error("a reason code does not belong in this packet")
        if reader.pos < reader.end:
            properties = read_properties(reader, 1 << kind, from_client)
    if kind == PUBACK:
        return Puback(packet_id, reason, properties)
    if kind == PUBREC:
        return Pubrec(packet_id, reason, properties)
    if kind == PUBREL:
        return Pubrel(packet_id, reason, properties)
    return Pubcomp(packet_id, reason, properties)


# --- subscriptions ---------------------------------------------------------------------------------------


def _read_subscribe(reader: Reader, version: int, from_client: bool) -> Packet:
    """SUBSCRIBE, section 3.8."""
    packet_id = reader.packet_id()
    properties = read_properties(reader, IN_SUBSCRIBE, from_client) if version == MQTT_5_0 else None
    subscriptions: list[Subscription] = []
    while reader.pos < reader.end:
        _check_filter_count(len(subscriptions))
        filter = _read_filter(reader, version)
        subscriptions.append(_read_options(filter, reader.u8(), version))
    if not subscriptions:
        raise protocol_error("SUBSCRIBE has no filter")  # [MQTT-3.8.3-2]
    return Subscribe(packet_id, subscriptions, properties)


def _read_options(filter: str, options: int, version: int) -> Subscription:
    qos = options & 3
    reserved = 0xC0 if version == MQTT_5_0 else 0xFC
    if options & reserved:
        raise malformed("a reserved bit of the subscription options is set")  # [MQTT-3.8.3-5]
    if qos == 3 or options & 0x30 == 0x30:  # section 3.8.3.1; 3.1.1, [MQTT-3.8.3-4] there
        raise protocol_error("a subscription asks for a QoS or retain handling of 3")
    no_local = options & 4 != 0  # a reserved bit of 3.1.1
    if no_local and is_shared(filter):
        raise protocol_error("a shared subscription asks for no local")  # [MQTT-3.8.3-4]
    return Subscription(filter, qos, no_local, options & 8 != 0, options >> 4)


def _read_unsubscribe(reader: Reader, version: int, from_client: bool) -> Packet:
    """UNSUBSCRIBE, section 3.10."""
    packet_id = reader.packet_id()
    properties = read_properties(reader, IN_UNSUBSCRIBE, from_client) if version == MQTT_5_0 else None
    filters: list[str] = []
    while reader.pos < reader.end:
        _check_filter_count(len(filters))
        filters.append(_read_filter(reader, version))
    if not filters:
        raise protocol_error("UNSUBSCRIBE has no filter")  # [MQTT-3.10.3-2]
    return Unsubscribe(packet_id, filters, properties)


def _check_filter_count(count: int) -> None:
    if count >= MAX_FILTERS:
        raise Violation(QUOTA_EXCEEDED, "too many topic filters in one packet")


def _read_filter(reader: Reader, version: int) -> str:
    filter = reader.string()  # [MQTT-3.8.3-1], [MQTT-3.10.3-1]
    # 3.1.1 has no shared subscriptions: there such a filter is one like any other.
    if not valid_filter(filter, 0, version == MQTT_5_0):
        raise malformed("a topic filter is not valid")  # [MQTT-4.7.1-1] and its like
    return filter


def _read_suback(reader: Reader, version: int, from_client: bool) -> Packet:
    """SUBACK, section 3.9."""
    packet_id = reader.packet_id()
    properties: Properties | None = None
    legal = SUBACK_REASONS_V4 if version != MQTT_3_1 else SUBACK_REASONS_V3
    if version == MQTT_5_0:
        properties = read_properties(reader, IN_SUBACK, from_client)
        legal = SUBACK_REASONS
    return Suback(packet_id, _read_reasons(reader, legal), properties)


def _read_unsuback(reader: Reader, version: int, from_client: bool) -> Packet:
    """UNSUBACK, section 3.11."""
    packet_id = reader.packet_id()
    if version != MQTT_5_0:
        return Unsuback(packet_id, [], None)
    properties = read_properties(reader, IN_UNSUBACK, from_client)
    return Unsuback(packet_id, _read_reasons(reader, UNSUBACK_REASONS), properties)


def _read_reasons(reader: Reader, legal: frozenset[int]) -> list[int]:
    reasons = list(reader.take(reader.left()))
    if not reasons:
        raise protocol_error("an acknowledgement has no reason code")  # [MQTT-3.8.4-6]
    if not legal.issuperset(reasons):
        raise protocol_error(
            "a reason code does not belong in this packet"
        )  # [MQTT-3.9.3-2], [MQTT-3.11.3-2]
    return reasons


# --- the connection ---------------------------------------------------------------------------------------


def read_protocol_level(reader: Reader) -> int:
    """The protocol level of a CONNECT, or a Violation when it is not MQTT at all, section 3.1.2.1.

    UNKNOWN when it does not go with the name: that of MQTT 3.1 was another.
    """
    name = reader.binary()
    level = reader.u8()
    if name == b"MQTT":
        return level if level != MQTT_3_1 else UNKNOWN
    if name == b"MQIsdp":
        return level if level == MQTT_3_1 else UNKNOWN
    raise Violation(UNSUPPORTED_PROTOCOL_VERSION, "the protocol is not MQTT")  # [MQTT-3.1.2-1]


def read_connect(reader: Reader, version: int) -> Connect:
    """CONNECT behind its protocol level, section 3.1."""
    modern = version == MQTT_5_0
    flags = reader.u8()
    _check_connect_flags(flags, version)
    keep_alive = reader.u16()
    properties = read_properties(reader, IN_CONNECT, True) if modern else None
    _check_authentication(properties)
    client_id = reader.string()  # [MQTT-3.1.3-1] to [MQTT-3.1.3-4]
    if version == MQTT_3_1:
        if not 0 < len(client_id) <= LONGEST_ID_3_1:  # section 3.1 there
            raise Violation(
                CLIENT_IDENTIFIER_NOT_VALID, "MQTT 3.1 has client identifiers of 1 to 23 characters"
            )
    elif not client_id and not modern and not flags & 2:
        # 3.1.1, [MQTT-3.1.3-8] there: without a name nothing can be kept for later.
        raise Violation(CLIENT_IDENTIFIER_NOT_VALID, "an empty client identifier asks for a lasting session")
    will = _read_will(reader, flags, modern) if flags & 4 else None  # [MQTT-3.1.2-9]
    if version == MQTT_3_1 and not reader.left():
        flags &= 0x3F  # there, flags for what is missing are valid, and the length goes before them
    username = reader.string() if flags & 0x80 else None  # [MQTT-3.1.2-17], [MQTT-3.1.3-12]
    if version == MQTT_3_1 and not reader.left():
        flags &= 0xBF
    password = reader.binary() if flags & 0x40 else None  # [MQTT-3.1.2-19]
    if reader.pos != reader.end:
        raise malformed("the packet is longer than its content")  # [MQTT-3.1.2-16], [MQTT-3.1.2-18]
    return Connect(version, client_id, flags & 2 != 0, keep_alive, username, password, will, properties)


def _check_connect_flags(flags: int, version: int) -> None:
    if version == MQTT_3_1 and not flags & 4:
        flags &= 0xC6  # there, nobody looks at the bits of a will that is not there, nor at the reserved one
    if flags & 1 and version != MQTT_3_1:
        raise malformed("the reserved flag of CONNECT is set")  # [MQTT-3.1.2-3]
    if flags & 0x18 == 0x18:
        raise malformed("the will has both bits of QoS")  # [MQTT-3.1.2-12]
    if not flags & 4 and flags & 0x38:
        raise malformed("there is no will, but a QoS or retain for it")  # [MQTT-3.1.2-11], [MQTT-3.1.2-13]
    if version != MQTT_5_0 and flags & 0xC0 == 0x40:
        raise malformed("there is a password without a user name")  # 3.1.1, [MQTT-3.1.2-22] there


def _check_authentication(properties: Properties | None) -> None:
    if (
        properties is not None
        and AUTHENTICATION_DATA in properties
        and AUTHENTICATION_METHOD not in properties
    ):
        raise protocol_error("there is authentication data without a method")  # section 3.1.2.11.10


def _read_will(reader: Reader, flags: int, modern: bool) -> Will:
    properties = read_properties(reader, IN_WILL, True) if modern else None
    topic = reader.string()  # [MQTT-3.1.3-11]
    if not topic or "+" in topic or "#" in topic:
        raise malformed("the topic of the will is empty or has wildcards")  # [MQTT-4.7.3-1]
    return Will(topic, reader.binary(), flags >> 3 & 3, flags & 0x20 != 0, properties)


def _read_connack(reader: Reader, version: int, from_client: bool) -> Packet:
    """CONNACK, section 3.2."""
    flags = reader.u8()
    if flags > 1:
        raise malformed("a reserved flag of CONNACK is set")  # [MQTT-3.2.2-1]
    code = reader.u8()
    properties: Properties | None = None
    if version == MQTT_5_0:
        reason = code
        if reason not in CONNACK_REASONS:
            raise protocol_error("a reason code does not belong in this packet")  # [MQTT-3.2.2-8]
        properties = read_properties(reader, IN_CONNACK, from_client)
        _check_authentication(properties)
    else:
        meaning = reason_of_return_code(code)
        if meaning is None:
            raise protocol_error("the return code of CONNACK is reserved")
        reason = int(meaning)
    if flags and reason:
        raise protocol_error("a refused client has a session")  # [MQTT-3.2.2-6]
    return Connack(flags == 1, reason, properties)


def _read_disconnect(reader: Reader, version: int, from_client: bool) -> Packet:
    """DISCONNECT, section 3.14. Its reason and properties may be left out."""
    reason = 0
    properties: Properties | None = None
    if version == MQTT_5_0 and reader.pos < reader.end:
        reason = reader.u8()
        if reason not in DISCONNECT_REASONS:
            raise protocol_error("a reason code does not belong in this packet")  # [MQTT-3.14.2-1]
        if reader.pos < reader.end:
            properties = read_properties(reader, IN_DISCONNECT, from_client)
    return Disconnect(reason, properties)


def _read_auth(reader: Reader, version: int, from_client: bool) -> Packet:
    """AUTH, section 3.15."""
    if version != MQTT_5_0:
        raise malformed("MQTT 3.1.1 has no AUTH")
    short = reader.pos == reader.end  # success without properties, section 3.15.2.1
    reason = 0 if short else reader.u8()
    if reason not in (AUTH_REASONS_OF_CLIENT if from_client else AUTH_REASONS_OF_SERVER):
        raise protocol_error("a reason code does not belong in this packet")  # [MQTT-3.15.2-1]
    if short:
        return Auth()
    properties = read_properties(reader, IN_AUTH, from_client)
    if properties is None or AUTHENTICATION_METHOD not in properties:
        raise protocol_error("AUTH has no authentication method")  # section 3.15.2.2.2
    return Auth(reason, properties)
