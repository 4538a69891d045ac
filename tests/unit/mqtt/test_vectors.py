"""The table of vectors, driven through the decoder and the encoder."""

import pytest

from longline.mqtt.codec import Decoder, encode
from longline.mqtt.packets import CONNECT, Packet
from tests.unit.mqtt.vectors import BAD, GOOD, LENIENT, Bad, Good

READ = [*GOOD, *LENIENT]
SMALL = [vector for vector in READ if len(vector.raw) < 20_000]
LIMIT = 4 * 1024 * 1024


def decoder_for(vector: Good | Bad) -> Decoder:
    return Decoder(LIMIT, vector.version, vector.from_client)


def name(vector: Good | Bad) -> str:
    return vector.name


@pytest.mark.parametrize("vector", READ, ids=name)
def test_a_packet_arrives_whole(vector: Good) -> None:
    decoder = decoder_for(vector)
    assert decoder.feed(vector.raw) == [vector.packet]
    assert decoder.fault is None
    assert decoder.held == 0


@pytest.mark.parametrize("vector", SMALL, ids=name)
def test_a_packet_arrives_byte_by_byte(vector: Good) -> None:
    """It comes with its last byte, not before and not after, and nothing is held then."""
    decoder = decoder_for(vector)
    for index in range(len(vector.raw) - 1):
        assert decoder.feed(vector.raw[index : index + 1]) == []
        assert decoder.fault is None
        assert decoder.held == index + 1
    assert decoder.feed(vector.raw[-1:]) == [vector.packet]
    assert decoder.held == 0


@pytest.mark.parametrize("vector", [v for v in SMALL if v.packet.kind != CONNECT], ids=name)
def test_a_packet_arrives_with_the_beginning_of_the_next(vector: Good) -> None:
    decoder = decoder_for(vector)
    half = len(vector.raw) // 2
    assert decoder.feed(vector.raw + vector.raw[:half]) == [vector.packet]
    assert decoder.held == half
    assert decoder.feed(vector.raw[half:] + vector.raw) == [vector.packet, vector.packet]


@pytest.mark.parametrize("vector", SMALL, ids=name)
def test_a_packet_that_ends_early_never_arrives(vector: Good) -> None:
    """A body that is shorter than its own fields is refused, wherever it is cut."""
    header = 1 + next(index for index in range(1, 5) if vector.raw[index] < 0x80)
    for size in range(min(len(vector.raw) - header, 127)):
        cut = vector.raw[:1] + bytes([size]) + vector.raw[header : header + size]
        decoder = decoder_for(vector)
        packets = decoder.feed(cut)
        # Some are other packets then: a message with less payload, an acknowledgement without a reason.
        assert (packets == []) == (decoder.fault is not None)
        assert packets != [vector.packet] or vector in LENIENT


@pytest.mark.parametrize("vector", GOOD, ids=name)
def test_a_packet_is_written_as_in_the_table(vector: Good) -> None:
    assert encode(vector.packet, vector.version) == vector.raw


@pytest.mark.parametrize("vector", BAD, ids=name)
def test_a_bad_packet_is_refused_with_its_reason(vector: Bad) -> None:
    decoder = decoder_for(vector)
    assert decoder.feed(vector.raw) == []
    fault = decoder.fault
    assert fault is not None
    assert fault.reason == vector.reason, fault
    assert fault.code == vector.reason.name.lower()
    assert fault.message


@pytest.mark.parametrize("vector", BAD, ids=name)
def test_a_bad_packet_is_refused_byte_by_byte(vector: Bad) -> None:
    decoder = decoder_for(vector)
    for index in range(len(vector.raw)):
        assert decoder.feed(vector.raw[index : index + 1]) == []
    assert decoder.fault is not None
    assert decoder.fault.reason == vector.reason


@pytest.mark.parametrize("vector", [v for v in BAD if v.version], ids=name)
def test_what_came_before_a_bad_packet_is_delivered_and_nothing_after_it(vector: Bad) -> None:
    ping = bytes.fromhex("c000")
    decoder = decoder_for(vector)
    packets: list[Packet] = decoder.feed(ping + ping + vector.raw + ping)
    assert [type(packet).__name__ for packet in packets] == ["Pingreq", "Pingreq"]
    assert decoder.fault is not None
    assert decoder.feed(ping) == []


def test_every_packet_type_is_in_the_table_in_every_version() -> None:
    for version in (4, 5):
        kinds = {vector.packet.kind for vector in GOOD if vector.version == version}
        assert kinds == set(range(1, 16 if version == 5 else 15))
