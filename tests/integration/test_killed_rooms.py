"""Rooms are killed while clients publish through them: what was taken comes elsewhere, with QoS 2 once."""

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from longline.mqtt.packets import Puback, Pubcomp, Publish, Pubrec, Pubrel
from tests.cluster.cluster import Cluster
from tests.integration.keeping import APP, Keeping, subscribe
from tests.integration.live_node import RawClient
from tests.waiting import until

pytestmark = [pytest.mark.shape("cluster"), pytest.mark.timeout(900)]

ROUNDS = int(os.environ.get("LONGLINE_ROUNDS", "5"))
AT_ONCE = 6  # messages that a publisher has not completed
PUBLISHING, READING = 0, 1  # rooms


@pytest_asyncio.fixture
async def keeping(server: Cluster) -> AsyncIterator[Keeping]:
    async with server.center() as center:
        await center.create_app(APP, pubsub=True)
        async with Keeping(server, center) as keeping:
            yield keeping


class Publisher:
    """A client that goes on where it was, however often its connection breaks."""

    def __init__(self) -> None:
        self.sent = 0
        self.completed = 0
        self._under_way: dict[int, Publish | Pubrel] = {}

    async def run(self, client: RawClient, goal: int, *, last: bool = False) -> None:
        """Publishes until so many messages are completed, or, if these are the last, all are."""
        for packet in self._under_way.values():
            if isinstance(packet, Publish):
                packet.dup = True
            client.send(packet)
        while self.completed < goal or (last and self._under_way):
            while len(self._under_way) < AT_ONCE and not (last and self.completed >= goal):
                packet_id = next(n for n in range(1, AT_ONCE + 1) if n not in self._under_way)
                self.sent += 1
                qos = 1 + self.sent % 2
                publish = Publish("t", b"%d/%d" % (qos, self.sent), qos, packet_id=packet_id)
                self._under_way[packet_id] = publish
                client.send(publish)
            answer = await client.receive()
            if isinstance(answer, Pubrec):
                self._under_way[answer.packet_id] = Pubrel(answer.packet_id)
                client.send(self._under_way[answer.packet_id])
            else:
                assert isinstance(answer, (Puback, Pubcomp)), answer
                del self._under_way[answer.packet_id]
                self.completed += 1


async def read(client: RawClient, texts: Counter[bytes]) -> None:
    """Takes whatever comes."""
    while True:
        packet = await client.receive()
        match packet:
            case Publish(qos=1):
                texts[packet.payload] += 1
                client.send(Puback(packet.packet_id))
            case Publish(qos=2):
                texts[packet.payload] += 1
                client.send(Pubrec(packet.packet_id))
            case Pubrel():
                client.send(Pubcomp(packet.packet_id))
            case _:
                raise AssertionError(packet)


async def test_what_a_killed_room_took_comes_to_a_session_elsewhere(
    server: Cluster, keeping: Keeping
) -> None:
    seed = random.randrange(1 << 30)
    chance = random.Random(seed)
    reader = await keeping.client("reader", port=server.room_ports[READING])
    await subscribe(reader, "t")
    texts: Counter[bytes] = Counter()
    reading = asyncio.create_task(read(reader, texts))
    publisher = Publisher()
    for _ in range(ROUNDS):
        client = await keeping.client("publisher", port=server.room_ports[PUBLISHING])
        await publisher.run(client, publisher.completed + chance.randrange(1, 40))
        room = server.rooms[PUBLISHING]
        await room.kill()
        await client.close()
        room.start()
        await room.ready()
    client = await keeping.client("publisher", port=server.room_ports[PUBLISHING])
    await publisher.run(client, publisher.completed + 1, last=True)

    async def arrived() -> bool:
        if reading.done():
            reading.result()
        return len(texts) == publisher.sent

    await until(arrived)
    reading.cancel()
    doubled = [text for text, count in texts.items() if count > 1 and text.startswith(b"2")]
    assert doubled == [], f"seed {seed}"
