"""An agent replaces all its processes while ten thousand devices are connected and pushes go on."""

import asyncio
import os
import random
import secrets
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import httpx
import msgspec
import pytest

from longline import Center
from tests.adversity.crowd import Plan, Summary, name_of
from tests.integration.server_process import free_ports
from tests.servers.redis_server import DYING_WITH_US, RedisServer
from tests.waiting import until

pytestmark = [pytest.mark.adversity, pytest.mark.shape("cluster"), pytest.mark.timeout(1200)]

ROOT = Path(__file__).parents[2]
DEVICES = int(os.environ.get("LONGLINE_DEVICES", "10000"))
CROWDS = 2  # processes that hold them
ROOMS = 4
BATCH = 50  # pushes in a request
PUSH_EVERY = 0.1  # s
CONNECTED_WITHIN = 240.0
ROLLED_WITHIN = 600.0
ARRIVED_WITHIN = 120.0
EVEN = 0.15  # how far a room may be from its share

CONFIG = """\
data_dir = "{directory}/data"
admin_key = "{admin_key}"
[agent]
processes = ["room={rooms}", "center=1", "coordinator=1"]
[node]
drain_grace = 120
shutdown_grace = 5
log_format = "json"
[store]
url = "{store}"
[keeper]
engine = "redis"
report_interval = 0.5
[room]
port = {mqtt}
[center]
port = {http}
"""


class Host:
    """The agent, its processes, and what it has logged."""

    def __init__(self, directory: Path, store: str) -> None:
        self.admin_key = secrets.token_urlsafe(16)
        self.http_port, self.mqtt_port = free_ports(2)
        self.url = f"http://127.0.0.1:{self.http_port}"
        self.headers = {"Authorization": f"Bearer {self.admin_key}"}
        self._log = directory / "agent.log"
        self._config = directory / "longline.toml"
        self._config.write_text(
            CONFIG.format(
                directory=directory,
                admin_key=self.admin_key,
                rooms=ROOMS,
                store=store,
                mqtt=self.mqtt_port,
                http=self.http_port,
            )
        )
        self._agent: subprocess.Popen[bytes] | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        with self._log.open("wb") as log:
            command = [sys.executable, "-m", "longline", "agent", "--config", str(self._config)]
            self._agent = subprocess.Popen(
                [*DYING_WITH_US, *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            yield
        finally:
            self._agent.kill()
            self._agent.wait()

    async def logged(self, event: str, within: float) -> None:
        """Waits until the agent says so."""

        def said() -> bool:
            assert self._agent is not None
            assert self._agent.poll() is None, self.tail()
            return f'"event":"{event}"' in self._log.read_text()

        await until(said, within, tell=lambda: f"not {event}: {self.tail()}")

    def roll(self) -> None:
        assert self._agent is not None
        self._agent.send_signal(signal.SIGHUP)

    async def load(self, connections: int) -> dict[str, int]:
        """Connections by room, once those that stay have told of so many; what they say after a while."""
        rooms: dict[str, int] = {}
        async with httpx.AsyncClient(base_url=self.url, headers=self.headers, trust_env=False) as client:
            for _ in range(100):
                nodes = (await client.get("/v1/nodes")).json()["nodes"]
                rooms = {
                    node["node"]: node["load"]["connections"] for node in nodes if "room" in node["roles"]
                }
                if len(rooms) == ROOMS and sum(rooms.values()) == connections:
                    break
                await asyncio.sleep(0.1)
        return rooms

    def tail(self) -> str:
        return self._log.read_text()[-4000:]


class Devices:
    """The processes that hold the devices, and their books."""

    def __init__(self, directory: Path, host: Host, secret: str) -> None:
        self._directory = directory
        self._host = host
        self._secret = secret
        self._books: list[Path] = []
        self._processes: list[asyncio.subprocess.Process] = []

    async def connect(self, stack: AsyncExitStack) -> None:
        each = DEVICES // CROWDS
        for number in range(CROWDS):
            book = self._directory / f"crowd-{number}"
            process = await asyncio.create_subprocess_exec(
                *(*DYING_WITH_US, sys.executable, "-m", "tests.adversity.crowd", str(book)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                cwd=ROOT,
                limit=1 << 24,
            )
            stack.push_async_callback(end, process)
            assert process.stdin is not None
            plan = Plan("127.0.0.1", self._host.mqtt_port, "roll", self._secret, number * each, each)
            process.stdin.write(msgspec.json.encode(plan) + b"\n")
            self._books.append(book)
            self._processes.append(process)
        async with asyncio.timeout(CONNECTED_WITHIN):
            for process in self._processes:
                assert process.stdout is not None
                assert await process.stdout.readline() == b"ready\n"

    def arrived(self) -> set[tuple[str, str]]:
        """Message and device of every delivery so far."""
        lines = [line for book in self._books for line in book.read_text().splitlines()]
        return {(message, device) for message, device in (line.split() for line in lines)}

    async def missing(self, promised: set[tuple[str, str]]) -> set[tuple[str, str]]:
        """What of the promised deliveries has not arrived after a while."""
        deadline = time.monotonic() + ARRIVED_WITHIN
        while True:
            missing = promised - self.arrived()
            if not missing or time.monotonic() > deadline:
                return missing
            await asyncio.sleep(0.2)

    async def summaries(self) -> list[Summary]:
        """What they say at the end."""
        summaries = []
        for process in self._processes:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()
            summaries.append(msgspec.json.decode(await process.stdout.readline(), type=Summary))
        return summaries


async def end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()


class Pusher:
    """Pushes without pause; `promised` is what was answered 202."""

    def __init__(self, host: Host, chance: random.Random) -> None:
        self.promised: set[tuple[str, str]] = set()
        self.unanswered = 0
        self._host = host
        self._chance = chance
        self._more = asyncio.Event()

    async def promises(self, count: int) -> None:
        """Waits until so many are promised."""
        while len(self.promised) < count:
            self._more.clear()
            await self._more.wait()

    async def push(self) -> None:
        async with httpx.AsyncClient(
            base_url=self._host.url, headers=self._host.headers, timeout=10, trust_env=False
        ) as client:
            while True:
                devices = [name_of(number) for number in self._chance.sample(range(DEVICES), BATCH)]
                messages = [{"audience": {"devices": [device]}, "payload": "roll"} for device in devices]
                try:
                    answer = await client.post("/v1/apps/roll/messages:batch", json={"messages": messages})
                except httpx.TransportError:
                    self.unanswered += 1  # no answer, no promise
                    continue
                if answer.status_code == 202:
                    for result, device in zip(answer.json()["results"], devices, strict=True):
                        self.promised.add((result["message_id"], device))
                    self._more.set()
                else:
                    assert answer.status_code in (429, 503), answer.text
                    self.unanswered += 1
                await asyncio.sleep(PUSH_EVERY)


async def test_a_rolling_restart_loses_nothing_and_cuts_nobody_off_twice(
    tmp_path: Path, chance: random.Random, tell: Callable[[str], None]
) -> None:
    async with AsyncExitStack() as stack:
        store = stack.enter_context(RedisServer(tmp_path / "redis", config={"appendonly": "yes"}))
        host = Host(tmp_path, store.url)
        stack.enter_context(host.running())
        await host.logged("agent_ready", 120)
        async with Center(host.url, host.admin_key) as center:
            secret = (await center.create_app("roll")).device_secret
        devices = Devices(tmp_path, host, secret)
        await devices.connect(stack)
        before = await host.load(DEVICES)
        pusher = Pusher(host, chance)
        pushing = asyncio.create_task(pusher.push(), name="pusher")
        stack.callback(pushing.cancel)
        await pusher.promises(10 * BATCH)
        during = len(pusher.promised)
        began = time.monotonic()
        host.roll()
        await host.logged("rolled", ROLLED_WITHIN)
        took = time.monotonic() - began
        during = len(pusher.promised) - during
        after = await host.load(DEVICES)
        assert not pushing.done(), "it pushes to the end"
        pushing.cancel()
        missing = await devices.missing(pusher.promised)
        summaries = await devices.summaries()

    cut_off = {
        times: sum(summary.cut_off.get(times, 0) for summary in summaries)
        for times in sorted({times for summary in summaries for times in summary.cut_off})
    }
    away = [seconds for summary in summaries for seconds in summary.away]
    twice = sum(summary.duplicates for summary in summaries)
    refused = sum(summary.refused for summary in summaries)
    tell(
        f"{ROOMS} rooms replaced in {took:.0f} s under {DEVICES:,} devices; {len(pusher.promised):,} pushes "
        f"promised, {during:,} of them meanwhile; lost {len(missing)}, came twice {twice}, requests without "
        f"an answer {pusher.unanswered}"
    )
    tell(f"devices by how often they were cut off: {cut_off}; attempts refused {refused}")
    tell(
        f"away for {statistics.median(away or [0]):.2f} s (median), {max(away, default=0):.2f} s at most; "
        f"connections by room before {sorted(before.values())}, after {sorted(after.values())}"
    )
    assert not missing
    assert set(cut_off) <= {0, 1}
    assert not set(before) & set(after)
    assert sum(after.values()) == DEVICES
    for connections in after.values():
        assert connections == pytest.approx(DEVICES / ROOMS, rel=EVEN)
