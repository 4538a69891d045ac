"""What is to be sent later is sent once, though whoever is to send it is killed again and again."""

import asyncio
import itertools
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
import pytest

from longline import Center, Device, Push
from tests.cluster.cluster import Cluster
from tests.integration.server_process import ServerProcess
from tests.integration.shapes import Server
from tests.waiting import until

MESSAGES = 300  # of each kind
SPAN = 12.0  # s over which they are due
KILLS = 6

pytestmark = [pytest.mark.adversity, pytest.mark.timeout(600)]


class Received:
    """What a device got: for each text the ids of its messages."""

    def __init__(self) -> None:
        self.ids: defaultdict[str, set[str]] = defaultdict(set)

    @asynccontextmanager
    async def listening(self, server: Server, secret: str) -> AsyncIterator[None]:
        token = jwt.encode({"sub": "d1"}, secret, algorithm="HS256")
        async with Device("127.0.0.1", server.mqtt_port, app="news", device="d1", token=token) as device:
            work = asyncio.create_task(self._take(device), name="taken")
            try:
                yield
            finally:
                work.cancel()

    async def more(self, wanted: set[str]) -> None:
        """Returns when something has come that was not there yet, or all is there."""
        before = len(self.ids)
        await until(lambda: len(self.ids) > before or self.ids.keys() >= wanted)

    async def _take(self, device: Device) -> None:
        async for message in device:
            self.ids[message.text].add(str(message.id))
            await message.ack()


async def promise(center: Center, chance: random.Random) -> set[str]:
    """Stores messages for one moment and in local time, to the device by its name and to all."""
    now = datetime.now(UTC)
    pushes = []
    for number in range(2 * MESSAGES):
        at = now + timedelta(seconds=1 + SPAN * chance.random())
        local = number % 2 == 0
        pushes.append(
            Push(
                payload=f"{'local' if local else 'moment'} {number}",
                devices=["d1"] if number % 4 < 2 else None,
                everyone=number % 4 >= 2,
                send_at=at.replace(tzinfo=None) if local else at,
            )
        )
    for start in range(0, len(pushes), 200):
        for result in await center.send_batch("news", pushes[start : start + 200]):
            assert not isinstance(result, Exception)
    return {str(push.payload) for push in pushes}


async def check(taken: Received, wanted: set[str], tell: Callable[[str], None]) -> None:
    await until(lambda: taken.ids.keys() >= wanted, 300, tell=lambda: len(taken.ids))
    twice = {text for text, ids in taken.ids.items() if len(ids) > 1}
    tell(f"{len(wanted)} messages sent later, lost 0, sent twice {len(twice)}")
    assert not twice
    assert taken.ids.keys() == wanted


async def test_a_node_that_is_killed_sends_each_once(
    tmp_path: Path, chance: random.Random, tell: Callable[[str], None]
) -> None:
    server, taken = ServerProcess(tmp_path / "data"), Received()
    await server.start()
    try:
        async with server.center() as center:
            secret = (await center.create_app("news")).device_secret
            await center.put_device("news", "d1")
            async with taken.listening(server, secret):
                wanted = await promise(center, chance)
                for _ in range(KILLS):
                    await taken.more(wanted)
                    await server.kill()
                    await server.start()
                await check(taken, wanted, tell)
    finally:
        await server.kill()


@pytest.mark.shape("cluster")
async def test_a_cluster_whose_coordinators_are_killed_sends_each_once(
    tmp_path: Path, chance: random.Random, tell: Callable[[str], None]
) -> None:
    """One after the other, so that whoever has taken over is the next."""
    taken = Received()
    cluster = Cluster(tmp_path, settings={"LONGLINE_KEEPER__SESSION_TIMEOUT": "3"})
    async with cluster, cluster.center() as center:
        secret = (await center.create_app("news")).device_secret
        await center.put_device("news", "d1")
        async with taken.listening(cluster, secret):
            wanted = await promise(center, chance)
            for victim in itertools.islice(itertools.cycle(cluster.coordinators), KILLS):
                await taken.more(wanted)
                await victim.kill()
                victim.start()
                await victim.ready()
            await check(taken, wanted, tell)
