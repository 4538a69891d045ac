"""Shared subscriptions in one room, section 4.8.2: one member gets it, and another when that one leaves."""

from collections import Counter
from itertools import chain, pairwise
from typing import cast

import pytest

from longline.mqtt.packets import (
    MQTT_3_1_1,
    MQTT_5_0,
    Disconnect,
    Packet,
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
from longline.mqtt.properties import Properties, PropertyId, get_int
from longline.mqtt.reasons import ReasonCode
from longline.room.pubsub.shared import SLICE
from longline.room.pubsub.subscriptions import Subscriber
from longline.room.session.session import Session
from tests.unit.room.fixture import APP, Peer, RoomFixture

GROUP = "$share/g/a"
QUOTA = ReasonCode.QUOTA_EXCEEDED


def member(
    room: RoomFixture,
    name: str,
    filter: str = GROUP,
    qos: int = 1,
    *,
    window: int = 16,
    properties: Properties | None = None,
) -> Peer:
    peer = room.client(name, window=window, properties=properties)
    peer.send(Subscribe(1, [Subscription(filter, qos)]))
    assert peer.receive() == [Suback(1, [qos])]
    return peer


def members(room: RoomFixture, count: int, filter: str = GROUP, qos: int = 1, window: int = 16) -> list[Peer]:
    return [member(room, f"m{n}", filter, qos, window=window) for n in range(count)]


def publish(room: RoomFixture, *payloads: bytes, qos: int = 1, topic: str = "a") -> list[Packet]:
    """A new client's publications, each with an identifier of its own; what it is answered."""
    sender = room.client(f"sender {room.counters.accepted} {room.counters.messages_in}")
    sender.send(
        *(Publish(topic, payload, qos, packet_id=n if qos else 0) for n, payload in enumerate(payloads, 1))
    )
    return sender.receive()


def published(packets: list[Packet]) -> list[Publish]:
    return [packet for packet in packets if isinstance(packet, Publish)]


def taken(peer: Peer) -> list[bytes]:
    """What a client has got, and acknowledges until there is no more."""
    found: list[bytes] = []
    while news := published(peer.receive()):
        found += [packet.payload for packet in news]
        peer.send(*(Puback(packet.packet_id) for packet in news if packet.qos == 1))
    return found


def cut(peer: Peer) -> None:
    """The connection breaks."""
    peer.connection.connection_lost(None)
    peer.room.turns.settle()


def numbers(count: int) -> list[bytes]:
    return [b"%d" % n for n in range(count)]


# --- who gets it -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_each_message_goes_to_one_member_and_all_get_as_many(qos: int) -> None:
    room = RoomFixture()
    peers = members(room, 3, qos=qos)
    publish(room, *numbers(12), qos=qos)
    got = [[packet.payload for packet in published(peer.receive())] for peer in peers]
    assert sorted(chain.from_iterable(got)) == sorted(numbers(12))
    assert [len(some) for some in got] == [4, 4, 4]
    assert room.counters.shared_routed == room.counters.messages_routed == 12


def test_every_group_gets_a_copy_and_so_does_who_subscribes_alone() -> None:
    room = RoomFixture()
    one, other = member(room, "one"), member(room, "other", "$share/h/a")
    wild, alone = member(room, "wild", "$share/g/+"), member(room, "alone", "a")
    publish(room, b"x")
    for peer in (one, other, wild, alone):
        assert [packet.payload for packet in published(peer.receive())] == [b"x"]


def test_a_client_with_both_kinds_of_subscription_gets_a_copy_for_each() -> None:
    room = RoomFixture()
    peer = room.client("both")
    for number, filter in enumerate((GROUP, "$share/g/#", "a", "#"), 1):
        peer.send(
            Subscribe(number, [Subscription(filter, 1)], {PropertyId.SUBSCRIPTION_IDENTIFIER: [number]})
        )
    peer.receive()
    publish(room, b"x")
    identifiers = [
        (packet.properties or {}).get(PropertyId.SUBSCRIPTION_IDENTIFIER)
        for packet in published(peer.receive())
    ]
    assert sorted(identifiers, key=str) == [[1], [2], [3, 4]]


def test_a_topic_that_begins_with_a_dollar_is_not_for_groups_of_wildcards() -> None:
    room = RoomFixture()
    peer = member(room, "m", "$share/g/#")
    assert publish(room, b"x", topic="$x") == [Puback(1, ReasonCode.NOT_AUTHORIZED)]
    assert peer.receive() == []


@pytest.mark.parametrize(("sent", "granted"), [(0, 2), (1, 0), (1, 1), (2, 1), (2, 2)])
def test_a_member_gets_the_qos_that_it_was_granted(sent: int, granted: int) -> None:
    """[MQTT-4.8.2-3]"""
    room = RoomFixture()
    peer = member(room, "m", qos=granted)
    publish(room, b"x", qos=sent)
    assert [packet.qos for packet in published(peer.receive())] == [min(sent, granted)]


def test_what_is_retained_is_not_sent_to_a_new_member_nor_is_the_flag_to_one_that_is_there() -> None:
    room = RoomFixture()
    asked: list[object] = []
    room.fanout.replayer = asked.append
    peer = room.client("m")
    peer.send(
        Subscribe(1, [Subscription(GROUP, 1)]), Subscribe(2, [Subscription("$share/h/a", 1, False, True)])
    )
    peer.receive()
    assert asked == []
    sender = room.client("sender")
    sender.send(Publish("a", b"x", retain=True))
    assert sorted(packet.retain for packet in published(peer.receive())) == [False, True]


def test_a_shared_subscription_without_ones_own_messages_is_a_protocol_error() -> None:
    """[MQTT-3.8.3-4]; as bytes, for we do not write such a thing."""
    peer = RoomFixture().client("m")
    filter = GROUP.encode()
    peer.bytes(bytes([0x82, 6 + len(filter), 0, 1, 0, 0, len(filter)]) + filter + b"\x05")
    assert peer.receive() == [Disconnect(ReasonCode.PROTOCOL_ERROR)]
    assert peer.over


def test_a_member_that_subscribes_again_changes_its_options_and_stays_one_member() -> None:
    room = RoomFixture()
    first, second = members(room, 2)
    first.send(Subscribe(2, [Subscription(GROUP, 0)]))
    first.receive()
    publish(room, *numbers(4))
    assert [packet.qos for packet in published(first.receive())] == [0, 0]
    assert [packet.qos for packet in published(second.receive())] == [1, 1]
    assert room.counters.shared_members == 2


def test_who_has_unsubscribed_gets_no_more_and_completes_what_it_has() -> None:
    room = RoomFixture()
    first, second = members(room, 2)
    publish(room, b"1", b"2")
    [had] = published(first.receive())
    first.send(Unsubscribe(2, [GROUP, GROUP]))
    gone = ReasonCode.NO_SUBSCRIPTION_EXISTED
    assert first.receive() == [Unsuback(2, [ReasonCode.SUCCESS, gone])]
    publish(room, b"3", b"4")
    first.send(Puback(had.packet_id))
    assert first.receive() == []
    assert len(published(second.receive())) == 3
    cut(first)
    assert second.receive() == []


def test_nothing_is_left_when_all_have_gone() -> None:
    room = RoomFixture()
    assert not room.shares.present
    peers = [*members(room, 2), member(room, "other", "$share/g/b/#")]
    assert room.shares.present
    assert room.counters.shared_groups == 2
    for peer in peers:
        cut(peer)
    assert not room.shares.present
    assert room.shares.here() == []
    assert (room.counters.shared_groups, room.counters.shared_members) == (0, 0)
    assert publish(room, b"x") == [Puback(1, ReasonCode.NO_MATCHING_SUBSCRIBERS)]


def test_a_group_of_one_app_gets_nothing_of_another() -> None:
    room = RoomFixture()
    peer = member(room, "m")
    stranger = room.client("stranger")
    room.sessions.end(stranger.session)
    session = room.session("stranger", 8, "weather")
    room.sessions.open(session)
    stranger.connection.attachment = room.sessions.attach(session, stranger.connection)
    stranger.send(Publish("a", b"x", 1, packet_id=1))
    assert stranger.receive() == [Puback(1, ReasonCode.NO_MATCHING_SUBSCRIBERS)]
    assert peer.receive() == []


# --- who cannot take it ----------------------------------------------------------------------------------


def test_one_whose_connection_holds_too_much_is_passed_over() -> None:
    room = RoomFixture(outbox_bytes=100)
    slow, quick = members(room, 2, qos=0)
    slow.wire.slow = True
    publish(room, *[b"x" * 150] * 2, qos=0)  # one each
    assert slow.connection.blocked
    publish(room, *[b"y" * 150] * 3, qos=0)
    assert [packet.payload[:1] for packet in published(quick.receive())] == [b"x", b"y", b"y", b"y"]
    assert room.counters.messages_dropped_slow == 0


def test_one_with_half_a_queue_is_passed_over_while_another_has_less() -> None:
    room = RoomFixture(session_queue=8)
    stuck, quick = members(room, 2, window=2)
    publish(room, *numbers(12))  # two in flight and four in the queue, each
    assert len(taken(quick)) == 6
    publish(room, b"a", b"b", b"c")
    assert taken(quick) == [b"a", b"b", b"c"]
    assert len(stuck.session.queue or ()) == 4


def test_when_all_are_behind_they_go_on_in_turn_until_their_queues_are_full() -> None:
    room = RoomFixture(session_queue=4)
    peers = members(room, 2, window=1)
    answers = publish(room, *numbers(11))
    assert answers == [*(Puback(n) for n in range(1, 11)), Puback(11, QUOTA)]
    assert [len(peer.session.queue or ()) for peer in peers] == [4, 4]
    assert (room.counters.shared_dropped, room.counters.messages_dropped_slow) == (1, 0)
    assert sorted(taken(peers[0]) + taken(peers[1])) == sorted(numbers(10))


def test_one_for_whom_it_is_too_large_is_passed_over() -> None:
    """[MQTT-3.1.2-24]"""
    room = RoomFixture()
    small = member(room, "small", properties={PropertyId.MAXIMUM_PACKET_SIZE: 50})
    large = member(room, "large")
    publish(room, *[b"x" * 100] * 3)
    assert small.receive() == []
    assert len(taken(large)) == 3
    cut(large)
    assert publish(room, b"x" * 100) == [Puback(1, QUOTA)]
    assert room.counters.shared_dropped == 1
    assert room.counters.messages_dropped_size == 0


def test_one_whose_connection_we_close_gets_no_more() -> None:
    room = RoomFixture()
    closing, other = members(room, 2, qos=0)
    closing.connection.close(ReasonCode.ADMINISTRATIVE_ACTION, "kicked")
    publish(room, *numbers(4), qos=0)
    assert len(published(other.receive())) == 4


def test_receive_maximum_holds_for_what_is_shared() -> None:
    """[MQTT-3.3.4-9]"""
    room = RoomFixture(session_queue=100)
    [peer] = members(room, 1, window=3)
    publish(room, *numbers(10))
    assert len(published(peer.receive())) == 3


# --- who leaves ------------------------------------------------------------------------------------------


def test_what_a_member_leaves_unacknowledged_goes_to_the_others() -> None:
    room = RoomFixture(session_queue=100)
    leaver, one, other = members(room, 3, window=4)
    publish(room, *numbers(30))
    first = published(leaver.receive())
    assert len(first) == 4  # and six wait
    leaver.send(Puback(first[0].packet_id))
    assert len(published(leaver.receive())) == 1
    cut(leaver)
    got = Counter(taken(one) + taken(other))
    assert got == Counter(set(numbers(30)) - {first[0].payload})
    assert room.counters.shared_returned == 9


@pytest.mark.parametrize("how", ["cut", "disconnect", "takeover"])
def test_it_does_so_however_the_connection_ends(how: str) -> None:
    room = RoomFixture()
    leaver, other = members(room, 2)
    publish(room, b"1", b"2")
    assert len(published(leaver.receive())) == 1
    if how == "cut":
        cut(leaver)
    elif how == "disconnect":
        leaver.send(Disconnect())
    else:
        room.client("m0")
    assert leaver.over
    assert sorted(taken(other)) == [b"1", b"2"]


def test_the_copy_for_another_member_is_none_that_was_sent_before() -> None:
    """DUP is for what the same client may have got [MQTT-3.3.1-1]; nor does the flag of another stay."""
    room = RoomFixture()
    seeing = room.client("seeing")
    seeing.send(Subscribe(1, [Subscription(GROUP, 1, False, True)]))
    seeing.receive()
    room.client("sender").send(Publish("a", b"x", 1, retain=True, packet_id=1))
    assert [packet.retain for packet in published(seeing.receive())] == [True]
    other = member(room, "other")
    cut(seeing)
    assert [(packet.dup, packet.retain) for packet in published(other.receive())] == [(False, False)]


def test_without_another_member_it_is_gone_and_counted() -> None:
    room = RoomFixture()
    [leaver] = members(room, 1)
    publish(room, b"1", b"2")
    cut(leaver)
    assert room.counters.shared_dropped == 2
    assert room.shares.coming_back() == 0


def test_what_was_begun_with_qos_2_goes_to_nobody_else_and_what_was_not_does() -> None:
    """[MQTT-4.8.2-5]: the client may have what was written, whether we have its PUBREC or not."""
    room = RoomFixture()
    leaver = member(room, "leaver", qos=2, window=2)
    publish(room, b"1", b"2", b"3", qos=2)
    first, second = published(leaver.receive())
    leaver.send(Pubrec(first.packet_id))
    assert leaver.receive() == [Pubrel(first.packet_id)]
    other = member(room, "other", qos=2)
    cut(leaver)
    [packet] = published(other.receive())
    assert (packet.payload, packet.qos) == (b"3", 2)
    other.send(Pubrec(packet.packet_id))
    assert other.receive() == [Pubrel(packet.packet_id)]
    other.send(Pubcomp(packet.packet_id))
    assert second.payload == b"2"


@pytest.mark.parametrize("qos", [1, 2])
def test_what_a_member_refuses_is_done_with(qos: int) -> None:
    """[MQTT-4.8.2-6]"""
    room = RoomFixture()
    first, second = members(room, 2, qos=qos)
    publish(room, b"x", qos=qos)
    [packet] = published(first.receive())
    refuse = Puback if qos == 1 else Pubrec
    first.send(refuse(packet.packet_id, ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR))
    assert first.receive() == []
    cut(first)
    assert second.receive() == []
    assert room.counters.shared_returned == 0


def test_what_has_expired_meanwhile_is_not_handed_out_again() -> None:
    """[MQTT-3.3.2-5]"""
    room = RoomFixture()
    leaver, other = members(room, 2)
    sender = room.client("sender")
    expiry: Properties = {PropertyId.MESSAGE_EXPIRY_INTERVAL: 10}
    sender.send(Publish("a", b"x", 1, packet_id=1, properties=expiry))
    [packet] = published(leaver.receive())
    assert get_int(packet.properties, PropertyId.MESSAGE_EXPIRY_INTERVAL) == 10
    room.wall += 4000
    third = member(room, "third")
    cut(leaver)
    [packet] = published(other.receive()) + published(third.receive())
    assert get_int(packet.properties, PropertyId.MESSAGE_EXPIRY_INTERVAL) == 6
    room.wall += 6000
    cut(other)
    assert third.receive() == []
    assert room.counters.messages_dropped_expired == 1


def test_very_much_that_comes_back_is_handed_out_in_slices() -> None:
    room = RoomFixture(session_queue=5 * SLICE)
    leaver = member(room, "leaver", window=1)
    for n in range(3):
        publish(room, *numbers(SLICE - n))
    other = member(room, "other", window=1)
    leaver.connection.connection_lost(None)
    assert room.shares.coming_back() == 3 * SLICE - 3
    left = [room.shares.coming_back()]
    while room.shares.coming_back():
        room.turns.turn()
        left.append(room.shares.coming_back())
    assert max(before - after for before, after in pairwise(left)) <= SLICE
    assert len(other.session.queue or ()) == 3 * SLICE - 4


def test_a_session_of_several_on_a_connection_leaves_what_is_its_own() -> None:
    room = RoomFixture()
    peer, other = members(room, 2)
    publish(room, b"1", b"2")
    [packet] = published(peer.receive())
    second = room.session("guest", 8, "weather")
    room.sessions.open(second)
    first = peer.connection.attachment
    assert first is not None
    attached = room.sessions.attach(second, peer.connection, "@weather/", first)
    second.window.open(0, False)
    room.sessions.detach(attached)
    assert other.receive()[1:] == []
    peer.send(Puback(packet.packet_id))
    assert room.noted.refusals == []
    assert room.counters.shared_returned == 0


def test_a_fault_with_one_member_costs_the_others_nothing() -> None:
    room = RoomFixture()
    _, second = members(room, 2)
    room.shares._groups[APP, GROUP].members[0] = cast(Subscriber[Session], "no member")
    publish(room, b"1", b"2")
    assert sorted(taken(second)) == [b"1", b"2"]
    assert room.faults.counts["room.shared"] >= 1


# --- what is not taken -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filter", "reason", "code"),
    [
        ("$share/g/push/#", ReasonCode.NOT_AUTHORIZED, "topic_reserved"),
        ("$share/g/up/x", ReasonCode.NOT_AUTHORIZED, "topic_reserved"),
        ("$share/g/$link/gap", ReasonCode.NOT_AUTHORIZED, "topic_reserved"),
        ("$share/g/$share/h/a", ReasonCode.NOT_AUTHORIZED, "topic_reserved"),
        ("$share/" + "g" * 41 + "/a", QUOTA, "share_name_too_long"),
        ("$share/g/1/2/3/4/5/6/7/8/9", ReasonCode.TOPIC_FILTER_INVALID, "topic_filter_invalid"),
    ],
)
def test_a_group_that_cannot_be_is_refused(filter: str, reason: ReasonCode, code: str) -> None:
    room = RoomFixture()
    peer = room.client("m")
    peer.send(Subscribe(1, [Subscription(filter, 1)]))
    assert peer.receive() == [Suback(1, [reason])]
    assert room.noted.refusals == [code]
    assert not room.shares.present


def test_the_levels_of_a_filter_are_counted_without_its_group() -> None:
    member(RoomFixture(max_topic_levels=3), "m", "$share/g/1/2/3")


def test_groups_and_members_have_bounds_and_who_is_a_member_stays_one() -> None:
    room = RoomFixture(max_share_groups=2, max_share_members=2)
    first, _ = members(room, 2)
    other = member(room, "other", "$share/h/a")
    other.send(Subscribe(1, [Subscription(GROUP, 1), Subscription("$share/i/a", 1)]))
    assert other.receive() == [Suback(1, [QUOTA, QUOTA])]
    assert room.noted.refusals == ["too_many_members", "too_many_groups"]
    first.send(Subscribe(2, [Subscription(GROUP, 0)]))
    assert first.receive() == [Suback(2, [0])]
    cut(first)
    other.send(Subscribe(1, [Subscription(GROUP, 1)]))
    assert other.receive() == [Suback(1, [1])]


def test_a_publication_for_more_groups_than_one_may_be_for_goes_to_nobody() -> None:
    room = RoomFixture(max_share_matches=2)
    peers = [member(room, f"m{n}", f"$share/g{n}/a") for n in range(3)]
    alone = member(room, "alone", "a")
    assert publish(room, b"x") == [Puback(1, QUOTA)]
    assert room.noted.refusals == ["topic_too_costly"]
    assert [peer.receive() for peer in (*peers, alone)] == [[]] * 4
    cut(peers[0])
    assert publish(room, b"y") == [Puback(1)]
    assert taken(alone) == [b"y"]


def test_a_shared_subscription_counts_among_a_sessions_filters() -> None:
    room = RoomFixture(max_subscriptions=1)
    peer = member(room, "m")
    peer.send(Subscribe(2, [Subscription("$share/h/a", 1)]))
    assert peer.receive() == [Suback(2, [QUOTA])]


def test_in_an_app_without_pubsub_nothing_is_shared() -> None:
    peer = RoomFixture(pubsub=False).client("m")
    peer.send(Subscribe(1, [Subscription(GROUP, 1)]))
    assert peer.receive() == [Suback(1, [ReasonCode.NOT_AUTHORIZED])]


def test_a_client_of_3_1_1_publishes_to_groups_and_is_in_none() -> None:
    room = RoomFixture()
    peer = member(room, "m")
    old = room.client("old", MQTT_3_1_1)
    old.send(Subscribe(1, [Subscription(GROUP, 1)]), Publish("a", b"x", 1, packet_id=1))
    assert old.receive() == [Suback(1, [1]), Puback(1)]
    assert taken(peer) == [b"x"]
    old.send(Unsubscribe(2, [GROUP]))
    assert old.receive() == [Unsuback(2, [])]
    assert room.counters.shared_members == 1


# --- what a publisher is told ----------------------------------------------------------------------------


def test_a_publisher_is_told_what_became_of_it_when_groups_are_all_there_is() -> None:
    room = RoomFixture(session_queue=1)
    members(room, 1, window=1)
    answers = publish(room, b"1", b"2", b"3")
    assert answers == [Puback(1), Puback(2), Puback(3, QUOTA)]


def test_it_is_a_success_when_anybody_has_it() -> None:
    room = RoomFixture(session_queue=1)
    members(room, 1, window=1)
    publish(room, b"1", b"2")
    alone = member(room, "alone", "a")
    assert publish(room, b"3") == [Puback(1)]
    assert taken(alone) == [b"3"]


def test_it_is_one_when_a_group_has_it_and_all_others_have_lost_it() -> None:
    room = RoomFixture(session_queue=1)
    full = member(room, "full", "a", window=1)
    publish(room, b"1", b"2")
    assert publish(room, b"3") == [Puback(1, QUOTA)]
    [peer] = members(room, 1)
    assert publish(room, b"4") == [Puback(1)]
    assert taken(peer) == [b"4"]
    assert taken(full) == [b"1", b"2"]


def test_the_looking_for_groups_is_paid_for_in_the_turn() -> None:
    room = RoomFixture()
    members(room, 2, "$share/g/+/+/+/+")
    before = room.turn.spent
    room.client("sender").send(Publish("a/b/c/d", b"x"))
    assert room.turn.spent - before >= 6


@pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])
def test_many_subscribers_and_a_group_are_served_though_it_takes_several_turns(version: int) -> None:
    room = RoomFixture(turn_budget=10)
    alone = [member(room, f"alone {n}", "a") for n in range(25)]
    peers = members(room, 2)
    sender = room.client("sender", version)
    sender.send(Publish("a", b"1", 1, packet_id=1), Publish("a", b"2", 1, packet_id=2))
    assert sender.receive() == [Puback(1), Puback(2)]
    assert all(taken(peer) == [b"1", b"2"] for peer in alone)
    assert sorted(taken(peers[0]) + taken(peers[1])) == [b"1", b"2"]
