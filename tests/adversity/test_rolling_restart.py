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
import pytest

from longline import Center
from tests.adversity.crowds import Crowds, Pusher
from tests.servers.ports import free_ports
from tests.servers.redis_server import DYING_WITH_US, RedisServer
from tests.waiting import until

pytestmark = [pytest.mark.adversity, pytest.mark.shape("cluster"), pytest.mark.timeout(1200)]

DEVICES = int(os.environ.get("LONGLINE_DEVICES", "10000"))
CROWDS = 2  # processes that hold them
ROOMS = 4
BATCH = 50  # pushes in a request
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
        devices = Crowds(tmp_path, [("127.0.0.1", host.mqtt_port)] * CROWDS, "roll", secret, DEVICES)
        await devices.connect(stack)
        before = await host.load(DEVICES)
        pusher = Pusher(lambda: host.url, host.admin_key, "roll", devices.names, chance, batch=BATCH)
        pushing = asyncio.create_task(pusher.push_on(), name="pusher")
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
        missing = await devices.lost(pusher.promised, ARRIVED_WITHIN)
        summary = await devices.end()

    tell(
        f"{ROOMS} rooms replaced in {took:.0f} s under {DEVICES:,} devices; {len(pusher.promised):,} pushes "
        f"promised, {during:,} of them meanwhile; lost {len(missing)}, came twice {summary.duplicates}, "
        f"requests without an answer {pusher.unanswered}"
    )
    tell(f"devices by how often they were cut off: {summary.cut_off}; attempts refused {summary.refused}")
    tell(
        f"away for {statistics.median(summary.away or [0]):.2f} s (median), "
        f"{max(summary.away, default=0):.2f} s at most; "
        f"connections by room before {sorted(before.values())}, after {sorted(after.values())}"
    )
    assert not missing
    assert set(summary.cut_off) <= {0, 1}
    assert not set(before) & set(after)
    assert sum(after.values()) == DEVICES
    for connections in after.values():
        assert connections == pytest.approx(DEVICES / ROOMS, rel=EVEN)
