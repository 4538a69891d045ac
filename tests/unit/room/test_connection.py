"""The life of one connection: its first packet, its keep alive, its end, and what it is told at each."""

import socket
from contextlib import closing, suppress

import pytest

from longline.mqtt.codec import encode
from longline.mqtt.packets import (
    MQTT_3_1,
    MQTT_3_1_1,
    MQTT_5_0,
    Auth,
    Connack,
    Connect,
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
from longline.room.session.outlet import UNSET
from longline.room.session.session import Gone
from longline.room.wire.connection import AHEAD, FEW
from tests.unit.room.fixture import Peer, RoomFixture, a_message

VERSIONS = pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])
OLDEST = pytest.mark.parametrize("version", [MQTT_3_1, MQTT_3_1_1, MQTT_5_0])


@OLDEST
def test_a_connect_is_handed_to_the_desk_and_nothing_more_is_read_until_it_answers(version: int) -> None:
    room = RoomFixture()
    peer = room.peer(version)
    peer.send(Connect(version, "phone", keep_alive=30))
    ((connection, packet),) = room.noted.admitted
    assert connection is peer.connection
    assert packet.client_id == "phone"
    assert not peer.wire.reading
    assert peer.receive() == []
    room.let_in(peer)
    assert peer.wire.reading
    assert peer.receive() == [Connack()]


@OLDEST
def test_what_comes_behind_connect_in_one_chunk_waits_for_connack(version: int) -> None:
    """[MQTT-3.1.4-6] nothing of it may be acted on before, and nothing of it may be lost."""
    room = RoomFixture()
    peer = room.peer(version)
    peer.send(
        Connect(version, "phone"), Subscribe(1, [Subscription("a", 1)]), Publish("a", b"x", 1, packet_id=2)
    )
    assert peer.receive() == []
    room.let_in(peer)
    connack, suback, publish, puback = peer.receive()
    assert isinstance(connack, Connack)
    assert suback == Suback(1, [1])
    assert isinstance(publish, Publish)
    assert publish.payload == b"x"
    assert puback == Puback(2)


@VERSIONS
@pytest.mark.parametrize("first", [Pingreq(), Subscribe(1, [Subscription("a")]), Publish("a", b"x")])
def test_a_first_packet_that_is_not_connect_closes_the_connection(version: int, first: Publish) -> None:
    """[MQTT-3.1.0-1]"""
    room = RoomFixture()
    peer = room.peer(version)
    peer.send(first)
    assert peer.receive() == []
    assert peer.over
    assert room.noted.refusals == ["protocol_error"]
    assert room.counters.closed == {"protocol_error": 1}


@VERSIONS
def test_a_second_connect_closes_the_connection(version: int) -> None:
    """[MQTT-3.1.0-2]"""
    room = RoomFixture()
    peer = room.client("phone", version)
    peer.send(Connect(version, "phone"))
    told = peer.receive()
    assert told == ([Disconnect(ReasonCode.PROTOCOL_ERROR)] if version == MQTT_5_0 else [])
    assert peer.over


def test_a_version_that_nobody_speaks_is_refused_with_the_answer_of_3_1_1() -> None:
    room = RoomFixture()
    peer = room.peer(MQTT_3_1_1)
    peer.bytes(b"\x10\x0c\x00\x04MQTT\x03\x02\x00\x00\x00\x00")
    assert peer.receive() == [Connack(False, ReasonCode.UNSUPPORTED_PROTOCOL_VERSION)]
    assert peer.over


def test_a_connect_that_is_too_large_costs_its_first_bytes_only() -> None:
    room = RoomFixture(connect_packet_size=512)
    peer = room.peer()
    peer.bytes(b"\x10\xff\x7f")
    assert peer.over
    assert room.noted.refusals == ["packet_too_large"]


def test_bytes_that_are_no_mqtt_close_the_connection() -> None:
    room = RoomFixture()
    peer = room.peer()
    peer.bytes(b"GET / HTTP/1.1\r\n\r\n")
    assert peer.over
    assert sum(room.counters.closed.values()) == 1


def test_an_auth_that_nobody_asked_for_closes_the_connection() -> None:
    room = RoomFixture()
    peer = room.client("phone")
    peer.send(Auth(ReasonCode.REAUTHENTICATE))
    assert peer.receive() == [Disconnect(ReasonCode.PROTOCOL_ERROR)]
    assert peer.over


@VERSIONS
def test_a_packet_over_the_limit_is_refused_at_its_header(version: int) -> None:
    room = RoomFixture(max_packet_size=4096)
    peer = room.client("phone", version)
    peer.bytes(b"\x30\xff\xff\x03")
    told = peer.receive()
    assert told == ([Disconnect(ReasonCode.PACKET_TOO_LARGE)] if version == MQTT_5_0 else [])
    assert peer.over
    assert room.noted.refusals == ["packet_too_large"]


@VERSIONS
def test_the_packets_before_a_fault_in_the_same_chunk_are_served(version: int) -> None:
    room = RoomFixture()
    listener = room.client("listener", version)
    listener.send(Subscribe(1, [Subscription("a")]))
    listener.receive()
    peer = room.client("phone", version)
    peer.bytes(encode(Publish("a", b"x"), version) + b"\x00\x00")
    assert [packet.payload for packet in listener.receive() if isinstance(packet, Publish)] == [b"x"]
    assert peer.over


@VERSIONS
def test_a_publish_with_a_good_bye_right_behind_it_is_routed(version: int) -> None:
    room = RoomFixture()
    listener = room.client("listener", version)
    listener.send(Subscribe(1, [Subscription("a")]))
    listener.receive()
    peer = room.client("phone", version)
    peer.send(Publish("a", b"last words"), Disconnect())
    assert [p.payload for p in listener.receive() if isinstance(p, Publish)] == [b"last words"]
    assert peer.over
    assert room.noted.refusals == []
    assert room.counters.closed == {}


@VERSIONS
@pytest.mark.parametrize("last", [b"\xe0\x00", b"\x00\x00"], ids=["a good-bye", "nonsense"])
def test_what_comes_before_a_last_word_in_the_same_chunk_is_answered(version: int, last: bytes) -> None:
    """[MQTT-4.3.2-4], [MQTT-3.8.4-1], [MQTT-3.10.4-4], [MQTT-3.12.4-1]"""
    room = RoomFixture()
    peer = room.client("phone", version)
    before = [
        Subscribe(1, [Subscription("a", 1)]),
        Publish("a", b"x", 1, packet_id=2),
        Pingreq(),
        Unsubscribe(3, ["a"]),
    ]
    peer.bytes(b"".join(encode(packet, version) for packet in before) + last)
    told: list[Packet] = []
    if version == MQTT_5_0 and last == b"\x00\x00":
        told = [Disconnect(ReasonCode.MALFORMED_PACKET)]
    assert peer.receive() == [
        Suback(1, [1]),
        Publish("a", b"x", 1, packet_id=1),
        Puback(2),
        Pingresp(),
        Unsuback(3, [0] if version == MQTT_5_0 else []),
        *told,
    ]
    assert peer.over


@VERSIONS
@pytest.mark.parametrize("last", [b"\xe0\x00", b"\x00\x00"], ids=["a good-bye", "nonsense"])
def test_what_had_to_be_put_aside_before_a_last_word_is_answered_too(version: int, last: bytes) -> None:
    room = RoomFixture(turn_budget=1)
    peer = room.client("phone", version)
    raw = b"".join(encode(Publish("a", b"x", 1, packet_id=n), version) for n in range(1, 9))
    peer.bytes(raw + last)
    assert [packet for packet in peer.receive() if isinstance(packet, Puback)] == [
        Puback(n, ReasonCode.NO_MATCHING_SUBSCRIBERS if version == MQTT_5_0 else 0) for n in range(1, 9)
    ]
    assert peer.over


# --- hanging up ----------------------------------------------------------------------------------------


@VERSIONS
def test_what_a_client_said_before_it_hung_up_is_done_and_answered(version: int) -> None:
    room = RoomFixture(turn_budget=1)
    peer = room.client("phone", version)
    session = peer.session
    peer.send(*(Publish("a", b"x", 1, packet_id=n) for n in range(1, 9)))
    peer.hang_up()
    assert not peer.wire.closing
    assert len([packet for packet in peer.receive() if isinstance(packet, Puback)]) == 8
    assert peer.over
    assert session.gone is Gone.BROKEN
    assert room.counters.closed == {}


def test_who_pings_does_not_wait_for_all_who_are_gone_together() -> None:
    """A session with many filters takes long to end, and thousands may end at once."""
    room = RoomFixture(turn_budget=100)
    witness = room.client("witness")
    peers = [room.client(f"d{number}") for number in range(50)]
    for peer in peers:
        peer.send(Subscribe(1, [Subscription(f"a/{level}") for level in range(5)]))
    for peer in peers:
        peer.receive()
    sessions = [peer.session for peer in peers]
    for peer in peers:
        peer.connection.connection_lost(None)
    witness.send(Pingreq())
    room.turns.turn()
    assert witness.unread() == [Pingresp()]
    assert 0 < len(room.noted.gone) < 10
    peers[-1].connection.close(ReasonCode.SERVER_SHUTTING_DOWN, "server_shutting_down")  # it is late
    room.turns.settle()
    assert room.noted.gone == sessions
    assert room.counters.connections == room.counters.sessions == 1
    assert all(session.gone is Gone.BROKEN for session in sessions)
    assert not room.fanout.turn.crowded


def test_who_hangs_up_behind_its_connect_is_let_in_and_answered_first() -> None:
    room = RoomFixture()
    peer = room.peer()
    peer.send(Connect(MQTT_5_0, "phone"), Publish("a", b"x", 1, packet_id=1))
    peer.hang_up()
    assert not peer.over
    room.let_in(peer)
    assert peer.receive() == [Connack(), Puback(1, ReasonCode.NO_MATCHING_SUBSCRIBERS)]
    assert peer.over


def test_who_hangs_up_with_nothing_under_way_gets_what_was_written_and_is_closed() -> None:
    room = RoomFixture()
    peer = room.client("phone")
    peer.send(Pingreq())
    peer.hang_up()
    assert peer.receive() == [Pingresp()]
    assert peer.over
    assert room.counters.closed == {}


def test_who_hangs_up_in_the_middle_of_a_packet_is_closed() -> None:
    room = RoomFixture()
    peer = room.client("phone")
    peer.bytes(encode(Publish("a", b"x"), MQTT_5_0)[:3])
    peer.hang_up()
    assert peer.over


# --- connecting and refusing ---------------------------------------------------------------------------


def test_a_connection_that_may_not_stay_is_dropped_before_a_byte_is_read() -> None:
    room = RoomFixture(admits=lambda connection: False)
    peer = room.peer()
    assert peer.wire.aborted
    assert peer.over
    assert room.counters.connections == 0
    assert room.wheel.size == 0


@pytest.mark.parametrize(
    ("version", "reason", "told"),
    [
        (MQTT_5_0, ReasonCode.BANNED, ReasonCode.BANNED),
        (MQTT_3_1_1, ReasonCode.BANNED, ReasonCode.NOT_AUTHORIZED),  # return code 5
        (MQTT_5_0, ReasonCode.SERVER_BUSY, ReasonCode.SERVER_BUSY),
        (MQTT_3_1_1, ReasonCode.SERVER_BUSY, ReasonCode.SERVER_UNAVAILABLE),  # return code 3
    ],
)
def test_a_refused_connect_is_told_why_and_closed(version: int, reason: ReasonCode, told: ReasonCode) -> None:
    room = RoomFixture()
    peer = room.peer(version)
    peer.send(Connect(version, "phone"), Pingreq())
    peer.connection.refuse(reason, "why", "because")
    assert peer.receive() == [Connack(False, told)]
    assert peer.over
    assert room.noted.refusals == ["why"]
    assert room.counters.closed == {"why": 1}


def test_a_connection_that_dies_while_its_connect_waits_leaves_nothing_behind() -> None:
    room = RoomFixture()
    peer = room.peer()
    peer.send(Connect(MQTT_5_0, "phone"))
    peer.wire.abort()
    assert peer.over
    assert room.counters.connections == 0
    assert room.wheel.size == 0
    assert room.noted.gone == []


def test_the_address_of_a_counted_connection_is_given_back() -> None:
    room = RoomFixture()
    peer = room.peer()
    peer.connection.extras.counted = "192.0.2.1"
    peer.wire.abort()
    assert peer.over
    assert room.released == ["192.0.2.1"]


# --- time ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [b"", b"\x10", b"\x10\x20\x00\x04MQ"])
def test_a_connect_that_does_not_come_whole_in_time_closes_the_connection(sent: bytes) -> None:
    """Also when its bytes come drop by drop: it is the whole packet that has a deadline."""
    room = RoomFixture(connect_timeout=10)
    peer = room.peer()
    for byte in sent:
        room.tick()
        peer.bytes(bytes([byte]))
    room.tick(10 - len(sent))
    assert not peer.over
    room.tick()
    assert peer.over
    assert room.noted.refusals == ["connect_timeout"]


def test_a_connect_that_the_stores_keep_waiting_is_not_the_peers_fault() -> None:
    room = RoomFixture(connect_timeout=10)
    peer = room.peer()
    peer.send(Connect(MQTT_5_0, "phone"))
    room.tick(100)
    assert not peer.over
    assert room.noted.refusals == []


@pytest.mark.parametrize(("keep_alive", "at_least"), [(1, 2), (10, 15), (60, 90), (1000, 1500)])
@VERSIONS
def test_silence_for_one_and_a_half_times_keep_alive_ends_the_connection(
    version: int, keep_alive: int, at_least: int
) -> None:
    """[MQTT-3.1.2-22]; never early, and late by no more than a tick. 1000 is beyond one turn of the wheel."""
    room = RoomFixture()
    peer = room.client("phone", version, keep_alive=keep_alive)
    room.tick(at_least)
    assert not peer.over
    room.tick()
    told = peer.receive()
    assert told == ([Disconnect(ReasonCode.KEEP_ALIVE_TIMEOUT)] if version == MQTT_5_0 else [])
    assert peer.over
    assert room.counters.closed == {"keep_alive_timeout": 1}
    assert room.noted.refusals == []  # nobody did wrong


def test_any_packet_postpones_the_end() -> None:
    room = RoomFixture()
    peer = room.client("phone", keep_alive=2)
    for _ in range(20):
        room.tick(2)
        peer.send(Pingreq())
        assert peer.receive() == [Pingresp()]
    room.tick(4)
    assert peer.over


def test_bytes_that_make_no_packet_postpone_nothing() -> None:
    """[MQTT-3.1.2-22]"""
    room = RoomFixture()
    peer = room.client("phone", keep_alive=10)
    for byte in encode(Publish("a" * 40, b"x"), MQTT_5_0)[:17]:
        peer.bytes(bytes([byte]))
        room.tick()
    assert peer.over
    assert room.counters.closed == {"keep_alive_timeout": 1}


def slow_reader(room: RoomFixture, ours: socket.socket, keep_alive: int) -> Peer:
    """It takes what it is sent so slowly that the room does not read from it."""
    peer = room.client("phone", keep_alive=keep_alive)
    peer.wire.socket = ours
    peer.wire.slow = True
    room.offer(peer, 1, message=a_message(1, payload=bytes(8000)))
    room.turns.settle()
    assert not peer.wire.reading
    return peer


def test_a_slow_reader_that_pings_in_time_is_not_closed_for_silence() -> None:
    """[MQTT-3.1.2-22]: what we did not read is not silence."""
    room = RoomFixture(outbox_bytes=4096)
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        peer = slow_reader(room, ours, keep_alive=10)
        for _ in range(20):
            theirs.send(encode(Pingreq(), MQTT_5_0))
            room.tick(10)
        assert not peer.over
        peer.wire.read()
        assert peer.wire.reading
        room.tick(10)
        peer.bytes(ours.recv(1000))
        assert peer.receive()[-20:] == [Pingresp()] * 20
        room.tick(15)
        assert not peer.over


def test_a_slow_reader_that_says_nothing_is_closed_for_silence() -> None:
    room = RoomFixture(outbox_bytes=4096)
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        peer = slow_reader(room, ours, keep_alive=10)
        theirs.send(encode(Pingreq(), MQTT_5_0))
        room.tick(16)
        assert not peer.over  # that ping came since it was last heard
        room.tick(16)
        assert room.counters.closed == {"keep_alive_timeout": 1}


def test_a_slow_reader_that_has_no_room_left_to_speak_is_not_closed_for_silence() -> None:
    room = RoomFixture(outbox_bytes=4096)
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        theirs.setblocking(False)
        peer = slow_reader(room, ours, keep_alive=10)
        with suppress(BlockingIOError):
            while True:
                theirs.send(bytes(4096))
        room.tick(100)
        assert not peer.over


def test_who_is_read_from_again_is_not_taken_for_silent_before_it_was_read() -> None:
    room = RoomFixture(outbox_bytes=4096)
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        peer = slow_reader(room, ours, keep_alive=10)
        room.tick(15)
        peer.wire.read()
        room.tick()
        assert not peer.over


@pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])
@pytest.mark.parametrize("keep_alive", [0, 10, 1000])
def test_who_takes_nothing_of_what_it_is_sent_is_closed_in_time(version: int, keep_alive: int) -> None:
    """However it goes on speaking; what it had not taken is not waited for."""
    room = RoomFixture(outbox_bytes=4096, outbox_timeout=30)
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        peer = room.client("phone", version, keep_alive=keep_alive)
        peer.wire.socket = ours
        peer.wire.slow = True
        room.offer(peer, 1, message=a_message(1, payload=bytes(8000)))
        room.turns.settle()
        for _ in range(29):
            theirs.send(encode(Pingreq(), version))
            room.tick()
        assert not peer.wire.closing
        room.tick()
        assert peer.wire.closing
        assert room.counters.closed == {"slow_consumer": 1}
        room.tick(5)
        assert peer.wire.aborted


@pytest.mark.parametrize("keep_alive", [0, 1000])
def test_who_takes_it_in_time_stays_however_often_it_is_slow(keep_alive: int) -> None:
    room = RoomFixture(outbox_bytes=4096, outbox_timeout=30)
    peer = room.client("phone", keep_alive=keep_alive)
    for number in range(1, 6):
        peer.wire.slow = True
        room.offer(peer, number, message=a_message(number, payload=bytes(8000)), before=number - 1)
        room.tick(29)
        peer.wire.read()
        peer.bytes(encode(Puback(number), MQTT_5_0))
    room.tick(100)
    assert not peer.over


def test_a_connection_without_keep_alive_is_in_no_timer() -> None:
    room = RoomFixture()
    peer = room.client("phone", keep_alive=0)
    assert peer.connection.slot == UNSET
    assert room.wheel.size == 0
    room.tick(2000)
    assert not peer.over


def test_an_idle_connection_holds_no_buffer_and_no_collection() -> None:
    room = RoomFixture()
    peer = room.client("phone", keep_alive=60)
    connection, session = peer.connection, peer.session
    assert connection.link.output is None
    assert connection.link.held == 0
    assert connection._extras is None
    assert (session.window.inflight, session.queue, session.subscriptions) == (None, None, None)
    assert not room.turns.waiting


def test_a_closed_connection_whose_peer_does_not_take_its_last_bytes_is_aborted() -> None:
    room = RoomFixture(outbox_bytes=4096)
    peer = room.client("phone", keep_alive=1000)
    peer.wire.slow = True
    peer.wire.held = 1  # the kernel's buffer is full
    peer.connection.close(ReasonCode.ADMINISTRATIVE_ACTION, "kicked")
    room.turns.settle()
    assert peer.connection.transport is not None
    room.tick(5)
    assert peer.wire.aborted
    assert peer.over


# --- the end -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])
def test_a_takeover_tells_the_old_connection_and_leaves_the_new_one_alone(version: int) -> None:
    room = RoomFixture()
    old = room.client("phone", version)
    old_session = old.session
    new = room.client("phone", version)
    told = old.receive()
    assert told == ([Disconnect(ReasonCode.SESSION_TAKEN_OVER)] if version == MQTT_5_0 else [])
    assert old.over
    assert room.noted.gone == [old_session]
    assert room.sessions.find(7, "phone") is new.session
    assert room.counters.sessions == 1


def test_when_a_connection_ends_its_session_leaves_every_index() -> None:
    room = RoomFixture()
    peer = room.client("phone")
    session = peer.session
    peer.send(Subscribe(1, [Subscription("a", 1), Subscription("b/#", 0)]))
    peer.receive()
    index = session.tenant.subscriptions
    assert index.size == 2
    peer.wire.abort()
    assert peer.over
    assert index.size == 0
    assert room.sessions.find(7, "phone") is None
    assert room.sessions.tenants == {}
    assert room.noted.gone == [session]
    assert session.attachment is None
    counters = room.counters
    assert (counters.connections, counters.sessions) == (0, 0)


def test_only_the_first_reason_to_close_counts() -> None:
    room = RoomFixture()
    peer = room.client("phone")
    peer.connection.close(ReasonCode.ADMINISTRATIVE_ACTION, "kicked")
    peer.connection.close(ReasonCode.SESSION_TAKEN_OVER, "taken_over")
    assert peer.receive() == [Disconnect(ReasonCode.ADMINISTRATIVE_ACTION)]
    assert room.counters.closed == {"kicked": 1}


def test_nothing_that_arrives_after_the_last_word_is_acted_on() -> None:
    room = RoomFixture()
    peer = room.client("phone")
    peer.connection.close(ReasonCode.ADMINISTRATIVE_ACTION, "kicked")
    peer.send(Subscribe(1, [Subscription("a")]), Pingreq())
    peer.bytes(b"\x00\x00\x00")
    assert peer.receive() == [Disconnect(ReasonCode.ADMINISTRATIVE_ACTION)]
    assert room.noted.refusals == []


def test_a_transport_that_was_closed_under_us_is_no_error() -> None:
    room = RoomFixture()
    peer = room.client("phone")
    peer.wire.closing = True  # as after an error that uvloop has not told of yet
    peer.send(Pingreq())
    room.offer(peer, 1)
    room.turns.settle()
    peer.wire.abort()
    assert peer.over


@pytest.mark.parametrize(
    ("first", "second", "over"), [(0, 10, True), (None, 10, True), (5, 10, False), (5, 0, False)]
)
def test_a_session_that_was_to_end_with_the_connection_cannot_be_prolonged_at_its_end(
    first: int | None, second: int, over: bool
) -> None:
    """Section 3.14.2.2.2"""
    room = RoomFixture()
    properties: Properties = {} if first is None else {PropertyId.SESSION_EXPIRY_INTERVAL: first}
    peer = room.client("phone", properties=properties)
    peer.send(Disconnect(0, {PropertyId.SESSION_EXPIRY_INTERVAL: second}))
    assert peer.receive() == ([Disconnect(ReasonCode.PROTOCOL_ERROR)] if over else [])
    assert peer.over
    assert room.counters.closed == ({"protocol_error": 1} if over else {})


# --- the client's Maximum Packet Size ------------------------------------------------------------------


def sized(room: RoomFixture, size: int) -> Peer:
    return room.client("phone", properties={PropertyId.MAXIMUM_PACKET_SIZE: size})


@pytest.mark.parametrize("qos", [0, 1])
@pytest.mark.parametrize("payload", [*range(85, 110), 16_370])
def test_a_push_is_never_a_byte_larger_than_the_client_takes(qos: int, payload: int) -> None:
    """[MQTT-3.1.2-24]; around the lengths where the header grows by a byte. What just fits is written."""
    room = RoomFixture()
    message = a_message(1, qos=qos, payload=b"x" * payload)
    unlimited = room.client("other")
    room.offer(unlimited, 1, message=message)
    room.turns.settle()
    size = len(unlimited.wire.writes[-1])
    for limit, fits in ((size, True), (size - 1, False)):
        peer = sized(room, limit)
        room.offer(peer, 1, message=message)
        assert [type(packet) for packet in peer.receive()] == ([Publish] if fits else [])
    assert [reason for *_, reason in room.noted.drops] == ["too_large_for_client"]


@pytest.mark.parametrize("count", [1, 16])
def test_an_answer_that_the_client_does_not_take_ends_the_connection(count: int) -> None:
    """It waits for one: there is nothing that could be left out of it."""
    filters = [Subscription(f"{number:x}", 0) for number in range(count)]
    size = 5 + count
    room = RoomFixture(max_subscriptions=100)
    peer = sized(room, size)
    peer.send(Subscribe(1, filters))
    assert peer.receive() == [Suback(1, [0] * count)]
    peer = sized(room, size - 1)
    peer.send(Subscribe(1, filters), Pingreq())
    assert peer.receive() == [Disconnect(ReasonCode.PACKET_TOO_LARGE)]
    assert peer.over
    assert room.counters.closed["answer_too_large"] == 1


def test_a_client_that_takes_next_to_nothing_gets_nothing() -> None:
    room = RoomFixture()
    peer = room.peer()
    peer.send(Connect(MQTT_5_0, "phone", properties={PropertyId.MAXIMUM_PACKET_SIZE: 4}))
    room.let_in(peer)
    assert peer.receive() == []
    assert peer.over


@pytest.mark.parametrize(("size", "told"), [(5, [Connack(False, ReasonCode.BANNED)]), (4, [])])
def test_a_refusal_is_within_what_the_client_takes(size: int, told: list[Packet]) -> None:
    room = RoomFixture()
    peer = room.peer()
    peer.send(Connect(MQTT_5_0, "phone", properties={PropertyId.MAXIMUM_PACKET_SIZE: size}))
    peer.connection.refuse(ReasonCode.BANNED, "banned", "because")
    assert peer.receive() == told
    assert peer.over


# --- steps of QoS 2 that belong to no message ----------------------------------------------------------


def test_a_pubrec_that_refuses_is_not_answered() -> None:
    """[MQTT-4.3.3-4] PUBREL is for a PUBREC with a reason of success."""
    room = RoomFixture()
    peer = room.client("phone")
    peer.send(Pubrec(6, ReasonCode.QUOTA_EXCEEDED), Pingreq())
    assert peer.receive() == [Pingresp()]


@VERSIONS
def test_steps_of_qos_2_from_an_earlier_session_are_answered_and_noted(version: int) -> None:
    """Section 4.3.3: the client ends its part of the exchange, instead of repeating it for ever."""
    room = RoomFixture()
    peer = room.client("phone", version)
    peer.send(Pubrel(5), Pubrec(6), Pubcomp(7))
    unknown = ReasonCode.PACKET_IDENTIFIER_NOT_FOUND if version == MQTT_5_0 else 0
    assert peer.receive() == [Pubcomp(5, unknown), Pubrel(6, unknown)]
    assert room.counters.refused == {"unknown_packet_id": 3}
    assert room.noted.refusals == ["unknown_packet_id"]  # told of once: only the count goes on
    assert not peer.over


@VERSIONS
def test_a_puback_for_what_was_not_sent_is_noted_and_forgiven(version: int) -> None:
    room = RoomFixture()
    peer = room.client("phone", version)
    peer.send(Puback(5))
    room.offer(peer, 1)
    peer.receive()
    peer.send(Puback(9))
    assert room.counters.refused == {"unknown_packet_id": 2}
    assert peer.session.window.free() == 15
    assert not peer.over


@pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])
def test_of_very_many_small_packets_a_few_are_decoded_at_a_time(version: int) -> None:
    """Decoded, they take a hundred times as much as they did."""
    room = RoomFixture(turn_budget=1000)
    peer, witness = room.client("phone", version), room.client("witness")
    peer.bytes(encode(Pingreq(), version) * 10_000)
    backlog = peer.connection.backlog
    assert backlog is not None
    assert len(backlog) < AHEAD
    assert not peer.wire.reading
    witness.send(Pingreq())
    room.turns.turn()
    assert witness.unread() == [Pingresp()]
    assert peer.receive() == [Pingresp()] * 10_000
    assert peer.wire.reading
    assert peer.connection.backlog is None


def test_when_a_turn_has_its_work_even_fewer_are_decoded_of_each_client() -> None:
    room = RoomFixture(turn_budget=1000)
    peers = [room.client(f"d{number}") for number in range(50)]
    for peer in peers:
        peer.bytes(encode(Pingreq(), MQTT_5_0) * 5000)
    assert room.turn.spent < 3000
    assert sum(len(peer.connection.backlog or ()) for peer in peers) < 2 * AHEAD + FEW * len(peers)
    for peer in peers:
        assert peer.receive() == [Pingresp()] * 5000


@pytest.mark.parametrize("last", [b"\xe0\x00", b"\x00\x00", b""])
def test_what_a_client_sent_last_follows_very_many_small_packets(last: bytes) -> None:
    """A good-bye, what is malformed, and the end of the stream."""
    room = RoomFixture(turn_budget=1000)
    listener = room.client("listener")
    listener.send(Subscribe(1, [Subscription("a")]))
    listener.receive()
    peer = room.client("phone")
    peer.bytes(encode(Publish("a", b""), MQTT_5_0) * 5000 + last)
    if not last:
        peer.hang_up()
    assert not peer.wire.closing
    room.turns.settle()
    assert len(listener.receive()) == 5000
    assert peer.over


def test_who_says_little_does_not_wait_until_all_have_been_heard_who_say_much() -> None:
    """An acknowledgement with a PINGREQ behind it, while very many packets of others wait for their turns."""
    room = RoomFixture(turn_budget=1000)
    client = room.client("phone")
    room.offer(client, 1)
    client.receive()
    for number in range(20):
        room.client(f"d{number}").bytes(encode(Pingreq(), MQTT_5_0) * 20_000)
    client.send(Puback(1), Pingreq(), Publish("a", b"x", 1, packet_id=5))
    room.turns.turn()
    assert client.unread() == [Pingresp()]
    turns = 0
    while not (answers := client.unread()):
        room.turns.turn()
        turns += 1
    assert answers == [Puback(5, ReasonCode.NO_MATCHING_SUBSCRIBERS)]
    assert turns <= 25, "each of the others has had one share"
