"""What may not be written, and one message for many receivers."""

import pytest

from longline.mqtt.codec import Decoder, LocalProtocolError, PublishFrame, encode
from longline.mqtt.packets import (
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Puback,
    Publish,
    Pubrel,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
    Will,
)
from longline.mqtt.properties import Properties, pack_subscription_identifier, pack_topic_alias
from longline.mqtt.properties import PropertyId as P
from longline.mqtt.reasons import ReasonCode as R

FORBIDDEN: list[tuple[str, int, Packet]] = [
    ("another version", 5, Connect(4, "d")),
    ("a password alone in 3.1.1", 4, Connect(4, "d", password=b"p")),
    ("a lasting session without a name in 3.1.1", 4, Connect(4, "", False)),
    ("a keep alive of a day", 5, Connect(5, "d", keep_alive=86_400)),
    ("a will for everybody", 5, Connect(5, "d", will=Will("#", b""))),
    ("a will for nobody", 5, Connect(5, "d", will=Will("", b""))),
    ("a will of QoS 3", 5, Connect(5, "d", will=Will("t", b"", 3))),
    ("a will payload too large", 5, Connect(5, "d", will=Will("t", bytes(65_536)))),
    ("a client id too long", 5, Connect(5, "d" * 65_536)),
    ("a refusal with a session", 5, Connack(True, R.BANNED)),
    ("a refusal that 3.1.1 lacks", 4, Connack(False, R.MALFORMED_PACKET)),
    ("a refusal that CONNACK lacks", 5, Connack(False, R.SESSION_TAKEN_OVER)),
    ("no topic", 4, Publish("", b"")),
    ("neither topic nor alias", 5, Publish("", b"", properties={P.CONTENT_TYPE: "t"})),
    ("an alias in 3.1.1", 4, Publish("", b"", properties={P.TOPIC_ALIAS: 1})),
    ("a wildcard", 5, Publish("a/+", b"")),
    ("a null", 5, Publish("a\0", b"")),
    ("a topic too long", 5, Publish("a" * 65_536, b"")),
    ("QoS 3", 5, Publish("a", b"", 3, packet_id=1)),
    ("QoS -1", 5, Publish("a", b"", -1, packet_id=1)),
    ("a duplicate of QoS 0", 5, Publish("a", b"", dup=True)),
    ("an identifier at QoS 0", 5, Publish("a", b"", packet_id=1)),
    ("no identifier at QoS 1", 5, Publish("a", b"", 1)),
    ("an identifier too large", 5, Publish("a", b"", 1, packet_id=65_536)),
    ("a property out of place", 5, Publish("a", b"", properties={P.SERVER_KEEP_ALIVE: 1})),
    ("an acknowledgement of nothing", 4, Puback(0)),
    ("an acknowledgement of nothing, with a reason", 5, Puback(0, R.NOT_AUTHORIZED)),
    ("a reason out of place", 5, Pubrel(1, R.NOT_AUTHORIZED)),
    ("no filter", 5, Subscribe(1, [])),
    ("a bad filter", 5, Subscribe(1, [Subscription("a#")])),
    ("a subscription of QoS 3", 5, Subscribe(1, [Subscription("a", 3)])),
    ("retain handling 3", 5, Subscribe(1, [Subscription("a", retain_handling=3)])),
    ("a shared subscription without local", 5, Subscribe(1, [Subscription("$share/g/a", no_local=True)])),
    ("no reason", 5, Suback(1, [])),
    ("a subscription's reason out of place", 5, Suback(1, [3])),
    ("no filter to end", 5, Unsubscribe(1, [])),
    ("a bad filter to end", 4, Unsubscribe(1, [""])),
    ("no reason for the end", 5, Unsuback(1, [])),
    ("a strange reason for the end", 5, Unsuback(1, [1])),
    ("a good-bye out of place", 5, Disconnect(R.BAD_USER_NAME_OR_PASSWORD)),
    ("AUTH in 3.1.1", 4, Auth()),
    ("a strange AUTH", 5, Auth(1)),
    ("no packet at all", 5, Packet(0)),
]


@pytest.mark.parametrize(
    ("version", "packet"), [row[1:] for row in FORBIDDEN], ids=[row[0] for row in FORBIDDEN]
)
def test_what_the_standard_forbids_is_not_written(version: int, packet: Packet) -> None:
    with pytest.raises(LocalProtocolError):
        encode(packet, version)


def test_what_3_1_1_cannot_say_is_left_out() -> None:
    properties: Properties = {P.REASON_STRING: "why"}
    assert encode(Puback(1, R.NOT_AUTHORIZED, properties), 4) == encode(Puback(1), 4)
    assert encode(Disconnect(R.SERVER_BUSY, properties), 4) == b"\xe0\0"
    assert encode(Suback(1, [0, R.NOT_AUTHORIZED, 2], properties), 4) == bytes.fromhex("90 05 0001 00 80 02")
    assert encode(Unsuback(1, [0x11], properties), 4) == bytes.fromhex("b0 02 0001")
    assert encode(Connack(False, R.BANNED, properties), 4) == bytes.fromhex("20 02 00 05")
    assert encode(Publish("t", b"x", properties={P.CONTENT_TYPE: "c"}), 4) == encode(Publish("t", b"x"), 4)
    options = Subscription("a", 1, True, True, 2)
    assert encode(Subscribe(1, [options]), 4) == encode(Subscribe(1, [Subscription("a", 1)]), 4)


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("retain", [False, True])
@pytest.mark.parametrize("size", [0, 1, 100, 128, 16_380, 300_000])
def test_a_frame_is_what_encode_would_have_written(version: int, retain: bool, size: int) -> None:
    properties: Properties = {P.USER_PROPERTY: [("message-id", "1")]}
    payload = bytes(size)
    for qos in (1, 2):
        frame = PublishFrame("push/1", payload, qos, retain, properties, version)
        for packet_id in (1, 255, 256, 65_535):
            for dup in (False, True):
                packet = Publish("push/1", payload, qos, retain, dup, packet_id, properties)
                assert frame.with_id(packet_id, dup) == encode(packet, version)
        whole = encode(Publish("push/1", payload, 0, retain, properties=properties), version)
        assert frame.at_most_once == whole
        assert frame.at_most_once is frame.at_most_once


EXTRA: list[tuple[bytes, bool, Properties]] = [
    (pack_subscription_identifier(1), True, {P.SUBSCRIPTION_IDENTIFIER: [1]}),
    (
        pack_subscription_identifier(268_435_455) + pack_subscription_identifier(7),
        True,
        {P.SUBSCRIPTION_IDENTIFIER: [268_435_455, 7]},
    ),
    (pack_topic_alias(9), True, {P.TOPIC_ALIAS: 9}),
    (pack_topic_alias(9), False, {P.TOPIC_ALIAS: 9}),
]


@pytest.mark.parametrize(("packed", "named", "extra"), EXTRA)
@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("held", [0, 1, 118, 122, 123, 124, 125, 126, 127, 128, 16_000, 16_380])
def test_a_message_with_properties_of_its_receivers_own_is_as_if_it_had_come_with_them(
    qos: int, held: int, packed: bytes, named: bool, extra: Properties
) -> None:
    """However many there were: their length takes one byte, two or three."""
    properties: Properties = {P.CONTENT_TYPE: "x" * held} if held else {}
    frame = PublishFrame("t", b"payload", qos, True, properties, 5).extended(packed, named)
    topic = "t" if named else ""
    expected = Publish(topic, b"payload", qos, True, False, 5 if qos else 0, {**extra, **properties})
    raw = frame.with_id(5) if qos else frame.at_most_once
    assert Decoder(1 << 20, 5, False).feed(raw) == [expected]
    assert frame.size == len(raw)


def test_a_frame_of_qos_0_takes_no_identifier() -> None:
    frame = PublishFrame("t", b"x", 0, False, None, 5)
    assert frame.at_most_once == encode(Publish("t", b"x"), 5)
    with pytest.raises(LocalProtocolError):
        frame.with_id(1)


def test_a_frame_refuses_what_encode_refuses() -> None:
    for topic, qos in (("a/#", 1), ("", 1), ("t", 3), ("t", -1)):
        with pytest.raises(LocalProtocolError):
            PublishFrame(topic, b"", qos, False, None, 5)
    for packet_id in (0, 65_536):
        with pytest.raises(LocalProtocolError):
            PublishFrame("t", b"", 1, False, None, 5).with_id(packet_id)


def test_a_frame_is_read_back_as_the_message() -> None:
    frame = PublishFrame("t", b"x", 1, True, {P.CONTENT_TYPE: "c"}, 5)
    decoder = Decoder(1000, 5, False)
    assert decoder.feed(frame.with_id(7, True) + frame.at_most_once) == [
        Publish("t", b"x", 1, True, True, 7, {P.CONTENT_TYPE: "c"}),
        Publish("t", b"x", 0, True, properties={P.CONTENT_TYPE: "c"}),
    ]
