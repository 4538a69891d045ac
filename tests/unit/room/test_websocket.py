"""A connection over WebSocket: as over TCP, and what its carrier adds at the beginning and the end."""

import asyncio
import builtins
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longline.mqtt.codec import Decoder, encode
from longline.mqtt.packets import (
    MQTT_3_1_1,
    MQTT_5_0,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Puback,
    Publish,
    Suback,
    Subscribe,
    Subscription,
)
from longline.mqtt.reasons import ReasonCode
from longline.room.session.client import ClientConnection
from longline.room.wire.websocket import FEW, MOST, WebSocketConnection, WebSocketRules
from longline.websocket.asking import UpgradeAnswer, request
from longline.websocket.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    close_payload,
    masked_frame,
)
from longline.websocket.upgrade import UpgradeRules
from tests.unit.room.fixture import PEER, FakeTransport, Peer, RoomFixture, a_message

KEY = b"\x11\x22\x33\x44"
NONCE = bytes(range(16))
RULES = WebSocketRules(UpgradeRules((), 8192), 1 << 20)
VERSIONS = pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])


class Page(Peer):
    """A client at the other end of a WebSocket, which is not open yet."""

    def __init__(self, room: RoomFixture, version: int = MQTT_5_0, rules: WebSocketRules = RULES) -> None:
        self.room = room
        self.version = version
        self.connection = ClientConnection(room.services, room.share)
        self.carrier = WebSocketConnection(self.connection, rules)
        self.wire = FakeTransport(room.turns, PEER)
        self.wire.protocol = cast(ClientConnection, self.carrier)
        self.answer = UpgradeAnswer(NONCE)
        self.said: list[tuple[int, bytes]] = []  # by the server, in control frames
        self.frames = 0  # of data, from the server
        self._decoder = Decoder(1 << 28, version, False)
        self._read = 0
        self._raw = b""
        self.carrier.connection_made(cast(asyncio.Transport, self.wire))

    def raw(self, data: bytes) -> None:
        """Bytes arrive, as a transport would have them arrive."""
        if not self.wire.closing:
            self.carrier.data_received(data)

    def bytes(self, data: bytes) -> None:
        self.raw(masked_frame(BINARY, data, KEY))

    def ask(self) -> None:
        """The opening handshake."""
        self.raw(request("example.org", 8083, NONCE))

    def unread(self) -> list[Packet]:
        new = b"".join(self.wire.writes[self._read :])
        self._read = len(self.wire.writes)
        if not self.answer.taken:
            self.answer.feed(new)
            new = self.answer.rest
        self._raw += new
        return self._decoder.feed(self._unwrapped())

    def _unwrapped(self) -> "builtins.bytes":
        """What whole frames of the server carry; control frames are noted."""
        data, raw = b"", self._raw
        while len(raw) >= 2:
            length, at = raw[1], 2
            assert length < 127, "nothing here is as long"
            if length == 126:
                length, at = int.from_bytes(raw[2:4]), 4
            payload = raw[at : at + length]
            assert len(payload) == length
            if raw[0] == 0x80 | BINARY:
                self.frames += 1
                data += payload
            else:
                self.said.append((raw[0] & 15, payload))
            raw = raw[at + length :]
        self._raw = raw
        return data

    @property
    def closed_with(self) -> int | None:
        """The code of the server's Close."""
        self.receive()
        return next((int.from_bytes(payload[:2]) for opcode, payload in self.said if opcode == CLOSE), None)


def opened(room: RoomFixture, version: int = MQTT_5_0) -> Page:
    page = Page(room, version)
    page.ask()
    assert page.receive() == []
    assert page.answer.taken
    return page


def let_in(room: RoomFixture, device: str = "phone", version: int = MQTT_5_0, keep_alive: int = 0) -> Page:
    page = opened(room, version)
    page.send(Connect(version, device, keep_alive=keep_alive))
    room.let_in(page)
    assert page.receive() == [Connack()]
    return page


# --- like any other connection ------------------------------------------------------------------------


@VERSIONS
def test_a_client_connects_subscribes_publishes_and_leaves(version: int) -> None:
    room = RoomFixture()
    page = let_in(room, version=version)
    page.send(Subscribe(1, [Subscription("a", 1)]))
    assert page.receive() == [Suback(1, [1])]
    page.send(Publish("a", b"x", 1, packet_id=2), Pingreq())
    publish, puback, pong = page.receive()
    assert isinstance(publish, Publish)
    assert (puback, pong) == (Puback(2), Pingresp())
    page.send(Disconnect())
    assert page.closed_with == 1000
    assert not page.over, "the peer is to say Close first, section 7.1.1"
    page.raw(masked_frame(CLOSE, close_payload(1000), KEY))
    assert page.over
    assert room.counters.connections == 0
    assert room.counters.closed == {}
    assert len(room.noted.gone) == 1


def test_what_is_written_in_a_turn_is_one_frame() -> None:
    room = RoomFixture()
    page = let_in(room)
    frames, writes = page.frames, len(page.wire.writes)
    page.send(*[Pingreq()] * 50)
    assert page.receive() == [Pingresp()] * 50
    assert page.frames == frames + 1
    assert len(page.wire.writes) == writes + 1


@given(st.lists(st.integers(1, 60), max_size=12), st.lists(st.integers(1, 40), max_size=12))
def test_wherever_frames_and_segments_are_cut_the_same_packets_come_out(
    frames: list[int], segments: list[int]
) -> None:
    """[MQTT-6.0.0-2] packets span frames, and frames hold several packets, whole or in part."""
    room = RoomFixture()
    page = let_in(room)
    publications = [Publish("a", bytes([n]) * n) for n in range(12)]
    sent = [Subscribe(1, [Subscription("a", 1)]), *publications, Pingreq()]
    data = b"".join(encode(packet, MQTT_5_0) for packet in sent)
    stream = b""
    begun = False
    for size in [*frames, len(data)]:
        part, data = data[:size], data[size:]
        final = size % 3 > 0
        frame = masked_frame(CONTINUATION if begun else BINARY, part, KEY)
        stream += frame if final else bytes([frame[0] & 0x7F]) + frame[1:]
        begun = not final
        if size % 5 == 0:
            stream += masked_frame(PING, b"between fragments", KEY)
    for size in [*segments, len(stream)]:
        page.raw(stream[:size])
        stream = stream[size:]
    came = page.receive()
    assert came[0] == Suback(1, [1])
    assert sorted(packet.payload for packet in came if isinstance(packet, Publish)) == [
        bytes([n]) * n for n in range(12)
    ]
    assert came.count(Pingresp()) == 1
    assert not page.over


def test_a_ping_of_the_protocol_below_is_no_sign_of_life() -> None:
    """[MQTT-3.1.2-22] counts Control Packets of MQTT."""
    room = RoomFixture()
    page = let_in(room, keep_alive=10)
    for _ in range(15):
        room.tick()
        page.raw(masked_frame(PING, b"", KEY))
    room.tick()
    assert page.receive()[-1] == Disconnect(ReasonCode.KEEP_ALIVE_TIMEOUT)
    assert page.closed_with == 1000


def test_pings_are_answered_and_nothing_is_kept_of_them() -> None:
    room = RoomFixture()
    page = let_in(room)
    page.raw(masked_frame(PING, b"one", KEY) + masked_frame(PONG, b"", KEY) + masked_frame(PING, b"two", KEY))
    page.receive()
    assert page.said == [(PONG, b"two")]


def test_who_does_not_read_is_not_read_from() -> None:
    room = RoomFixture(outbox_bytes=4096)
    page = let_in(room)
    assert page.wire.high == 4096
    page.wire.slow = True
    page.send(Subscribe(1, [Subscription("a")]))
    for _ in range(3):
        page.send(Publish("a", bytes(2000)))
        page.receive()
    assert page.connection.blocked
    assert not page.wire.reading
    page.wire.read()
    assert page.wire.reading


def test_nothing_is_read_while_the_answer_to_connect_is_awaited() -> None:
    room = RoomFixture()
    page = opened(room)
    page.send(Connect(MQTT_5_0, "phone"))
    assert not page.wire.reading
    room.let_in(page)
    assert page.wire.reading
    assert page.receive() == [Connack()]


def test_the_address_and_the_socket_are_those_below() -> None:
    room = RoomFixture()
    page = let_in(room)
    assert page.connection.peer == PEER[0]
    assert page.connection.came_by == "ws"


# --- frames that take a turn of their own -------------------------------------------------------------


def test_many_frames_take_several_turns_and_nothing_is_read_meanwhile() -> None:
    room = RoomFixture(turn_budget=1 << 30)
    page = let_in(room)
    page.raw(masked_frame(BINARY, encode(Pingreq(), MQTT_5_0), KEY) * (MOST * 3))
    assert not page.wire.reading
    assert page.unread() == []
    turns = 0
    came: list[Packet] = []
    while not page.wire.reading:
        room.turns.turn()
        came += page.unread()
        turns += 1
    assert turns >= 2, "the first portion was read at once"
    assert came + page.receive() == [Pingresp()] * (MOST * 3)


def test_frames_that_are_left_wait_while_the_connection_does_not_read() -> None:
    room = RoomFixture()
    page = opened(room)
    hello = masked_frame(BINARY, encode(Connect(MQTT_5_0, "phone"), MQTT_5_0), KEY)
    page.raw(hello + masked_frame(BINARY, encode(Pingreq(), MQTT_5_0), KEY) * (MOST * 2))
    assert page.receive() == []
    room.let_in(page)
    assert page.receive() == [Connack(), *[Pingresp()] * (MOST * 2)]
    assert page.wire.reading


def test_what_was_sent_before_the_end_of_the_stream_is_read_first() -> None:
    room = RoomFixture(turn_budget=1 << 30)
    listener = let_in(room, "listener")
    listener.send(Subscribe(1, [Subscription("a")]))
    listener.receive()
    page = let_in(room)
    page.raw(masked_frame(BINARY, encode(Publish("a", b"x"), MQTT_5_0), KEY) * (MOST * 2))
    assert page.carrier.eof_received(), "the transport stays, for there is more to read"
    assert len(listener.receive()) == MOST * 2
    assert page.over


# --- the beginning ------------------------------------------------------------------------------------


def test_a_frame_right_behind_the_request_is_read() -> None:
    room = RoomFixture()
    page = Page(room)
    page.raw(
        request("example.org", 8083, NONCE)
        + masked_frame(BINARY, encode(Connect(MQTT_5_0, "phone"), MQTT_5_0), KEY)
    )
    room.let_in(page)
    assert page.receive() == [Connack()]


def test_a_page_that_asks_for_something_else_is_told_and_closed() -> None:
    room = RoomFixture()
    page = Page(room)
    page.raw(b"GET /index.html HTTP/1.1\r\nHost: a\r\n\r\n")
    assert page.over
    assert page.wire.writes[0].startswith(b"HTTP/1.1 404 ")
    assert room.noted.refusals == ["upgrade_not_found"]
    assert room.counters.closed == {"upgrade_not_found": 1}
    assert room.counters.connections == 0


def test_a_foreign_origin_is_refused() -> None:
    room = RoomFixture()
    page = Page(room, rules=WebSocketRules(UpgradeRules(["https://app.example.org"], 8192), 1 << 20))
    page.raw(request("a", 1, NONCE).replace(b"\r\n\r\n", b"\r\nOrigin: https://evil.example\r\n\r\n"))
    assert page.over
    assert page.wire.writes[0].startswith(b"HTTP/1.1 403 ")
    assert room.counters.refused == {"origin_not_allowed": 1}


@pytest.mark.parametrize("said", [b"", b"GET /mqtt HTTP/1.1\r\nHost: a\r\n"])
def test_who_never_finishes_the_request_is_closed(said: bytes) -> None:
    room = RoomFixture(connect_timeout=10)
    page = Page(room)
    if said:
        page.raw(said)
    room.tick(11)
    assert page.over
    if said:  # and who has said nothing is told nothing
        assert page.wire.writes[0].startswith(b"HTTP/1.1 408 ")
        assert room.counters.refused == {"connect_timeout": 1, "upgrade_timeout": 1}
    else:
        assert page.wire.writes == []
        assert room.counters.refused == {"connect_timeout": 1}


def test_who_upgrades_and_never_connects_is_closed() -> None:
    room = RoomFixture(connect_timeout=10)
    page = opened(room)
    room.tick(11)
    assert page.closed_with == 1000
    assert room.counters.refused == {"connect_timeout": 1}


def test_who_may_not_come_is_closed_before_a_byte_is_read() -> None:
    room = RoomFixture(admits=lambda connection: False)
    page = Page(room)
    assert page.wire.aborted
    assert page.over
    page.carrier.data_received(request("a", 1, NONCE))  # it was on its way
    assert page.wire.writes == []


# --- the end ------------------------------------------------------------------------------------------

HOSTILE = {
    "text": (masked_frame(TEXT, b"{}", KEY), 1003, "websocket_text"),
    "unmasked": (b"\x82\x02\xc0\x00", 1002, "websocket_protocol_error"),
    "reserved bit": (b"\xc2\x80" + KEY, 1002, "websocket_protocol_error"),
    "huge": (b"\x82\xff\x7f" + b"\xff" * 7 + KEY, 1009, "websocket_too_big"),
    "longer than there are numbers": (b"\x82\xff\xff" + b"\xff" * 7 + KEY, 1002, "websocket_protocol_error"),
    "bad UTF-8": (masked_frame(CLOSE, b"\x03\xe8\xff", KEY), 1007, "websocket_invalid_data"),
    "endless fragments": (
        b"\x02\x80" + KEY + (b"\x00\x80" + KEY) * 1000,
        1008,
        "websocket_empty_frames",
    ),
}


@VERSIONS
@pytest.mark.parametrize("name", HOSTILE)
def test_a_fault_of_the_frames_ends_the_connection_with_its_code(name: str, version: int) -> None:
    raw, code, counted = HOSTILE[name]
    room = RoomFixture()
    page = let_in(room, version=version)
    page.raw(raw)
    told = page.receive()
    reason = ReasonCode.PACKET_TOO_LARGE if code == 1009 else ReasonCode.PROTOCOL_ERROR
    assert [packet.reason for packet in told if isinstance(packet, Disconnect)] == (
        [reason] if version == MQTT_5_0 else []
    )
    assert len(told) <= 1
    assert page.closed_with == code
    assert room.noted.refusals == [counted]
    assert room.counters.closed == {counted: 1}
    assert not page.over
    page.raw(masked_frame(BINARY, encode(Pingreq(), version), KEY))
    assert page.over, "it had its time to read why"
    assert page.receive() == []


def test_a_fault_of_mqtt_ends_both() -> None:
    room = RoomFixture()
    page = let_in(room)
    page.send(Connect(MQTT_5_0, "phone"))
    (last,) = page.receive()
    assert isinstance(last, Disconnect)
    assert last.reason == ReasonCode.PROTOCOL_ERROR
    assert page.closed_with == 1000


@pytest.mark.parametrize("code", [1000, 1001, 3000, 1005])
def test_a_close_of_the_peer_is_answered_in_kind(code: int) -> None:
    room = RoomFixture()
    page = let_in(room)
    page.raw(masked_frame(CLOSE, close_payload(code), KEY))
    page.receive()
    assert page.said == [(CLOSE, close_payload(code))]
    assert page.over
    assert room.counters.closed == {}
    assert len(room.noted.gone) == 1


def test_what_came_before_a_close_is_served() -> None:
    room = RoomFixture()
    listener = let_in(room, "listener")
    listener.send(Subscribe(1, [Subscription("a")]))
    listener.receive()
    page = let_in(room)
    page.raw(
        masked_frame(BINARY, encode(Publish("a", b"last"), MQTT_5_0), KEY)
        + masked_frame(CLOSE, close_payload(1000), KEY)
    )
    assert [packet.payload for packet in listener.receive() if isinstance(packet, Publish)] == [b"last"]
    assert page.over


def test_a_server_that_ends_says_that_it_goes_away() -> None:
    room = RoomFixture()
    page, asking, silent = let_in(room), Page(room), Page(room)
    asking.raw(b"GET /mqtt HTTP/1.1\r\n")
    for each in (page, asking, silent):
        each.connection.close(ReasonCode.SERVER_SHUTTING_DOWN, "server_shutting_down")
    assert page.closed_with == 1001
    assert page.over, "the process is about to end: it does not wait"
    assert asking.wire.writes[0].startswith(b"HTTP/1.1 503 ")
    assert silent.wire.writes == []
    assert asking.over
    assert silent.over


def test_a_client_that_is_moved_is_told_so_by_both() -> None:
    room = RoomFixture()
    page = let_in(room)
    page.connection.move(ReasonCode.USE_ANOTHER_SERVER, "10.0.0.2:8083", 0)
    (told,) = page.receive()
    assert isinstance(told, Disconnect)
    assert page.closed_with == 1001
    assert not page.over


def test_who_does_not_answer_a_close_is_waited_for_as_long_as_for_last_bytes() -> None:
    room = RoomFixture()
    page = let_in(room)
    page.connection.close(ReasonCode.NOT_AUTHORIZED, "kicked")
    page.receive()
    room.tick(3)
    page.raw(masked_frame(BINARY, encode(Publish("a", b"x"), MQTT_5_0), KEY))
    assert not page.over
    room.tick(3)
    assert page.wire.aborted
    assert page.over
    assert room.counters.messages_in == 0
    assert room.wheel.size == 0


def test_a_client_that_floods_after_the_end_is_read_for_its_close_only() -> None:
    room = RoomFixture()
    page = let_in(room)
    page.connection.close(ReasonCode.NOT_AUTHORIZED, "kicked")
    flood = masked_frame(BINARY, encode(Publish("a", b"x"), MQTT_5_0), KEY) * (MOST * 2)
    page.raw(flood + masked_frame(CLOSE, close_payload(1000), KEY))
    assert page.over
    assert not page.wire.aborted
    assert room.counters.messages_in == 0


def test_a_connection_that_breaks_is_over() -> None:
    room = RoomFixture()
    page = let_in(room)
    page.wire.abort()
    assert page.over
    assert room.counters.connections == 0
    page.connection.flush()
    page.carrier.write(b"late")
    page.carrier.close()
    page.carrier.abort()
    assert page.carrier.is_closing()


def test_a_write_to_a_transport_that_closes_is_counted() -> None:
    room = RoomFixture()
    page = let_in(room)
    page.wire.closing = True
    page.connection.send(Pingresp())
    room.turns.settle()
    assert room.counters.writes_too_late == 1


def test_an_idle_connection_holds_no_bytes() -> None:
    room = RoomFixture()
    page = let_in(room)
    frames = page.carrier._frames
    page.raw(masked_frame(BINARY, encode(Pingreq(), MQTT_5_0), KEY)[:3])
    assert frames.held == 3
    page.raw(masked_frame(BINARY, encode(Pingreq(), MQTT_5_0), KEY)[3:])
    assert frames.held == 0
    assert page.carrier._upgrade is None


@VERSIONS
def test_who_takes_nothing_of_what_it_is_sent_is_closed_in_time(version: int) -> None:
    room = RoomFixture(outbox_bytes=4096, outbox_timeout=30)
    page = let_in(room, version=version)
    page.wire.slow = True
    room.offer(page, 1, message=a_message(1, payload=bytes(8000)))
    room.turns.settle()
    room.tick(29)
    assert not page.carrier.is_closing()
    room.tick()
    assert page.carrier.is_closing()
    assert room.counters.closed == {"slow_consumer": 1}
    room.tick(5)
    assert page.wire.aborted
    assert page.over


def test_frames_are_work_of_the_turn_also_where_they_carry_next_to_nothing() -> None:
    """Of many such clients, one turn reads as much as of few."""
    room = RoomFixture(turn_budget=5000)
    pages = [let_in(room, f"d{number}") for number in range(30)]
    packet = encode(Publish("a", bytes(3000)), MQTT_5_0)
    fragments = b"".join(
        b"\x00" + masked_frame(CONTINUATION, packet[at : at + 1], KEY)[1:] for at in range(3000)
    )
    for page in pages:
        page.raw(b"\x02" + masked_frame(BINARY, b"", KEY)[1:] + fragments)
    room.turns.turn()
    assert sum(page.connection.link.held for page in pages) < 2 * (5000 + MOST) + FEW * len(pages)
    room.turns.settle()
    assert all(page.connection.link.held == 3000 for page in pages)
