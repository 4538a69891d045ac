"""Two rooms on one bus and real sockets: devices talk across them, and move from one to the other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Literal

import jwt
import pytest
import pytest_asyncio

from longline import Device
from longline.bus.local import LocalBus
from longline.delivery.routing import route
from longline.model.apps import App
from longline.model.audience import Devices
from longline.model.messages import Envelope, Message
from longline.model.times import wall_clock
from longline.register.memory import MemoryRegister
from longline.room.life.draining import Draining, DrainPhase, DrainPlan
from longline.room.room import Room
from longline.saver.port.messages import Outcome, Submission
from longline.saver.sql.engine import SqliteSaver
from longline.settings import RoomSettings
from longline.telemetry.faults import Faults
from tests.integration.server_process import free_ports
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
