"""Sessions of several apps on one connection: each by itself, but for the identifiers that they share."""

import pytest

from longline.mqtt.packets import MQTT_3_1_1, MQTT_5_0, Disconnect, Puback, Publish, Subscribe, Subscription
from longline.mqtt.reasons import ReasonCode
from longline.room.push.frames import Frames
from longline.room.session.session import Gone, Session
from tests.unit.room.fixture import NOW_MS, Peer, RoomFixture, a_message

OTHER = 8
VERSIONS = pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])


def attached(room: RoomFixture, peer: Peer, device: str = "guest") -> Session:
    """A session of another app on a client's connection."""
    session = room.session(device, OTHER, "weather")
    session.window.open(0, False)
    room.sessions.open(session)
    room.sessions.attach(session, peer.connection, "@weather/", peer.connection.attachment)
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
    assert room.noted.asked == [peer.session, guest]  # both are behind, and there is room for either


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
    assert peer.receive() == []
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
