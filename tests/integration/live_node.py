"""A whole node on the test's own event loop, and a client that says whatever bytes it is given."""

import asyncio
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from longline import Center
from longline.mqtt.codec import Decoder, encode
from longline.mqtt.packets import MQTT_5_0, Connack, Connect, Packet
from longline.node.embedded import embedded
from longline.settings import load
from tests.servers.ports import free_ports
from tests.waiting import WITHIN
from tests.words import without_words


class LiveNode:
    """An embedded node on free ports. `settings` are dotted names, as on the command line."""

    def __init__(self, data: Path, settings: Mapping[str, object] | None = None) -> None:
        self.admin_key = secrets.token_urlsafe(16)
        self.http_port, self.mqtt_port, self.ws_port = free_ports(3)
        flags: dict[str, object] = {
            "data_dir": data,
            "admin_key": self.admin_key,
            "center.port": self.http_port,
            "room.port": self.mqtt_port,
            "room.ws_port": self.ws_port,
            "node.gc_freeze": False,  # the test's objects are not the node's to freeze
            "node.shutdown_grace": 1,
            **(settings or {}),
        }
        self.embedded = embedded(load(flags=flags).settings)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    def center(self, key: str | None = None) -> Center:
        """The API, with the admin key unless another is given."""
        return Center(self.url, key or self.admin_key)

    async def metrics(self) -> dict[str, float]:
        """What `/metrics` says now, by `name` or `name{label="value"}`."""
        return await metrics(self.url)

    async def refused(self) -> dict[str, int]:
        """How often devices were refused, by code."""
        return await refused(self.url)

    async def connect(self, version: int = MQTT_5_0) -> "RawClient":
        """A connection over which nothing was said yet."""
        return await RawClient.open(self.mqtt_port, version)

    async def __aenter__(self) -> Self:
        await self.embedded.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.embedded.stop()


class RawClient:
    """A TCP connection to a room. It reads MQTT, and sends what the test wants."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, version: int) -> None:
        self._reader = reader
        self._writer = writer
        self._decoder = Decoder(1 << 20, version, False)
        self._packets: list[Packet] = []
        self.reasons: list[str] = []  # the words in which it was told why
        self.version = version

    @classmethod
    async def open(cls, port: int, version: int = MQTT_5_0) -> "RawClient":
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        return cls(reader, writer, version)

    def bytes(self, data: bytes) -> None:
        self._writer.write(data)

    def send(self, *packets: Packet) -> None:
        self.bytes(b"".join(encode(packet, self.version) for packet in packets))

    async def drain(self) -> None:
        """Returns when the server has taken most of what was sent."""
        await self._writer.drain()

    async def receive(self) -> Packet | None:
        """The next packet, without words; None when the server has closed."""
        async with asyncio.timeout(WITHIN):
            while not self._packets:
                try:
                    data = await self._reader.read(65536)
                except ConnectionError:  # closed with bytes of ours unread
                    return None
                if not data:
                    return None
                self._packets = self._decoder.feed(data)
                assert self._decoder.fault is None, self._decoder.fault
        packet = self._packets.pop(0)
        self.reasons += without_words(packet)
        return packet

    async def rest(self) -> list[Packet]:
        """Everything up to the server's close."""
        packets = []
        while (packet := await self.receive()) is not None:
            packets.append(packet)
        return packets

    async def enter(self, device: str, app: str, token: str) -> Connack:
        """CONNECT and its answer."""
        self.send(Connect(self.version, device, keep_alive=600, username=app, password=token.encode()))
        connack = await self.receive()
        assert isinstance(connack, Connack)
        return connack

    def abort(self) -> None:
        """Ends the connection without a word."""
        self._writer.transport.abort()

    async def close(self) -> None:
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


async def metrics(url: str) -> dict[str, float]:
    """What `/metrics` of a node says now, by `name` or `name{label="value"}`."""
    async with httpx.AsyncClient() as client:
        text = (await client.get(f"{url}/metrics")).raise_for_status().text
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


async def refused(url: str) -> dict[str, int]:
    """How often devices of a node were refused, by code."""
    prefix = 'longline_room_refused_total{kind="'
    found = await metrics(url)
    return {
        name.removeprefix(prefix).removesuffix('"}'): int(value)
        for name, value in found.items()
        if name.startswith(prefix)
    }
