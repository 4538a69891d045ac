"""A room that keeps and gives retained messages, above a store that does what the test says.

Nothing here takes time: `settle` gives every task as many turns as it needs.
"""

import asyncio
from types import TracebackType
from typing import Any, Self

from longline.model.pubsub import Publication
from longline.mqtt.packets import MQTT_5_0, Packet, Puback, Publish, Suback, Subscribe, Subscription
from longline.room.pubsub.replayer import Replayer
from longline.room.push.pace import BulkPace
from longline.testing.clock import VirtualClock, settle
from tests.unit.room.fixture import APP, NOW_MS, Peer, RoomFixture


class RetainingRoom:
    """The parts of a room that have to do with retained messages, and their tasks."""

    def __init__(self, *, page_bytes: int = 4096, **bounds: Any) -> None:
        self.clock = VirtualClock()
        self.parts = RoomFixture(sleep=self.clock.sleep, **bounds)
        self.store = self.parts.saver
        self.replayer = Replayer(
            self.store.retained,
            self.parts.retainer,
            self.parts.fanout,
            self.parts.faults,
            BulkPace(100, self.clock.now, self.clock.sleep),
            page_bytes=page_bytes,
            sleep=self.clock.sleep,
        )
        self.parts.fanout.replayer = self.replayer.ask
        self._tasks: list[asyncio.Task[None]] = []
        self._count = 0

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(work) for work in (self.parts.retainer.run(), self.replayer.run())]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        for result in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result  # no task of a room may end

    async def settle(self) -> None:
        """Everything that can happen now."""
        for _ in range(4):
            await settle()
            self.parts.turns.settle()

    async def receive(self, peer: Peer) -> list[Packet]:
        """What a client has got by the time that nothing more happens."""
        await self.settle()
        return peer.unread()

    async def published(self, peer: Peer) -> list[Publish]:
        return [packet for packet in await self.receive(peer) if isinstance(packet, Publish)]

    async def everything(self, peer: Peer) -> list[Publish]:
        """All that a client gets that acknowledges whatever it gets."""
        found: list[Publish] = []
        while got := await self.published(peer):
            found += got
            peer.send(*(Puback(packet.packet_id) for packet in got if packet.qos))
        return found

    def has(self, topic: str, payload: bytes | None = None, **fields: Any) -> Publication:
        """The store has a message."""
        self._count += 1
        publication = Publication(
            id=f"{self._count:08x}-0000-7000-8000-000000000000",
            topic=topic,
            payload=topic.encode() if payload is None else payload,
            qos=fields.pop("qos", 1),
            retain=True,
            at=NOW_MS,
            **fields,
        )
        self.store.retained_messages[APP, topic] = publication
        return publication

    def client(self, device: str, version: int = MQTT_5_0, *, window: int = 16) -> Peer:
        return self.parts.client(device, version, window=window)

    async def subscriber(
        self, device: str, *filters: str, version: int = MQTT_5_0, qos: int = 1, window: int = 16
    ) -> Peer:
        """A client that has subscribed and read its answer, and nothing behind it."""
        peer = self.client(device, version, window=window)
        peer.send(Subscribe(1, [Subscription(filter, qos) for filter in filters]))
        assert peer.receive() == [Suback(1, [qos] * len(filters))]
        return peer
