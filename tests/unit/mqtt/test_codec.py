"""The decoder as a stream: how it cuts, what it holds, when it gives up."""

import pytest

from longline.mqtt.codec import Decoder, Fault, encode, payload_is_as_declared
from longline.mqtt.packets import (
    MQTT_3_1,
    MQTT_3_1_1,
    Connack,
    Connect,
    Packet,
    Pingreq,
    Publish,
    Pubrel,
    Suback,
    Subscribe,
    Subscription,
    Unsubscribe,
)
from longline.mqtt.properties import Properties, PropertyId
from longline.mqtt.reading import MAX_FILTERS
from longline.mqtt.reasons import ReasonCode
from tests.unit.mqtt.vectors import GOOD

KIB = 1024
STREAM = [vector for vector in GOOD if vector.version == 5 and vector.from_client and vector.packet.kind != 1]


def feed_in_steps(decoder: Decoder, data: bytes, step: int) -> list[Packet]:
    packets: list[Packet] = []
    for begin in range(0, len(data), step):
        packets += decoder.feed(data[begin : begin + step])
    return packets


@pytest.mark.parametrize("step", [1, 2, 3, 5, 7, 64, 1000, 1 << 20])
def test_slicing_never_changes_what_arrives(step: int) -> None:
    """However the network cuts the bytes, the same packets come out."""
    data = b"".join(vector.raw for vector in STREAM)
    decoder = Decoder(4 * KIB * KIB, 5)
    assert feed_in_steps(decoder, data, step) == [vector.packet for vector in STREAM]
    assert decoder.fault is None
    assert decoder.held == 0


@pytest.mark.parametrize("version", [4, 5])
def test_connect_tells_the_version(version: int) -> None:
    decoder = Decoder(KIB)
    assert decoder.version == 0
    raw = encode(Connect(version, "d"), version) + encode(Publish("t", b"x"), version)
    assert decoder.feed(raw) == [Connect(version, "d"), Publish("t", b"x")]
    assert decoder.version == version


def test_a_packet_of_exactly_the_limit_is_read() -> None:
    """The limit counts the header, as the property Maximum Packet Size does (section 3.1.2.11.4)."""
    raw = encode(Publish("t", bytes(200)), 4)
    assert len(Decoder(len(raw), 4).feed(raw)) == 1
    decoder = Decoder(len(raw) - 1, 4)
    assert decoder.feed(raw) == []
    assert decoder.fault is not None
    assert decoder.fault.reason == ReasonCode.PACKET_TOO_LARGE


def test_a_packet_that_will_be_too_large_is_refused_at_its_header() -> None:
    decoder = Decoder(KIB, 4)
    assert decoder.feed(b"\x30\x80") == []
    assert decoder.fault is None
    assert decoder.feed(b"\x08") == []  # 1024 more bytes will come, it says
    assert decoder.fault is not None
    assert decoder.fault.reason == ReasonCode.PACKET_TOO_LARGE
    assert decoder.held == 0


def test_a_header_that_never_ends_is_refused_at_its_fifth_byte() -> None:
    decoder = Decoder(KIB, 4)
    for byte in (0x30, 0x80, 0x80, 0x80):
        decoder.feed(bytes([byte]))
        assert decoder.fault is None
    decoder.feed(b"\x80")
    assert decoder.fault is not None
    assert decoder.fault.reason == ReasonCode.MALFORMED_PACKET


@pytest.mark.parametrize("first", [b"G", b"\x16", b"\x00", b"\xc0", b"\x82"])
def test_a_stranger_is_known_by_the_first_byte(first: bytes) -> None:
    """HTTP, TLS, nothing at all, and packets of MQTT that are not CONNECT."""
    decoder = Decoder(KIB)
    assert decoder.feed(first) == []
    assert decoder.fault is not None


def test_the_limit_can_be_raised_once_a_client_is_known() -> None:
    decoder = Decoder(64)
    decoder.feed(encode(Connect(5, "d"), 5))
    decoder.max_packet_size = KIB
    message = Publish("t", bytes(500))
    assert decoder.feed(encode(message, 5)) == [message]


def test_an_idle_decoder_holds_nothing() -> None:
    decoder = Decoder(KIB, 4)
    raw = encode(Publish("t", bytes(300)), 4)
    decoder.feed(raw[:100])
    assert decoder.held == 100
    decoder.feed(raw[100:] + raw)
    assert decoder.held == 0


def test_a_large_packet_byte_by_byte_costs_linear_time() -> None:
    """Were what is held copied for each byte, this would copy half a terabyte and never end."""
    raw = encode(Publish("t", bytes(KIB * KIB)), 4)
    decoder = Decoder(2 * KIB * KIB, 4)
    for index in range(len(raw) - 1):
        assert not decoder.feed(raw[index : index + 1])
    assert decoder.held == len(raw) - 1
    assert decoder.feed(raw[-1:]) == [Publish("t", bytes(KIB * KIB))]


def test_reading_can_stop_after_some_packets() -> None:
    ping = encode(Pingreq(), 4)
    decoder = Decoder(KIB, 4)
    assert decoder.feed(ping * 3 + ping[:1], at_most=1) == [Pingreq()]
    assert decoder.held == 5
    assert decoder.feed(ping[1:], at_most=0) == []
    assert decoder.held == 6
    assert decoder.feed(b"", at_most=2) == [Pingreq(), Pingreq()]
    assert decoder.feed(b"") == [Pingreq()]
    assert decoder.held == 0


def test_gathering_does_not_judge() -> None:
    decoder = Decoder(KIB, 4)
    assert decoder.feed(b"\x00nonsense", at_most=0) == []
    assert decoder.fault is None
    assert decoder.feed(b"") == []
    assert decoder.fault is not None


def test_what_is_held_can_be_dropped() -> None:
    decoder = Decoder(KIB, 4)
    decoder.feed(b"\x30")
    decoder.forget()
    assert decoder.held == 0


@pytest.mark.parametrize("version", [4, 5])
def test_the_number_of_filters_has_a_bound(version: int) -> None:
    wanted = [Subscription("a")] * MAX_FILTERS
    filters = ["a"] * MAX_FILTERS
    packets: list[tuple[Packet, Packet]] = [
        (Subscribe(1, wanted), Subscribe(1, [*wanted, Subscription("a")])),
        (Unsubscribe(1, filters), Unsubscribe(1, [*filters, "a"])),
    ]
    for legal, excessive in packets:
        decoder = Decoder(64 * KIB, version)
        assert decoder.feed(encode(legal, version)) == [legal]
        assert decoder.feed(encode(excessive, version)) == []
        assert decoder.fault is not None
        assert decoder.fault.reason == ReasonCode.QUOTA_EXCEEDED


@pytest.mark.parametrize(
    ("name", "level"),
    [
        *((b"\0\4MQTT", level) for level in (0, 3, 6, 0x83, 0x84, 0x85, 255)),
        *((b"\0\6MQIsdp", level) for level in (0, 4, 5, 0x83, 0x84, 255)),
    ],
)
def test_a_version_we_do_not_speak_is_answered_in_the_form_that_all_understand(
    name: bytes, level: int
) -> None:
    decoder = Decoder(KIB)
    decoder.feed(bytes([0x10, len(name) + 2]) + name + bytes([level, 2]))
    assert decoder.fault is not None
    assert decoder.fault.reason == ReasonCode.UNSUPPORTED_PROTOCOL_VERSION
    assert decoder.version == MQTT_3_1_1


@pytest.mark.parametrize("packet", [Pubrel(1), Subscribe(1, [Subscription("a", 1)]), Unsubscribe(1, ["a"])])
def test_in_3_1_what_is_sent_again_may_say_so(packet: Packet) -> None:
    """Sections 3.6, 3.8 and 3.10 there; later versions reserve the bit [MQTT-3.6.1-1]."""
    raw = encode(packet, MQTT_3_1)
    again = bytes([raw[0] | 8]) + raw[1:]
    for version in (MQTT_3_1, MQTT_3_1_1):
        decoder = Decoder(KIB, version)
        assert decoder.feed(raw) == [packet]
        assert decoder.feed(again) == ([packet] if version == MQTT_3_1 else [])


def test_in_3_1_a_refused_subscription_is_acknowledged_and_no_session_is_present() -> None:
    """Its SUBACK has granted QoS only, and its CONNACK a byte that is not used."""
    assert encode(Suback(1, [1, 0x87, 2]), MQTT_3_1) == bytes.fromhex("90 05 0001 01 00 02")
    assert encode(Connack(True), MQTT_3_1) == bytes.fromhex("20 02 00 00")
    decoder = Decoder(KIB, MQTT_3_1, False)
    decoder.feed(bytes.fromhex("90 03 0001 80"))
    assert decoder.fault is not None


def test_a_fault_shows_its_reason_and_nothing_of_the_peer() -> None:
    fault = Fault(ReasonCode.MALFORMED_PACKET, "malformed_packet", "why")
    assert repr(fault) == "Fault(0x81 malformed_packet: why)"


def test_a_payload_can_be_checked_against_what_it_says_to_be() -> None:
    told: Properties = {PropertyId.PAYLOAD_FORMAT_INDICATOR: 1}
    assert payload_is_as_declared(b"\xff", None)
    assert payload_is_as_declared(b"\xff", {PropertyId.PAYLOAD_FORMAT_INDICATOR: 0})
    assert payload_is_as_declared("é".encode(), told)
    assert not payload_is_as_declared(b"\xff", told)


@pytest.mark.parametrize("cut", [0, 3, 6, 7, 8])
def test_a_connect_that_is_too_large_tells_its_version_if_that_is_there(cut: int) -> None:
    """So that its answer can be one that the client understands."""
    decoder = Decoder(KIB)
    decoder.feed(bytes.fromhex("10ffffff7f") + bytes.fromhex("00044d5154540502")[:cut])
    assert decoder.fault is not None
    assert decoder.fault.reason == ReasonCode.PACKET_TOO_LARGE
    assert decoder.version == (5 if cut > 6 else 0)
