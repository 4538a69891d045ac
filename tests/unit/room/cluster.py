"""Several rooms on one bus: their route tables, and clients of each, in virtual time."""

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from longline.bus.local import LocalBus
from longline.errors import LonglineError
from longline.model.commands import Command, Forward, Routes
from longline.mqtt.packets import MQTT_5_0, Packet, Publish, Suback, Subscribe, Subscription
from longline.room.pubsub.hearing import Hearing
from longline.room.pubsub.routes import GATHER, RouteTable
from longline.testing.clock import VirtualClock, settle
from tests.unit.room.fixture import Peer, RoomFixture


class ClusterBus(LocalBus):
    """A bus that can be held up and that fails when told to; it notes what was sent."""

    def __init__(self) -> None:
        super().__init__(100_000)
        self.sent: list[tuple[str, Command]] = []
        self.holds: dict[str, asyncio.Event] = {}
        self.faults: dict[str, list[LonglineError]] = {}
        self.hidden: set[str] = set()
        self.asked: asyncio.Event | None = None

    async def send(self, node: str, commands: Sequence[Command]) -> None:
        hold = self.holds.get(node)
        if hold is not None:
            await hold.wait()
        if self.faults.get(node):
            raise self.faults[node].pop(0)
        self.sent += [(node, command) for command in commands]
        await super().send(node, commands)

    async def nodes(self) -> list[str]:
        names = [name for name in await super().nodes() if name not in self.hidden]
        if self.asked is not None:
            await self.asked.wait()
        if self.faults.get("nodes"):
            raise self.faults["nodes"].pop(0)
        return names

    def forwarded(self) -> list[tuple[str, bytes]]:
        return [(node, command.payload) for node, command in self.sent if isinstance(command, Forward)]

    def told(self) -> list[tuple[str, Routes]]:
        return [(node, command) for node, command in self.sent if isinstance(command, Routes)]

    def hold(self, node: str) -> asyncio.Event:
        hold = self.holds[node] = asyncio.Event()
        return hold


class ClusterRoom:
    """One room."""

    def __init__(
        self, name: str, cluster: "Cluster", *, limit: int, queue_bytes: int, session_queue: int
    ) -> None:
        self.name = name
        self.parts = RoomFixture(max_subscriptions=5000, outbox_bytes=1 << 20, session_queue=session_queue)
        self.parts.shares.node = name
        clock = cluster.clock
        self.table = RouteTable(
            name,
            cluster.bus,
            self.parts.sessions,
            self.parts.fanout,
            self.parts.shares,
            Hearing(self.parts.faults, now=clock.now, sleep=clock.sleep),
            self.parts.retainer,
            self.parts.faults,
            limit=limit,
            queue_bytes=queue_bytes,
            now=clock.now,
            sleep=clock.sleep,
        )
        self.cluster = cluster
        self.clients = 0
        self.listens = asyncio.Event()  # while it carries out what the bus brings
        self.listens.set()
        self.tasks: list[asyncio.Task[None]] = []

    async def live(self) -> None:
        await self.cluster.bus.open(self.name)
        await self.table.rebuild()
        self.tasks = [asyncio.create_task(self._receive()), asyncio.create_task(self.table.run())]

    async def _receive(self) -> None:
        while True:
            commands = await self.cluster.bus.receive(self.name)
            await self.listens.wait()
            for command in commands:
                if isinstance(command, Routes):
                    self.table.changed(command)
                elif isinstance(command, Forward):
                    self.table.forward(command)

    async def die(self) -> None:
        for task in self.tasks:
            task.cancel()
        for result in await asyncio.gather(*self.tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result

    def client(self, device: str, version: int = MQTT_5_0, *, window: int = 16) -> Peer:
        return self.parts.client(f"{device}@{self.name}", version, window=window)

    async def subscriber(self, *filters: str, version: int = MQTT_5_0, qos: int = 1) -> Peer:
        """A new client that has been told that it is subscribed."""
        self.clients += 1
        peer = self.client(f"d{self.clients}", version)
        peer.send(Subscribe(1, [Subscription(filter, qos) for filter in filters]))
        await self.cluster.pass_time(2 * GATHER)
        assert Suback(1, [qos] * len(filters)) in peer.receive()
        return peer


class Cluster:
    """All rooms."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.bus = ClusterBus()
        self.rooms: list[ClusterRoom] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for room in self.rooms:
            await room.die()

    async def room(
        self, name: str, *, limit: int = 1000, queue_bytes: int = 1 << 20, session_queue: int = 10_000
    ) -> ClusterRoom:
        room = ClusterRoom(name, self, limit=limit, queue_bytes=queue_bytes, session_queue=session_queue)
        self.rooms.append(room)
        await room.live()
        await self.pass_time(2 * GATHER)
        return room

    async def settle(self) -> None:
        """Everything that can happen now."""
        for _ in range(4):
            await settle()
            for room in self.rooms:
                room.parts.turns.settle()

    async def pass_time(self, seconds: float) -> None:
        await self.settle()
        await self.clock.advance(seconds)
        await self.settle()


def payloads(packets: list[Packet]) -> list[bytes]:
    return [packet.payload for packet in packets if isinstance(packet, Publish)]
