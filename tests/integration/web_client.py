"""A WebSocket to a room, spoken by another implementation than ours: the package `websockets`."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Self

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import OPEN
from websockets.typing import Origin, Subprotocol
from websockets.uri import parse_uri

from longline.mqtt.codec import Decoder, encode
from longline.mqtt.packets import MQTT_5_0, Packet
from tests.waiting import WITHIN


class WebClient:
    """It reads MQTT out of binary frames, and sends what the test wants, in whatever frames."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, url: str, version: int
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._url = url
        self._decoder = Decoder(1 << 20, version, False)
        self._packets: list[Packet] = []
        self.version = version
        self.response: Response | None = None
        self.pongs: list[bytes] = []
        self.protocol = ClientProtocol(parse_uri(url))

    @classmethod
    async def reach(cls, port: int, path: str = "/mqtt", version: int = MQTT_5_0) -> Self:
        """A connection that has not asked for anything."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        return cls(reader, writer, f"ws://127.0.0.1:{port}{path}", version)

    @classmethod
    async def open(cls, port: int, version: int = MQTT_5_0) -> Self:
        """A WebSocket that is open."""
        client = await cls.reach(port, version=version)
        response = await client.ask()
        assert response.status_code == 101, response
        assert client.protocol.state is OPEN
        return client

    async def ask(
        self, subprotocols: Sequence[str] = ("mqtt",), origin: str | None = None, **headers: str
    ) -> Response:
        """The opening handshake; the server's answer, whatever it is."""
        self.protocol = ClientProtocol(
            parse_uri(self._url),
            origin=None if origin is None else Origin(origin),
            subprotocols=[Subprotocol(each) for each in subprotocols] or None,
            max_size=None,
        )
        request = self.protocol.connect()
        for name, value in headers.items():
            del request.headers[name.replace("_", "-")]
            request.headers[name.replace("_", "-")] = value
        self.protocol.send_request(request)
        self._flush()
        while self.response is None:
            if not await self._hear() and self.response is None:
                raise ConnectionError("the server closed the connection")
        return self.response

    def raw(self, data: bytes) -> None:
        """Bytes as they are."""
        self._writer.write(data)

    async def written(self, data: bytes) -> None:
        """Bytes as they are; returns when the network has them."""
        self._writer.write(data)
        await self._writer.drain()

    def stream(self, data: bytes, *, fragments: int = 1) -> None:
        """Bytes of MQTT in one message of so many frames."""
        size = max(1, -(-len(data) // fragments))
        for number in range(fragments):
            opcode = Opcode.CONT if number else Opcode.BINARY
            part = data[number * size : (number + 1) * size]
            self.protocol.send_frame(Frame(opcode, part, fin=number == fragments - 1))
        self._flush()

    def send(self, *packets: Packet) -> None:
        """Packets in one frame."""
        self.stream(b"".join(encode(packet, self.version) for packet in packets))

    def ping(self, data: bytes) -> None:
        self.protocol.send_ping(data)
        self._flush()

    def text(self, data: str) -> None:
        self.protocol.send_text(data.encode())
        self._flush()

    def close(self, code: int = 1000, reason: str = "") -> None:
        self.protocol.send_close(code, reason)
        self._flush()

    async def receive(self) -> Packet | None:
        """The next packet; None when the server has closed."""
        async with asyncio.timeout(WITHIN):
            while not self._packets:
                if not await self._hear():
                    return None
        return self._packets.pop(0)

    async def closed_with(self) -> int | None:
        """The code of the server's Close, once the connection is over; None when there was none."""
        async with asyncio.timeout(WITHIN):
            while await self._hear():
                pass
        received = self.protocol.close_rcvd
        return None if received is None else received.code

    async def _hear(self) -> bool:
        """Reads once; whether there may be more."""
        try:
            async with asyncio.timeout(WITHIN):
                data = await self._reader.read(1 << 16)
        except ConnectionError:  # closed with bytes of ours unread
            data = b""
        if data:
            self.protocol.receive_data(data)
        else:
            self.protocol.receive_eof()
        for event in self.protocol.events_received():
            if isinstance(event, Response):
                self.response = event
            elif isinstance(event, Frame) and event.opcode in (Opcode.BINARY, Opcode.CONT):
                self._packets += self._decoder.feed(bytes(event.data))
                assert self._decoder.fault is None, self._decoder.fault
            elif isinstance(event, Frame) and event.opcode is Opcode.PONG:
                self.pongs.append(bytes(event.data))
        self._flush()
        return bool(data)

    def _flush(self) -> None:
        for data in self.protocol.data_to_send():
            if data:
                self._writer.write(bytes(data))
            elif not self._writer.is_closing():
                with suppress(OSError):  # the server has cut the connection
                    self._writer.write_eof()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.transport.abort()
