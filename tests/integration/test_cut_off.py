"""A room that is cut off from the store, or the keeper, lets its devices go: they are served elsewhere."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import jwt
import pytest
import pytest_asyncio

from longline import Center, Device
from longline.testing.proxy import FaultProxy
from tests.cluster.role_process import RoleProcess
from tests.servers.ports import free_ports
from tests.servers.redis_server import RedisServer
from tests.servers.zookeeper import zookeeper
from tests.waiting import eventually, until

pytestmark = [pytest.mark.shape("cluster"), pytest.mark.timeout(900)]

WITHIN = 200.0  # s: a coordinator that gets no time declares nobody dead for two minutes
DEVICES = 40


class Site:
    """Two rooms, and what they need; the first reaches the store and the keeper through `networks`."""

    def __init__(
        self, directory: Path, networks: Mapping[str, FaultProxy], redis: RedisServer, keeper: str
    ) -> None:
        self.networks = networks
        self.redis = redis
        self.key = secrets.token_urlsafe(16)
        self.ports = free_ports(5)
        self.room_ports = self.ports[:2]
        self.url = f"http://127.0.0.1:{self.ports[4]}"
        common = {
            "LONGLINE_ADMIN_KEY": self.key,
            "LONGLINE_KEEPER__SESSION_TIMEOUT": "4",
            "LONGLINE_KEEPER__REPORT_INTERVAL": "0.5",
            "LONGLINE_STORE__PARTITIONS": "8",
        }
        near = {"LONGLINE_STORE__URL": redis.url, "LONGLINE_KEEPER__HOSTS": keeper}
        far = {
            "LONGLINE_STORE__URL": f"redis://127.0.0.1:{networks['store'].port}",
            "LONGLINE_KEEPER__HOSTS": f"127.0.0.1:{networks['keeper'].port}",
        }
        self.rooms = [
            self._room(f"room-{number}", directory, {**common, **reached}, number)
            for number, reached in enumerate((far, near))
        ]
        self.center = RoleProcess(
            ["center", "dispatcher", "coordinator"],
            "center",
            directory,
            {**common, **near, "LONGLINE_CENTER__PORT": str(self.ports[4])},
            status=self.url,
        )
        self.processes = [*self.rooms, self.center]

    def _room(self, name: str, directory: Path, settings: dict[str, str], number: int) -> RoleProcess:
        port, status = self.room_ports[number], self.ports[2 + number]
        own = {
            "LONGLINE_ROOM__PORT": str(port),
            "LONGLINE_ROOM__WS_PORT": "0",
            "LONGLINE_NODE__STATUS_PORT": str(status),
        }
        return RoleProcess(
            ["room"], name, directory, {**settings, **own}, status=f"http://127.0.0.1:{status}"
        )

    def tail(self) -> str:
        return "\n".join(f"--- {process.name}\n{process.tail(2500)}" for process in self.processes)

    async def offered(self) -> set[int]:
        """The ports of the rooms that the dispatcher names."""
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(f"{self.url}/v1/dispatch", params={"app": "cut", "device": "d"})
        return {endpoint["port"] for endpoint in answer.raise_for_status().json()["endpoints"]}

    async def are_ready(self) -> list[bool]:
        return [await self.is_ready(room) for room in range(2)]

    def looks(self) -> list[int]:
        """How often each room has looked in vain for the others, which it does every few seconds."""
        return [room.log.read_text().count("rooms_unknown") for room in self.rooms]

    async def is_ready(self, room: int) -> bool:
        async with httpx.AsyncClient(trust_env=False) as client:
            return await self.rooms[room].is_ready(client)


@asynccontextmanager
async def a_site(directory: Path) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        redis = stack.enter_context(RedisServer(directory / "redis"))
        keeper = stack.enter_context(zookeeper(directory / "zookeeper"))
        networks = {
            name: await stack.enter_async_context(FaultProxy("127.0.0.1", port))
            for name, port in (("store", redis.port), ("keeper", keeper.port))
        }
        site = Site(directory, networks, redis, keeper.host)
        for process in site.processes:
            process.start()
            stack.push_async_callback(process.kill)
        await asyncio.gather(*(process.ready() for process in site.processes))
        await eventually(site.offered, set(site.room_ports), WITHIN, tell=site.tail)
        yield site


@pytest_asyncio.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with a_site(tmp_path) as site:
        yield site


class Devices:
    """Devices in the first room, and what each of them got."""

    def __init__(self, site: Site, center: Center, stack: AsyncExitStack) -> None:
        self.got: dict[str, list[str]] = {}
        self._devices: list[Device] = []
        self._site = site
        self._center = center
        self._stack = stack

    async def connect(self) -> None:
        secret = (await self._center.create_app("cut")).device_secret
        for number in range(DEVICES):
            name = f"d{number:02}"
            device = Device(
                "127.0.0.1",
                self._site.room_ports[0],
                app="cut",
                device=name,
                token=jwt.encode({"sub": name}, secret, algorithm="HS256"),
                protocol=4 if number % 2 else 5,
                backoff_base=0.05,
                backoff_cap=0.5,
            )
            self._devices.append(await self._stack.enter_async_context(device))
            self.got[name] = []
            listening = asyncio.create_task(self._listen(device, self.got[name]))
            self._stack.callback(listening.cancel)
            async with asyncio.timeout(WITHIN):
                await device.wait_connected()

    async def _listen(self, device: Device, texts: list[str]) -> None:
        while True:
            message = await device.receive()
            texts.append(message.text)
            await message.ack()

    async def push(self, text: str) -> None:
        for name in self.got:
            await self._center.send("cut", text, devices=[name])

    async def got_all(self, *texts: str) -> None:
        await eventually(
            lambda: list(self.got.values()), [list(texts)] * DEVICES, WITHIN, tell=self._site.tail
        )

    async def rooms(self) -> set[str]:
        return {str((await self._center.device("cut", name)).room).rpartition("-")[0] for name in self.got}

    @property
    def undisturbed(self) -> int:
        """How many have connected once."""
        return sum(device.statistics.connects == 1 for device in self._devices)


@pytest_asyncio.fixture
async def devices(site: Site) -> AsyncIterator[Devices]:
    async with AsyncExitStack() as stack:
        center = await stack.enter_async_context(Center(site.url, site.key))
        devices = Devices(site, center, stack)
        await devices.connect()
        yield devices


@pytest.mark.parametrize("cut", ["store", "keeper"])
async def test_the_devices_of_a_room_that_is_cut_off_are_served_elsewhere(
    site: Site, devices: Devices, cut: str
) -> None:
    await devices.push("before")
    await devices.got_all("before")
    site.networks[cut].stall()
    await devices.push("during")
    await eventually(lambda: site.is_ready(0), False, WITHIN, tell=site.tail)
    await eventually(site.offered, {site.room_ports[1]}, WITHIN, tell=site.tail)
    await eventually(devices.rooms, {"room-1"}, WITHIN, tell=site.tail)
    await devices.push("after")
    await devices.got_all("before", "during", "after")
    site.networks[cut].resume()
    await until(lambda: site.is_ready(0), WITHIN, tell=site.tail)
    await eventually(site.offered, set(site.room_ports), WITHIN, tell=site.tail)
    await devices.push("again")
    await devices.got_all("before", "during", "after", "again")
    assert await devices.rooms() == {"room-1"}, "nobody is taken back"


async def test_when_the_store_is_away_for_all_rooms_they_keep_their_devices(
    site: Site, devices: Devices
) -> None:
    """Each says so through the keeper, and knows of no room that could do better."""
    site.redis.pause()
    try:
        await eventually(site.are_ready, [False, False], WITHIN, tell=site.tail)
        before = site.looks()
        await until(lambda: all(map(int.__gt__, site.looks(), [count + 1 for count in before])), WITHIN)
    finally:
        site.redis.resume()
    await eventually(site.are_ready, [True, True], WITHIN, tell=site.tail)
    await devices.push("after")
    await devices.got_all("after")
    # At the first moment one may not have heard yet that the other is cut off too.
    assert devices.undisturbed >= DEVICES * 3 / 4
