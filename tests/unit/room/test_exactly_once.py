"""QoS 2, both ways, on one connection: each step, and those that come twice or out of order."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longline.mqtt.packets import (
    MQTT_3_1,
    MQTT_3_1_1,
    MQTT_5_0,
    PUBACK,
    PUBCOMP,
    PUBREC,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
)
from longline.mqtt.properties import Properties, PropertyId
from longline.mqtt.reasons import ReasonCode
from longline.room.session.inflight import FEW, ExactlyOnce, Inflight, PacketIds
from tests.unit.room.fixture import Peer, RoomFixture

VERSIONS = pytest.mark.parametrize("version", [MQTT_3_1, MQTT_3_1_1, MQTT_5_0])
NOT_FOUND = ReasonCode.PACKET_IDENTIFIER_NOT_FOUND
IN_USE = ReasonCode.PACKET_IDENTIFIER_IN_USE
QUOTA = ReasonCode.QUOTA_EXCEEDED


def listener(
    room: RoomFixture, filter: str = "a", qos: int = 2, version: int = MQTT_5_0, window: int = 16
) -> Peer:
    peer = room.client(f"listener {room.counters.sessions}", version, window=window)
    peer.send(Subscribe(1, [Subscription(filter, qos)]))
    assert peer.receive() == [Suback(1, [qos])]
    return peer


def payloads(packets: list[Packet]) -> list[bytes]:
    return [packet.payload for packet in packets if isinstance(packet, Publish)]


def first(packet_id: int, payload: bytes = b"x", dup: bool = False) -> Publish:
    return Publish("a", payload, 2, dup=dup, packet_id=packet_id)


# --- from the client -----------------------------------------------------------------------------------


@VERSIONS
def test_a_publication_goes_through_all_of_its_steps(version: int) -> None:
    """[MQTT-4.3.3-8], [MQTT-4.3.3-11]"""
    room = RoomFixture()
    peer = listener(room, qos=0)
    sender = room.client("sender", version)
    sender.send(first(7))
    assert sender.receive() == [Pubrec(7)]
    assert payloads(peer.receive()) == [b"x"]
    assert sender.session.received is not None
    sender.send(Pubrel(7))
    assert sender.receive() == [Pubcomp(7)]
    assert sender.session.plain is None
    assert room.counters.refused == {}


@VERSIONS
@pytest.mark.parametrize("dup", [False, True])
def test_what_is_sent_again_before_it_is_released_is_answered_and_goes_to_nobody(
    version: int, dup: bool
) -> None:
    """[MQTT-4.3.3-10], whatever DUP says."""
    room = RoomFixture()
    peer = listener(room, qos=0)
    sender = room.client("sender", version)
    sender.send(first(7, b"1"), first(7, b"1", dup), first(7, b"1", dup))
    assert sender.receive() == [Pubrec(7)] * 3
    assert payloads(peer.receive()) == [b"1"]
    assert room.counters.messages_in == 1
    sender.send(Pubrel(7), Pubrel(7))
    assert sender.receive() == [Pubcomp(7), Pubcomp(7, NOT_FOUND if version == MQTT_5_0 else 0)]


@VERSIONS
def test_an_identifier_that_was_released_stands_for_a_new_message(version: int) -> None:
    """[MQTT-4.3.3-12]"""
    room = RoomFixture()
    peer = listener(room, qos=0)
    sender = room.client("sender", version)
    for payload in (b"1", b"2"):
        sender.send(first(7, payload, dup=payload == b"2"), Pubrel(7))
        assert sender.receive() == [Pubrec(7), Pubcomp(7)]
    assert payloads(peer.receive()) == [b"1", b"2"]


def test_an_identifier_whose_publication_was_refused_stands_for_a_new_message() -> None:
    """[MQTT-4.3.3-9]"""
    room = RoomFixture()
    peer = listener(room, qos=0)
    sender = room.client("sender")
    sender.send(Publish("up/x", b"x", 2, packet_id=7), first(7, b"new"))
    assert sender.receive() == [Pubrec(7, ReasonCode.NOT_AUTHORIZED), Pubrec(7)]
    assert payloads(peer.receive()) == [b"new"]


def test_who_publishes_to_nobody_is_told_and_has_to_release_it_all_the_same() -> None:
    room = RoomFixture()
    sender = room.client("sender")
    sender.send(first(7), Pubrel(7))
    assert sender.receive() == [Pubrec(7, ReasonCode.NO_MATCHING_SUBSCRIBERS), Pubcomp(7)]


def test_pubrecs_keep_the_order_of_the_publications_and_pubacks_among_them() -> None:
    """[MQTT-4.6.0-3]"""
    room = RoomFixture(turn_budget=3)
    for _ in range(8):
        listener(room, qos=0)
    sender = room.client("sender")
    sender.send(first(1), Publish("a", b"x", 1, packet_id=2), first(3), Pingreq())
    assert sender.receive() == [Pubrec(1), Puback(2), Pubrec(3), Pingresp()]


def test_more_publications_than_receive_maximum_end_the_connection_until_they_are_completed() -> None:
    """[MQTT-3.3.4-7]: those count that have no PUBCOMP yet, and of QoS 1 those without a PUBACK."""
    room = RoomFixture(receive_maximum=3)
    sender = room.client("sender")
    sender.send(first(1), first(2), first(3), first(2, dup=True))
    assert len(sender.receive()) == 4
    sender.send(Pubrel(2), first(4), Publish("up/x", b"x"))
    assert sender.receive() == [Pubcomp(2), Pubrec(4, ReasonCode.NO_MATCHING_SUBSCRIBERS)]
    sender.send(Publish("a", b"x", 1, packet_id=5))
    assert sender.receive() == [Disconnect(ReasonCode.RECEIVE_MAXIMUM_EXCEEDED)]
    assert sender.over


def test_a_client_of_3_1_1_was_told_of_no_maximum_and_may_begin_with_every_identifier() -> None:
    """Its PUBRELs are behind its PUBLISHes: who stopped reading for it would wait for ever."""
    room = RoomFixture(receive_maximum=3)
    sender = room.client("sender", MQTT_3_1_1)
    for packet_id in range(1, 1001):
        sender.send(first(packet_id))
    assert len(sender.receive()) == 1000
    for packet_id in range(1, 1001):
        sender.send(Pubrel(packet_id))
    assert sender.receive() == [Pubcomp(packet_id) for packet_id in range(1, 1001)]
    assert sender.session.plain is None


def test_an_identifier_in_use_is_refused_to_other_packets_of_mqtt_5() -> None:
    """[MQTT-2.2.1-3], sections 3.4.2.1, 3.9.3 and 3.11.3"""
    room = RoomFixture()
    sender = room.client("sender")
    sender.send(first(7))
    sender.receive()
    sender.send(
        Publish("a", b"x", 1, packet_id=7),
        Subscribe(7, [Subscription("a"), Subscription("b")]),
        Unsubscribe(7, ["a"]),
        Pubrel(7),
        Subscribe(7, [Subscription("a")]),
    )
    assert sender.receive() == [
        Puback(7, IN_USE),
        Suback(7, [IN_USE, IN_USE]),
        Unsuback(7, [IN_USE]),
        Pubcomp(7),
        Suback(7, [0]),
    ]


def test_a_client_of_3_1_1_that_uses_an_identifier_twice_is_served() -> None:
    """It has no word for it."""
    room = RoomFixture()
    sender = room.client("sender", MQTT_3_1_1)
    sender.send(first(7), Subscribe(7, [Subscription("b", 0)]), Publish("b", b"x", 1, packet_id=7), Pubrel(7))
    assert sender.receive() == [Pubrec(7), Suback(7, [0]), Publish("b", b"x"), Puback(7), Pubcomp(7)]


# --- to the client -------------------------------------------------------------------------------------


@VERSIONS
def test_a_delivery_goes_through_all_of_its_steps(version: int) -> None:
    """[MQTT-4.3.3-1], [MQTT-4.3.3-2], [MQTT-4.3.3-4], [MQTT-4.3.3-5]"""
    room = RoomFixture()
    peer = listener(room, version=version)
    room.client("sender").send(first(9))
    (publish,) = peer.receive()
    assert publish == Publish("a", b"x", 2, packet_id=1)
    assert inflight(peer) == [(1, PUBREC)]
    peer.send(Pubrec(1))
    assert peer.receive() == [Pubrel(1)]
    assert inflight(peer) == [(1, PUBCOMP)]
    assert peer.session.window.free() == 15
    peer.send(Pubcomp(1))
    assert peer.receive() == []
    assert peer.session.window.free() == 16
    assert room.counters.refused == {}


def inflight(peer: Peer) -> list[tuple[int, int]]:
    table = peer.session.window.inflight
    return [] if table is None else table.steps()


@pytest.mark.parametrize("granted", [0, 1, 2])
@pytest.mark.parametrize("published", [0, 1, 2])
@VERSIONS
def test_a_subscriber_gets_the_lower_of_the_two_qos(version: int, published: int, granted: int) -> None:
    """[MQTT-3.8.4-8]"""
    room = RoomFixture()
    peer = listener(room, qos=granted, version=version)
    room.client("sender").send(Publish("a", b"x", published, packet_id=3 if published else 0))
    (publish,) = peer.receive()
    assert isinstance(publish, Publish)
    assert publish.qos == min(published, granted)


def test_a_pubrec_that_comes_twice_is_answered_twice() -> None:
    room = RoomFixture()
    peer = listener(room)
    room.client("sender").send(first(9))
    peer.receive()
    peer.send(Pubrec(1), Pubrec(1), Pubcomp(1))
    assert peer.receive() == [Pubrel(1), Pubrel(1)]
    assert inflight(peer) == []


@pytest.mark.parametrize("released", [False, True])
def test_a_pubrec_that_refuses_ends_the_delivery(released: bool) -> None:
    """[MQTT-4.3.3-4], [MQTT-4.4.0-2]: no PUBREL, and the identifier is free."""
    room = RoomFixture()
    peer = listener(room)
    room.client("sender").send(first(9))
    peer.receive()
    if released:
        peer.send(Pubrec(1))
        peer.receive()
    peer.send(Pubrec(1, QUOTA))
    assert peer.receive() == []
    assert peer.session.window.free() == 16
    assert not peer.over


WRONG: list[tuple[int, list[Packet], Packet]] = [
    # the QoS of a delivery, what was answered, and what must not be
    (1, [], Pubrec(1)),
    (1, [], Pubcomp(1)),
    (2, [], Puback(1)),
    (2, [], Pubcomp(1)),
    (2, [Pubrec(1)], Puback(1)),
]


@VERSIONS
@pytest.mark.parametrize(("qos", "before", "wrong"), WRONG)
def test_an_answer_of_another_qos_is_a_protocol_error(
    version: int, qos: int, before: list[Packet], wrong: Packet
) -> None:
    """[MQTT-3.3.4-1]"""
    room = RoomFixture()
    peer = listener(room, version=version)
    room.client("sender").send(Publish("a", b"x", qos, packet_id=1))
    peer.receive()
    peer.send(*before)
    peer.receive()
    peer.send(wrong)
    assert peer.receive() == ([Disconnect(ReasonCode.PROTOCOL_ERROR)] if version == MQTT_5_0 else [])
    assert peer.over


def test_what_is_not_completed_takes_a_place_in_the_window() -> None:
    """[MQTT-3.3.4-9], [MQTT-4.9.0-2]; [MQTT-3.3.4-10]: PUBREL and PINGRESP do not wait for it."""
    room = RoomFixture()
    peer = listener(room, window=2)
    sender = room.client("sender")
    sender.send(*(first(n, b"%d" % n) for n in (1, 2, 3, 4)))
    assert payloads(peer.receive()) == [b"1", b"2"]
    peer.send(Pubrec(1), Pubrec(2), Pingreq())
    assert peer.receive() == [Pubrel(1), Pubrel(2), Pingresp()]
    peer.send(Pubcomp(2))
    assert payloads(peer.receive()) == [b"3"]
    peer.send(Pubcomp(1))
    assert payloads(peer.receive()) == [b"4"]


def test_a_subscriber_that_completes_nothing_has_a_bounded_queue_and_its_publisher_is_told() -> None:
    room = RoomFixture(session_queue=2)
    peer = listener(room, window=1)
    sender = room.client("sender")
    sender.send(*(first(n) for n in range(1, 6)))
    assert sender.receive() == [Pubrec(1), Pubrec(2), Pubrec(3), Pubrec(4, QUOTA), Pubrec(5, QUOTA)]
    assert len(payloads(peer.receive())) == 1
    assert sender.session.received is not None
    assert sender.session.received.all() == [1, 2, 3]
    assert room.counters.messages_dropped_slow == 2


@VERSIONS
def test_a_message_that_waited_is_written_with_its_qos_and_what_is_left_of_its_time(version: int) -> None:
    room = RoomFixture()
    peer = listener(room, version=version, window=1)
    expiring: Properties = {PropertyId.MESSAGE_EXPIRY_INTERVAL: 60}
    sender = room.client("sender")
    sender.send(first(1), Publish("a", b"2", 2, packet_id=2, properties=expiring))
    peer.receive()
    room.wall += 10_000
    peer.send(Pubrec(1), Pubcomp(1))
    left: Properties | None = {PropertyId.MESSAGE_EXPIRY_INTERVAL: 50} if version == MQTT_5_0 else None
    assert peer.receive() == [Pubrel(1), Publish("a", b"2", 2, packet_id=2, properties=left)]
    # [MQTT-4.3.3-7], [MQTT-4.3.3-13] what has begun comes to its end
    room.wall += 100_000
    peer.send(Pubrec(2), Pubcomp(2))
    assert peer.receive() == [Pubrel(2)]
    assert room.counters.messages_dropped_expired == 0


def test_deliveries_of_qos_2_go_on_after_unsubscribe() -> None:
    """[MQTT-3.10.4-3]"""
    room = RoomFixture()
    peer = listener(room)
    sender = room.client("sender")
    sender.send(first(1))
    peer.receive()
    peer.send(Unsubscribe(2, ["a"]))
    sender.send(first(2))
    assert peer.receive() == [Unsuback(2, [0])]
    peer.send(Pubrec(1), Pubcomp(1))
    assert peer.receive() == [Pubrel(1)]


# --- both at once --------------------------------------------------------------------------------------


@given(seed=st.integers(0, 2**32), count=st.integers(1, 5), version=st.sampled_from([MQTT_3_1_1, MQTT_5_0]))
def test_however_often_both_repeat_themselves_each_message_comes_once(
    seed: int, count: int, version: int
) -> None:
    """A sender that repeats any step until it is answered, a receiver that does, and any order of the two."""
    chance = random.Random(seed)
    room = RoomFixture(session_queue=1000)
    peer = listener(room, window=3)
    sender = room.client("sender", version)
    steps = dict.fromkeys(range(1, count + 1), 0)  # 0: PUBLISH, 1: PUBREL, 2: done
    got: list[bytes] = []
    pending: dict[int, int] = {}  # what the receiver has begun with: the identifier, and its step
    while any(step < 2 for step in steps.values()) or pending:
        if chance.random() < 0.5:
            open_steps = [number for number, step in steps.items() if step < 2]
            if open_steps:
                number = chance.choice(open_steps)
                for _ in range(chance.randint(1, 3)):
                    sender.send(first(number, b"%d" % number) if steps[number] == 0 else Pubrel(number))
                answers = sender.receive()
                assert {type(answer) for answer in answers} == {Pubrec if steps[number] == 0 else Pubcomp}
                steps[number] += 1
        if pending:
            packet_id = chance.choice(sorted(pending))
            if pending[packet_id] == 0:
                for _ in range(chance.randint(1, 2)):
                    peer.send(Pubrec(packet_id))
                pending[packet_id] = 1
            else:
                peer.send(Pubcomp(packet_id))
                del pending[packet_id]
        for packet in peer.receive():
            if isinstance(packet, Publish):
                assert packet.packet_id not in pending
                pending[packet.packet_id] = 0
                got.append(packet.payload)
    assert sorted(got) == [b"%d" % number for number in steps]
    assert sender.session.plain is None
    assert inflight(peer) == []


# --- the tables ----------------------------------------------------------------------------------------


def test_what_is_under_way_can_be_told_and_gone_on_with() -> None:
    table = Inflight()
    ids = [table.add(entry) for entry in (None, ExactlyOnce(), ExactlyOnce(), None)]
    table.take(ids[0])
    table.release(ids[1])
    steps = table.steps()
    assert steps == [(2, PUBCOMP), (3, PUBREC), (4, PUBACK)]
    other = Inflight()
    other.restore(steps)
    assert other.steps() == steps
    assert other.add(None) == 5
    assert other.awaits(2) == PUBCOMP
    assert len(other) == 4


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 65_535)), max_size=3 * FEW))
def test_a_table_of_identifiers_is_a_set(steps: list[tuple[bool, int]]) -> None:
    table, expected = PacketIds(), set[int]()
    for adding, packet_id in steps:
        if adding:
            table.add(packet_id)
            expected.add(packet_id)
        else:
            table.discard(packet_id)
            expected.discard(packet_id)
        assert (packet_id in table) == (packet_id in expected)
        assert len(table) == len(expected)
    assert table.all() == sorted(expected)
    assert PacketIds(table.all()).all() == table.all()


def test_a_table_of_all_identifiers_takes_eight_kilobytes() -> None:
    table = PacketIds(range(1, 65_536))
    assert len(table) == 65_535
    assert table.all() == list(range(1, 65_536))
    for packet_id in range(1, 65_536):
        table.discard(packet_id)
    assert len(table) == 0
