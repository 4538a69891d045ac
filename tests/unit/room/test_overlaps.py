"""Several filters of one client for one topic, the identifiers they bring, and topics with an alias."""

import pytest

from longline.mqtt.packets import (
    MQTT_3_1_1,
    MQTT_5_0,
    Packet,
    Puback,
    Publish,
    Suback,
    Subscribe,
    Subscription,
    Unsubscribe,
)
from longline.mqtt.properties import Properties, PropertyId, get_int, subscription_identifiers
from longline.mqtt.reasons import ReasonCode
from tests.unit.room.fixture import Peer, RoomFixture

NOBODY = ReasonCode.NO_MATCHING_SUBSCRIBERS


def subscribe(peer: Peer, wanted: list[Subscription], identifier: int = 0) -> None:
    properties: Properties | None = {PropertyId.SUBSCRIPTION_IDENTIFIER: [identifier]} if identifier else None
    peer.send(Subscribe(1, wanted, properties))
    assert peer.receive() == [Suback(1, [each.qos for each in wanted])]


def published(packets: list[Packet]) -> list[Publish]:
    return [packet for packet in packets if isinstance(packet, Publish)]


def ids(packets: list[Packet]) -> list[list[int]]:
    return [sorted(subscription_identifiers(packet.properties)) for packet in published(packets)]


# --- no local ------------------------------------------------------------------------------------------

LOCAL, ELSEWHERE = Subscription("a/b", 1, no_local=True), Subscription("a/#", 0)


@pytest.mark.parametrize("order", [[LOCAL, ELSEWHERE], [ELSEWHERE, LOCAL]])
def test_no_local_hides_nothing_that_another_filter_wants(order: list[Subscription]) -> None:
    """[MQTT-3.8.3-3] is about one subscription; [MQTT-3.3.4-2] about those that are left of several."""
    room = RoomFixture()
    peer = room.client("phone")
    subscribe(peer, order)
    peer.send(Publish("a/b", b"mine", 1, packet_id=5))
    assert peer.receive() == [Publish("a/b", b"mine", 0), Puback(5)]
    room.client("sender").send(Publish("a/b", b"theirs", 1, packet_id=1))
    assert [(p.payload, p.qos) for p in published(peer.receive())] == [(b"theirs", 1)]


def test_a_message_of_ones_own_is_hidden_when_every_filter_says_no_local() -> None:
    room = RoomFixture()
    peer = room.client("phone")
    subscribe(peer, [LOCAL, Subscription("a/#", 0, no_local=True)])
    peer.send(Publish("a/b", b"mine", 1, packet_id=5))
    assert peer.receive() == [Puback(5, NOBODY)]


def test_a_message_of_ones_own_comes_with_the_identifiers_of_the_filters_that_are_left() -> None:
    room = RoomFixture()
    peer = room.client("phone")
    subscribe(peer, [LOCAL], 1)
    subscribe(peer, [ELSEWHERE], 2)
    peer.send(Publish("a/b", b"mine"))
    assert ids(peer.receive()) == [[2]]
    room.client("sender").send(Publish("a/b", b"theirs"))
    assert ids(peer.receive()) == [[1, 2]]


# --- identifiers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_copy_has_the_identifiers_of_all_filters_that_match(qos: int) -> None:
    """[MQTT-3.3.4-3], [MQTT-3.3.4-4]; the same one as often as it matches."""
    room = RoomFixture()
    peer, plain = room.client("phone"), room.client("plain")
    subscribe(peer, [Subscription("a/b", 0), Subscription("a/+", 2)], 268_435_455)
    subscribe(peer, [Subscription("#", 1)], 1)
    subscribe(peer, [Subscription("+/b", 0)])
    subscribe(peer, [Subscription("a/c", 2)], 9)
    subscribe(plain, [Subscription("a/b", 2)])
    sender = room.client("sender")
    given: Properties = {PropertyId.CONTENT_TYPE: "text/x"}
    sender.send(Publish("a/b", b"x", qos, packet_id=1 if qos else 0, properties=given))
    (copy,) = published(peer.receive())
    assert copy.qos == qos
    assert sorted(subscription_identifiers(copy.properties)) == [1, 268_435_455, 268_435_455]
    assert copy.properties is not None
    assert copy.properties[PropertyId.CONTENT_TYPE] == "text/x"
    assert published(plain.receive()) == [
        Publish("a/b", b"x", qos, packet_id=1 if qos else 0, properties=given)
    ]


def test_a_publishers_subscription_identifier_never_gets_here() -> None:
    """[MQTT-3.3.4-6]"""
    room = RoomFixture()
    peer = room.client("phone")
    subscribe(peer, [Subscription("a", 0)], 3)
    sender = room.client("sender", MQTT_3_1_1)
    sender.send(Publish("a", b"x"))
    assert ids(peer.receive()) == [[3]]


def test_subscribing_again_replaces_the_identifier_and_without_one_takes_it_away() -> None:
    """[MQTT-3.8.4-3]"""
    room = RoomFixture()
    peer, sender = room.client("phone"), room.client("sender")
    got = []
    for identifier in (3, 4, 0):
        subscribe(peer, [Subscription("a", 0)], identifier)
        sender.send(Publish("a", b"x"))
        got += ids(peer.receive())
    assert got == [[3], [4], []]
    peer.send(Unsubscribe(2, ["a"]))
    assert peer.session.tenant.subscriptions.size == 0


def test_a_session_knows_the_options_of_its_filters() -> None:
    room = RoomFixture()
    peer = room.client("phone")
    subscribe(peer, [Subscription("a", 1, True, True, 2)], 300)
    subscribe(peer, [Subscription("b", 2)])
    assert peer.session.subscriptions == {"a": 300 << 8 | 0b10_1101, "b": 2}


def test_a_message_that_waited_has_its_identifiers() -> None:
    room = RoomFixture()
    peer, other = room.client("phone", window=1), room.client("other", window=1)
    subscribe(peer, [Subscription("a", 1)], 3)
    subscribe(other, [Subscription("a", 1)], 4)
    sender = room.client("sender")
    sender.send(*(Publish("a", b"x", 1, packet_id=n) for n in (1, 2, 3)))
    for client, identifier in ((peer, 3), (other, 4)):
        for packet_id in (1, 2, 3):
            assert ids(client.receive()) == [[identifier]]
            client.send(Puback(packet_id))


@pytest.mark.parametrize("qos", [0, 1])
def test_identifiers_count_against_the_clients_maximum_packet_size(qos: int) -> None:
    """[MQTT-3.1.2-24]"""
    room = RoomFixture()
    size = 2 + 3 + 2 * qos + 1 + 2 + 40  # header, topic, identifier, properties' length, identifier, payload
    sizes = {size: 1, size - 1: 0}
    peers = {}
    for limit in sizes:
        peers[limit] = room.client(f"d{limit}", properties={PropertyId.MAXIMUM_PACKET_SIZE: limit})
        subscribe(peers[limit], [Subscription("a", 1)], 5)
    sender = room.client("sender")
    sender.send(Publish("a", bytes(40), qos, packet_id=qos))
    assert {limit: len(published(peer.receive())) for limit, peer in peers.items()} == sizes
    assert room.counters.messages_dropped_size == 1


# --- what a publisher is told --------------------------------------------------------------------------


def test_who_publishes_what_nobody_had_room_for_may_try_again() -> None:
    """0x97, and not 0x10: there is somebody."""
    room = RoomFixture(session_queue=0)
    peer = room.client("phone", window=1)
    subscribe(peer, [Subscription("a", 1)])
    sender = room.client("sender")
    sender.send(Publish("a", b"1", 1, packet_id=1), Publish("a", b"2", 1, packet_id=2))
    assert sender.receive() == [Puback(1), Puback(2, ReasonCode.QUOTA_EXCEEDED)]
    other = room.client("other")
    subscribe(other, [Subscription("a", 1)])
    sender.send(Publish("a", b"3", 1, packet_id=3))
    assert sender.receive() == [Puback(3)]  # somebody has it: a second copy would be one too many
    assert room.counters.messages_dropped_slow == 2


def test_who_publishes_what_is_too_large_for_those_who_want_it_has_done_so() -> None:
    """[MQTT-3.1.2-25]"""
    room = RoomFixture()
    peer = room.client("phone", properties={PropertyId.MAXIMUM_PACKET_SIZE: 50})
    subscribe(peer, [Subscription("a", 1)])
    sender = room.client("sender")
    sender.send(Publish("a", bytes(100), 1, packet_id=1))
    assert sender.receive() == [Puback(1)]


def test_a_full_queue_in_one_slice_of_many_is_told_when_nobody_had_room_in_any() -> None:
    room = RoomFixture(session_queue=0, turn_budget=2)
    peers = [room.client(f"d{number}", window=1) for number in range(5)]
    for peer in peers:
        subscribe(peer, [Subscription("a", 1)])
    sender = room.client("sender")
    sender.send(Publish("a", b"1", 1, packet_id=1), Publish("a", b"2", 1, packet_id=2))
    assert sender.receive() == [Puback(1), Puback(2, ReasonCode.QUOTA_EXCEEDED)]


# --- aliases that we give ------------------------------------------------------------------------------

LONG = "a/topic/that/is/worth/while"


def listener(room: RoomFixture, maximum: int, qos: int = 0, largest: int = 0, window: int = 16) -> Peer:
    properties: Properties = {PropertyId.TOPIC_ALIAS_MAXIMUM: maximum}
    if largest:
        properties[PropertyId.MAXIMUM_PACKET_SIZE] = largest
    peer = room.client("phone", properties=properties, window=window)
    subscribe(peer, [Subscription("#", qos)])
    return peer


def told(packets: list[Packet]) -> list[tuple[str, int | None]]:
    return [(p.topic, get_int(p.properties, PropertyId.TOPIC_ALIAS)) for p in published(packets)]


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_topic_that_comes_again_is_abbreviated_for_who_takes_aliases(qos: int) -> None:
    """[MQTT-3.1.2-26], [MQTT-3.3.2-7]: the next connection begins anew."""
    room = RoomFixture()
    for _ in range(2):
        peer = listener(room, 5, qos)
        sender = room.client("sender")
        sender.send(*(Publish(LONG, b"x", qos, packet_id=n if qos else 0) for n in range(1, 5)))
        assert told(peer.receive()) == [(LONG, None), (LONG, 1), ("", 1), ("", 1)]


def test_who_takes_no_aliases_is_given_none() -> None:
    """[MQTT-3.1.2-27]"""
    room = RoomFixture()
    peer = listener(room, 0)
    sender = room.client("sender")
    sender.send(*(Publish(LONG, b"x") for _ in range(3)))
    assert told(peer.receive()) == [(LONG, None)] * 3


def test_an_alias_that_would_make_a_message_too_large_is_not_told() -> None:
    """[MQTT-3.1.2-24]"""
    room = RoomFixture()
    sender = room.client("sender")
    size = 2 + 2 + len(LONG) + 1 + 10
    peer = listener(room, 5, largest=size)
    sender.send(*(Publish(LONG, bytes(10)) for _ in range(3)))
    assert told(peer.receive()) == [(LONG, None)] * 3
    sender.send(*(Publish(LONG, b"x") for _ in range(2)), Publish(LONG, bytes(10)))
    assert told(peer.receive()) == [(LONG, None), (LONG, 1), ("", 1)]


def test_a_message_that_waited_is_abbreviated_as_the_connection_has_it_then() -> None:
    room = RoomFixture()
    peer = listener(room, 5, 1, window=1)
    sender = room.client("sender")
    sender.send(*(Publish(LONG, b"%d" % n, 1, packet_id=n) for n in range(1, 5)))
    got = []
    for packet_id in range(1, 5):
        got += told(peer.receive())
        peer.send(Puback(packet_id))
    assert got == [(LONG, None), (LONG, 1), ("", 1), ("", 1)]


@pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])
def test_aliases_and_identifiers_come_together(version: int) -> None:
    room = RoomFixture()
    peer = room.client("phone", properties={PropertyId.TOPIC_ALIAS_MAXIMUM: 1})
    subscribe(peer, [Subscription(LONG, 0)], 7)
    sender = room.client("sender", version)
    sender.send(*(Publish(LONG, b"x") for _ in range(3)))
    packets = peer.receive()
    assert told(packets) == [(LONG, None), (LONG, 1), ("", 1)]
    assert ids(packets) == [[7]] * 3
