"""Packets to bytes, for both versions and both directions, section 3.

`encode` writes any packet. `PublishFrame` writes one message for many receivers. Both raise
`LocalProtocolError` for what the standard forbids to send, before a peer could take offence.
"""

from typing import Final, final

from longline.mqtt.packets import (
    MQTT_3_1,
    MQTT_3_1_1,
    MQTT_5_0,
    PUBREL,
    Acknowledgement,
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Publish,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
)
from longline.mqtt.properties import (
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
    REASON_STRING,
    TOPIC_ALIAS,
    USER_PROPERTY,
    Properties,
    write_properties,
)
from longline.mqtt.reasons import (
    ACKNOWLEDGEMENT_REASONS,
    AUTH_REASONS_OF_CLIENT,
    AUTH_REASONS_OF_SERVER,
    CONNACK_REASONS,
    DISCONNECT_REASONS,
    SUBACK_REASONS,
    UNSUBACK_REASONS,
    return_code,
)
from longline.mqtt.topics import is_shared, valid_filter, valid_topic
from longline.mqtt.wire import (
    LONGEST_ID_3_1,
    MAX_FIELD_LENGTH,
    LocalProtocolError,
    text_bytes,
    write_binary,
    write_packet_id,
    write_string,
    write_u16,
    write_varint,
)

MAX_PACKET_ID: Final = 0xFFFF
PINGREQ_BYTES: Final = b"\xc0\0"
PINGRESP_BYTES: Final = b"\xd0\0"


def encode(packet: Packet, version: int) -> bytes:
    """The bytes of a packet in protocol `version` 3, 4 or 5. What a version has no field for is left out.

    Raises LocalProtocolError for a packet that the standard forbids, in that version or in any.
    """
    if isinstance(packet, Publish):
        return _publish(packet, version)
    if isinstance(packet, Acknowledgement):
        return _acknowledgement(packet, version)
    if isinstance(packet, Pingresp):
        return PINGRESP_BYTES
    if isinstance(packet, Pingreq):
        return PINGREQ_BYTES
    if isinstance(packet, Subscribe):
        return _subscribe(packet, version)
    if isinstance(packet, Unsubscribe):
        return _unsubscribe(packet, version)
    if isinstance(packet, Suback):
        return _suback(packet, version)
    if isinstance(packet, Unsuback):
        return _unsuback(packet, version)
    if isinstance(packet, Connect):
        return _connect(packet, version)
    if isinstance(packet, Connack):
        return _connack(packet, version)
    if isinstance(packet, Disconnect):
        return _disconnect(packet, version)
    if isinstance(packet, Auth):
        return _auth(packet, version)
    raise LocalProtocolError(f"{packet!r} is not a packet of MQTT")


def encode_within(packet: Packet, version: int, at_most: int) -> bytes:
    """As `encode`, in no more bytes than the receiver takes [MQTT-3.1.2-24]; empty when it cannot be done.

    What explains an answer is left out where it does not fit: Reason String and User Properties, which may
    not make a packet too large ([MQTT-3.2.2-19], [MQTT-3.4.2-2] and their like), of PUBACK and PUBREC a
    reason that is one of success, and of a last word everything but its reason.
    """
    data = encode(packet, version)
    if len(data) <= at_most:
        return data
    if isinstance(packet, Connack):
        data = encode(Connack(packet.session_present, packet.reason, terse(packet.properties)), version)
        if len(data) > at_most and packet.reason:
            data = encode(Connack(False, packet.reason), version)
    elif isinstance(packet, Disconnect):
        data = encode(Disconnect(packet.reason, terse(packet.properties)), version)
        if len(data) > at_most:
            data = encode(Disconnect(packet.reason), version)
    elif isinstance(packet, Suback):
        data = encode(Suback(packet.packet_id, packet.reasons), version)
    elif isinstance(packet, Unsuback):
        data = encode(Unsuback(packet.packet_id, packet.reasons), version)
    elif isinstance(packet, Acknowledgement):
        data = _bare(packet, packet.reason, version)
        if len(data) > at_most and packet.reason < 0x80:
            data = _bare(packet, 0, version)
    return data if len(data) <= at_most else b""


def terse(properties: Properties | None) -> Properties | None:
    """The properties of an answer without those that only explain it."""
    if properties is None:
        return None
    return {id: value for id, value in properties.items() if id not in (REASON_STRING, USER_PROPERTY)} or None


def _bare(packet: Acknowledgement, reason: int, version: int) -> bytes:
    return _acknowledgement(Acknowledgement(packet.kind, packet.packet_id, reason, None), version)


def _framed(first: int, body: bytes) -> bytes:
    """A fixed header and its body, section 2.1."""
    return first.to_bytes(1, "big") + write_varint(len(body)) + body


# --- messages --------------------------------------------------------------------------------------------


def _publish(packet: Publish, version: int) -> bytes:
    topic = _topic_bytes(packet.topic, packet.properties, version)
    first = _publish_flags(packet.qos, packet.retain)
    between = _message_properties(packet.properties) if version == MQTT_5_0 else b""
    if packet.qos:
        between = write_packet_id(packet.packet_id) + between
        if packet.dup:
            first |= 8  # [MQTT-3.3.1-1]
    elif packet.dup or packet.packet_id:  # [MQTT-3.3.1-2], [MQTT-2.2.1-2]
        raise LocalProtocolError("a message of QoS 0 is never a duplicate and has no packet identifier")
    payload = packet.payload
    return _publish_head(first, topic, len(between) + len(payload)) + between + payload


def _publish_flags(qos: int, retain: bool) -> int:
    if qos < 0 or qos > 2:  # [MQTT-3.3.1-4]
        raise LocalProtocolError(f"there is no QoS {qos}")
    return 0x30 | qos << 1 | (1 if retain else 0)


def _topic_bytes(topic: str, properties: Properties | None, version: int) -> bytes:
    if not topic:
        # Only an alias may stand for the topic, section 3.3.2.3.4.
        if version != MQTT_5_0 or properties is None or TOPIC_ALIAS not in properties:
            raise LocalProtocolError("a message needs a topic")
    elif "+" in topic or "#" in topic:
        raise LocalProtocolError("a topic name has wildcards")  # [MQTT-3.3.2-2]
    return text_bytes(topic)


def _message_properties(properties: Properties | None) -> bytes:
    return write_properties(properties, IN_PUBLISH) if properties else b"\0"


def _publish_head(first: int, topic: bytes, rest: int) -> bytes:
    """A PUBLISH up to the end of its topic, where `rest` bytes will follow.

    Header, length and topic length are packed as one number: small messages are what a server sends most.
    """
    size = len(topic)
    if size > MAX_FIELD_LENGTH:  # [MQTT-4.7.3-3]
        raise LocalProtocolError("a topic is over 65535 bytes")
    remaining = size + 2 + rest
    if remaining < 0x80:
        return (first << 24 | remaining << 16 | size).to_bytes(4, "big") + topic
    if remaining < 0x4000:
        length = (remaining & 0x7F | 0x80) << 8 | remaining >> 7
        return (first << 32 | length << 16 | size).to_bytes(5, "big") + topic
    return first.to_bytes(1, "big") + write_varint(remaining) + write_binary(topic)


@final
class PublishFrame:
    """One message, written once for every receiver that speaks the same version.

    Most receivers differ in the packet identifier alone (and in QoS 0, which has none), so only that is
    spliced in. `qos` is that of the message; a receiver who was granted less takes `at_most_once`. For those
    who are to get more properties than others, or an alias for the topic, there is `extended`.
    """

    __slots__ = ("_at_most_once", "_first", "_head", "_payload", "_properties", "_topic")

    def __init__(
        self,
        topic: str,
        payload: bytes,
        qos: int,
        retain: bool,
        properties: Properties | None,
        version: int,
    ) -> None:
        self._set(
            _publish_flags(qos, retain),
            _topic_bytes(topic, properties, version),
            _message_properties(properties) if version == MQTT_5_0 else b"",
            payload,
        )

    def _set(self, first: int, topic: bytes, properties: bytes, payload: bytes) -> None:
        self._first = first
        self._topic = topic
        self._properties = properties  # with their length before them; empty in 3.1.1
        self._payload = payload
        size = len(properties) + len(payload) + 2
        self._head = _publish_head(first, topic, size) if first & 6 else b""
        self._at_most_once = b""  # made when the first receiver asks: most messages need one form only

    @property
    def at_most_once(self) -> bytes:
        """The bytes at QoS 0."""
        whole = self._at_most_once
        if not whole:
            properties, payload = self._properties, self._payload
            size = len(properties) + len(payload)
            whole = _publish_head(self._first & 0xF9, self._topic, size) + properties + payload
            self._at_most_once = whole
        return whole

    @property
    def size(self) -> int:
        """How many bytes it has at its QoS, with an identifier at 1 and 2."""
        head = len(self._head)
        return head + 2 + len(self._properties) + len(self._payload) if head else len(self.at_most_once)

    def extended(self, properties: bytes, named: bool = True) -> "PublishFrame":
        """The same with more properties, MQTT 5 only: encoded, without their length.

        Unless it is `named`, an alias among them stands for the topic [MQTT-3.3.2-1].
        """
        held = self._properties
        start = 1
        while held[start - 1] & 0x80:
            start += 1
        size = len(held) - start + len(properties)
        frame = PublishFrame("t", b"", 0, False, None, MQTT_5_0)
        joined = write_varint(size) + properties + held[start:]
        frame._set(self._first, self._topic if named else b"", joined, self._payload)
        return frame

    def with_id(self, packet_id: int, dup: bool = False) -> bytes:
        """The bytes at QoS 1 or 2 with this packet identifier; `dup` when they may have been sent before."""
        head = self._head
        if not head:
            raise LocalProtocolError("a message of QoS 0 has no packet identifier")  # [MQTT-2.2.1-2]
        if dup:
            head = (head[0] | 8).to_bytes(1, "big") + head[1:]  # [MQTT-3.3.1-1]
        properties = self._properties
        if not properties:
            return head + write_packet_id(packet_id) + self._payload
        if len(properties) > 1 or not 0 < packet_id <= MAX_PACKET_ID:
            return head + write_packet_id(packet_id) + properties + self._payload
        # Most messages have none: the identifier and their length of zero are written as one number.
        return head + (packet_id << 8).to_bytes(3, "big") + self._payload


def _acknowledgement(packet: Acknowledgement, version: int) -> bytes:
    first = packet.kind << 4
    if packet.kind == PUBREL:  # [MQTT-3.6.1-1]
        first |= 2
    packet_id = packet.packet_id
    if version != MQTT_5_0 or (packet.reason == 0 and not packet.properties):
        if not 0 < packet_id <= 0xFFFF:
            raise LocalProtocolError(f"{packet_id} is not a packet identifier")
        return (first << 24 | 2 << 16 | packet_id).to_bytes(4, "big")
    if packet.reason not in ACKNOWLEDGEMENT_REASONS[packet.kind]:
        raise LocalProtocolError(f"reason 0x{packet.reason:02x} does not belong in this packet")
    body = write_packet_id(packet_id) + packet.reason.to_bytes(1, "big")
    if packet.properties:
        body += write_properties(packet.properties, 1 << packet.kind)
    return _framed(first, body)


# --- subscriptions ---------------------------------------------------------------------------------------


def _subscribe(packet: Subscribe, version: int) -> bytes:
    if not packet.subscriptions:
        raise LocalProtocolError("SUBSCRIBE needs a filter")  # [MQTT-3.8.3-2]
    parts = [write_packet_id(packet.packet_id)]
    if version == MQTT_5_0:
        parts.append(write_properties(packet.properties, IN_SUBSCRIBE))
    for wanted in packet.subscriptions:
        parts.append(_filter(wanted.filter, version))
        if not 0 <= wanted.qos <= 2 or not 0 <= wanted.retain_handling <= 2:
            raise LocalProtocolError("a subscription's QoS and retain handling are 0, 1 or 2")
        options = wanted.qos
        if version == MQTT_5_0:
            if wanted.no_local and is_shared(wanted.filter):
                raise LocalProtocolError("a shared subscription cannot be no local")  # [MQTT-3.8.3-4]
            options = wanted.options
        parts.append(options.to_bytes(1, "big"))
    return _framed(0x82, b"".join(parts))


def _unsubscribe(packet: Unsubscribe, version: int) -> bytes:
    if not packet.filters:
        raise LocalProtocolError("UNSUBSCRIBE needs a filter")  # [MQTT-3.10.3-2]
    parts = [write_packet_id(packet.packet_id)]
    if version == MQTT_5_0:
        parts.append(write_properties(packet.properties, IN_UNSUBSCRIBE))
    parts.extend([_filter(filter, version) for filter in packet.filters])
    return _framed(0xA2, b"".join(parts))


def _filter(filter: str, version: int) -> bytes:
    if not valid_filter(filter, 0, version == MQTT_5_0):
        raise LocalProtocolError("a topic filter is not valid")  # section 4.7
    return write_string(filter)


def _suback(packet: Suback, version: int) -> bytes:
    reasons = packet.reasons
    if not reasons or not SUBACK_REASONS.issuperset(reasons):
        raise LocalProtocolError("SUBACK has no reason or one that does not belong there")  # [MQTT-3.9.3-2]
    head = write_packet_id(packet.packet_id)
    if version == MQTT_5_0:
        return _framed(0x90, head + write_properties(packet.properties, IN_SUBACK) + bytes(reasons))
    # 3.1.1 knows a single failure, its section 3.9.3, and 3.1 none: it wants what is refused acknowledged.
    failure = 0x80 if version == MQTT_3_1_1 else 0
    return _framed(0x90, head + bytes([reason if reason < 0x80 else failure for reason in reasons]))


def _unsuback(packet: Unsuback, version: int) -> bytes:
    head = write_packet_id(packet.packet_id)
    if version != MQTT_5_0:
        return _framed(0xB0, head)
    if not packet.reasons or not UNSUBACK_REASONS.issuperset(packet.reasons):
        raise LocalProtocolError(
            "UNSUBACK has no reason or one that does not belong there"
        )  # [MQTT-3.11.3-2]
    return _framed(0xB0, head + write_properties(packet.properties, IN_UNSUBACK) + bytes(packet.reasons))


# --- the connection ---------------------------------------------------------------------------------------


def _connect(packet: Connect, version: int) -> bytes:
    if packet.version != version:
        raise LocalProtocolError(f"CONNECT says version {packet.version}, the link speaks {version}")
    modern = version == MQTT_5_0
    if not modern:
        if packet.password is not None and packet.username is None:
            raise LocalProtocolError("MQTT 3.1.1 has no password without a user name")
        if not packet.client_id and (version == MQTT_3_1 or not packet.clean_start):
            raise LocalProtocolError("MQTT 3.1.1 keeps no session for an empty client identifier")
        if version == MQTT_3_1 and len(packet.client_id) > LONGEST_ID_3_1:
            raise LocalProtocolError("MQTT 3.1 has no client identifiers over 23 characters")
    flags = 2 if packet.clean_start else 0
    parts = [b"", write_u16(packet.keep_alive)]
    if modern:
        parts.append(write_properties(packet.properties, IN_CONNECT))
    parts.append(write_string(packet.client_id))
    will = packet.will
    if will is not None:
        if not valid_topic(will.topic) or not 0 <= will.qos <= 2:
            raise LocalProtocolError("the will has a topic or a QoS that is not valid")
        flags |= 4 | will.qos << 3 | (0x20 if will.retain else 0)
        if modern:
            parts.append(write_properties(will.properties, IN_WILL))
        parts.append(write_string(will.topic) + write_binary(will.payload))
    if packet.username is not None:
        flags |= 0x80
        parts.append(write_string(packet.username))
    if packet.password is not None:
        flags |= 0x40
        parts.append(write_binary(packet.password))
    name = b"\0\6MQIsdp" if version == MQTT_3_1 else b"\0\4MQTT"
    parts[0] = name + bytes([version, flags])
    return _framed(0x10, b"".join(parts))


def _connack(packet: Connack, version: int) -> bytes:
    reason = packet.reason
    if packet.session_present and reason:
        raise LocalProtocolError("a refused client has no session")  # [MQTT-3.2.2-6]
    present = 1 if packet.session_present else 0
    if version != MQTT_5_0:
        code = return_code(reason)
        if code is None:
            raise LocalProtocolError(f"MQTT 3.1.1 has no return code for reason 0x{reason:02x}")
        return bytes([0x20, 2, present if version == MQTT_3_1_1 else 0, code])
    if reason not in CONNACK_REASONS:
        raise LocalProtocolError(f"reason 0x{reason:02x} does not belong in CONNACK")  # [MQTT-3.2.2-8]
    return _framed(0x20, bytes([present, reason]) + write_properties(packet.properties, IN_CONNACK))


def _disconnect(packet: Disconnect, version: int) -> bytes:
    reason = packet.reason
    if version != MQTT_5_0 or (reason == 0 and not packet.properties):
        return b"\xe0\0"
    if reason not in DISCONNECT_REASONS:
        raise LocalProtocolError(f"reason 0x{reason:02x} does not belong in DISCONNECT")  # [MQTT-3.14.2-1]
    body = reason.to_bytes(1, "big")
    if packet.properties:
        body += write_properties(packet.properties, IN_DISCONNECT)
    return _framed(0xE0, body)


def _auth(packet: Auth, version: int) -> bytes:
    if version != MQTT_5_0:
        raise LocalProtocolError("MQTT 3.1.1 has no AUTH")
    if packet.reason == 0 and not packet.properties:
        return b"\xf0\0"
    if packet.reason not in AUTH_REASONS_OF_CLIENT | AUTH_REASONS_OF_SERVER:
        raise LocalProtocolError(f"reason 0x{packet.reason:02x} does not belong in AUTH")  # [MQTT-3.15.2-1]
    return _framed(0xF0, packet.reason.to_bytes(1, "big") + write_properties(packet.properties, IN_AUTH))
