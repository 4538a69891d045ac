"""Two rooms on one bus and real sockets: devices talk across them, and move from one to the other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Literal

import jwt
import msgspec
import pytest
import pytest_asyncio

from longline import Device
from longline.bus.local import LocalBus
from longline.delivery.routing import route
from longline.model.apps import App
from longline.model.audience import Devices
from longline.model.messages import Envelope, Message
from longline.model.times import wall_clock
from longline.mqtt.packets import MQTT_3_1_1, MQTT_5_0, Puback, Publish, Suback, Subscribe, Subscription
from longline.register.memory import MemoryRegister
from longline.room.life.draining import Draining, DrainPhase, DrainPlan
from longline.room.room import Room
from longline.saver.port.messages import Outcome, Submission
from longline.saver.sql.engine import SqliteSaver
from longline.sdk.attached import AttachedApp
from longline.settings import RoomSettings
from longline.telemetry.faults import Faults
from tests.integration.live_node import RawClient
from tests.servers.ports import free_ports
from tests.waiting import until

SECRET = "the device secret of an app for tests"
PATIENCE = 60.0  # s


class TwoRooms:
    """One app, its store, and two rooms."""

    def __init__(self, saver: SqliteSaver, register: MemoryRegister, bus: LocalBus, app: App) -> None:
        self.saver = saver
        self.register = register
        self.bus = bus
        self.app = app
        self.rooms: dict[str, Room] = {}
        self.ports: dict[str, int] = {}

    async def open_room(self, name: str, opened: AsyncExitStack, port: int) -> None:
        settings = RoomSettings(port=port, linger=30.0)
        room = Room(
            settings,
            name,
            saver=self.saver,
            register=self.register,
            bus=self.bus,
            report=lambda code, peer, message: None,
            faults=Faults(),
            fenced=lambda name: None,
        )
        await room.start()
        opened.push_async_callback(room.stop, 5.0)
        self.rooms[name], self.ports[name] = room, port

    def device(self, room: str, name: str, protocol: Literal[4, 5] = 5) -> Device:
        token = jwt.encode({"sub": name}, SECRET, algorithm="HS256")
        return Device(
            "127.0.0.1",
            self.ports[room],
            app=self.app.app,
            device=name,
            token=token,
            protocol=protocol,
            backoff_base=0.05,
            backoff_cap=0.2,
        )

    def draining(self, room: str, to: str) -> Draining:
        return self.rooms[room].draining(
            lambda: True, lambda app, device, transport: f"127.0.0.1:{self.ports[to]}"
        )

    async def push(self, number: int, devices: tuple[str, ...]) -> None:
        """What a center does."""
        now = wall_clock()
        message = Message(
            id=f"{number:08d}-0000-7000-8000-000000000000",
            app=self.app.app,
            payload=b"%d" % number,
            content_type="text/plain",
            created_at=now,
            expires_at=now + 60_000,
        )
        envelope = Envelope(message, Devices(devices))
        [outcome] = await self.saver.messages.enqueue([Submission(self.app.number, (envelope,), now)])
        assert isinstance(outcome, Outcome)
        await route(outcome.routes, now, bus=self.bus, routing=self.saver.routing, inboxes=self.saver.inboxes)


@pytest_asyncio.fixture
async def two_rooms(tmp_path: Path) -> AsyncIterator[TwoRooms]:
    async with AsyncExitStack() as opened:
        register = MemoryRegister()
        saver = await SqliteSaver.open(tmp_path / "test.db", locate=register.locate_now)
        opened.push_async_callback(saver.close)
        app = await saver.apps.create(
            App(
                app="news",
                number=0,
                name="News",
                server_key_hash=b"x" * 32,
                device_secret=SECRET,
                pubsub=True,
                created_at=wall_clock(),
            )
        )
        two_rooms = TwoRooms(saver, register, LocalBus(10_000), app)
        for name, port in zip(("a", "b"), free_ports(2), strict=True):
            await two_rooms.open_room(name, opened, port)
        yield two_rooms


@pytest.mark.parametrize("protocol", [4, 5])
async def test_a_message_is_there_as_soon_as_the_subscriber_knows_it_is_subscribed(
    two_rooms: TwoRooms, protocol: Literal[4, 5]
) -> None:
    async with (
        two_rooms.device("a", "listener", protocol) as listener,
        two_rooms.device("b", "talker", protocol) as talker,
    ):
        await listener.wait_connected()
        await talker.wait_connected()
        async with asyncio.timeout(PATIENCE):
            for number in range(20):
                await listener.subscribe(f"t/{number}")
                await talker.publish(f"t/{number}", str(number))
                message = await listener.receive()
                await message.ack()
                assert (message.topic, message.text) == (f"t/{number}", str(number))


def moved(draining: Draining, count: int) -> bool:
    return draining.progress().moved >= count


@pytest.mark.parametrize("protocol", [4, 5])
async def test_devices_move_from_room_to_room_and_lose_nothing(
    two_rooms: TwoRooms, protocol: Literal[4, 5]
) -> None:
    names = tuple(f"d{number}" for number in range(60))
    received: dict[str, list[str]] = {name: [] for name in names}
    pushed = 40

    async def listen(device: Device, name: str) -> None:
        while len(set(received[name])) < pushed:
            message = await device.receive()
            received[name].append(message.text)
            await message.ack()

    async with AsyncExitStack() as opened, asyncio.timeout(3 * PATIENCE), asyncio.TaskGroup() as tasks:
        devices = [
            await opened.enter_async_context(two_rooms.device("a", name, protocol=protocol)) for name in names
        ]
        for device, name in zip(devices, names, strict=True):
            await device.wait_connected()
            tasks.create_task(listen(device, name))
        draining = two_rooms.draining("a", "b")
        moving = tasks.create_task(draining.run(DrainPlan(rate=60, jitter=0.05)))
        for number in range(pushed):  # spread over the move
            await until(partial(moved, draining, len(names) * number // pushed))
            await two_rooms.push(number, names)
        progress = await moving
        assert (progress.phase, progress.moved, progress.returned) == (DrainPhase.FINISHED, 60, 60)
        bindings = await two_rooms.register.locate(two_rooms.app.number, names)
        assert {binding.node for binding in bindings if binding is not None} == {"b"}
        seen = [transition.state for transition in await two_rooms.register.transitions(10_000)]
        assert sorted(seen) == ["moved"] * 60 + ["online"] * 60
    for name in names:
        assert sorted(set(received[name]), key=int) == [str(number) for number in range(pushed)]
        assert len(received[name]) == pushed  # and the application saw none twice
    assert all(device.statistics.moves == 1 for device in devices)


@pytest.mark.parametrize("protocol", [4, 5])
async def test_what_is_attached_moves_with_its_connection_and_loses_nothing(
    two_rooms: TwoRooms, protocol: Literal[4, 5]
) -> None:
    """Each connection is moved once, however many share it; and who it carried is attached again there."""
    carriers, carried = [[f"{kind}{number}" for number in range(20)] for kind in "de"]
    received: dict[str, list[str]] = {name: [] for name in (*carriers, *carried)}
    pushed = 30

    async def listen(device: Device | AttachedApp, name: str) -> None:
        while len(set(received[name])) < pushed:
            message = await device.receive()
            received[name].append(message.text)
            await message.ack()

    async with AsyncExitStack() as opened, asyncio.timeout(3 * PATIENCE), asyncio.TaskGroup() as tasks:
        devices = []
        for carrier, other in zip(carriers, carried, strict=True):
            device = await opened.enter_async_context(two_rooms.device("a", carrier, protocol=protocol))
            token = jwt.encode({"sub": other}, SECRET, algorithm="HS256")
            attached = await device.attach(two_rooms.app.app, other, token)
            devices.append(device)
            tasks.create_task(listen(device, carrier))
            tasks.create_task(listen(attached, other))
        draining = two_rooms.draining("a", "b")
        moving = tasks.create_task(draining.run(DrainPlan(rate=20, jitter=0.05)))
        for number in range(pushed):  # spread over the move
            await until(partial(moved, draining, len(devices) * number // pushed))
            await two_rooms.push(number, (*carriers, *carried))
        progress = await moving
        assert (progress.phase, progress.total, progress.moved, progress.returned) == (
            DrainPhase.FINISHED,
            20,
            20,
            20,
        )

        async def there() -> bool:
            bindings = await two_rooms.register.locate(two_rooms.app.number, carried)
            return {binding.node if binding is not None else None for binding in bindings} == {"b"}

        await until(there)
    for texts in received.values():
        assert sorted(set(texts), key=int) == [str(number) for number in range(pushed)]
        assert len(texts) == pushed  # and the application saw none twice
    seen = [transition.state for transition in await two_rooms.register.transitions(10_000)]
    assert "offline" not in seen[: seen.index("moved")]


@pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])
async def test_a_device_that_connects_in_another_room_takes_over_what_is_attached_here(
    two_rooms: TwoRooms, version: int
) -> None:
    tokens = {name: jwt.encode({"sub": name}, SECRET, algorithm="HS256") for name in ("d1", "e1")}
    async with (
        await RawClient.open(two_rooms.ports["a"], version) as carrier,
        await RawClient.open(two_rooms.ports["b"]) as own,
    ):
        assert (await carrier.enter("d1", "news", tokens["d1"])).reason == 0
        body = msgspec.json.encode({"app": "news", "device": "e1", "token": tokens["e1"]})
        carrier.send(Publish("$link/attach", body))
        said = [msgspec.json.decode(packet.payload) async for packet in publishes(carrier, 1)]
        assert said[0]["status"] == "attached"
        await two_rooms.push(1, ("e1",))
        (push,) = [packet async for packet in publishes(carrier, 1)]
        assert push.topic.startswith("@news/push/")  # and is not acknowledged
        assert (await own.enter("e1", "news", tokens["e1"])).reason == 0
        (again,) = [packet async for packet in publishes(own, 1)]
        assert again.payload == push.payload
        (ended,) = [msgspec.json.decode(packet.payload) async for packet in publishes(carrier, 1)]
        assert (ended["status"], ended["device"], ended["code"]) == ("ended", "e1", "taken_over")
        await two_rooms.push(2, ("d1", "e1"))
        (push,) = [packet async for packet in publishes(carrier, 1)]
        assert (push.topic.startswith("push/"), push.payload) == (True, b"2")
        (push,) = [packet async for packet in publishes(own, 1)]
        assert push.payload == b"2"


async def publishes(client: RawClient, count: int) -> AsyncIterator[Publish]:
    """The next messages of a client."""
    while count:
        packet = await client.receive()
        assert packet is not None
        if isinstance(packet, Publish):
            count -= 1
            yield packet


async def test_what_members_of_a_group_leave_at_a_room_that_stops_goes_to_those_of_others(
    two_rooms: TwoRooms,
) -> None:
    """Also what was being sent to it at that moment; nothing comes twice."""

    async def member(room: str, name: str) -> RawClient:
        token = jwt.encode({"sub": name}, SECRET, algorithm="HS256")
        client = await RawClient.open(two_rooms.ports[room])
        assert (await client.enter(name, "news", token)).reason == 0
        client.send(Subscribe(1, [Subscription("$share/g/jobs", 1)]))
        assert await client.receive() == Suback(1, [1])
        return client

    async with await member("a", "leaver") as leaver, await member("b", "other") as other:
        publishing = two_rooms.device("b", "publisher")
        async with publishing:
            for number in range(40):
                await publishing.publish("jobs", b"%d" % number)
            first = [packet for packet in [await leaver.receive()] if isinstance(packet, Publish)]
            assert len(first) == 1  # and unacknowledged, like all that follows
            stopping = asyncio.create_task(two_rooms.rooms["a"].stop(10.0))
            for number in range(40, 60):
                await publishing.publish("jobs", b"%d" % number)
            got: list[bytes] = []
            while len(got) < 60:
                packet = await other.receive()
                assert isinstance(packet, Publish)
                got.append(packet.payload)
                other.send(Puback(packet.packet_id))
            await stopping
            assert sorted(got) == sorted(b"%d" % number for number in range(60))
