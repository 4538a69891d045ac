"""Chapters 1 and 2: strings, numbers, flags, identifiers and properties, and those that are none.

Statements are cited as [5: …] and [3: …], of MQTT 5.0 and 3.1.1.
"""

import pytest

from tests.conformance import wire
from tests.conformance.broker import BOTH, SHAPES, Clients
from tests.conformance.wire import PUBACK, PUBCOMP, PUBREC, PUBREL, Property

pytestmark = SHAPES

NO_TEXT = pytest.mark.parametrize(
    "raw",
    [
        b"\xc3(",
        b"\xff",
        b"\xc0\xaf",
        b"\xf5\x80\x80\x80",
        b"cut \xe2\x82",
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"a\0b",
    ],
    ids=["latin-1", "ff", "overlong", "past U+10FFFF", "cut off", "U+D800", "U+DFFF", "U+0000"],
)
MALFORMED, PROTOCOL_ERROR = 0x81, 0x82


# --- strings, section 1.5.4 and 1.5.3 --------------------------------------------------------------------


@NO_TEXT
@BOTH
@pytest.mark.parametrize("packet", ["publish", "subscribe", "unsubscribe"])
def test_a_topic_or_filter_that_is_no_utf_8_ends_the_connection(
    packet: str, version: int, raw: bytes, clients: Clients
) -> None:
    """[5: 1.5.4-1, 1.5.4-2, 3.3.2-1, 3.8.3-1, 3.10.3-1, 4.7.3-2]
    [3: 1.5.3-1, 1.5.3-2, 3.3.2-1, 3.8.3-1, 3.10.3-1]"""
    client = clients.enter(version)
    client.send(
        {
            "publish": wire.publish(version, raw),
            "subscribe": wire.subscribe(version, 1, (raw, 0)),
            "unsubscribe": wire.unsubscribe(version, 1, raw),
        }[packet]
    )
    client.refused(MALFORMED)


@NO_TEXT
@BOTH
@pytest.mark.parametrize("field", ["client_id", "user", "will"])
def test_a_string_of_connect_that_is_no_utf_8_ends_the_connection(
    field: str, version: int, raw: bytes, clients: Clients
) -> None:
    """[5: 3.1.3-4, 3.1.3-11, 3.1.3-12] [3: 3.1.3-4, 3.1.3-10, 3.1.3-11]"""
    client = clients.open(version)
    if field == "will":
        client.say_connect(will=wire.Will(raw))
    elif field == "user":
        client.say_connect(user=raw)
    else:
        client.say_connect(client_id=raw)
    client.refused(MALFORMED)


@NO_TEXT
@pytest.mark.parametrize("id", [wire.CONTENT_TYPE, wire.RESPONSE_TOPIC])
def test_a_property_that_is_no_utf_8_ends_the_connection(id: int, raw: bytes, clients: Clients) -> None:
    """[5: 3.3.2-13, 3.3.2-19]"""
    client = clients.enter()
    body = wire.text("t") + wire.varint(3 + len(raw)) + bytes([id]) + wire.text(raw)
    client.send(wire.packet(0x30, body))
    client.refused(MALFORMED)


@NO_TEXT
@pytest.mark.parametrize("first", [True, False], ids=["name", "value"])
def test_both_strings_of_a_pair_are_utf_8(first: bool, raw: bytes, clients: Clients) -> None:
    """[5: 1.5.7-1]"""
    client = clients.enter()
    pair = wire.text(raw if first else "n") + wire.text("v" if first else raw)
    client.send(wire.packet(0x30, wire.text("t") + wire.varint(1 + len(pair)) + bytes([wire.USER]) + pair))
    client.refused(MALFORMED)


@BOTH
@pytest.mark.parametrize("odd", ["\ufeff", "\ufffd", "\U0010ffff", "\ufdd0", "\x01", "\x7f", "\u0301", " "])
def test_no_character_is_stripped_or_replaced(odd: str, version: int, clients: Clients, topic: str) -> None:
    """[5: 1.5.4-3, 4.7.3-4] [3: 1.5.3-3, 4.7.3-4]"""
    client = clients.enter(version)
    name = f"{odd}{topic}/{odd}/é{odd}"
    assert client.subscribe((name, 0)) == [0]
    clients.enter(version).publish(name, b"here")
    assert client.take().topic == name


# --- fixed header, sections 2.1 and 2.2 ------------------------------------------------------------------

BODIES = {  # of packets that a client may send, by their first byte
    0x40: wire.u16(1),
    0x50: wire.u16(1),
    0x62: wire.u16(1),
    0x70: wire.u16(1),
    0x82: wire.u16(1) + b"\0" + wire.text("t") + b"\0",
    0xA2: wire.u16(1) + b"\0" + wire.text("t"),
    0xC0: b"",
    0xE0: b"",
    0xF0: b"",
}


@BOTH
@pytest.mark.parametrize("first", list(BODIES), ids=hex)
def test_reserved_flags_are_as_the_table_says(first: int, version: int, clients: Clients) -> None:
    """[5: 2.1.3-1, 3.6.1-1, 3.8.1-1, 3.10.1-1, 3.14.1-1, 3.15.1-1]
    [3: 2.2.2-1, 2.2.2-2, 3.6.1-1, 3.8.1-1,
    3.10.1-1, 3.14.1-1]"""
    for wrong in {first & 0xF0 | flags for flags in range(16)} - {first}:
        client = clients.enter(version)
        client.send(wire.packet(wrong, BODIES[first]))
        client.refused(MALFORMED)


@BOTH
def test_reserved_flags_of_the_header_of_connect_are_zero(version: int, clients: Clients) -> None:
    """[5: 2.1.3-1, 3.1.4-1] [3: 2.2.2-2, 3.1.4-1]"""
    for flags in range(1, 16):
        client = clients.open(version)
        client.send(wire.packet(0x10 | flags, wire.connect(version, "device")[2:]))
        assert [packet.reason for packet in client.until_closed()] in ([], [MALFORMED])


@BOTH
@pytest.mark.parametrize("first", [0x00, 0x20, 0x90, 0xB0, 0xD0], ids=hex)
def test_packets_that_only_servers_send_end_the_connection(
    first: int, version: int, clients: Clients
) -> None:
    """[5: 4.13.1-1] [3: 4.8.0-1]"""
    client = clients.enter(version)
    client.send(wire.packet(first, b"" if first in (0x00, 0xD0) else wire.u16(1) + b"\0\0"))
    client.refused(MALFORMED, PROTOCOL_ERROR)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\xc0\x80\0", id="the remaining length"),
        pytest.param(b"\x30\x85\x80\0" + wire.text("t") + b"\0p", id="the remaining length of PUBLISH"),
        pytest.param(b"\x30\x06" + wire.text("t") + b"\x80\0p", id="the length of properties"),
        pytest.param(
            wire.packet(0x82, b"\0\1\4\x0b\x81\x80\0" + wire.text("t") + b"\0"),
            id="a subscription identifier",
        ),
        pytest.param(wire.packet(0x30, wire.text("t") + b"\3\x81\0\1p"), id="the number of a property"),
    ],
)
def test_numbers_have_as_few_bytes_as_they_need(data: bytes, clients: Clients) -> None:
    """[5: 1.5.5-1]"""
    client = clients.enter()
    client.send(data)
    client.refused(MALFORMED)


def test_a_connect_that_pads_its_length_ends_the_connection(clients: Clients) -> None:
    """[5: 1.5.5-1]"""
    client = clients.open()
    body = wire.connect(5, "d")[2:]
    client.send(b"\x10" + bytes([len(body) | 0x80]) + b"\0" + body)
    client.refused(MALFORMED)


def test_in_3_1_1_a_length_may_be_padded(clients: Clients, topic: str) -> None:
    """It has no rule like [5: 1.5.5-1], and small devices write lengths of a fixed size."""
    client = clients.open(4)
    body = wire.connect(4, client.name, client.broker.app, client.broker.token(client.name))[3:]
    client.send(b"\x10" + bytes([len(body) & 0x7F | 0x80, len(body) >> 7 | 0x80, 0x80, 0]) + body)
    assert client.expect(wire.CONNACK).reason == 0
    client.send(
        b"\x82\x80\x80\0"[:1] + bytes([5 + len(topic) | 0x80, 0x80, 0]) + b"\0\1" + wire.text(topic) + b"\1"
    )
    assert client.expect(wire.SUBACK).reasons == [1]
    client.send(b"\x30" + bytes([3 + len(topic) | 0x80, 0x80, 0x80, 0]) + wire.text(topic) + b"p")
    assert client.take().payload == b"p"
    client.send(b"\xc0\x80\0")
    client.expect(wire.PINGRESP)


@BOTH
@pytest.mark.parametrize(
    "data",
    [b"\x30\xff\xff\xff\xff\1", b"\x30\x80\x80\x80\x80\0", b"\xc0\xff\xff\xff\xff"],
    ids=["long", "zero", "open"],
)
def test_a_length_of_more_than_four_bytes_ends_the_connection(
    data: bytes, version: int, clients: Clients
) -> None:
    """[5: 4.13.1-1] [3: 4.8.0-1]"""
    client = clients.enter(version)
    client.send(data)
    client.refused(MALFORMED)


def lengths(version: int) -> dict[str, bytes]:
    """Packets that are longer than their content, or shorter."""
    none = b"\0" if version == 5 else b""
    found = {
        "PINGREQ and more": wire.packet(0xC0, b"\0"),
        "PUBLISH cut in its topic": wire.packet(0x30, b"\0\5abc"),
        "PUBLISH without a topic's length": wire.packet(0x30, b"\0"),
        "PUBLISH without an identifier": wire.packet(0x32, wire.text("t")),
        "PUBACK of a byte": wire.packet(0x40, b"\1"),
        "PUBREL of nothing": wire.packet(0x62),
        "SUBSCRIBE of an identifier": wire.packet(0x82, b"\0"),
        "SUBSCRIBE without options": wire.packet(0x82, b"\0\1" + none + wire.text("t")),
        "SUBSCRIBE cut in a filter": wire.packet(0x82, b"\0\1" + none + b"\0\5t\0"),
        "UNSUBSCRIBE cut in a filter": wire.packet(0xA2, b"\0\1" + none + b"\0\5t"),
    }
    if version == 5:
        return found | {
            "PUBACK and more": wire.packet(0x40, b"\0\1\0\0\0"),
            "PUBLISH without properties": wire.packet(0x30, wire.text("t")),
            "properties past the end": wire.packet(0x30, wire.text("t") + b"\x09\1\0"),
            "a property past the others": wire.packet(0x30, wire.text("t") + b"\3\x02\0\0\0\1"),
            "DISCONNECT and more": wire.packet(0xE0, b"\0\0\0"),
        }
    return found | {
        "PUBACK and more": wire.packet(0x40, b"\0\1\0"),
        "PUBCOMP and more": wire.packet(0x70, b"\0\1\0"),
        "DISCONNECT and more": wire.packet(0xE0, b"\0"),
    }


@pytest.mark.parametrize(
    ("version", "case"), [(version, case) for version in (4, 5) for case in lengths(version)]
)
def test_a_packet_has_the_length_of_its_content(version: int, case: str, clients: Clients) -> None:
    """[5: 4.13.1-1] [3: 4.8.0-1]"""
    client = clients.enter(version)
    client.send(lengths(version)[case])
    client.refused(MALFORMED)


@BOTH
def test_packets_may_come_in_any_pieces(version: int, clients: Clients, topic: str) -> None:
    """[5: 4.2-1] [3: 4.2.0-1, 7.1.1-1]"""
    client = clients.open(version)
    said = [
        wire.connect(version, client.name, client.broker.app, client.broker.token(client.name)),
        wire.subscribe(version, 1, (topic, 1)),
        wire.publish(version, topic, bytes(300), 1, 1),
        wire.PING,
    ]
    for byte in b"".join(said):
        client.send(bytes([byte]))
    assert client.expect(wire.CONNACK).reason == 0
    found = {packet.kind: packet for packet in (client.read() for _ in range(4)) if packet}
    assert found.keys() == {wire.SUBACK, wire.PUBLISH, PUBACK, wire.PINGRESP}
    assert found[wire.SUBACK].reasons == [1]
    assert found[wire.PUBLISH].payload == bytes(300)


# --- packet identifiers, section 2.2.1 and 2.3.1 ---------------------------------------------------------


@BOTH
@pytest.mark.parametrize("packet", ["QoS 1", "QoS 2", "SUBSCRIBE", "UNSUBSCRIBE", "PUBACK", "PUBREL"])
def test_a_packet_identifier_of_zero_ends_the_connection(packet: str, version: int, clients: Clients) -> None:
    """[5: 2.2.1-3] [3: 2.3.1-1]"""
    client = clients.enter(version)
    client.send(
        {
            "QoS 1": wire.publish(version, "t", b"", 1, 0),
            "QoS 2": wire.publish(version, "t", b"", 2, 0),
            "SUBSCRIBE": wire.subscribe(version, 0, ("t", 0)),
            "UNSUBSCRIBE": wire.unsubscribe(version, 0, "t"),
            "PUBACK": wire.answer(PUBACK, 0),
            "PUBREL": wire.answer(PUBREL, 0),
        }[packet]
    )
    client.refused(MALFORMED, PROTOCOL_ERROR)


@BOTH
@pytest.mark.parametrize("id", [1, 255, 256, 0x1234, 0xFFFF])
def test_answers_have_the_identifier_of_what_they_answer(
    id: int, version: int, clients: Clients, topic: str
) -> None:
    """[5: 2.2.1-5, 2.2.1-6, 3.8.4-2, 3.10.4-5, 4.3.3-11] [3: 2.3.1-6, 2.3.1-7, 3.8.4-2, 3.10.4-4]"""
    client = clients.enter(version)
    for said, kind in (
        (wire.subscribe(version, id, ("never/" + topic, 0)), wire.SUBACK),
        (wire.unsubscribe(version, id, "never/" + topic), wire.UNSUBACK),
        (wire.publish(version, topic, b"", 1, id), PUBACK),
        (wire.publish(version, topic, b"", 2, id), PUBREC),
        (wire.answer(PUBREL, id), PUBCOMP),
    ):
        client.send(said)
        assert client.expect(kind).id == id


@BOTH
def test_a_message_of_qos_0_has_no_identifier(version: int, clients: Clients, topic: str) -> None:
    """[5: 2.2.1-2, 4.3.1-1] [3: 2.3.1-5, 4.3.1-1]"""
    client = clients.enter(version)
    client.subscribe((topic, 2))
    client.publish(topic, b"\0\1payload", 0)
    found = client.take()
    assert (found.payload, found.qos, found.dup) == (b"\0\1payload", 0, False)


@BOTH
@pytest.mark.parametrize("qos", [1, 2])
def test_identifiers_of_the_server_are_not_in_use(
    qos: int, version: int, clients: Clients, topic: str
) -> None:
    """[5: 2.2.1-4, 4.3.2-1, 4.3.3-1] [3: 2.3.1-4, 4.3.2-1, 4.3.3-1]"""
    client = clients.enter(version)
    client.subscribe((topic, qos))
    publisher = clients.enter(version)
    for _ in range(8):
        publisher.publish(topic, b"", qos)
    first = [client.expect(wire.PUBLISH) for _ in range(8)]
    assert len({packet.id for packet in first} - {0}) == 8
    for packet in first[::2]:
        client.acknowledge(packet)
    for _ in range(8):
        publisher.publish(topic, b"", qos)
    for _ in range(8):
        client.expect(wire.PUBLISH)  # which holds it to be none of `first[1::2]`


# --- properties, section 2.2.2 ---------------------------------------------------------------------------


def test_no_properties_are_said_by_a_length_of_zero(clients: Clients, topic: str) -> None:
    """[5: 2.2.2-1]"""
    client = clients.enter()
    client.send(wire.subscribe(5, 1, (topic, 0)))
    assert client.expect(wire.SUBACK).size == 2 + 2 + 1 + 1
    client.publish(topic, b"payload", 0)
    assert client.take().size == 2 + 2 + len(topic) + 1 + 7


def in_packet(packet: str, *properties: Property) -> bytes:
    """A packet that would be good without these properties."""
    raw = wire.props(*properties)
    return {
        "CONNECT": wire.connect(5, "device", properties=properties),
        "PUBLISH": wire.publish(5, "t", properties=properties),
        "PUBACK": wire.packet(0x40, wire.u16(1) + b"\0" + raw),
        "PUBREL": wire.packet(0x62, wire.u16(1) + b"\0" + raw),
        "SUBSCRIBE": wire.subscribe(5, 1, ("t", 0), properties=properties),
        "UNSUBSCRIBE": wire.packet(0xA2, wire.u16(1) + raw + wire.text("t")),
        "DISCONNECT": wire.packet(0xE0, b"\0" + raw),
    }[packet]


VALUES: dict[int, Property] = {
    id: (id, 1)
    for id in (
        0x01,
        0x02,
        0x0B,
        0x11,
        0x13,
        0x17,
        0x18,
        0x19,
        0x21,
        0x22,
        0x23,
        0x24,
        0x25,
        0x27,
        0x28,
        0x29,
        0x2A,
    )
}
VALUES |= {id: (id, "t") for id in (0x03, 0x08, 0x09, 0x12, 0x15, 0x16, 0x1A, 0x1C, 0x1F)}
VALUES[wire.USER] = (wire.USER, ("n", "v"))
FROM_CLIENT = {  # section 2.2.2.2, table 2-4: where a client may say them
    "CONNECT": {0x11, 0x15, 0x16, 0x17, 0x19, 0x21, 0x22, 0x26, 0x27},
    "PUBLISH": {0x01, 0x02, 0x03, 0x08, 0x09, 0x23, 0x26},
    "PUBACK": {0x1F, 0x26},
    "PUBREL": {0x1F, 0x26},
    "SUBSCRIBE": {0x0B, 0x26},
    "UNSUBSCRIBE": {0x26},
    "DISCONNECT": {0x11, 0x1C, 0x1F, 0x26},
}


@pytest.mark.parametrize("packet", list(FROM_CLIENT))
def test_a_property_where_it_does_not_belong_ends_the_connection(packet: str, clients: Clients) -> None:
    """[5: 4.13.1-1, 3.3.4-6] Section 2.2.2.2; a number that is none of a property is malformed, too."""
    strangers = [VALUES[id] for id in sorted(VALUES.keys() - FROM_CLIENT[packet])]
    for stranger in [*strangers, (0x04, 1), (0x2B, 1), (0x3FFF, 1)]:
        client = clients.open()
        if packet != "CONNECT":
            client.enter()
        client.send(in_packet(packet, stranger))
        client.refused(MALFORMED, *([PROTOCOL_ERROR] if stranger[0] == wire.SUBSCRIPTION_ID else []))


@pytest.mark.parametrize("packet", list(FROM_CLIENT))
def test_a_property_that_comes_twice_ends_the_connection(packet: str, clients: Clients) -> None:
    """[5: 4.13.1-1]"""
    for id in sorted(FROM_CLIENT[packet] - {wire.USER, wire.AUTH_DATA}):
        client = clients.open()
        if packet != "CONNECT":
            client.enter()
        client.send(in_packet(packet, VALUES[id], VALUES[id]))
        client.refused(PROTOCOL_ERROR)


@pytest.mark.parametrize(
    ("packet", "property", "reason"),
    [
        ("CONNECT", (wire.RECEIVE_MAXIMUM, 0), PROTOCOL_ERROR),
        ("CONNECT", (wire.MAXIMUM_SIZE, 0), PROTOCOL_ERROR),
        ("CONNECT", (wire.PROBLEM_INFO, 2), PROTOCOL_ERROR),
        ("CONNECT", (wire.RESPONSE_REQUEST, 2), PROTOCOL_ERROR),
        ("CONNECT", (wire.AUTH_DATA, b"without a method"), PROTOCOL_ERROR),
        ("PUBLISH", (wire.ALIAS, 0), 0x94),  # [5: 3.3.2-8]
        ("PUBLISH", (wire.FORMAT, 2), PROTOCOL_ERROR),
        ("PUBLISH", (wire.RESPONSE_TOPIC, "a/+"), MALFORMED),  # [5: 3.3.2-14]
        ("PUBLISH", (wire.RESPONSE_TOPIC, "#"), MALFORMED),
        ("PUBLISH", (wire.SUBSCRIPTION_ID, 1), PROTOCOL_ERROR),  # [5: 3.3.4-6]
        ("SUBSCRIBE", (wire.SUBSCRIPTION_ID, 0), PROTOCOL_ERROR),
    ],
)
def test_a_value_that_a_property_cannot_have_ends_the_connection(
    packet: str, property: Property, reason: int, clients: Clients
) -> None:
    """[5: 3.3.2-8, 3.3.2-14, 3.3.4-6, 4.13.1-1]"""
    client = clients.open()
    if packet != "CONNECT":
        client.enter()
    client.send(in_packet(packet, property))
    client.refused(reason, *([PROTOCOL_ERROR] if reason == MALFORMED else []))


@pytest.mark.parametrize(
    "data",
    [
        wire.answer(PUBACK, 1, 0x42),
        wire.answer(PUBACK, 1, 0x92),
        wire.answer(PUBREC, 1, 0x01),
        wire.answer(PUBREL, 1, 0x10),
        wire.answer(PUBCOMP, 1, 0x80),
        wire.disconnect(0x01),
        wire.disconnect(0x85),
    ],
)
def test_a_reason_that_a_packet_does_not_have_ends_the_connection(data: bytes, clients: Clients) -> None:
    """[5: 3.4.2-1, 3.5.2-1, 3.6.2-1, 3.7.2-1, 3.14.2-1]"""
    client = clients.enter()
    client.send(data)
    client.refused(MALFORMED, PROTOCOL_ERROR)


@pytest.mark.parametrize(
    "data",
    [wire.packet(0x40, b"\0\7"), wire.packet(0x40, b"\0\7\0"), wire.packet(0x40, b"\0\7\0\0")],
    ids=["alone", "reason", "reason and length"],
)
def test_reason_and_properties_may_be_left_out(data: bytes, clients: Clients) -> None:
    """Sections 3.4.2.1 and 3.4.2.2.1 of MQTT 5."""
    client = clients.enter()
    client.send(data)  # for nothing that was sent, which is no fault
    assert client.ping() == []
