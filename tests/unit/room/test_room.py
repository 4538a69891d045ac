"""A whole room behind a socket: its name, its settings and its end."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import cast

import msgspec
import pytest

from longline.bus.local import LocalBus
from longline.bus.port import Bus
from longline.errors import Unavailable
from longline.mqtt.codec import Decoder, encode
from longline.mqtt.packets import MQTT_5_0, Connack, Connect, Disconnect, Packet, Publish
from longline.mqtt.reasons import ReasonCode
from longline.register.memory import MemoryRegister
from longline.register.port import Bind, Unbind
from longline.room.room import Room
from longline.room.wire.listeners import listen
from longline.saver.bundle import Saver
from longline.settings import RoomSettings, SessionSettings
from longline.telemetry.faults import Faults
from tests.unit.room.running import Store, a_token, an_app
from tests.unit.room.test_admission import unicast
from tests.waiting import WITHIN, until


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
        self.fenced: list[str] = []
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
            fenced=self.fenced.append,
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


async def test_a_room_that_was_declared_dead_goes_on_under_another_name_with_all_its_connections() -> None:
    async with a_site() as site:
        phone = await site.let_in("phone")
        await site.register.declare_dead("n1")
        await site.register.release("n1", 0, 1, 10)
        await site.bus.shut("n1")
        await until(lambda: site.fenced == ["n1"], WITHIN)
        await site.room.rename("n1-again")
        await until(lambda: site.room.counters.rebound == 1, WITHIN)
        assert await site.bus.nodes() == ["n1-again"]
        assert await site.node_of("phone") == "n1-again"
        assert await site.register.end_lingering(1 << 50, 10) == 0
        await site.bus.send("n1-again", [unicast("phone", 1)])
        published = await phone.receive()
        assert isinstance(published, Publish), "the first that it hears since it was let in"
        assert published.topic == "push/m1"
        await site.let_in("tablet")
        assert await site.node_of("tablet") == "n1-again"
        assert site.fenced == ["n1"]


async def test_of_a_room_that_was_declared_dead_only_those_leave_that_are_elsewhere_by_now() -> None:
    async with a_site() as site:
        phone, tablet = await site.let_in("phone"), await site.let_in("tablet")
        await site.register.declare_dead("n1")
        (bound,) = await site.register.bind([Bind(7, "tablet", "n2", 0)])
        await site.room.rename("n1-again")
        assert await tablet.receive() == Disconnect(ReasonCode.SESSION_TAKEN_OVER)
        assert await tablet.receive() is None
        assert await site.register.locate(7, ["tablet"]) == [bound.binding]
        await until(lambda: site.room.counters.rebound == 1, WITHIN)
        await site.bus.send("n1-again", [unicast("phone", 1)])
        assert isinstance(await phone.receive(), Publish)


async def test_a_new_name_that_could_not_be_given_can_be_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with a_site(linger=0) as site:
        phone = await site.let_in("phone")
        bus: Bus = site.bus
        opening = bus.open

        async def failing(node: str) -> None:
            monkeypatch.setattr(bus, "open", opening)
            raise Unavailable

        monkeypatch.setattr(bus, "open", failing)
        with pytest.raises(Unavailable):
            await site.room.rename("n1-again")
        refused = await site.connect("tablet")
        connack = await refused.receive()
        assert isinstance(connack, Connack)
        assert connack.reason == ReasonCode.SERVER_UNAVAILABLE
        await site.room.rename("n1-again")
        await site.let_in("tablet")
        await until(lambda: site.room.counters.rebound == 1, WITHIN)
        await site.bus.send("n1-again", [unicast("phone", 1)])
        assert isinstance(await phone.receive(), Publish)
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
        site.room.close_listeners()
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


async def held_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> asyncio.Task[None]:
    """A room that is to end and has let its clients go, but cannot unbind them."""
    await site.let_in("phone")
    never = asyncio.Event()

    async def unbind(batch: Sequence[Unbind]) -> list[bool]:
        await never.wait()
        return []

    monkeypatch.setattr(site.register, "unbind", unbind)
    stopping = asyncio.create_task(site.room.stop(1_000_000))
    await until(lambda: site.room.counters.connections == 0, WITHIN)
    assert not stopping.done()
    return stopping


async def test_a_room_that_ends_does_not_wait_for_stores_that_are_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with a_site() as site:
        stopping = await held_up(site, monkeypatch)
        site.room.give_up()
        async with asyncio.timeout(WITHIN):
            await stopping


async def test_a_room_that_is_about_to_end_ends_sooner_when_somebody_cannot_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with a_site() as site:
        stopping = await held_up(site, monkeypatch)
        site.room.hasten(0.1)
        site.room.hasten(1_000_000)  # never later than it was to be
        async with asyncio.timeout(WITHIN):
            await stopping
        site.room.give_up()  # `a_site` stops it once more


async def test_a_new_name_makes_no_exception_for_connections_of_an_old_secret() -> None:
    async with a_site() as site:
        phone = await site.let_in("phone")
        await site.register.declare_dead("n1")
        await site.bus.shut("n1")
        await until(lambda: site.fenced == ["n1"], WITHIN)
        site.store.known["news"] = msgspec.structs.replace(an_app(), device_secret="x" * 32, generation=1)
        await site.room.rename("n1-again")
        assert await phone.receive() == Disconnect(ReasonCode.NOT_AUTHORIZED)


async def test_a_room_that_is_not_told_of_a_rotation_finds_out_by_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The center that could not tell it has answered with the new keys all the same."""
    monkeypatch.setattr("longline.room.push.commands.LOOK_EVERY", 0.01)
    async with a_site() as site:
        phone = await site.let_in("phone")
        site.store.known["news"] = msgspec.structs.replace(an_app(), device_secret="x" * 32, generation=1)
        assert await phone.receive() == Disconnect(ReasonCode.NOT_AUTHORIZED)


async def test_settings_change_while_the_room_is_open() -> None:
    async with a_site() as site:
        await site.let_in("phone")
        assert (site.room.connections, site.room.capacity) == (1, 1_000_000)
        site.room.configure(RoomSettings(port=site.port, max_connections=1), SessionSettings())
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


async def test_a_room_that_ends_waits_until_what_was_published_is_retained() -> None:
    """Also with QoS 0, which has no answer that a client could wait for."""
    async with a_site() as site:
        phone = await site.let_in("phone")
        hold = site.store.hold("keep_retained")
        phone.writer.write(encode(Publish("a", b"x", 0, True), MQTT_5_0))
        await until(lambda: site.store.kept)
        ending = asyncio.create_task(site.room.stop(WITHIN))
        assert await phone.receive() == Disconnect(ReasonCode.SERVER_SHUTTING_DOWN)
        assert site.store.retained_messages == {}
        hold.set()
        await ending
        assert [topic for _, topic in site.store.retained_messages] == ["a"]
