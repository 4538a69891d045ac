"""Sockets and framing, over real sockets but without a server."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longline.bench.hot.station import COUNTERS, Station, frame
from longline.bench.hot.wire import LIVE, Dialler, Handshakes, LoadClient, Poller, packet_end, reason_of

CONNACK_4 = b"\x20\x02\x00\x00"
CONNACK_5 = b"\x20\x06\x00\x00\x03\x21\x00\x14"
SUBACK = b"\x90\x03\x00\x01\x00"


@given(st.binary(max_size=300), st.integers(min_value=0, max_value=3))
def test_a_packet_ends_where_its_length_says(body: bytes, trailing: int) -> None:
    length = len(body)
    encoded = bytes([length]) if length < 128 else bytes([length % 128 | 128, length // 128])
    data = b"\x30" + encoded + body
    assert packet_end(data + bytes(trailing), 0) == len(data)
    assert packet_end(b"ab" + data, 2) == len(data) + 2


def test_a_header_that_is_not_all_there_has_no_end_yet() -> None:
    assert packet_end(b"\x30", 0) == 0
    assert packet_end(b"\x30\x80\x80\x80", 0) == 0
    assert packet_end(b"\x30\xff\xff\xff\x7f", 0) == 5 + 268_435_455


def test_a_length_of_five_bytes_is_an_error() -> None:
    with pytest.raises(ValueError, match="four bytes"):
        packet_end(b"\x30\x80\x80\x80\x80\x01", 0)


def pair(poller: Poller) -> tuple[Station, socket.socket]:
    """A channel that takes frames, and the other end of its socket."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    station = Station(poller, 0, 1, memoryview(bytearray(8 * COUNTERS)).cast("q"))
    station.adopt(ours, False)
    return station, theirs


@pytest.mark.parametrize("step", [1, 3, 7, 1000])
def test_what_is_not_used_comes_again_with_more(step: int) -> None:
    poller = Poller()
    station, peer = pair(poller)
    sent = frame(b"first") + frame(b"") + frame(bytes(range(256)) * 3) + frame(b"last")[:-1]
    with peer:
        for at in range(0, len(sent), step):
            peer.sendall(sent[at : at + step])
            poller.turn(1.0)
        assert station.orders == [b"first", b"", bytes(range(256)) * 3]
        assert station.carry == frame(b"last")[:-1]
    poller.close()


def test_what_the_socket_does_not_take_is_sent_when_it_does() -> None:
    poller = Poller()
    station, peer = pair(poller)
    data = bytes(range(256)) * 20_000
    with peer:
        station.write(data)
        station.write(b"the end")
        assert station.outbox.endswith(b"the end")
        received = b""
        while len(received) < len(data) + 7:
            received += peer.recv(1 << 20)
            poller.turn(0.0)
        assert received == data + b"the end"
        assert station.outbox == b""
    poller.close()


def test_a_channel_hears_that_its_peer_has_closed() -> None:
    poller = Poller()
    station, peer = pair(poller)
    peer.close()
    poller.turn(1.0)
    station.write(b"into the void")
    assert station.fd == -1
    with pytest.raises(ConnectionError, match="conducting process"):
        station.ordered()
    poller.close()


def client_with_peer(poller: Poller, handshakes: Handshakes, then: bytes) -> tuple[LoadClient, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = LoadClient(poller, handshakes, b"hello", then)
        client.open(listener.getsockname(), "")
        peer, _ = listener.accept()
    poller.turn(1.0)
    assert peer.recv(100) == b"hello"
    return client, peer


@pytest.mark.parametrize("connack", [CONNACK_4, CONNACK_5])
@pytest.mark.parametrize("step", [1, 3, 100])
def test_a_link_is_live_after_connack_and_suback_however_they_are_cut(connack: bytes, step: int) -> None:
    poller, handshakes = Poller(), Handshakes()
    client, peer = client_with_peer(poller, handshakes, b"subscribe")
    with peer:
        for answer in (connack, SUBACK):
            assert client.phase != LIVE
            for at in range(0, len(answer), step):
                peer.sendall(answer[at : at + step])
                poller.turn(1.0)
        assert client.phase == LIVE
        assert peer.recv(100) == b"subscribe"
    assert (handshakes.live, handshakes.pending, handshakes.taken.total) == (1, 0, 1)
    poller.close()


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ([b"\x20\x02\x00\x05"], "connack 0x05"),
        ([b"\x20\x03\x00\x87\x00"], "connack 0x87"),
        ([CONNACK_4, b"\x90\x03\x00\x01\x80"], "suback 0x80"),
        ([b"\xe0\x00"], "unexpected packet 0xe0"),
    ],
)
def test_a_refusal_is_counted_with_its_code(answers: list[bytes], reason: str) -> None:
    poller, handshakes = Poller(), Handshakes()
    _, peer = client_with_peer(poller, handshakes, b"subscribe")
    with peer:
        for answer in answers:
            peer.sendall(answer)
            poller.turn(1.0)
    assert handshakes.refused == {reason: 1}
    assert (handshakes.live, handshakes.pending) == (0, 0)
    poller.close()


def test_a_live_link_that_is_closed_is_lost() -> None:
    poller, handshakes = Poller(), Handshakes()
    _, peer = client_with_peer(poller, handshakes, b"")
    peer.sendall(CONNACK_4)
    poller.turn(1.0)
    peer.close()
    poller.turn(1.0)
    assert (handshakes.live, handshakes.lost, handshakes.refused) == (0, 1, {})
    poller.close()


def test_a_silent_server_is_given_up_and_counted() -> None:
    poller, handshakes = Poller(), Handshakes()
    progress = memoryview(bytearray(8)).cast("q")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        clients = [LoadClient(poller, handshakes, b"hello", b"") for _ in range(3)]
        dialler = Dialler(poller, handshakes, listener.getsockname(), 2, 0.0, 0.02, lambda now: None)
        dialler.open(clients, [], progress)
    assert handshakes.refused == {"handshake timed out": 3}
    assert progress[0] == 0
    poller.close()


def test_a_port_where_nobody_listens_is_a_refusal() -> None:
    poller, handshakes = Poller(), Handshakes()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
    progress = memoryview(bytearray(8)).cast("q")
    Dialler(poller, handshakes, address, 2, 0.0, 1.0, lambda now: None).open(
        [LoadClient(poller, handshakes, b"hello", b"")], [], progress
    )
    assert handshakes.refused == {"ECONNREFUSED": 1}
    poller.close()


def test_errors_have_short_names() -> None:
    assert reason_of(ConnectionResetError(104, "Connection reset by peer")) == "ECONNRESET"
    assert reason_of(OSError("something else")) == "something else"
