"""A room that was taken for dead and lives: its clients do not hear of it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx
import jwt
import msgspec
import pytest
import pytest_asyncio

from longline import Center, Device
from tests.cluster.cluster import Cluster
from tests.cluster.role_process import RoleProcess
from tests.waiting import eventually, until

pytestmark = [pytest.mark.shape("cluster"), pytest.mark.timeout(900)]

WITHIN = 200.0  # s: a coordinator that gets no time declares nobody dead for two minutes
DEVICES = 20
KEEP_ALIVE = 900  # s: who is not answered for as long as a room is paused does not give up


class Site:
    """An app on a cluster: devices, and what they got."""

    def __init__(self, cluster: Cluster, center: Center, secret: str, stack: AsyncExitStack) -> None:
        self.cluster = cluster
        self.center = center
        self.got: dict[str, list[str]] = {}
        self.devices: dict[str, Device] = {}
        self._secret = secret
        self._stack = stack

    async def device(self, name: str, room: int) -> Device:
        """A connected device that takes whatever comes."""
        token = jwt.encode({"sub": name}, self._secret, algorithm="HS256")
        device = Device(
            "127.0.0.1",
            self.cluster.room_ports[room],
            app="life",
            device=name,
            token=token,
            keep_alive=KEEP_ALIVE,
            backoff_base=0.05,
            backoff_cap=0.2,
        )
        await self._stack.enter_async_context(device)
        async with asyncio.timeout(WITHIN):
            await device.wait_connected()
        got = self.got[name] = []
        self.devices[name] = device

        async def listen() -> None:
            while True:
                message = await device.receive()
                got.append(message.text)
                await message.ack()

        listening = asyncio.create_task(listen())
        self._stack.callback(listening.cancel)
        return device

    async def room_of(self, name: str) -> str | None:
        return (await self.center.device("life", name)).room

    async def states(self, names: set[str]) -> Counter[str]:
        """How many presence events of each kind there were of these devices."""
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(
                f"{self.cluster.url}/v1/apps/life/upstream",
                params={"limit": 1000},
                headers={"Authorization": f"Bearer {self.cluster.admin_key}"},
            )
        told = answer.raise_for_status().json()["events"]
        events = [event for event in told if event["type"] == "presence"]
        return Counter(event["state"] for event in events if event["device"] in names)


def said(process: RoleProcess, event: str) -> list[dict[str, object]]:
    """What a process has logged of a kind."""
    lines = [line for line in process.log.read_text().splitlines() if line.startswith("{")]
    return [entry for line in lines if (entry := msgspec.json.decode(line))["event"] == event]


@pytest_asyncio.fixture
async def site(server: Cluster) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        center = await stack.enter_async_context(server.center())
        keys = await center.create_app("life", pubsub=True)
        yield Site(server, center, keys.device_secret, stack)


async def buried(cluster: Cluster, name: str) -> None:
    """Returns when a coordinator has cleaned up after this node."""

    def so() -> bool:
        return any(
            entry["died"] == name
            for process in cluster.coordinators
            for entry in said(process, "node_cleaned_up")
        )

    await until(so, WITHIN, tell=cluster.tail)


async def test_a_room_that_was_paused_until_it_was_declared_dead_keeps_its_connections(site: Site) -> None:
    names = [f"d{number:02}" for number in range(DEVICES)]
    for name in names:
        await site.device(name, 0)
    await site.devices[names[0]].subscribe("talk")
    talker = await site.device("talker", 1)
    room = site.cluster.rooms[0]
    former = await site.room_of(names[0])
    assert former is not None
    before = len(said(room, "renamed"))
    room.pause()
    try:
        await buried(site.cluster, former)
        for number in range(3):
            for name in names:
                await site.center.send("life", str(number), devices=[name])
        moved = await site.device(names[-1] + "x", 1)
        assert moved is not None
    finally:
        room.resume()

    async def all_there() -> set[str]:
        return {str(await site.room_of(name)) for name in names} - {former}

    await until(lambda: len(said(room, "renamed")) > before, WITHIN, tell=room.tail)
    wanted = [str(number) for number in range(3)]
    await eventually(lambda: [site.got[name] for name in names], [wanted] * DEVICES, WITHIN, tell=room.tail)
    new = str(said(room, "renamed")[-1]["now"])
    await eventually(all_there, {new}, WITHIN, tell=room.tail)
    for name in names:
        await site.center.send("life", "after", devices=[name])
    await eventually(
        lambda: [site.got[name] for name in names], [[*wanted, "after"]] * DEVICES, WITHIN, tell=room.tail
    )
    await until(lambda: _talked(talker, site.got[names[0]]), WITHIN)
    assert {name: site.devices[name].statistics.connects for name in names} == dict.fromkeys(names, 1)
    assert len(said(room, "renamed")) == before + 1
    expected = Counter({"online": DEVICES, "moved": DEVICES})
    await eventually(lambda: site.states(set(names)), expected, WITHIN)


async def _talked(talker: Device, got: list[str]) -> bool:
    """Whether what is published in another room is heard by a subscriber of before."""
    await talker.publish("talk", "hello")
    return "hello" in got


async def test_only_those_that_went_elsewhere_meanwhile_lose_the_connection_that_they_had(site: Site) -> None:
    stays = await site.device("stays", 0)
    leaves = await site.device("leaves", 0)
    room = site.cluster.rooms[0]
    former = await site.room_of("stays")
    assert former is not None
    before = len(said(room, "renamed"))
    room.pause()
    try:
        await buried(site.cluster, former)
        leaves.endpoints.feed([("127.0.0.1", site.cluster.room_ports[1])])
        again = await site.device("leaves", 1)
    finally:
        room.resume()
    await until(lambda: len(said(room, "renamed")) > before, WITHIN, tell=room.tail)

    async def back() -> bool:
        return await site.room_of("stays") == said(room, "renamed")[-1]["now"]

    await until(back, WITHIN, tell=room.tail)
    assert stays.statistics.connects == 1
    assert again.statistics.connects == 1
    assert str(await site.room_of("leaves")).startswith(site.cluster.rooms[1].name)
