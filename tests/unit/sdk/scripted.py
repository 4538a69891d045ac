"""A room that says what the test tells it to, on a real socket."""

import asyncio
import ssl
from types import TracebackType
from typing import Self, TypeVar

from longline.mqtt.link import Link, Role
from longline.mqtt.packets import Connack, Connect, Packet, Publish
from longline.mqtt.properties import Properties
from longline.testing.links import MAX_PACKET_SIZE
from longline.testing.proxy import reset

Kind = TypeVar("Kind", bound=Packet)


class Peer:
    """The room's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._link = Link(Role.SERVER, MAX_PACKET_SIZE)
        self._heard: list[Packet] = []

    async def expect(self, kind: type[Kind]) -> Kind:
        """The next packet, which must be of this kind."""
        while not self._heard:
            data = await self._reader.read(65_536)
            if not data:
                raise AssertionError(f"the device closed where {kind.__name__} was expected")
            self._heard += self._link.receive(data, 0.0)
        packet = self._heard.pop(0)
        assert isinstance(packet, kind), f"{packet} where {kind.__name__} was expected"
        return packet

    async def let_in(self, *, session_present: bool = False, properties: Properties | None = None) -> Connect:
        connect = await self.expect(Connect)
        await self.say(Connack(session_present, 0, properties))
        self._heard += self._link.resume()
        return connect

    async def say(self, *packets: Packet) -> None:
        for packet in packets:
            self._link.send(packet)
        self._writer.writelines(self._link.take_output())
        await self._writer.drain()

    async def lie(self, data: bytes) -> None:
        """Says bytes that may be no MQTT."""
        self._writer.write(data)
        await self._writer.drain()

    async def push(
        self, id: str, packet_id: int = 1, *, dup: bool = False, payload: bytes = b"hello"
    ) -> None:
        qos = 1 if packet_id else 0
        await self.say(Publish(f"push/{id}", payload, qos, False, dup, packet_id))

    async def ended(self) -> None:
        """Returns when the device has closed its side, having said nothing more."""
        assert self._heard == []
        assert await self._reader.read(65_536) == b""

    def close(self) -> None:
        self._writer.close()

    def reset(self) -> None:
        reset(self._writer)


class ScriptedRoom:
    """Listens, with `tls` where that is given; `accept` gives the connections in their order."""

    def __init__(self, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self._host = host
        self._tls = tls
        self._peers: asyncio.Queue[Peer] = asyncio.Queue()
        self._all: list[Peer] = []
        self._server: asyncio.Server | None = None
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accepted, self._host, 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
            for peer in self._all:
                peer.reset()
            await self._server.wait_closed()

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        self._all.append(peer)
        self._peers.put_nowait(peer)

    async def accept(self) -> Peer:
        return await self._peers.get()

    @property
    def connections(self) -> int:
        """How many there have been."""
        return len(self._all)
