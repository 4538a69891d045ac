"""Packets as values."""

import pytest

from longline.mqtt.packets import (
    Auth,
    Connack,
    Connect,
    Packet,
    Pingreq,
    Pingresp,
    Puback,
    Publish,
    Pubrec,
    Subscription,
    Value,
    Will,
)
from longline.mqtt.properties import Properties
from longline.mqtt.properties import PropertyId as P
from tests.unit.mqtt.vectors import GOOD


def test_packets_are_equal_when_all_their_fields_are() -> None:
    assert Publish("a", b"x", 1, packet_id=3) == Publish("a", b"x", 1, packet_id=3)
    assert Publish("a", b"x", 1, packet_id=3) != Publish("a", b"x", 1, packet_id=4)
    assert Puback(1) != Pubrec(1)
    assert Pingreq() == Pingreq()
    assert Pingreq() != Pingresp()
    assert Puback(1) != 1


def test_no_two_vectors_are_equal_unless_they_are_the_same_packet() -> None:
    for one in GOOD:
        for other in GOOD:
            if one.packet == other.packet:
                assert one.packet.fields() == other.packet.fields()
                assert one.packet.kind == other.packet.kind


def test_a_packet_shows_its_fields() -> None:
    assert repr(Puback(7)) == "Puback(packet_id=7, reason=0, properties=None)"
    assert repr(Pingreq()) == "Pingreq()"
    assert "filter='a/#', qos=1" in repr(Subscription("a/#", 1))


def test_a_packet_never_shows_a_secret() -> None:
    secret: Properties = {P.AUTHENTICATION_METHOD: "m", P.AUTHENTICATION_DATA: b"hunter2"}
    for packet in (
        Connect(5, "d", password=b"hunter2", properties=secret),
        Connack(properties=secret),
        Auth(0x18, secret),
    ):
        assert "hunter2" not in repr(packet)
        assert "***" in repr(packet)
    assert "***" not in repr(Connect(4, "d"))


@pytest.mark.parametrize("value", [Connect(4, "d"), Publish("t", b""), Will("t", b""), Subscription("t")])
def test_a_packet_has_no_dictionary(value: Value) -> None:
    """A dictionary for each would double the memory of what is in flight."""
    assert not hasattr(value, "__dict__")
    name = "payload_"
    with pytest.raises(AttributeError):
        setattr(value, name, b"")


def test_a_packet_cannot_be_a_key() -> None:
    """Its fields may change, so it has no hash."""
    with pytest.raises(TypeError):
        hash(Puback(1))


def test_a_bare_packet_has_a_kind_and_nothing_else() -> None:
    assert Packet(0).kind == 0
    assert Packet(0).fields() == {}
