"""The table of properties, and its reader and writer."""

import pytest

from longline.mqtt.properties import (
    BINARY,
    BYTE,
    FLAG,
    FOUR_BYTES,
    IN_PUBLISH,
    IN_SUBSCRIBE,
    IN_WILL,
    MAX_REPEATS,
    NON_ZERO,
    PAIR,
    PROPERTY_TABLE,
    STRING,
    TWO_BYTES,
    VARINT,
    Properties,
    PropertyId,
    PropertyRow,
    PropertyValue,
    get_bytes,
    get_int,
    get_str,
    pack_message_properties,
    read_properties,
    subscription_identifiers,
    unpack_message_properties,
    user_properties,
    without_secrets,
    write_properties,
)
from longline.mqtt.wire import LocalProtocolError, Reader, Violation, write_varint

PLACES = [1 << bit for bit in range(16)]

# The table of section 2.2.2.2 once more: the type, and the packets by number, 0 for the will.
SPECIFICATION: dict[int, tuple[int, set[int]]] = {
    0x01: (BYTE, {3, 0}),
    0x02: (FOUR_BYTES, {3, 0}),
    0x03: (STRING, {3, 0}),
    0x08: (STRING, {3, 0}),
    0x09: (BINARY, {3, 0}),
    0x0B: (VARINT, {3, 8}),
    0x11: (FOUR_BYTES, {1, 2, 14}),
    0x12: (STRING, {2}),
    0x13: (TWO_BYTES, {2}),
    0x15: (STRING, {1, 2, 15}),
    0x16: (BINARY, {1, 2, 15}),
    0x17: (BYTE, {1}),
    0x18: (FOUR_BYTES, {0}),
    0x19: (BYTE, {1}),
    0x1A: (STRING, {2}),
    0x1C: (STRING, {2, 14}),
    0x1F: (STRING, {2, 4, 5, 6, 7, 9, 11, 14, 15}),
    0x21: (TWO_BYTES, {1, 2}),
    0x22: (TWO_BYTES, {1, 2}),
    0x23: (TWO_BYTES, {3}),
    0x24: (BYTE, {2}),
    0x25: (BYTE, {2}),
    0x26: (PAIR, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 15}),
    0x27: (FOUR_BYTES, {1, 2}),
    0x28: (BYTE, {2}),
    0x29: (BYTE, {2}),
    0x2A: (BYTE, {2}),
}
SAMPLES: dict[int, PropertyValue] = {
    BYTE: 1,
    TWO_BYTES: 1,
    FOUR_BYTES: 70_000,
    VARINT: [3, 70_000],
    STRING: "text",
    BINARY: b"\0\xff",
    PAIR: [("a", "b"), ("a", "b")],
}


def sample(row: PropertyRow, place: int) -> PropertyValue:
    return [3] if place == IN_SUBSCRIBE and row.wire == VARINT else SAMPLES[row.wire]


def read(raw: bytes, place: int, from_client: bool = False) -> Properties | None:
    reader = Reader(raw, 0, len(raw))
    properties = read_properties(reader, place, from_client)
    assert reader.left() == 0
    return properties


def test_the_table_is_that_of_the_specification() -> None:
    assert {row.id for row in PROPERTY_TABLE} == set(PropertyId) == set(SPECIFICATION)
    for row in PROPERTY_TABLE:
        wire, packets = SPECIFICATION[row.id]
        assert row.wire == wire, row.name
        assert row.places == sum(1 << packet for packet in packets), row.name
        assert row.name.upper().replace(" ", "_") == PropertyId(row.id).name


@pytest.mark.parametrize("row", PROPERTY_TABLE, ids=lambda row: row.name)
def test_a_property_is_read_and_written_where_it_belongs_and_nowhere_else(row: PropertyRow) -> None:
    for place in PLACES:
        # A server's DISCONNECT has no expiry and a client's PUBLISH no subscription identifier: each is tried
        # from the sender that may.
        from_client = place != IN_PUBLISH
        properties: Properties = {row.id: sample(row, place)}
        if row.places & place:
            raw = write_properties(properties, place)
            assert read(raw, place, from_client) == properties
        else:
            with pytest.raises(LocalProtocolError):
                write_properties(properties, place)
            home = row.places & -row.places
            raw = write_properties({row.id: sample(row, home)}, home)
            with pytest.raises(Violation) as caught:
                read(raw, place, from_client)
            assert caught.value.reason == 0x81


SINGLE = [row for row in PROPERTY_TABLE if not row.repeatable]


@pytest.mark.parametrize("row", SINGLE, ids=lambda row: row.name)
def test_a_property_comes_once(row: PropertyRow) -> None:
    place = row.places & -row.places
    once = write_properties({row.id: sample(row, place)}, place)[1:]
    with pytest.raises(Violation) as caught:
        read(bytes([2 * len(once)]) + once + once, place, True)
    assert caught.value.reason == 0x82


RANGED = [row for row in PROPERTY_TABLE if row.rule in (FLAG, NON_ZERO)]


@pytest.mark.parametrize("row", RANGED, ids=lambda row: row.name)
def test_a_property_has_a_range(row: PropertyRow) -> None:
    place = row.places & -row.places
    value = 2 if row.rule == FLAG else 0
    with pytest.raises(LocalProtocolError):
        write_properties({row.id: [value] if row.repeatable else value}, place)
    width = {BYTE: 1, TWO_BYTES: 2, FOUR_BYTES: 4, VARINT: 1}[row.wire]
    raw = bytes([width + 1, row.id]) + value.to_bytes(width, "big")
    with pytest.raises(Violation) as caught:
        read(raw, place)
    assert caught.value.reason == (0x94 if row.id == PropertyId.TOPIC_ALIAS else 0x82)


@pytest.mark.parametrize("row", PROPERTY_TABLE, ids=lambda row: row.name)
def test_a_value_of_another_type_is_our_mistake(row: PropertyRow) -> None:
    place = row.places & -row.places
    for wire, value in SAMPLES.items():
        if type(value) is not type(sample(row, place)) or (isinstance(value, list) and wire != row.wire):
            with pytest.raises(LocalProtocolError):
                write_properties({row.id: value}, place)


def test_no_properties_are_a_zero_byte() -> None:
    """[MQTT-2.2.2-1]"""
    assert write_properties(None, IN_PUBLISH) == b"\0"
    assert write_properties({}, IN_PUBLISH) == b"\0"
    assert read(b"\0", IN_PUBLISH) is None


def test_an_identifier_out_of_the_table_is_our_mistake() -> None:
    for id in (-1, 0, 0x7F, 0x80, 1 << 20):
        with pytest.raises(LocalProtocolError):
            write_properties({id: 1}, IN_PUBLISH)


def test_a_response_topic_has_no_wildcards() -> None:
    for topic in ("", "a/+", "#"):
        with pytest.raises(LocalProtocolError):
            write_properties({PropertyId.RESPONSE_TOPIC: topic}, IN_WILL)


@pytest.mark.parametrize(
    ("id", "one", "many"),
    [
        (PropertyId.USER_PROPERTY, "26 0000 0000", [("", "")] * MAX_REPEATS),
        (PropertyId.SUBSCRIPTION_IDENTIFIER, "0b 05", [5] * MAX_REPEATS),
    ],
)
def test_a_repeated_property_has_a_bound(id: int, one: str, many: PropertyValue) -> None:
    raw = bytes.fromhex(one) * MAX_REPEATS
    assert read(write_properties({id: many}, IN_PUBLISH), IN_PUBLISH) == {id: many}
    raw += bytes.fromhex(one)
    with pytest.raises(Violation) as caught:
        read(write_varint(len(raw)) + raw, IN_PUBLISH)
    assert caught.value.reason == 0x97


def test_accessors_give_a_value_of_their_type_or_none() -> None:
    properties: Properties = {
        PropertyId.RECEIVE_MAXIMUM: 5,
        PropertyId.CONTENT_TYPE: "t",
        PropertyId.CORRELATION_DATA: b"c",
        PropertyId.USER_PROPERTY: [("a", "1"), ("a", "2")],
        PropertyId.SUBSCRIPTION_IDENTIFIER: [1, 2],
    }
    assert get_int(properties, PropertyId.RECEIVE_MAXIMUM) == 5
    assert get_str(properties, PropertyId.CONTENT_TYPE) == "t"
    assert get_bytes(properties, PropertyId.CORRELATION_DATA) == b"c"
    assert user_properties(properties) == [("a", "1"), ("a", "2")]
    assert subscription_identifiers(properties) == [1, 2]
    for nothing in (None, Properties()):
        assert get_int(nothing, PropertyId.RECEIVE_MAXIMUM) is None
        assert get_str(nothing, PropertyId.CONTENT_TYPE) is None
        assert get_bytes(nothing, PropertyId.CORRELATION_DATA) is None
        assert user_properties(nothing) == []
        assert subscription_identifiers(nothing) == []
    assert get_int(properties, PropertyId.CONTENT_TYPE) is None
    assert get_str(properties, PropertyId.RECEIVE_MAXIMUM) is None
    assert get_bytes(properties, PropertyId.CONTENT_TYPE) is None


def test_secrets_are_left_out_of_what_is_shown() -> None:
    properties: Properties = {PropertyId.AUTHENTICATION_DATA: b"s", PropertyId.AUTHENTICATION_METHOD: "m"}
    shown = without_secrets(properties)
    assert shown == {PropertyId.AUTHENTICATION_DATA: b"***", PropertyId.AUTHENTICATION_METHOD: "m"}
    assert properties[PropertyId.AUTHENTICATION_DATA] == b"s"
    assert without_secrets(None) is None


@pytest.mark.parametrize("count", [0, 1, 10, 200])
def test_the_properties_of_a_message_travel_without_their_length(count: int) -> None:
    given: Properties = {PropertyId.CONTENT_TYPE: "x" * count}
    if count:
        given[PropertyId.USER_PROPERTY] = [("name", "value")] * count
    packed = pack_message_properties(given)
    assert write_properties(given, IN_PUBLISH) == write_varint(len(packed)) + packed
    assert unpack_message_properties(packed) == given


def test_no_properties_are_no_bytes() -> None:
    assert pack_message_properties(None) == pack_message_properties({}) == b""
    assert unpack_message_properties(b"") is None


def test_bytes_that_are_no_properties_are_refused() -> None:
    with pytest.raises(ValueError, match="does not belong"):
        unpack_message_properties(b"\x7f\x00")
