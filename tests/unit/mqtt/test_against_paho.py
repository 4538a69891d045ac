"""The most used client reads what we write, and we read what it writes: paho-mqtt, versions 3.1.1 and 5.

Its packets are written by methods of its client and read by functions of a private module. The client here
has no connection: it keeps what it would send.
"""

import socket
from collections.abc import Callable, Iterator
from typing import Protocol, cast

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from paho.mqtt import _packet, properties, reasoncodes
from paho.mqtt.client import Client, MQTTMessageInfo
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.subscribeoptions import SubscribeOptions

from longline.mqtt.codec import Decoder, encode
from longline.mqtt.packets import (
    PUBACK,
    PUBCOMP,
    PUBREC,
    PUBREL,
    Acknowledgement,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Publish,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
)
from longline.mqtt.properties import PROPERTY_TABLE, Properties
from longline.mqtt.properties import PropertyId as P
from longline.mqtt.reasons import ReasonCode
from tests.unit.mqtt import strategies
from tests.unit.mqtt.vectors import GOOD, Good

LIMIT = 1 << 20
WILL = 99  # the other package's packet type for the properties of a will


class PahoProperties(Protocol):
    """What is used here of a class without types."""

    def pack(self) -> bytes: ...

    def unpack(self, buffer: bytes) -> tuple[object, int]: ...


new_properties = cast("Callable[[int], PahoProperties]", properties.Properties)
new_options = cast("Callable[[int, bool, bool, int], SubscribeOptions]", SubscribeOptions)


def attribute(id: int) -> str:
    (row,) = [row for row in PROPERTY_TABLE if row.id == id]
    return row.name.replace(" ", "")


def to_paho(ours: Properties | None, packet_type: int) -> PahoProperties | None:
    if ours is None:
        return None
    theirs = new_properties(packet_type)
    for id, value in ours.items():
        setattr(theirs, attribute(id), value)
    return theirs


def from_paho(theirs: PahoProperties | None) -> Properties | None:
    if theirs is None:
        return None
    found = {row.id: getattr(theirs, row.name.replace(" ", ""), None) for row in PROPERTY_TABLE}
    return {id: value for id, value in found.items() if value is not None} or None


class SilentClient(Client):
    """Keeps the bytes of what it was asked to send."""

    sent: bytes = b""

    def _packet_queue(
        self, command: int, packet: bytes | bytearray, mid: int, qos: int, info: MQTTMessageInfo | None = None
    ) -> MQTTErrorCode:
        self.sent = bytes(packet)
        return MQTTErrorCode.MQTT_ERR_SUCCESS


@pytest.fixture(scope="module")
def unconnected() -> Iterator[socket.socket]:
    with socket.socket() as unused:
        yield unused


def written_by_paho(packet: Packet, version: int, unconnected: socket.socket) -> bytes:
    """The bytes that the other package sends for a client's packet of ours."""
    connect = packet if isinstance(packet, Connect) else Connect(version, "d")
    client = SilentClient(
        CallbackAPIVersion.VERSION2,
        connect.client_id,
        connect.clean_start if version < 5 else None,
        protocol=MQTTProtocolVersion(version),
    )
    client._sock = unconnected
    try:
        write(client, packet, version)
    finally:
        client._sock = None
    return client.sent


def write(client: SilentClient, packet: Packet, version: int) -> None:
    match packet:
        case Connect():
            client._clean_start = packet.clean_start
            client._connect_properties = cast("properties.Properties", to_paho(packet.properties, 1))
            if packet.will is not None:
                theirs = cast("properties.Properties", to_paho(packet.will.properties, WILL))
                client.will_set(
                    packet.will.topic, packet.will.payload, packet.will.qos, packet.will.retain, theirs
                )
            client._username = packet.username.encode() if packet.username is not None else None
            client._password = packet.password
            client._send_connect(packet.keep_alive)
        case Publish():
            theirs = cast("properties.Properties", to_paho(packet.properties, 3))
            client._send_publish(
                packet.packet_id,
                packet.topic.encode(),
                packet.payload,
                packet.qos,
                packet.retain,
                packet.dup,
                None,
                theirs,
            )
        case Acknowledgement():
            first = packet.kind << 4 | (2 if packet.kind == PUBREL else 0)
            client._send_command_with_mid(first, packet.packet_id, False)
        case Subscribe():
            client._last_mid = packet.packet_id - 1
            wanted = [
                (
                    one.filter.encode(),
                    new_options(one.qos, one.no_local, one.retain_as_published, one.retain_handling)
                    if version == 5
                    else one.qos,
                )
                for one in packet.subscriptions
            ]
            client._send_subscribe(0, wanted, cast("properties.Properties", to_paho(packet.properties, 8)))
        case Unsubscribe():
            client._last_mid = packet.packet_id - 1
            theirs = cast("properties.Properties", to_paho(packet.properties, 10))
            client._send_unsubscribe(0, [one.encode() for one in packet.filters], theirs)
        case Disconnect():
            reason = reasoncodes.ReasonCode(14, identifier=packet.reason) if version == 5 else None
            client._send_disconnect(reason, cast("properties.Properties", to_paho(packet.properties, 14)))
        case _:
            assert isinstance(packet, Pingreq)
            client._send_pingreq()


def can_be_written_by_paho(packet: Packet) -> bool:
    """It has a limit of its own, writes acknowledgements in their short form only, and has no AUTH."""
    if isinstance(packet, Acknowledgement):
        return packet.reason == 0 and packet.properties is None
    if isinstance(packet, Connect):
        size = (packet.properties or {}).get(P.MAXIMUM_PACKET_SIZE, 1)
        known = packet.username is not None or packet.password is None
        return known and isinstance(size, int) and size <= 268_435_455
    return isinstance(packet, Publish | Subscribe | Unsubscribe | Disconnect | Pingreq)


READERS: dict[int, Callable[[int, bytes, MQTTProtocolVersion], tuple[object, ...]]] = {
    PUBACK: _packet.decode_puback,
    PUBREC: _packet.decode_pubrec,
    PUBREL: _packet.decode_pubrel,
    PUBCOMP: _packet.decode_pubcomp,
}


def check_read_by_paho(packet: Packet, version: int) -> None:
    """What the other package reads of a server's packet of ours."""
    raw = encode(packet, version)
    body = raw[1 + next(index for index in range(1, 5) if raw[index] < 0x80) :]
    protocol = MQTTProtocolVersion(version)
    match packet:
        case Publish():
            message = _packet.decode_publish(raw[0], body, protocol)
            assert (message.dup, message.qos, message.retain, message.mid) == (
                packet.dup,
                packet.qos,
                packet.retain,
                packet.packet_id,
            )
            assert (message.topic.decode(), message.payload) == (packet.topic, packet.payload)
            assert from_paho(message.properties) == packet.properties
        case Acknowledgement():
            mid, reason, theirs = READERS[packet.kind](raw[0], body, protocol)
            assert (mid, reason) == (packet.packet_id, packet.reason)
            assert from_paho(cast("PahoProperties", theirs)) == packet.properties
        case Connack():
            answer = _packet.decode_connack(raw[0], body, protocol)
            assert (answer.flags, answer.reason.value) == (int(packet.session_present), packet.reason)
            assert from_paho(answer.properties) == packet.properties
        case Suback():
            suback = _packet.decode_suback(raw[0], body, protocol)
            assert (suback.mid, [code.value for code in suback.reason_codes]) == (
                packet.packet_id,
                packet.reasons,
            )
            assert from_paho(suback.properties) == packet.properties
        case Unsuback():
            unsuback = _packet.decode_unsuback(raw[0], body, protocol)
            assert (unsuback.mid, [code.value for code in unsuback.reason_codes]) == (
                packet.packet_id,
                packet.reasons,
            )
            assert from_paho(unsuback.properties) == packet.properties
        case _:
            assert isinstance(packet, Disconnect)
            last = _packet.decode_disconnect(raw[0], body, protocol)
            assert (last.reason.value if last.reason else 0) == packet.reason
            assert from_paho(last.properties) == packet.properties


def has_byte_order_mark(packet: Packet) -> bool:
    """The other package refuses it, against [MQTT-1.5.4-3]."""
    return "\\ufeff" in repr(packet)


def is_unknown_to_paho(packet: Packet) -> bool:
    """Its table lacks one of CONNACK's reasons, Payload format invalid (section 3.2.2.2)."""
    return isinstance(packet, Connack) and packet.reason == ReasonCode.PAYLOAD_FORMAT_INVALID


BY_CLIENT = [vector for vector in GOOD if vector.from_client and can_be_written_by_paho(vector.packet)]
BY_SERVER = [
    vector
    for vector in GOOD
    if not vector.from_client
    and isinstance(vector.packet, Publish | Acknowledgement | Connack | Suback | Unsuback | Disconnect)
]


@pytest.mark.parametrize("vector", BY_CLIENT, ids=lambda vector: vector.name)
def test_a_vector_of_a_client_is_written_alike(vector: Good, unconnected: socket.socket) -> None:
    raw = written_by_paho(vector.packet, vector.version, unconnected)
    decoder = Decoder(LIMIT * 4, 0 if isinstance(vector.packet, Connect) else vector.version)
    assert decoder.feed(raw) == [vector.packet]
    assert len(raw) == len(vector.raw) or isinstance(vector.packet, Disconnect)


@pytest.mark.parametrize("vector", BY_SERVER, ids=lambda vector: vector.name)
def test_a_vector_of_a_server_is_read_alike(vector: Good) -> None:
    check_read_by_paho(vector.packet, vector.version)


def said(version: int, from_client: bool) -> st.SearchStrategy[Packet]:
    packets = strategies.packets(version, from_client)
    return st.one_of(packets, strategies.connects(version)) if from_client else packets


QUIET = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])


@QUIET
@given(case=st.sampled_from([4, 5]).flatmap(lambda version: st.tuples(st.just(version), said(version, True))))
def test_what_a_client_writes_we_read(case: tuple[int, Packet], unconnected: socket.socket) -> None:
    version, packet = case
    assume(can_be_written_by_paho(packet))
    raw = written_by_paho(packet, version, unconnected)
    assert Decoder(LIMIT, 0 if isinstance(packet, Connect) else version).feed(raw) == [packet]


@QUIET
@given(
    case=st.sampled_from([4, 5]).flatmap(lambda version: st.tuples(st.just(version), said(version, False)))
)
def test_what_we_write_a_client_reads(case: tuple[int, Packet]) -> None:
    version, packet = case
    assume(isinstance(packet, Publish | Acknowledgement | Connack | Suback | Unsuback | Disconnect))
    assume(not has_byte_order_mark(packet) and not is_unknown_to_paho(packet))
    check_read_by_paho(packet, version)
