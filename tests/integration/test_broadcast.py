"""A broadcast to many devices, most of them connected and some away: each gets exactly one."""

import asyncio
import resource
from contextlib import AsyncExitStack

import jwt
import pytest

from longline import Center, Device
from tests.integration.shapes import Server

CONNECTED = 5000
AWAY = 1000
TOGETHER = 200  # devices that connect at once
WITHIN = 90.0  # s

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(autouse=True)
def many_files() -> None:
    """Every connection is an open file; servers inherit the limit."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class Crowd:
    """Devices that count what they get, by payload."""

    def __init__(self, server: Server, secret: str) -> None:
        self.counts: dict[str, dict[str, int]] = {}
        self._server = server
        self._secret = secret
        self._stack = AsyncExitStack()
        self._devices: list[Device] = []
        self._news = asyncio.Event()

    @property
    def duplicates(self) -> int:
        """Copies that came over the wire and were dropped before anybody saw them."""
        return sum(device.statistics.duplicates for device in self._devices)

    async def connect(self, names: list[str]) -> None:
        for start in range(0, len(names), TOGETHER):
            await asyncio.gather(*(self._connect(name) for name in names[start : start + TOGETHER]))

    async def _connect(self, name: str) -> None:
        token = jwt.encode({"sub": name}, self._secret, algorithm="HS256")
        device = Device(
            "127.0.0.1", self._server.mqtt_port, app="news", device=name, token=token, keep_alive=600
        )
        self.counts.setdefault(name, {})
        self._devices.append(device)
        await self._stack.enter_async_context(device)
        listening = asyncio.create_task(self._listen(name, device), name=f"listen-{name}")
        self._stack.callback(listening.cancel)
        await device.wait_connected()

    async def _listen(self, name: str, device: Device) -> None:
        async for message in device:
            got = self.counts[name]
            got[message.text] = got.get(message.text, 0) + 1
            await message.ack()
            self._news.set()

    async def all_have(self, names: list[str], payload: str) -> None:
        async with asyncio.timeout(WITHIN):
            while not all(payload in self.counts[name] for name in names):
                self._news.clear()
                await self._news.wait()

    async def close(self) -> None:
        await self._stack.aclose()


async def register(center: Center, names: list[str]) -> None:
    for start in range(0, len(names), 1000):
        await center.register_batch("news", [{"device": name} for name in names[start : start + 1000]])


async def test_a_broadcast_reaches_each_device_exactly_once(server: Server) -> None:
    """5,000 connected and 1,000 away that then return; one whose TTL has run out reaches none of them."""
    connected = [f"on{number}" for number in range(CONNECTED)]
    away = [f"off{number}" for number in range(AWAY)]
    async with server.center() as center:
        secret = (await center.create_app("news")).device_secret
        await register(center, connected + away)
        crowd = Crowd(server, secret)
        await crowd.connect(connected)

        lasting = await center.send("news", "lasting", everyone=True, ttl=3600)
        brief = await center.send("news", "brief", everyone=True, ttl=1)
        assert lasting.targeted == brief.targeted == CONNECTED + AWAY
        await crowd.all_have(connected, "lasting")
        ledger = (await center.message("news", lasting.message_id)).ledger
        assert ledger.targeted == CONNECTED + AWAY == ledger.acked + ledger.pending
        assert ledger.pending >= AWAY

        ended = (await center.wait("news", brief.message_id, within=WITHIN)).ledger
        assert ended.targeted == CONNECTED + AWAY == ended.acked + ended.expired
        assert ended.expired >= AWAY

        await crowd.connect(away)
        await crowd.all_have(away, "lasting")
        ledger = (await center.wait("news", lasting.message_id, within=WITHIN)).ledger
        assert (ledger.targeted, ledger.acked, ledger.pending) == (CONNECTED + AWAY, CONNECTED + AWAY, 0)

        # Whatever was going to come too often has come before this.
        final = await center.send("news", "final", everyone=True)
        await crowd.all_have(connected + away, "final")
        await center.wait("news", final.message_id, within=WITHIN)
        assert crowd.duplicates == 0
        assert all(crowd.counts[name]["lasting"] == 1 for name in connected + away)
        assert all("brief" not in crowd.counts[name] for name in away)
        assert sum("brief" in crowd.counts[name] for name in connected) >= ended.acked
        await crowd.close()
