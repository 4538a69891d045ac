"""Plain publish/subscribe inside an app: who gets what, in which order, and what a slow subscriber costs."""

import itertools

import pytest

from longline.mqtt.packets import (
    MQTT_3_1_1,
    MQTT_5_0,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Puback,
    Publish,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
)
from longline.mqtt.properties import Properties, PropertyId, get_int
from longline.mqtt.reasons import ReasonCode
from longline.room.pubsub.subscriptions import Subscriptions
from longline.room.session.session import Gone, Session
from tests.unit.room.fixture import Peer, RoomFixture

VERSIONS = pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])


def subscriber(
    room: RoomFixture, name: str, filter: str = "a", qos: int = 1, version: int = MQTT_5_0, window: int = 16
) -> Peer:
    peer = room.client(name, version, window=window)
    peer.send(Subscribe(1, [Subscription(filter, qos)]))
    assert peer.receive() == [Suback(1, [qos])]
    return peer


def payloads(packets: list[Packet]) -> list[bytes]:
    return [packet.payload for packet in packets if isinstance(packet, Publish)]


@pytest.mark.parametrize("sender_version", [MQTT_3_1_1, MQTT_5_0])
@VERSIONS
def test_a_message_reaches_the_subscribers_of_its_topic_in_the_senders_app(
    version: int, sender_version: int
) -> None:
    room = RoomFixture()
    exact = subscriber(room, "exact", "a/b", version=version)
    wild = subscriber(room, "wild", "a/#", version=version)
    other = subscriber(room, "other", "b", version=version)
    sender = room.client("sender", sender_version)
    sender.send(Publish("a/b", b"x", 1, packet_id=9))
    assert sender.receive() == [Puback(9)]
    assert payloads(exact.receive()) == [b"x"]
    assert payloads(wild.receive()) == [b"x"]
    assert other.receive() == []
    assert room.counters.messages_in == 1
    assert room.counters.messages_routed == 2


def test_a_message_stays_inside_its_app() -> None:
    room = RoomFixture()
    peer = subscriber(room, "here")
    elsewhere = room.sessions.enter(8, "weather", True)
    stranger = room.client("there")
    room.sessions.end(stranger.session)
    session = Session(elsewhere, "there", 1, 16)
    room.sessions.open(session)
    stranger.connection.attachment = room.sessions.attach(session, stranger.connection)
    stranger.send(Publish("a", b"x", 0))
    assert peer.receive() == []


@pytest.mark.parametrize(("published", "granted", "delivered"), [(0, 0, 0), (0, 1, 0), (1, 0, 0), (1, 1, 1)])
def test_a_subscriber_gets_the_lower_of_the_two_qos(published: int, granted: int, delivered: int) -> None:
    room = RoomFixture()
    peer = subscriber(room, "phone", qos=granted)
    room.client("sender").send(Publish("a", b"x", published, packet_id=3 * published))
    (publish,) = peer.receive()
    assert isinstance(publish, Publish)
    assert publish.qos == delivered
    assert (publish.packet_id > 0) == (delivered > 0)


def test_overlapping_filters_bring_one_copy_at_the_best_qos() -> None:
    room = RoomFixture()
    peer = room.client("phone")
    peer.send(Subscribe(1, [Subscription("a", 0), Subscription("+", 1), Subscription("#", 0)]))
    room.client("sender").send(Publish("a", b"x", 1, packet_id=3))
    published = [packet for packet in peer.receive() if isinstance(packet, Publish)]
    assert [packet.qos for packet in published] == [1]


def test_no_local_keeps_ones_own_messages_away_and_others_come() -> None:
    """[MQTT-3.8.3-3]"""
    room = RoomFixture()
    peer = room.client("phone")
    peer.send(Subscribe(1, [Subscription("a", 1, no_local=True)]), Publish("a", b"mine", 1, packet_id=5))
    assert peer.receive()[1:] == [Puback(5, ReasonCode.NO_MATCHING_SUBSCRIBERS)]
    room.client("sender").send(Publish("a", b"theirs", 0))
    assert payloads(peer.receive()) == [b"theirs"]


def test_no_local_keeps_ones_own_will_away_which_comes_from_elsewhere() -> None:
    """[MQTT-3.8.3-3]: it is published by a coordinator, when the device may have come again."""
    room = RoomFixture()
    phone, tablet = room.client("phone"), room.client("tablet")
    for peer in (phone, tablet):
        peer.send(Subscribe(1, [Subscription("a", 0, no_local=True)]))
        peer.receive()
    for sender in ("phone", "away"):
        will = Publish("a", sender.encode())
        room.fanout.distribute(phone.session.tenant, will, lambda reached: None, sender=sender)
    assert payloads(phone.receive()) == [b"away"]
    assert payloads(tablet.receive()) == [b"phone", b"away"]


def test_who_publishes_to_nobody_is_told() -> None:
    room = RoomFixture()
    sender = room.client("sender")
    sender.send(Publish("a", b"x", 1, packet_id=5))
    assert sender.receive() == [Puback(5, ReasonCode.NO_MATCHING_SUBSCRIBERS)]


def test_properties_travel_on_to_mqtt_5_and_stay_away_from_3_1_1() -> None:
    room = RoomFixture(topic_alias_maximum=4)
    new, old = subscriber(room, "new"), subscriber(room, "old", version=MQTT_3_1_1)
    given: Properties = {PropertyId.CONTENT_TYPE: "text/x", PropertyId.USER_PROPERTY: [("k", "v")]}
    room.client("sender").send(Publish("a", b"x", properties={**given, PropertyId.TOPIC_ALIAS: 1}))
    assert new.receive() == [Publish("a", b"x", properties=given)]
    assert old.receive() == [Publish("a", b"x")]


@VERSIONS
def test_after_unsubscribing_nothing_comes_any_more(version: int) -> None:
    room = RoomFixture()
    peer = subscriber(room, "phone", version=version)
    peer.send(Unsubscribe(2, ["a", "never/had"]))
    reasons = [ReasonCode.SUCCESS, ReasonCode.NO_SUBSCRIPTION_EXISTED]
    assert peer.receive() == [Unsuback(2, [int(r) for r in reasons] if version == MQTT_5_0 else [])]
    room.client("sender").send(Publish("a", b"x"))
    assert peer.receive() == []
    assert peer.session.subscriptions is None
    assert peer.session.tenant.subscriptions.size == 0


# --- writing -------------------------------------------------------------------------------------------


def test_a_fan_out_is_encoded_once_for_each_version_and_qos() -> None:
    """Every subscriber of one kind is written the very same bytes, at QoS 1 but for the packet identifier."""
    room = RoomFixture()
    peers = [subscriber(room, f"d{n}", qos=0, version=version) for n in range(3) for version in (4, 5)]
    room.client("sender").send(Publish("a", b"x" * 100))
    room.turns.settle()
    for version in (4, 5):
        written = {peer.wire.writes[-1] for peer in peers if peer.version == version}
        assert len(written) == 1


def test_what_one_turn_brings_a_connection_goes_out_in_one_write() -> None:
    room = RoomFixture()
    peer = subscriber(room, "phone")
    senders = [room.client(f"s{n}") for n in range(5)]
    before = len(peer.wire.writes)
    for sender in senders:
        sender.send(Publish("a", b"1"), Publish("a", b"2"))
    assert len(peer.wire.writes) == before
    room.turns.turn()
    assert len(peer.wire.writes) == before + 1
    assert payloads(peer.receive()) == [b"1", b"2"] * 5


def test_the_answers_to_one_chunk_go_out_in_one_write() -> None:
    room = RoomFixture()
    sender = room.client("sender")
    before = len(sender.wire.writes)
    sender.send(*(Publish("a", b"x", 1, packet_id=n) for n in range(1, 21)))
    assert len(sender.receive()) == 20
    assert len(sender.wire.writes) == before + 1


# --- bounds --------------------------------------------------------------------------------------------


def test_qos_0_for_a_blocked_subscriber_is_dropped_and_counted() -> None:
    room = RoomFixture()
    slow, fine = subscriber(room, "slow", qos=0), subscriber(room, "fine", qos=0)
    slow.connection.pause_writing()
    room.client("sender").send(Publish("a", b"x"))
    assert slow.receive() == []
    assert payloads(fine.receive()) == [b"x"]
    assert room.counters.messages_dropped_slow == 1
    slow.connection.resume_writing()
    assert slow.receive() == []  # it is not made up for


def test_qos_1_waits_in_a_bounded_queue_and_keeps_its_order() -> None:
    room = RoomFixture(session_queue=4)
    peer = subscriber(room, "phone", window=2)
    sender = room.client("sender")
    sender.send(*(Publish("a", b"%d" % n, 1, packet_id=n) for n in range(1, 9)))
    assert payloads(peer.receive()) == [b"1", b"2"]
    assert room.counters.messages_dropped_slow == 2  # 3 to 6 wait, 7 and 8 found no room
    peer.send(Puback(1))
    assert payloads(peer.receive()) == [b"3"]
    peer.send(Puback(2), Puback(3))
    assert payloads(peer.receive()) == [b"4", b"5"]
    peer.send(Puback(4), Puback(5))
    assert payloads(peer.receive()) == [b"6"]
    assert peer.session.queue is None


def test_what_waits_for_a_slow_subscriber_is_bounded_by_its_bytes_too() -> None:
    room = RoomFixture(session_queue=1000, session_queue_bytes=10_000, max_packet_size=1 << 20)
    slow = subscriber(room, "slow", "t", qos=1, window=1)
    sender = room.client("sender", MQTT_3_1_1)
    for number in range(8):
        sender.send(Publish("t", bytes([number]) * 3000, 1, packet_id=number + 1))
    room.turns.settle()
    queue, plain = slow.session.queue, slow.session.plain
    assert queue is not None
    assert plain is not None
    assert len(queue) == 3
    assert plain.queue_bytes == sum(frame.size for frame in queue) <= 10_000
    assert room.counters.messages_dropped_slow == 4
    got = []
    for _ in range(4):
        (packet,) = slow.receive()
        assert isinstance(packet, Publish)
        got.append(packet.payload[0])
        slow.send(Puback(packet.packet_id))
    assert got == [0, 1, 2, 3]
    assert plain.queue_bytes == 0


def test_a_message_larger_than_the_queue_may_be_waits_when_it_is_the_only_one() -> None:
    room = RoomFixture(session_queue=1000, session_queue_bytes=1000, max_packet_size=1 << 20)
    slow = subscriber(room, "slow", "t", qos=1, window=1)
    sender = room.client("sender")
    for number in range(3):
        sender.send(Publish("t", bytes(5000), 1, packet_id=number + 1))
    room.turns.settle()
    assert slow.session.queue is not None
    assert len(slow.session.queue) == 1


def test_filters_that_take_long_to_match_are_work_of_the_turn_and_hold_up_no_ping() -> None:
    """A name and `+` at each of nine levels: a topic has to be looked for at 1,023 places."""
    room = RoomFixture(turn_budget=1000, max_subscriptions=600, max_topic_levels=16)
    listener = room.client("listener")
    for path in itertools.product("a+", repeat=9):
        room.fanout.subscribe(listener.session, Subscription("/".join(path) + "/#"))
    senders = [room.client(f"s{number}") for number in range(10)]
    other = room.client("other")
    for number, sender in enumerate(senders):
        sender.send(Publish("a/" * 9 + str(number), b"x"))
    waiting = [sender for sender in senders if sender.connection.backlog is not None]
    assert len(waiting) == 9
    other.send(Pingreq())
    for left in range(8, -1, -1):
        room.turns.turn()
        assert other.unread() == ([Pingresp()] if left == 8 else [])
        assert len([sender for sender in senders if sender.connection.backlog is not None]) == left
    assert len(payloads(listener.receive())) == 10


def test_a_queue_of_no_length_drops_at_once_and_never_gets_stuck() -> None:
    room = RoomFixture(session_queue=0)
    peer = subscriber(room, "phone", window=1)
    sender = room.client("sender")
    sender.send(*(Publish("a", b"%d" % n, 1, packet_id=n) for n in range(1, 4)))
    assert payloads(peer.receive()) == [b"1"]
    peer.send(Puback(1))
    sender.send(Publish("a", b"4", 1, packet_id=4))
    assert payloads(peer.receive()) == [b"4"]


def test_qos_1_waits_while_the_transport_is_blocked_and_flows_when_it_flows() -> None:
    room = RoomFixture()
    peer, sender = subscriber(room, "phone"), room.client("sender")
    peer.connection.pause_writing()
    sender.send(Publish("a", b"1", 1, packet_id=1), Publish("a", b"2", 1, packet_id=2))
    assert peer.receive() == []
    peer.connection.resume_writing()
    assert payloads(peer.receive()) == [b"1", b"2"]


def test_who_does_not_read_is_not_read_from() -> None:
    room = RoomFixture()
    peer = room.client("phone")
    peer.connection.pause_writing()
    assert not peer.wire.reading
    peer.connection.resume_writing()
    assert peer.wire.reading


@pytest.mark.parametrize("qos", [0, 1])
def test_a_message_larger_than_the_subscriber_takes_is_dropped_and_counted(qos: int) -> None:
    room = RoomFixture()
    peer = room.client("phone", properties={PropertyId.MAXIMUM_PACKET_SIZE: 50})
    peer.send(Subscribe(1, [Subscription("a", 1)]))
    peer.receive()
    sender = room.client("sender")
    sender.send(Publish("a", b"x" * 60, qos, packet_id=qos), Publish("a", b"ok", qos, packet_id=2 * qos))
    assert payloads(peer.receive()) == [b"ok"]
    assert room.counters.messages_dropped_size == 1


# --- the turn's budget ---------------------------------------------------------------------------------


def test_a_publisher_over_the_turns_budget_is_not_read_from_until_the_rest_is_done() -> None:
    room = RoomFixture(turn_budget=5)
    peers = [subscriber(room, f"d{n}") for n in range(3)]
    sender = room.client("sender")
    sender.send(*(Publish("a", b"%d" % n, 1, packet_id=n) for n in range(1, 8)))
    assert not sender.wire.reading
    assert payloads(peers[0].unread()) == []
    room.turns.turn()
    assert payloads(peers[0].unread()) == [b"1", b"2"]
    room.turns.settle()
    assert sender.wire.reading
    assert payloads(peers[0].receive()) == [b"3", b"4", b"5", b"6", b"7"]
    for peer in peers[1:]:
        assert payloads(peer.receive()) == [b"%d" % n for n in range(1, 8)]
    assert sender.receive() == [Puback(n) for n in range(1, 8)]


def test_one_publisher_over_budget_does_not_hold_up_another() -> None:
    room = RoomFixture(turn_budget=1)
    peer = subscriber(room, "phone")
    greedy, modest = room.client("greedy"), room.client("modest")
    greedy.send(*(Publish("a", b"g%d" % n) for n in range(8)))
    room.turns.turn()
    modest.send(Publish("a", b"m"))
    order = payloads(peer.receive())
    assert [payload for payload in order if payload != b"m"] == [b"g%d" % n for n in range(8)]
    assert order.index(b"m") < 7


def test_a_good_bye_behind_a_backlog_waits_for_its_turn() -> None:
    room = RoomFixture(turn_budget=1)
    peer, sender = subscriber(room, "phone"), room.client("sender")
    sender.send(*(Publish("a", b"%d" % n) for n in range(6)), Disconnect())
    assert payloads(peer.receive()) == [b"%d" % n for n in range(6)]
    assert sender.over


@pytest.mark.parametrize("last", [[], [Disconnect()]])
def test_what_a_connection_sent_before_it_was_lost_is_taken_and_leaves_nothing_behind(
    last: list[Packet],
) -> None:
    """Who sends and closes at once may find its bytes in our backlog when the transport is gone."""
    room = RoomFixture(turn_budget=1)
    peer, sender = subscriber(room, "phone"), room.client("sender")
    session = sender.session
    sender.send(*(Publish("a", b"%d" % n) for n in range(6)), *last)
    sender.wire.abort()
    assert sender.over
    assert payloads(peer.receive()) == [b"%d" % n for n in range(6)]
    assert session.gone is (Gone.LEFT if last else Gone.BROKEN)
    assert room.noted.gone == [session]
    assert room.counters.connections == 1
    assert room.sessions.find(7, "sender") is None


def test_a_lost_connection_with_a_backlog_makes_way_for_the_next_of_its_device() -> None:
    room = RoomFixture(turn_budget=1)
    peer, sender = subscriber(room, "phone"), room.client("sender")
    room.turn.pressed = True  # the stores do not keep up: what is put aside waits
    sender.send(*(Publish("a", b"%d" % n) for n in range(6)))
    sender.wire.abort()
    room.turns.settle()
    assert room.counters.connections == 2
    former = sender.session
    again = room.client("sender")
    assert room.noted.gone == [former]
    assert room.sessions.find(7, "sender") is again.session
    assert room.counters.connections == 2
    assert room.released == []
    room.turn.relieve()
    assert len(payloads(peer.receive())) == 1


def test_a_backlog_of_a_client_that_does_not_read_is_worked_off_without_reading_more() -> None:
    room = RoomFixture(turn_budget=1)
    subscriber(room, "phone")
    sender = room.client("sender")
    sender.send(*(Publish("a", b"%d" % n) for n in range(6)))
    sender.connection.pause_writing()
    room.turns.settle()
    assert sender.connection.backlog is None
    assert not sender.wire.reading
    sender.connection.resume_writing()
    assert sender.wire.reading


def test_flowing_again_does_not_let_a_publisher_past_its_backlog() -> None:
    room = RoomFixture(turn_budget=1)
    subscriber(room, "phone")
    sender = room.client("sender")
    sender.connection.pause_writing()
    sender.send(*(Publish("a", b"%d" % n) for n in range(6)))
    sender.connection.resume_writing()
    assert not sender.wire.reading
    room.turns.settle()
    assert sender.wire.reading


def test_a_tenant_goes_with_its_last_session() -> None:
    room = RoomFixture()
    first, second = room.client("a"), room.client("b")
    assert isinstance(room.sessions.tenants[7].subscriptions, Subscriptions)
    first.wire.abort()
    assert first.over
    assert 7 in room.sessions.tenants
    second.wire.abort()
    assert second.over
    assert room.sessions.tenants == {}


# --- more subscribers than a turn may serve ------------------------------------------------------------


def test_a_message_with_very_many_subscribers_is_served_in_slices_and_then_acknowledged() -> None:
    room = RoomFixture(turn_budget=3)
    peers = [subscriber(room, f"d{n}") for n in range(8)]
    sender = room.client("sender")
    sender.send(Publish("a", b"one", 1, packet_id=1), Publish("a", b"two", 1, packet_id=2))
    assert not sender.wire.reading
    room.turns.turn()
    room.turns.turn()
    early = [payloads(peer.unread()) for peer in peers]
    assert [b"one"] in early
    assert [] in early
    room.turns.settle()
    late = [payloads(peer.receive()) for peer in peers]
    assert [first + rest for first, rest in zip(early, late, strict=True)] == [[b"one", b"two"]] * len(peers)
    assert sender.receive() == [Puback(1), Puback(2)]
    assert sender.wire.reading


@pytest.mark.parametrize("qos", [0, 1])
def test_others_wait_for_one_slice_and_not_for_all_of_a_message(qos: int) -> None:
    """It is as many connections to flush at QoS 0 as it is at QoS 1."""
    budget, writes = 12, 2
    room = RoomFixture(turn_budget=budget, turn_writes=writes)
    peers = [subscriber(room, f"d{n}") for n in range(10 * budget)]
    room.client("sender").send(Publish("a", b"m", qos, packet_id=qos))
    room.turns.turn()
    went_on: list[bool] = []
    room.turn.later(lambda: went_on.append(True))
    turns = 0
    while not went_on:
        room.turns.turn()
        turns += 1
    assert turns <= budget // writes + 1
    room.turns.settle()
    assert [payloads(peer.receive()) for peer in peers] == [[b"m"]] * len(peers)


def test_a_message_with_very_many_subscribers_outlives_its_publisher() -> None:
    room = RoomFixture(turn_budget=3)
    peers = [subscriber(room, f"d{n}") for n in range(8)]
    sender = room.client("sender")
    sender.send(Publish("a", b"last words"))
    sender.wire.abort()
    room.turns.settle()
    assert [payloads(peer.receive()) for peer in peers] == [[b"last words"]] * len(peers)


def test_one_turn_writes_to_a_bounded_number_of_connections() -> None:
    room = RoomFixture(turn_writes=3)
    peers = [subscriber(room, f"d{n}") for n in range(8)]
    room.client("sender").send(Publish("a", b"m"))
    room.turns.turn()
    early = [payloads(peer.unread()) for peer in peers]
    assert early.count([b"m"]) == 3
    room.turns.settle()
    late = [payloads(peer.receive()) for peer in peers]
    assert late.count([b"m"]) == len(peers) - 3


# --- the expiry interval -------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])
def test_the_expiry_of_a_message_that_waits_for_the_window_counts_down_until_it_is_written(
    version: int,
) -> None:
    """[MQTT-3.3.2-6]"""
    room = RoomFixture()
    peers = [subscriber(room, f"phone{n}", version=version, window=1) for n in range(2)]
    expiring: Properties = {PropertyId.MESSAGE_EXPIRY_INTERVAL: 60, PropertyId.CONTENT_TYPE: "text/plain"}
    sender = room.client("sender")
    sender.send(*(Publish("a", b"%d" % n, 1, packet_id=n, properties=expiring) for n in (1, 2, 3)))
    left = []
    for _ in range(3):
        written = []
        for peer in peers:
            (publish,) = peer.receive()
            assert isinstance(publish, Publish)
            left.append(get_int(publish.properties, PropertyId.MESSAGE_EXPIRY_INTERVAL))
            written.append((peer, publish.packet_id))
        room.wall += 10_500
        for peer, packet_id in written:
            peer.send(Puback(packet_id))
    assert left == ([60, 60, 50, 50, 39, 39] if version == MQTT_5_0 else [None] * 6)


@pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])
def test_a_message_whose_time_is_over_while_it_waits_is_not_written(version: int) -> None:
    """[MQTT-3.3.2-5]"""
    room = RoomFixture()
    peer = subscriber(room, "phone", version=version, window=1)
    expiring: Properties = {PropertyId.MESSAGE_EXPIRY_INTERVAL: 60}
    room.client("sender").send(
        Publish("a", b"1", 1, packet_id=1),
        Publish("a", b"2", 1, packet_id=2, properties=expiring),
        Publish("a", b"3", 1, packet_id=3),
    )
    assert payloads(peer.receive()) == [b"1"]
    room.wall += 60_000
    peer.send(Puback(1))
    assert payloads(peer.receive()) == [b"3"]
    assert room.counters.messages_dropped_expired == 1
    assert peer.session.queue is None


def test_a_fan_out_of_several_turns_counts_the_expiry_down_and_ends_with_it() -> None:
    room = RoomFixture(turn_budget=2)
    peers = [subscriber(room, f"phone{n}") for n in range(40)]
    sender = room.client("sender")
    sender.send(Publish("a", b"x", 1, packet_id=1, properties={PropertyId.MESSAGE_EXPIRY_INTERVAL: 3}))
    while room.turns.waiting:
        room.turns.turn()
        room.wall += 500
    left = [
        get_int(packet.properties, PropertyId.MESSAGE_EXPIRY_INTERVAL)
        for peer in peers
        for packet in peer.unread()
        if isinstance(packet, Publish)
    ]
    assert len(left) < 40
    assert room.counters.messages_dropped_expired == 40 - len(left)
    assert left == sorted(left, key=lambda seconds: -(seconds or 0))
    assert (left[0], left[-1]) == (3, 1)
    assert [packet.reason for packet in sender.unread() if isinstance(packet, Puback)] == [0]
