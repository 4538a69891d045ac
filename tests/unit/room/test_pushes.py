"""Pushes on their way to one device: the window, the order, and who hears what became of them."""

import msgspec
import pytest

from longline.mqtt.packets import (
    MQTT_3_1_1,
    MQTT_5_0,
    Connect,
    Disconnect,
    Puback,
    Publish,
    Subscribe,
    Subscription,
)
from longline.mqtt.properties import PropertyId
from longline.mqtt.reasons import ReasonCode
from longline.room.push.frames import Frames
from tests.unit.room.fixture import NOW_MS, Peer, RoomFixture, a_message


def pushes(peer: Peer) -> list[str]:
    return [packet.topic for packet in peer.receive() if isinstance(packet, Publish)]


@pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])
def test_a_push_goes_to_its_own_topic_with_what_the_contract_says(version: int) -> None:
    room = RoomFixture()
    peer = room.client("phone", version)
    room.offer(peer, 1)
    (publish,) = peer.receive()
    assert isinstance(publish, Publish)
    assert (publish.topic, publish.payload, publish.qos, publish.dup) == ("push/m1", b"payload 1", 1, False)
    if version == MQTT_5_0:
        assert publish.properties == {
            PropertyId.MESSAGE_EXPIRY_INTERVAL: 60,
            PropertyId.CONTENT_TYPE: "text/plain",
            PropertyId.USER_PROPERTY: [("message-id", "m1"), ("sent-at", str(NOW_MS))],
        }
    assert [entry.position for entry in room.noted.sent] == [1]
    assert room.counters.pushes_sent == 1


def test_a_puback_is_the_receipt_and_frees_the_window() -> None:
    room = RoomFixture()
    peer = room.client("phone")
    room.offer(peer, 1)
    room.offer(peer, 5, broadcast=True)
    first, second = peer.receive()
    assert isinstance(first, Publish)
    assert isinstance(second, Publish)
    peer.send(Puback(second.packet_id))
    assert [(entry.position, entry.broadcast) for entry in room.noted.acks] == [(5, True)]
    peer.send(Puback(first.packet_id))
    assert [entry.position for entry in room.noted.acks] == [5, 1]
    assert not peer.session.window.inflight
    assert room.counters.pushes_acked == 2
    peer.send(Puback(first.packet_id))  # a second time: it is nobody's now
    assert len(room.noted.acks) == 2


def test_a_full_window_leaves_pushes_in_the_store_and_acks_ask_for_them() -> None:
    room = RoomFixture()
    peer = room.client("phone", window=4)
    for position in range(1, 8):
        room.offer(peer, position)
    assert pushes(peer) == ["push/m1", "push/m2", "push/m3", "push/m4"]
    session = peer.session
    assert (session.window.waits(), session.window.inbox_written) == (True, 4)
    assert room.counters.pushes_left == 3
    peer.send(Puback(1))
    assert room.noted.asked == []  # one read for half a window, not one for each ack
    peer.send(Puback(2))
    assert room.noted.asked == [session]


def test_while_the_store_has_more_a_new_push_does_not_overtake_it() -> None:
    room = RoomFixture()
    peer = room.client("phone", window=2)
    for position in range(1, 4):
        room.offer(peer, position)
    peer.send(Puback(1), Puback(2))
    room.offer(peer, 4)
    assert pushes(peer) == ["push/m1", "push/m2"]


def test_a_push_does_not_overtake_one_that_got_lost_on_its_way_here() -> None:
    room = RoomFixture()
    peer = room.client("phone")
    room.offer(peer, 1)
    room.offer(peer, 4, before=1)
    room.offer(peer, 7, before=5)
    room.offer(peer, 8, before=7)
    assert pushes(peer) == ["push/m1", "push/m4"]
    session = peer.session
    assert (session.window.waits(), session.window.inbox_written) == (True, 4)
    assert room.noted.asked == [session], "asked for once, though nothing is acknowledged"


def test_a_push_that_was_read_from_the_store_already_is_not_written_again() -> None:
    room = RoomFixture()
    peer = room.client("phone")
    peer.session.window.inbox_written = peer.session.window.inbox_read = 5
    peer.session.window.log_written = peer.session.window.log_read = 7
    room.offer(peer, 5)
    room.offer(peer, 7, broadcast=True)
    assert pushes(peer) == []
    room.offer(peer, 6)
    room.offer(peer, 8, broadcast=True)
    assert pushes(peer) == ["push/m6", "push/m8"]


def test_the_clients_receive_maximum_is_its_window() -> None:
    room = RoomFixture()
    peer = room.client("phone", window=1)
    room.offer(peer, 1)
    room.offer(peer, 2)
    assert pushes(peer) == ["push/m1"]
    peer.send(Puback(1))
    assert room.noted.asked == [peer.session]


def test_a_push_of_qos_0_needs_no_window_and_is_taken_when_it_is_written() -> None:
    room = RoomFixture()
    peer = room.client("phone", window=1)
    for position in range(1, 4):
        room.offer(peer, position, message=a_message(position, qos=0))
    published = [packet for packet in peer.receive() if isinstance(packet, Publish)]
    assert [(packet.topic, packet.qos) for packet in published] == [
        ("push/m1", 0),
        ("push/m2", 0),
        ("push/m3", 0),
    ]
    assert [entry.position for entry in room.noted.acks] == [1, 2, 3]
    assert room.noted.sent == []


@pytest.mark.parametrize("qos", [0, 1])
@pytest.mark.parametrize("broadcast", [False, True])
def test_a_connection_that_is_closing_takes_no_push_and_the_store_keeps_it(qos: int, broadcast: bool) -> None:
    """Otherwise a push of QoS 0 would count as taken without having been written."""
    room = RoomFixture()
    peer = room.client("phone")
    session = peer.session
    peer.connection.close(ReasonCode.ADMINISTRATIVE_ACTION, "kicked")
    room.offer(peer, 1, broadcast=broadcast, message=a_message(1, qos=qos))
    assert peer.receive() == [Disconnect(ReasonCode.ADMINISTRATIVE_ACTION)]
    assert (room.noted.acks, room.noted.sent) == ([], [])
    assert (session.window.inbox_written, session.window.log_written) == (0, 0)


def test_a_push_larger_than_the_client_takes_is_dropped_with_the_reason() -> None:
    """[MQTT-3.1.2-24]"""
    room = RoomFixture()
    peer = room.client("phone", properties={PropertyId.MAXIMUM_PACKET_SIZE: 200})
    room.offer(peer, 1, message=a_message(1, payload=b"x" * 200))
    room.offer(peer, 2)
    assert pushes(peer) == ["push/m2"]
    assert room.noted.drops == [("phone", 1, False, "too_large_for_client")]
    assert peer.session.window.free() == 15


@pytest.mark.parametrize("limit", range(95, 125))
def test_no_packet_is_larger_than_the_client_said(limit: int) -> None:
    room = RoomFixture()
    peer = room.client("phone", properties={PropertyId.MAXIMUM_PACKET_SIZE: limit})
    room.offer(peer, 1, message=a_message(1, payload=b"x" * 30))
    room.turns.settle()
    assert max(len(data) for data in peer.wire.writes) <= limit
    assert len(room.noted.sent) + len(room.noted.drops) == 1


# --- online only ---------------------------------------------------------------------------------------


def test_an_online_only_push_that_cannot_be_written_now_is_dropped() -> None:
    room = RoomFixture()
    peer = room.client("phone", window=1)
    room.offer(peer, 1)
    room.offer(peer, 2, message=a_message(2, online_only=True))
    assert pushes(peer) == ["push/m1"]
    assert room.noted.drops == [("phone", 2, False, "busy")]
    assert not peer.session.window.waits()  # there is nothing of it to be read later


def test_a_call_overtakes_what_waits_while_there_is_room_for_it() -> None:
    """Its sender waits, and it is late when others are before it; only a full window is in its way."""
    room = RoomFixture()
    peer = room.client("phone", window=2, pending=True)
    for position in (9, 8, 7):
        call = msgspec.structs.replace(a_message(position, online_only=True), call=True)
        room.offer(peer, position, message=call)
    arrived = [packet for packet in peer.receive() if isinstance(packet, Publish)]
    assert [packet.topic for packet in arrived] == ["push/m9", "push/m8"]
    assert arrived[0].properties is not None
    assert arrived[0].properties[PropertyId.RESPONSE_TOPIC] == "reply/m9"
    assert room.noted.drops == [("phone", 7, False, "busy")]


def test_an_online_only_push_in_flight_is_dropped_when_the_connection_ends() -> None:
    room = RoomFixture()
    peer = room.client("phone")
    room.offer(peer, 1, message=a_message(1, online_only=True))
    room.offer(peer, 2)
    peer.receive()
    peer.wire.abort()
    assert peer.over
    assert room.noted.drops == [("phone", 1, False, "disconnected")]


def test_an_online_only_push_does_not_move_the_position_in_the_inbox() -> None:
    """It was never there: what was stored before it and comes late by the bus must still be written."""
    room = RoomFixture()
    peer = room.client("phone")
    room.offer(peer, 9, message=a_message(9, online_only=True))
    room.offer(peer, 8)
    assert pushes(peer) == ["push/m9", "push/m8"]


# --- slow readers --------------------------------------------------------------------------------------


def test_a_blocked_transport_leaves_pushes_in_the_store_and_asks_for_them_when_it_flows() -> None:
    room = RoomFixture(outbox_bytes=4096)
    peer = room.client("phone")
    peer.wire.slow = True
    for position in range(1, 8):
        room.offer(peer, position, message=a_message(position, payload=b"x" * 1500))
        room.turns.settle()
    assert peer.connection.blocked
    assert not peer.wire.reading
    written = len(pushes(peer))
    assert 0 < written < 7
    assert room.counters.pushes_left == 7 - written
    peer.wire.read()
    assert peer.wire.reading
    assert room.noted.asked == [peer.session]


def test_what_one_turn_may_gather_for_one_connection_is_bounded() -> None:
    """More than the outbox goes to the transport at once, and the transport says stop."""
    room = RoomFixture(outbox_bytes=4096)
    peer = room.client("phone", window=1000)
    peer.wire.slow = True
    for position in range(1, 100):
        room.offer(peer, position, message=a_message(position, payload=b"x" * 1000))
    assert peer.connection.blocked
    assert peer.wire.held + peer.connection.waiting < 3 * 4096
    peer.receive()


def test_pushes_are_not_starved_by_plain_messages() -> None:
    """A device that others flood with publish/subscribe still gets what its app server sends."""
    room = RoomFixture(session_queue=1000)
    peer, other = room.client("phone", window=4), room.client("flooder")
    peer.send(Subscribe(1, [Subscription("flood", 1)]))
    peer.receive()
    other.send(*(Publish("flood", b"x", 1, packet_id=number) for number in range(1, 101)))
    room.offer(peer, 1)
    assert peer.session.window.waits()
    for packet in peer.receive():
        if isinstance(packet, Publish):
            peer.send(Puback(packet.packet_id))
    assert room.noted.asked[:1] == [peer.session]
    assert peer.session.window.free() >= 2  # kept for what the store has


# --- encoding ------------------------------------------------------------------------------------------


def test_a_push_is_encoded_once_for_each_version() -> None:
    frames = Frames(a_message(1))
    first = frames.of(MQTT_5_0, NOW_MS)
    assert frames.of(MQTT_5_0, NOW_MS + 500) is first
    assert frames.of(MQTT_3_1_1, NOW_MS) is frames.of(MQTT_3_1_1, NOW_MS)
    assert frames.of(MQTT_3_1_1, NOW_MS) is not first


def test_the_remaining_life_of_a_push_is_rounded_up() -> None:
    def expiry(now_ms: int) -> object:
        room = RoomFixture()
        peer = room.client("phone")
        room.pushes.offer(peer.session, Frames(a_message(1)), 1, False, now_ms)
        (publish,) = peer.receive()
        assert isinstance(publish, Publish)
        assert publish.properties is not None
        return publish.properties[PropertyId.MESSAGE_EXPIRY_INTERVAL]

    assert expiry(NOW_MS + 59_001) == 1
    assert expiry(NOW_MS + 59_999) == 1


def test_a_push_that_was_on_its_way_for_longer_than_its_life_is_left_to_the_store() -> None:
    room = RoomFixture()
    peer = room.client("phone")
    room.pushes.offer(peer.session, Frames(a_message(1)), 1, False, NOW_MS + 60_000)
    assert peer.receive() == []


def test_a_push_that_the_client_refuses_is_dropped_and_frees_the_window() -> None:
    room = RoomFixture()
    peer = room.client("phone")
    room.pushes.offer(peer.session, Frames(a_message(1)), 1, False, NOW_MS)
    (publish,) = peer.receive()
    assert isinstance(publish, Publish)
    peer.send(Puback(publish.packet_id, ReasonCode.QUOTA_EXCEEDED))
    assert room.noted.acks == []
    assert room.noted.drops == [("phone", 1, False, "refused_by_client")]
    assert not peer.session.window.inflight


def test_pushes_of_one_turn_go_to_the_transport_in_one_write() -> None:
    room = RoomFixture()
    peers = [room.client(name) for name in ("a", "b")]
    before = [len(peer.wire.writes) for peer in peers]
    for position in range(1, 11):
        for peer in peers:
            room.offer(peer, position)
    assert [len(peer.wire.writes) for peer in peers] == before
    room.turns.turn()
    assert [len(peer.wire.writes) for peer in peers] == [count + 1 for count in before]
    assert [len(pushes(peer)) for peer in peers] == [10, 10]


def test_a_connect_still_on_its_way_does_not_hide_the_session_that_serves() -> None:
    room = RoomFixture()
    serving = room.client("phone")
    coming = room.peer()
    coming.send(Connect(MQTT_5_0, "phone"))
    room.offer(serving, 1)
    assert pushes(serving) == ["push/m1"]
