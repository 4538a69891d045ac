"""Another implementation, the package `websockets`, reads what we write, and judges what we read."""

import os

from hypothesis import example, given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import OPEN, Protocol, Side
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from longline.websocket.asking import UpgradeAnswer, request
from longline.websocket.frames import (
    BINARY,
    CLOSE,
    PING,
    FrameDecoder,
    binary_frame,
    close_payload,
    control_frame,
    frame_header,
    masked,
    masked_frame,
)
from longline.websocket.upgrade import Upgrade, UpgradeRules

LARGEST = 1 << 20


def other(side: Side) -> Protocol:
    return Protocol(side, state=OPEN, max_size=None)


def heard(protocol: Protocol) -> list[tuple[int, bytes]]:
    found = []
    for event in protocol.events_received():
        assert isinstance(event, Frame)
        found.append((int(event.opcode), bytes(event.data)))
    return found


payloads = st.binary(max_size=200) | st.sampled_from([bytes(125), bytes(126), bytes(65_535), bytes(65_536)])
keys = st.binary(min_size=4, max_size=4)
# Frames as anybody might send them: mostly in order, now and then not. Text, which is theirs to take, is left
# out.
frames = st.lists(
    st.tuples(
        st.sampled_from([0x82, 0x02, 0x80, 0x00, 0x89, 0x8A, 0x88])
        | st.integers(0, 255).filter(lambda b: b & 15 != 1),
        payloads | st.sampled_from([b"\x03\xe8", b"\x03\xe8bye", b"\x03\xe8\xff", b"\x03\xed", b"\x0f\xa0"]),
        st.booleans() | st.just(True),
        keys,
    ),
    max_size=8,
)


@given(frames)
@example([(0x02, b"a", True, b"abcd"), (0x89, b"", True, b"abcd"), (0x80, b"b", True, b"abcd")])
def test_both_hear_the_same_data_and_find_the_same_faults(sent: list[tuple[int, bytes, bool, bytes]]) -> None:
    ours, theirs = FrameDecoder(True, LARGEST), other(Side.SERVER)
    data = b""
    for first, payload, hidden, key in sent:
        head = bytearray(frame_header(0, len(payload), hidden))
        head[0] = first
        raw = bytes(head) + (key + masked(payload, key) if hidden else payload)
        # One frame a call: of a bad one behind good ones they drop the good ones' data, too.
        data += ours.feed(raw)
        theirs.receive_data(raw)
    assert data == b"".join(payload for opcode, payload in heard(theirs) if opcode < 8)
    failed = theirs.parser_exc is not None
    assert (ours.failure is not None) == failed, (ours.failure, theirs.parser_exc)
    if failed:
        assert theirs.close_sent is not None
        assert ours.failure is not None
        assert ours.failure.close == theirs.close_sent.code
    else:
        assert ours.closed == (theirs.close_rcvd.code if theirs.close_rcvd else 0)


@given(st.lists(payloads, max_size=5), keys)
def test_they_read_what_either_of_our_sides_writes(sent: list[bytes], key: bytes) -> None:
    server, client = other(Side.SERVER), other(Side.CLIENT)
    for payload in sent:
        server.receive_data(masked_frame(BINARY, payload, key))
        client.receive_data(binary_frame(payload))
    expected = [(BINARY, payload) for payload in sent]
    assert heard(server) == expected
    assert heard(client) == expected
    server.receive_data(masked_frame(PING, b"?", key) + masked_frame(CLOSE, close_payload(1000), key))
    client.receive_data(control_frame(PING, b"?") + control_frame(CLOSE, close_payload(1001)))
    assert heard(server) == [(PING, b"?"), (CLOSE, b"\x03\xe8")]
    assert heard(client) == [(PING, b"?"), (CLOSE, b"\x03\xe9")]


@given(st.lists(st.tuples(payloads, st.booleans()), max_size=6))
def test_we_read_what_either_of_their_sides_writes(sent: list[tuple[bytes, bool]]) -> None:
    for side in (Side.SERVER, Side.CLIENT):
        theirs, ours = other(side), FrameDecoder(side is Side.CLIENT, LARGEST)
        begun = False
        for payload, final in sent:
            frame = Frame(Opcode.CONT if begun else Opcode.BINARY, payload, fin=final)
            theirs.send_frame(frame)
            begun = not final
        out = b"".join(ours.feed(bytes(data)) for data in theirs.data_to_send())
        assert out == b"".join(payload for payload, _ in sent)
        assert ours.failure is None


def test_their_client_is_let_in() -> None:
    client = ClientProtocol(
        parse_uri("ws://example.org:8083/mqtt"), origin=None, subprotocols=[Subprotocol("mqtt")]
    )
    client.send_request(client.connect())
    upgrade = Upgrade(UpgradeRules((), 8192))
    for data in client.data_to_send():
        upgrade.feed(bytes(data))
    assert upgrade.refused is None
    assert upgrade.answer is not None
    client.receive_data(upgrade.answer)
    (response,) = client.events_received()
    assert isinstance(response, Response)
    assert client.handshake_exc is None
    assert client.subprotocol == "mqtt"


def test_their_server_lets_us_in() -> None:
    server = ServerProtocol(subprotocols=[Subprotocol("mqtt")])
    nonce = os.urandom(16)
    server.receive_data(request("example.org", 8083, nonce))
    (asked,) = server.events_received()
    server.send_response(server.accept(asked))  # type: ignore[arg-type]
    answer = UpgradeAnswer(nonce)
    for data in server.data_to_send():
        answer.feed(bytes(data))
    assert answer.problem is None
    assert answer.taken
