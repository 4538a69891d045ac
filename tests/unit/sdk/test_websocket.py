"""The SDK over WebSocket, against another implementation of the server's end: the package `websockets`."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from longline import Device
from longline.mqtt.link import Link, Role
from longline.mqtt.packets import Connack, Packet, Puback, Publish
from longline.sdk.trust import parsed
from longline.sdk.websocket import open_websocket
from longline.testing.links import MAX_PACKET_SIZE
from tests.waiting import WITHIN, until

Handler = Callable[[ServerConnection], Awaitable[None]]
MQTT = (Subprotocol("mqtt"),)


@asynccontextmanager
async def a_server(
    handler: Handler,
    *,
    subprotocols: Sequence[Subprotocol] | None = MQTT,
    refuse: HTTPStatus | None = None,
) -> AsyncIterator[int]:
    def process(connection: ServerConnection, request: Request) -> Response | None:
        assert request.path == "/mqtt"
        return None if refuse is None else connection.respond(refuse, "no")

    async with serve(
        handler, "127.0.0.1", 0, subprotocols=subprotocols, process_request=process, max_size=None
    ) as server:
        yield server.sockets[0].getsockname()[1]


class Talk:
    """The server's end of MQTT."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection
        self._link = Link(Role.SERVER, MAX_PACKET_SIZE)
        self._heard: list[Packet] = []

    async def hear(self) -> Packet:
        while not self._heard:
            data = await self._connection.recv()
            assert isinstance(data, bytes), "a text frame"
            self._heard += self._link.receive(data, 0.0)
        return self._heard.pop(0)

    def written(self, *packets: Packet) -> bytes:
        for packet in packets:
            self._link.send(packet)
        return b"".join(self._link.take_output())

    async def let_in(self) -> None:
        await self.hear()
        await self._connection.send(self.written(Connack()))
        self._heard += self._link.resume()


def a_device(port: int, **more: float) -> Device:
    return Device(
        f"ws://127.0.0.1:{port}/mqtt",
        app="news",
        device="d1",
        token="t",
        backoff_base=0.01,
        backoff_cap=0.02,
        connect_timeout=more.get("connect_timeout", WITHIN),
    )


async def test_a_push_in_fragments_is_received_and_acknowledged() -> None:
    acknowledged: asyncio.Future[Packet] = asyncio.get_running_loop().create_future()

    async def room(connection: ServerConnection) -> None:
        talk = Talk(connection)
        await talk.let_in()
        raw = talk.written(Publish("push/m1", b"hello " * 30_000, 1, packet_id=1))
        await connection.ping()
        await connection.send([raw[:1], raw[1:2], b"", raw[2:100_000], raw[100_000:]])
        acknowledged.set_result(await talk.hear())
        await connection.wait_closed()

    async with a_server(room) as port, a_device(port) as device:
        async with asyncio.timeout(WITHIN):
            message = await device.receive()
            assert message.payload == b"hello " * 30_000
            await message.ack()
            assert await acknowledged == Puback(1)


async def test_a_device_that_is_closed_says_good_bye_to_both() -> None:
    codes: list[int | None] = []
    heard: list[bytes | str] = []

    async def room(connection: ServerConnection) -> None:
        await Talk(connection).let_in()
        try:
            while True:
                heard.append(await connection.recv())
        except ConnectionClosed as closed:
            codes.append(closed.rcvd.code if closed.rcvd is not None else None)

    async with a_server(room) as port:
        async with a_device(port) as device:
            await device.wait_connected()
        await until(lambda: bool(codes))
    assert codes == [1000]
    assert heard == [b"\xe0\x00"]


@pytest.mark.parametrize("how", ["close", "text", "abort"])
async def test_whatever_ends_the_websocket_the_device_comes_back(how: str) -> None:
    connections = 0

    async def room(connection: ServerConnection) -> None:
        nonlocal connections
        connections += 1
        await Talk(connection).let_in()
        if connections > 1:
            await connection.wait_closed()
        elif how == "close":
            await connection.close(1001)
        elif how == "text":
            await connection.send("text")
            await connection.wait_closed()
            assert connection.protocol.close_rcvd is not None
            assert connection.protocol.close_rcvd.code == 1003
        else:
            connection.transport.abort()

    async with a_server(room) as port, a_device(port) as device:
        async with asyncio.timeout(WITHIN):
            await until(lambda: device.statistics.connects == 2)
        assert device.statistics.failures == 1


async def nobody(connection: ServerConnection) -> None:
    await connection.wait_closed()


async def test_a_server_that_refuses_is_no_server() -> None:
    async with a_server(nobody, refuse=HTTPStatus.FORBIDDEN) as port:
        with pytest.raises(ConnectionError, match="403"):
            await open_websocket("127.0.0.1", port, "/mqtt", None)
        async with a_device(port) as device:
            await until(lambda: device.statistics.failures >= 2)
            assert "403" in str(device.statistics.last_error)


async def test_a_server_of_something_else_is_no_server() -> None:
    async with a_server(nobody, subprotocols=None) as port:
        with pytest.raises(ConnectionError, match="subprotocol"):
            await open_websocket("127.0.0.1", port, "/mqtt", None)


async def test_a_server_that_never_answers_is_given_up() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server, a_device(server.sockets[0].getsockname()[1], connect_timeout=0.05) as device:
        await until(lambda: device.statistics.failures >= 2)
        assert "in time" in str(device.statistics.last_error)


async def test_a_server_that_hangs_up_meanwhile_is_no_server() -> None:
    async def gone(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching")
        writer.close()

    server = await asyncio.start_server(gone, "127.0.0.1", 0)
    async with server:
        with pytest.raises(ConnectionError):
            await open_websocket("127.0.0.1", server.sockets[0].getsockname()[1], "/mqtt", None)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("push.example.org", (None, "push.example.org", None, None)),
        ("mqtt://push.example.org", ("tcp", "push.example.org", None, None)),
        ("ws://push.example.org", ("ws", "push.example.org", 80, None)),
        ("ws://push.example.org/", ("ws", "push.example.org", 80, None)),
        ("wss://push.example.org/a/mqtt", ("wss", "push.example.org", 443, "/a/mqtt")),
        ("ws://[::1]:8083/mqtt", ("ws", "::1", 8083, "/mqtt")),
    ],
)
def test_a_url_says_where_and_how(url: str, expected: object) -> None:
    assert parsed(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "http://push.example.org",
        "mqtt://push.example.org/mqtt",
        "ws://user@push.example.org/mqtt",
        "ws://push.example.org/mqtt?token=1",
        "ws://push.example.org/mqtt#a",
        "ws://push.example.org/m q",
        "ws:///mqtt",
    ],
)
def test_a_url_that_says_something_else_is_a_mistake(url: str) -> None:
    with pytest.raises(ValueError, match="is not"):
        parsed(url)
