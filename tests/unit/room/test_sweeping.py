"""What the kernel holds of clients that have gone, over real sockets."""

import asyncio
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

import pytest

from longline.mqtt.codec import encode
from longline.mqtt.packets import MQTT_5_0, Connect, Publish
from longline.room.wire.backlog import Crowd
from longline.room.wire.listeners import Listener
from longline.room.wire.sweeping import (
    ENDLESS,
    first_packet,
    says_more_than_connect,
    says_nothing_more,
    sweep,
)
from longline.settings.listeners import Port
from tests.waiting import until

CONNECT = encode(Connect(MQTT_5_0, "phone", password=b"x" * 200), MQTT_5_0)
PUBLISH = encode(Publish("a", b"x"), MQTT_5_0)
RESET = struct.pack("ii", 1, 0)  # no lingering: the peer is told at once


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(100)
        listener.setblocking(False)
        yield listener


def client(stack: ExitStack, address: tuple[str, int], said: bytes, *, leaves: bool) -> socket.socket:
    peer = stack.enter_context(socket.create_connection(address))
    peer.sendall(said)
    if leaves:
        peer.shutdown(socket.SHUT_WR)
    return peer


def test_who_has_gone_is_closed_and_who_is_there_is_taken(listener: socket.socket) -> None:
    address = listener.getsockname()
    with ExitStack() as stack:
        come = partial(client, stack, address)
        gone = [come(said, leaves=True) for said in (b"", CONNECT[:1], CONNECT[:50], CONNECT)]
        here = [come(said, leaves=False) for said in (b"", CONNECT)]
        heard = come(CONNECT + PUBLISH, leaves=True)  # a sensor may send nothing else
        reset = come(CONNECT, leaves=False)
        reset.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        reset.close()
        there, left = sweep(listener, 100, says_more_than_connect)
        for peer in there:
            stack.enter_context(peer)
        assert {peer.getpeername() for peer in there} == {peer.getsockname() for peer in [*here, heard]}
        assert left == len(gone) + 1
        assert not any(peer.getblocking() for peer in there)


def test_no_more_are_taken_than_were_asked_for(listener: socket.socket) -> None:
    with ExitStack() as stack:
        for _ in range(3):
            client(stack, listener.getsockname(), CONNECT, leaves=True)
        assert sweep(listener, 2, says_more_than_connect) == ([], 2)
        assert sweep(listener, 2, says_more_than_connect) == ([], 1)
        assert sweep(listener, 2, says_more_than_connect) == ([], 0)


def test_who_has_to_be_answered_before_it_goes_on_has_nothing_more_to_say(listener: socket.socket) -> None:
    with ExitStack() as stack:
        client(stack, listener.getsockname(), b"x" * 5000, leaves=True)
        assert sweep(listener, 10, says_nothing_more) == ([], 1)


@pytest.mark.parametrize(
    ("head", "size"),
    [
        (CONNECT[:5], len(CONNECT)),
        (b"\x10\x05", 7),
        (b"\x10\xff\x7f", 3 + 0x3FFF),
        (b"\x10\x80\x80\x80\x01", 5 + (1 << 21)),
        (b"", ENDLESS),
        (b"\x10", ENDLESS),
        (b"\x10\x80", ENDLESS),
        (b"\x10\x80\x80\x80\x80", ENDLESS),
    ],
)
def test_how_long_the_first_packet_is(head: bytes, size: int) -> None:
    assert first_packet(head) == size


async def test_a_listener_whose_clients_have_mostly_gone_takes_in_who_is_behind_them() -> None:
    """Here the kernel holds them because nobody has opened the port: as if the room got no processor."""
    made: list[asyncio.Protocol] = []
    gone: list[int] = []

    def accept(origin: str | None) -> asyncio.Protocol:
        made.append(asyncio.Protocol())
        return made[-1]

    crowd = Crowd(0, 0, 0)
    listener = Listener(
        *(Port("tcp", "room.port", 0), "127.0.0.1", accept),
        backlog=100,
        crowd=lambda: crowd,
        gave_up=gone.append,
    )
    kernel = listener._socket
    kernel.listen(100)
    with ExitStack() as stack:
        come = partial(client, stack, kernel.getsockname(), CONNECT)
        for _ in range(20):
            come(leaves=True)
        come(leaves=False)
        running = asyncio.create_task(listener.run())
        crowd = Crowd(0, 0, 1)  # one was accepted in vain
        try:
            await until(lambda: len(made) == 1)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            listener.close()
    assert gone == [20]
    assert listener.accepted == 1
