"""Sessions of several apps on one connection: each by itself, but for the identifiers that they share."""

import msgspec
import pytest

from longline.mqtt.packets import (
    MQTT_3_1_1,
    MQTT_5_0,
    Disconnect,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Subscription,
    Unsubscribe,
)
from longline.mqtt.properties import PropertyId
from longline.mqtt.reasons import ReasonCode
from longline.room.push.frames import Frames
from longline.room.session.session import Gone, Persistence, Session
from tests.unit.room.fixture import NOW_MS, Peer, RoomFixture, a_message

OTHER = 8
VERSIONS = pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])


def attached(room: RoomFixture, peer: Peer, device: str = "guest") -> Session:
    """A session of another app on a client's connection."""
    session = room.session(device, OTHER, "weather")
    session.window.open(0, False)
    room.sessions.open(session)
    attachment = room.sessions.attach(session, peer.connection, "@weather/", peer.connection.attachment)
    assert attachment.sharing is not None
    attachment.sharing.let_in = True
    return session


def offer(room: RoomFixture, session: Session, position: int, *, online_only: bool = False) -> None:
    message = a_message(position, online_only=online_only)
    room.pushes.offer(session, Frames(message), position, False, NOW_MS)


def published(peer: Peer) -> list[Publish]:
    return [packet for packet in peer.receive() if isinstance(packet, Publish)]


@VERSIONS
def test_pushes_to_both_come_on_one_connection_under_different_identifiers(version: int) -> None:
    room = RoomFixture()
    peer = room.client("phone", version)
    guest = attached(room, peer)
    for position in (1, 2):
        offer(room, peer.session, position)
        offer(room, guest, position)
    got = published(peer)
    assert [packet.topic for packet in got] == [
        "push/m1",
        "@weather/push/m1",
        "push/m2",
        "@weather/push/m2",
    ]
    assert len({packet.packet_id for packet in got}) == 4


def test_a_puback_settles_the_push_of_the_session_that_it_was_written_for() -> None:
    room = RoomFixture()
    peer = room.client("phone")
    guest = attached(room, peer)
    offer(room, peer.session, 1)
    offer(room, guest, 1)
    first, second = published(peer)
    peer.send(Puback(second.packet_id))
    assert [push.session for push in room.noted.acks] == [guest]
    peer.send(Puback(first.packet_id))
    assert [push.session for push in room.noted.acks] == [guest, peer.session]
    peer.send(Puback(second.packet_id))
    assert room.counters.refused == {"unknown_packet_id": 1}


def test_what_is_in_flight_on_a_connection_is_bounded_for_all_of_its_sessions() -> None:
    """[MQTT-3.3.4-9] Receive Maximum is the connection's."""
    room = RoomFixture()
    peer = room.client("phone", window=2)
    guest = attached(room, peer)
    offer(room, peer.session, 1)
    offer(room, guest, 1)
    offer(room, guest, 2)
    offer(room, peer.session, 2)
    first, _ = published(peer)
    assert room.noted.asked == []
    peer.send(Puback(first.packet_id))
    assert room.noted.asked == [guest, peer.session]  # both are behind, and there is room for either


def test_plain_messages_come_with_the_prefix_and_wait_for_the_window_they_share() -> None:
    room = RoomFixture()
    peer = room.client("phone", window=1)
    guest = attached(room, peer)
    room.fanout.subscribe(guest, Subscription("rain", 1))
    peer.send(Subscribe(1, [Subscription("rain", 1)]))
    peer.receive()
    sender, stranger = room.client("sender"), room.client("stranger")
    room.sessions.end(stranger.session)
    session = room.session("stranger", OTHER, "weather")
    room.sessions.open(session)
    stranger.connection.attachment = room.sessions.attach(session, stranger.connection)
    sender.send(Publish("rain", b"ours"))
    stranger.send(Publish("rain", b"theirs", 1, packet_id=1), Publish("rain", b"more", 1, packet_id=2))
    got = published(peer)
    assert [(packet.topic, packet.payload) for packet in got] == [
        ("rain", b"ours"),
        ("@weather/rain", b"theirs"),
    ]
    peer.send(Puback(got[1].packet_id))
    assert [(packet.topic, packet.payload) for packet in published(peer)] == [("@weather/rain", b"more")]


@pytest.mark.parametrize("kept", [False, True])
def test_where_the_carriers_session_is_kept_plain_messages_are_granted_and_come_with_qos_1(
    kept: bool,
) -> None:
    """The client would remember an identifier that nobody else does, and take what has it next for a copy."""
    room = RoomFixture()
    peer = room.client("phone")
    guest = attached(room, peer)
    if kept:
        persistence = peer.session.kept = Persistence(1)
        persistence.durable = True
    most = 1 if kept else 2
    peer.send(Subscribe(1, [Subscription("@weather/snow", 2)]))
    assert guest.subscriptions is not None
    assert guest.subscriptions["snow"] & 3 == most
    room.fanout.subscribe(guest, Subscription("rain", 2))
    peer.receive()
    sender = room.client("stranger")
    room.sessions.end(sender.session)
    session = room.session("stranger", OTHER, "weather")
    room.sessions.open(session)
    sender.connection.attachment = room.sessions.attach(session, sender.connection)
    sender.send(Publish("rain", b"theirs", 2, packet_id=1), Pubrel(1))
    (packet,) = published(peer)
    assert (packet.topic, packet.qos) == ("@weather/rain", most)
    peer.send(Puback(packet.packet_id) if kept else Pubrec(packet.packet_id))
    assert peer.receive() == ([] if kept else [Pubrel(packet.packet_id)])


def test_kicking_one_that_was_attached_leaves_the_connection_and_the_other() -> None:
    room = RoomFixture()
    peer = room.client("phone")
    guest = attached(room, peer)
    offer(room, guest, 1)
    (push,) = published(peer)
    room.sessions.close(guest, Gone.CLOSED, ReasonCode.ADMINISTRATIVE_ACTION, "kicked")
    assert room.noted.gone == [guest]
    assert room.sessions.find(OTHER, "guest") is None
    assert guest.attachment is None
    (notice,) = published(peer)
    assert (notice.topic, notice.qos) == ("$link/reply", 0)
    assert msgspec.json.decode(notice.payload) == {
        "status": "ended",
        "app": "weather",
        "device": "guest",
        "code": "kicked",
        "reason": ReasonCode.ADMINISTRATIVE_ACTION,
        "retryable": False,
    }
    assert not peer.over
    assert room.counters.closed == {"kicked": 1}
    peer.send(Puback(push.packet_id))  # what it had in flight still has its identifier
    assert [push.session for push in room.noted.acks] == [guest]
    offer(room, peer.session, 1)
    assert [packet.topic for packet in published(peer)] == ["push/m1"]


def test_kicking_the_one_that_the_connection_was_let_in_as_closes_it_for_all() -> None:
    room = RoomFixture()
    peer = room.client("phone")
    own, guest = peer.session, attached(room, peer)
    room.sessions.close(own, Gone.CLOSED, ReasonCode.ADMINISTRATIVE_ACTION, "kicked")
    assert peer.receive() == [Disconnect(ReasonCode.ADMINISTRATIVE_ACTION)]
    assert peer.over
    assert set(room.noted.gone) == {own, guest}


def test_a_connection_that_ends_parts_from_all_of_its_sessions() -> None:
    room = RoomFixture()
    peer = room.client("phone")
    own, guest = peer.session, attached(room, peer)
    offer(room, guest, 1, online_only=True)
    peer.receive()
    peer.wire.abort()
    assert peer.over
    assert set(room.noted.gone) == {own, guest}
    assert (own.attachment, guest.attachment) == (None, None)
    assert room.noted.drops == [("guest", 1, False, "disconnected")]
    assert room.sessions.tenants == {}
    assert room.counters.sessions == 0


def test_a_session_that_is_taken_over_leaves_the_connection_that_it_was_attached_to() -> None:
    room = RoomFixture()
    old, new = room.client("old"), room.client("new")
    before, after = attached(room, old), attached(room, new)
    assert before.gone == Gone.TAKEN_OVER
    assert room.noted.gone == [before]
    assert room.sessions.find(OTHER, "guest") is after
    assert not old.over
    assert room.counters.sessions == 3


def test_a_good_bye_is_that_of_every_session() -> None:
    room = RoomFixture()
    peer = room.client("phone")
    guest = attached(room, peer)
    peer.send(Disconnect())
    assert peer.over
    assert guest.gone == Gone.LEFT


def test_of_sessions_with_much_to_come_each_gets_its_share_of_a_small_window() -> None:
    """One message at a time, and both have more waiting than that: neither waits for all of the other's."""
    room = RoomFixture(session_queue=100)
    peer = room.client("phone", window=1)
    guest = attached(room, peer)
    room.fanout.subscribe(guest, Subscription("rain", 1))
    peer.send(Subscribe(1, [Subscription("rain", 1)]))
    peer.receive()
    sender = room.client("sender")
    for number in range(5):
        sender.send(Publish("rain", b"%d" % number, 1, packet_id=1 + number))
    stranger = room.session("stranger", OTHER, "weather")
    for number in range(5):
        room.fanout.publish(sender.connection, stranger, Publish("rain", b"%d" % number, 1))
    order = []
    while got := published(peer):
        (packet,) = got
        order.append(packet.topic)
        peer.send(Puback(packet.packet_id))
    assert sorted(order) == ["@weather/rain"] * 5 + ["rain"] * 5
    assert len(set(order[:3])) == 2
    assert len(set(order[3:6])) == 2


def test_plain_messages_of_one_leave_room_for_the_pushes_of_the_other() -> None:
    room = RoomFixture(session_queue=100)
    peer = room.client("phone", window=4)
    guest = attached(room, peer)
    room.pushes.lost(guest)
    assert guest.window.looked()  # something waits for it in the store
    peer.send(Subscribe(1, [Subscription("rain", 1)]))
    peer.receive()
    sender = room.client("sender")
    for number in range(4):
        sender.send(Publish("rain", b"%d" % number, 1, packet_id=1 + number))
    assert len(published(peer)) == 2
    guest.window.prepare()
    assert guest.window.begin()
    guest.window.end(0, True)
    room.fanout.caught_up(guest)
    assert len(published(peer)) == 2


@VERSIONS
def test_what_is_published_below_the_prefix_is_the_other_apps(version: int) -> None:
    """With its own rules, and nothing of either is the other's."""
    room = RoomFixture()
    peer = room.client("phone", version)
    guest = attached(room, peer)
    peer.send(Subscribe(1, [Subscription("@weather/rain", 1), Subscription("rain", 1)]))
    (suback,) = peer.receive()
    assert isinstance(suback, Suback)
    assert suback.reasons == [1, 1]
    assert guest.subscriptions == {"rain": 1}
    assert peer.session.subscriptions == {"rain": 1}
    peer.send(Publish("@weather/rain", b"theirs", 2, packet_id=7), Pubrel(7))
    got = peer.receive()
    assert [packet for packet in got if not isinstance(packet, Publish)] == [Pubrec(7), Pubcomp(7)]
    assert [packet.topic for packet in got if isinstance(packet, Publish)] == ["@weather/rain"]
    peer.send(Unsubscribe(2, ["@weather/rain"]))
    peer.receive()
    assert guest.subscriptions is None
    peer.send(Publish("@weather/rain", b"theirs"))
    assert published(peer) == []


@pytest.mark.parametrize(
    "topic",
    [
        "@weather/",
        "@weather",
        "@weathers/x",
        "@weather/@news/x",
        "@other/x",
        "@weather/$link/attach",
        "@weather/push/m1",
    ],
)
def test_what_is_not_below_the_prefix_of_one_that_is_attached_is_refused(topic: str) -> None:
    room = RoomFixture()
    peer = room.client("phone")
    attached(room, peer)
    peer.send(Publish(topic, b"x", 1, packet_id=1))
    assert peer.receive() == [Puback(1, ReasonCode.NOT_AUTHORIZED)]
    if not topic.endswith("m1"):
        peer.send(Subscribe(2, [Subscription(topic, 1)]))
        assert peer.receive() == [Suback(2, [ReasonCode.NOT_AUTHORIZED])]


def test_an_alias_means_the_whole_topic() -> None:
    room = RoomFixture(topic_alias_maximum=2)
    peer = room.client("phone")
    attached(room, peer)
    peer.send(Subscribe(1, [Subscription("@weather/rain"), Subscription("rain")]))
    peer.receive()
    peer.send(
        Publish("@weather/rain", b"1", properties={PropertyId.TOPIC_ALIAS: 1}),
        Publish("", b"2", properties={PropertyId.TOPIC_ALIAS: 1}),
        Publish("", b"3", properties={PropertyId.TOPIC_ALIAS: 1}),
    )
    assert [packet.topic for packet in published(peer)] == ["@weather/rain"] * 3


def test_response_topics_are_the_apps_on_the_way_in_and_below_the_prefix_on_the_way_out() -> None:
    room = RoomFixture()
    peer = room.client("phone")
    guest = attached(room, peer)
    peer.send(Subscribe(1, [Subscription("@weather/ask")]))
    peer.receive()
    peer.send(Publish("@weather/ask", b"?", properties={PropertyId.RESPONSE_TOPIC: "@weather/answers/1"}))
    (heard,) = published(peer)
    assert heard.properties == {PropertyId.RESPONSE_TOPIC: "@weather/answers/1"}
    other = room.client("other")
    room.sessions.end(other.session)
    session = room.session("other", OTHER, "weather")
    room.sessions.open(session)
    other.connection.attachment = room.sessions.attach(session, other.connection)
    other.send(Subscribe(1, [Subscription("ask")]))
    other.receive()
    peer.send(Publish("@weather/ask", b"?", properties={PropertyId.RESPONSE_TOPIC: "@weather/answers/1"}))
    (heard,) = published(other)
    assert heard.properties == {PropertyId.RESPONSE_TOPIC: "answers/1"}
    assert guest.attachment is not None


def test_before_it_is_let_in_nothing_is_taken_for_it() -> None:
    room = RoomFixture()
    peer = room.client("phone")
    guest = attached(room, peer)
    assert guest.attachment is not None
    assert guest.attachment.sharing is not None
    guest.attachment.sharing.let_in = False
    peer.send(Publish("@weather/rain", b"x", 1, packet_id=1))
    assert peer.receive() == [Puback(1, ReasonCode.NOT_AUTHORIZED)]


@pytest.mark.parametrize("qos", [1, 2])
def test_what_was_only_for_a_session_that_is_gone_still_has_its_answers_on_the_connection(qos: int) -> None:
    room = RoomFixture()
    peer = room.client("phone")
    guest = attached(room, peer)
    room.pushes.offer(guest, Frames(a_message(1, qos=qos, online_only=True)), 1, False, NOW_MS)
    (push,) = published(peer)
    room.sessions.close(guest, Gone.CLOSED, ReasonCode.ADMINISTRATIVE_ACTION, "kicked")
    assert room.noted.drops == [("guest", 1, False, "disconnected")]
    peer.receive()
    if qos == 1:
        peer.send(Puback(push.packet_id))
        assert peer.receive() == []
    else:
        peer.send(Pubrec(push.packet_id))
        assert peer.receive() == [Pubrel(push.packet_id)]
        peer.send(Pubcomp(push.packet_id))
    assert room.noted.acks == []
    assert not room.counters.refused
    assert len(peer.session.window.inflight or ()) == 0
    assert not peer.over
