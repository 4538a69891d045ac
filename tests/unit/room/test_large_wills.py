"""CONNECTs with large wills, which have to be held before anybody knows who sends them."""

import pytest

from longline.mqtt.codec import encode
from longline.mqtt.packets import MQTT_3_1_1, MQTT_5_0, Connack, Connect, Will
from longline.mqtt.reasons import ReasonCode
from tests.unit.room.fixture import Peer, RoomFixture

VERSIONS = pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])


def a_room(will_packets_bytes: int = 200_000) -> RoomFixture:
    return RoomFixture(
        connect_packet_size=512,
        will_packet_size=70_000,
        max_packet_size=300_000,
        will_packets_bytes=will_packets_bytes,
    )


def connect(version: int, size: int = 65_535, *, password: int = 10) -> bytes:
    will = Will("gone", bytes(size))
    return encode(Connect(version, "d", True, 0, "app", b"p" * password, will), version)


def heard(room: RoomFixture) -> list[int]:
    """The sizes of the wills of those that wait to be let in."""
    return [len(packet.will.payload) for _, packet in room.noted.admitted if packet.will is not None]


@VERSIONS
@pytest.mark.parametrize("step", [1 << 20, 1000, 7])
def test_a_large_will_arrives_and_is_counted_until_its_client_is_let_in(version: int, step: int) -> None:
    room = a_room()
    peer = room.peer(version)
    data = connect(version)
    for at in range(0, len(data), step):
        peer.bytes(data[at : at + step])
    assert heard(room) == [65_535]
    large = room.services.large
    assert (large.bytes, len(large)) == (len(data), 1)
    peer.connection.accept(Connack(False, 0), 0)
    assert (large.bytes, len(large)) == (0, 0)
    assert not peer.over


@VERSIONS
def test_what_is_large_for_anything_but_the_payload_of_a_will_is_refused(version: int) -> None:
    room = a_room()
    peers = [room.peer(version) for _ in range(2)]
    peers[0].bytes(connect(version, 100, password=1000))
    peers[1].bytes(encode(Connect(version, "d", True, 0, "app", b"p" * 1000), version))
    for peer in peers:
        told = peer.receive()
        assert told == ([Connack(False, ReasonCode.PACKET_TOO_LARGE)] if version == MQTT_5_0 else [])
        assert peer.over
    assert room.noted.refusals == ["packet_too_large"] * 2
    assert heard(room) == []
    assert room.services.large.bytes == 0


def test_what_is_larger_than_any_may_be_costs_its_first_bytes_only() -> None:
    room = a_room()
    peer = room.peer()
    peer.bytes(b"\x10\xff\xff\x7f")
    assert peer.over
    assert room.services.large.bytes == 0


def test_strangers_together_hold_no_more_than_there_may_be_and_keep_nobody_out() -> None:
    room = a_room(will_packets_bytes=200_000)
    large = room.services.large
    strangers: list[Peer] = []
    for _ in range(100):
        stranger = room.peer()
        stranger.bytes(connect(MQTT_5_0)[:60_000])
        strangers.append(stranger)
        assert large.bytes <= 200_000
    assert len(large) == 3
    assert [stranger.over for stranger in strangers] == [True] * 97 + [False] * 3
    assert room.counters.refused["large_connects"] == 97
    client = room.peer()
    client.bytes(connect(MQTT_5_0))
    assert heard(room) == [65_535]
    assert large.bytes <= 200_000
    usual = room.peer()
    usual.bytes(connect(MQTT_5_0, 100))
    assert heard(room) == [65_535, 100]


def test_where_all_have_arrived_whole_one_more_is_told_that_we_are_busy() -> None:
    room = a_room(will_packets_bytes=150_000)
    clients = [room.peer() for _ in range(3)]
    for client in clients:
        client.bytes(connect(MQTT_5_0))
    assert heard(room) == [65_535] * 2
    assert clients[2].receive() == [Connack(False, ReasonCode.SERVER_BUSY)]
    assert clients[2].over
    clients[0].connection.refuse(ReasonCode.NOT_AUTHORIZED, "bad_token", "no")
    assert clients[0].over
    again = room.peer()
    again.bytes(connect(MQTT_5_0))
    assert heard(room) == [65_535] * 3


def test_who_hangs_up_holds_nothing() -> None:
    room = a_room()
    peer = room.peer()
    peer.bytes(connect(MQTT_5_0)[:60_000])
    assert room.services.large.bytes == 60_000
    peer.connection.connection_lost(None)
    assert room.services.large.bytes == 0
