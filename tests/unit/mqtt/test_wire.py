"""The primitive encodings."""

import pytest

from longline.mqtt import wire

# Every border of the variable byte integer, section 1.5.5.
VARINTS = {
    0: "00",
    1: "01",
    127: "7f",
    128: "8001",
    16_383: "ff7f",
    16_384: "808001",
    2_097_151: "ffff7f",
    2_097_152: "80808001",
    268_435_455: "ffffff7f",
}


def reader(raw: str) -> wire.Reader:
    data = bytes.fromhex(raw)
    return wire.Reader(data, 0, len(data))


@pytest.mark.parametrize(("value", "raw"), VARINTS.items())
def test_a_variable_byte_integer_is_read_and_written_in_its_shortest_form(value: int, raw: str) -> None:
    assert wire.write_varint(value).hex() == raw
    assert reader(raw).varint() == value


@pytest.mark.parametrize("value", [-1, 268_435_456])
def test_a_variable_byte_integer_has_a_range(value: int) -> None:
    with pytest.raises(wire.LocalProtocolError):
        wire.write_varint(value)


@pytest.mark.parametrize("raw", ["", "80", "8000", "808000", "80808000", "80808080", "8080808001"])
def test_a_variable_byte_integer_that_is_cut_or_too_long_is_malformed(raw: str) -> None:
    with pytest.raises(wire.Violation) as caught:
        reader(raw).varint()
    assert caught.value.reason == 0x81


def test_integers_are_big_endian() -> None:
    cursor = reader("01 0203 04050607")
    assert (cursor.u8(), cursor.u16(), cursor.u32()) == (1, 0x0203, 0x04050607)
    assert cursor.left() == 0


def test_a_reader_never_looks_past_its_end() -> None:
    """What follows in the same chunk belongs to the next packet."""
    data = b"\x00\x05hello, and more"
    for read in (
        lambda: wire.Reader(data, 0, 0).u8(),
        lambda: wire.Reader(data, 0, 1).u16(),
        lambda: wire.Reader(data, 0, 3).u32(),
        lambda: wire.Reader(data, 0, 6).string(),
        lambda: wire.Reader(data, 2, 6).take(5),
    ):
        with pytest.raises(wire.Violation):
            read()
    assert wire.Reader(data, 0, 7).string() == "hello"


def test_a_packet_identifier_is_not_zero() -> None:
    with pytest.raises(wire.Violation) as caught:
        reader("0000").packet_id()
    assert caught.value.reason == 0x82
    assert reader("ffff").packet_id() == 0xFFFF


@pytest.mark.parametrize("value", ["", "a", "\ufeffmark", "日本", "\U0001f600", "\x01\x7f", "x" * 65_535])
def test_a_string_comes_back_as_it_was(value: str) -> None:
    raw = wire.write_string(value)
    assert wire.Reader(raw, 0, len(raw)).string() == value


@pytest.mark.parametrize("value", ["a\0b", "\ud800", "x" * 65_536, "é" * 32_768])
def test_a_string_that_the_wire_cannot_hold_is_our_mistake(value: str) -> None:
    with pytest.raises(wire.LocalProtocolError):
        wire.write_string(value)


@pytest.mark.parametrize("value", [-1, 65_536])
def test_two_bytes_have_a_range(value: int) -> None:
    with pytest.raises(wire.LocalProtocolError):
        wire.write_u16(value)
    with pytest.raises(wire.LocalProtocolError):
        wire.write_packet_id(value)


@pytest.mark.parametrize("value", [-1, 1 << 32])
def test_four_bytes_have_a_range(value: int) -> None:
    with pytest.raises(wire.LocalProtocolError):
        wire.write_u32(value)


def test_binary_data_has_a_length() -> None:
    assert wire.write_binary(b"ab") == b"\0\2ab"
    with pytest.raises(wire.LocalProtocolError):
        wire.write_binary(bytes(65_536))
    with pytest.raises(wire.LocalProtocolError):
        wire.write_packet_id(0)
