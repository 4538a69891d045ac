"""A whole room behind a socket: its name, its settings and its end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from longline.bus.local import LocalBus
from longline.bus.port import Bus
from longline.errors import Unavailable
from longline.mqtt.codec import Decoder, encode
from longline.mqtt.packets import MQTT_5_0, Connack, Connect, Disconnect, Packet, Publish
from longline.mqtt.reasons import ReasonCode
from longline.register.memory import MemoryRegister
from longline.room.room import Room
from longline.room.wire.listeners import listen
from longline.saver.bundle import Saver
from longline.settings import RoomSettings
from longline.telemetry.faults import Faults
from tests.unit.room.running import Store, a_token
from tests.unit.room.test_admission import unicast
from tests.waiting import WITHIN


class Client:
    """A device at a real socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.decoder = Decoder(1 << 20, MQTT_5_0, False)
        self.packets: list[Packet] = []

    async def receive(self) -> Packet | None:
        """The next packet; None at the end."""
        async with asyncio.timeout(WITHIN):
            while not self.packets:
                data = await self.reader.read(65536)
                if not data:
                    return None
                self.packets += self.decoder.feed(data)
        return self.packets.pop(0)


class Site:
    """A room, and what is around it."""

    def __init__(self, *, linger: float = 10.0) -> None:
        with listen("127.0.0.1", 0, reuse_port=False) as free:
            self.port = free.getsockname()[1]
        self.settings = RoomSettings(port=self.port, ack_delay=0, linger=linger)
        self.store = Store()
        self.register = MemoryRegister()
        self.bus = LocalBus(1000)
        self.fenced = asyncio.Event()
        self.reports: list[str] = []
        self.clients: list[Client] = []
        self.room = Room(
            self.settings,
            "n1",
            saver=cast(Saver, self.store),
            register=self.register,
            bus=self.bus,
            report=lambda code, peer, message: self.reports.append(code),
            faults=Faults(),
            fenced=self.fenced,
        )

    async def connect(self, device: str) -> Client:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        client = Client(reader, writer)
        self.clients.append(client)
        packet = Connect(MQTT_5_0, device, username="news", password=a_token(device))
        writer.write(encode(packet, MQTT_5_0))
        return client

    async def let_in(self, device: str) -> Client:
        client = await self.connect(device)
        connack = await client.receive()
        assert isinstance(connack, Connack)
        assert connack.reason == 0
        return client

    async def node_of(self, device: str) -> str | None:
        (binding,) = await self.register.locate(7, [device])
        return binding.node if binding is not None else None


@asynccontextmanager
async def a_site(*, linger: float = 10.0) -> AsyncIterator[Site]:
    site = Site(linger=linger)
    await site.room.start()
    try:
        yield site
    finally:
        await site.room.stop(WITHIN)
        for client in site.clients:
            client.writer.close()


async def test_a_room_that_was_declared_dead_goes_on_under_another_name() -> None:
    async with a_site(linger=0) as site:
        old = await site.let_in("phone")
        await site.register.declare_dead("n1")
        refused = await site.connect("tablet")
        connack = await refused.receive()
        assert isinstance(connack, Connack)
        assert connack.reason == ReasonCode.SERVER_UNAVAILABLE
        assert site.fenced.is_set()
        await site.room.restart_as("n1-again")
        assert await old.receive() == Disconnect(ReasonCode.SERVER_SHUTTING_DOWN)
        assert await old.receive() is None
        assert await site.bus.nodes() == ["n1-again"]
        assert await site.register.count(7) == 0
        new = await site.let_in("phone")
        assert await site.node_of("phone") == "n1-again"
        await site.bus.send("n1-again", [unicast("phone", 1)])
        published = await new.receive()
        assert isinstance(published, Publish)
        assert published.topic == "push/m1"


async def test_a_restart_that_could_not_be_carried_out_can_be_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with a_site(linger=0) as site:
        await site.let_in("phone")
        bus: Bus = site.bus
        opening = bus.open

        async def failing(node: str) -> None:
            monkeypatch.setattr(bus, "open", opening)
            raise Unavailable

        monkeypatch.setattr(bus, "open", failing)
        with pytest.raises(Unavailable):
            await site.room.restart_as("n1-again")
        refused = await site.connect("phone")
        connack = await refused.receive()
        assert isinstance(connack, Connack)
        assert connack.reason == ReasonCode.SERVER_UNAVAILABLE
        await site.room.restart_as("n1-again")
        await site.let_in("phone")
        assert all(not task.done() for task in site.room.tasks)


async def test_a_suspended_room_serves_who_is_there_until_it_is_resumed() -> None:
    async with a_site() as site:
        inside = await site.let_in("phone")
        await site.room.suspend()
        refused = await site.connect("tablet")
        connack = await refused.receive()
        assert isinstance(connack, Connack)
        assert connack.reason == ReasonCode.SERVER_UNAVAILABLE
        await site.bus.send("n1", [unicast("phone", 1)])
        assert isinstance(await inside.receive(), Publish)
        site.room.resume()
        await site.let_in("tablet")


async def test_without_its_listener_a_room_serves_those_that_are_there() -> None:
    async with a_site() as site:
        inside = await site.let_in("phone")
        site.room.close_listener()
        with pytest.raises(ConnectionRefusedError):
            await site.connect("tablet")
        await site.bus.send("n1", [unicast("phone", 1)])
        assert isinstance(await inside.receive(), Publish)


async def test_devices_linger_when_their_room_ends() -> None:
    async with a_site(linger=10) as site:
        client = await site.let_in("phone")
        await site.room.stop(WITHIN)
        assert await client.receive() == Disconnect(ReasonCode.SERVER_SHUTTING_DOWN)
        assert await site.node_of("phone") == "n1"


async def test_settings_change_while_the_room_is_open() -> None:
    async with a_site() as site:
        await site.let_in("phone")
        assert (site.room.connections, site.room.capacity) == (1, 1_000_000)
        site.room.configure(RoomSettings(port=site.port, max_connections=1))
        assert site.room.capacity == 1
        refused = await site.connect("tablet")
        assert await refused.receive() is None
        assert site.reports == ["too_many_connections"]


def test_several_processes_may_share_a_port_when_all_ask_for_it() -> None:
    with listen("127.0.0.1", 0, reuse_port=True) as first:
        first.listen()
        port = first.getsockname()[1]
        with listen("127.0.0.1", port, reuse_port=True) as second:
            second.listen()
        with pytest.raises(OSError, match="in use"):
            listen("127.0.0.1", port, reuse_port=False)
