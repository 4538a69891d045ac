"""`longline agent`: the processes of a host, by the real command, on a store that others could share."""

import asyncio
import os
import random
import shlex
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import httpx
import jwt
import pytest

import longline
from longline import Center, Device
from longline.center.agent_orders import status_in
from longline.keeper.port import Keeper
from longline.keeper.redis import RedisKeeper
from longline.model.agents import ProcessStatus
from longline.settings import StoreSettings
from longline.store.redis import Store
from longline.telemetry.faults import Faults
from tests.integration.processes import alive, children, command
from tests.servers.ports import free_ports
from tests.servers.redis_server import RedisServer
from tests.waiting import WITHIN, eventually, until

KEY = "an-admin-key-of-a-test"
SOURCE = str(Path(longline.__file__).parent.parent)
LONGLINE = (sys.executable, "-m", "longline")


class AgentProcess:
    """An agent, and what its host's keeper says of it."""

    def __init__(self, directory: Path, store: str, keeper: Keeper) -> None:
        self.directory = directory
        self.store = store
        self.keeper = keeper
        self.http_port, self.mqtt_port = free_ports(2)
        self.status_ports = a_row_of_ports(8)
        self.config = directory / "longline.toml"
        self.write_config()
        self.log = directory / "agent.log"
        self._process: asyncio.subprocess.Process | None = None

    def write_config(self, line: str = "") -> None:
        self.config.write_text(
            f"""
            admin_key = "{KEY}"
            data_dir = "{self.directory}/data"
            node.name = "host-1"
            node.log_format = "json"
            node.drain_grace = 5
            room.port = {self.mqtt_port}
            room.ws_port = 0
            center.port = {self.http_port}
            store.url = "{self.store}"
            store.partitions = 4
            keeper.engine = "redis"
            keeper.session_timeout = 4
            agent.processes = ["room=2", "center+dispatcher=1", "coordinator=1"]
            agent.status_ports = {self.status_ports}
            {line}
            """
        )

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(*LONGLINE, "agent", "--config", str(self.config)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    async def end(self, number: int) -> int:
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(number)
        async with asyncio.timeout(WITHIN):
            return await self._process.wait()

    async def until_ready(self, *former: int) -> list[ProcessStatus]:
        """Waits until the status says that four processes, none of them a former one, take traffic."""

        async def looked() -> list[ProcessStatus]:
            if self._process is not None and self._process.returncode is not None:
                raise AssertionError(self.log.read_text()[-4000:])
            status = await self.status()
            ready = [child for child in status if child.state == "ready" and child.pid not in former]
            return status if len(ready) == len(status) == 4 else []

        return await until(looked)

    async def status(self) -> list[ProcessStatus]:
        """What the keeper has of this host's agent."""
        kept = await self.keeper.read("agents/host-1")
        status = status_in(kept)
        return [] if status is None else list(status.processes)

    def workers(self) -> list[int]:
        return [
            worker
            for parent in children(self.pid)
            if "longline.agent.parent" in command(parent)
            for worker in children(parent)
        ]


def a_row_of_ports(count: int) -> int:
    """The first of so many ports, one after the other, that were free a moment ago.

    They are below those that the system hands out by itself.
    """
    while True:
        first = random.SystemRandom().randrange(20_000, 30_000, count)  # others may look for some meanwhile
        with ExitStack() as taken:
            try:
                for number in range(first, first + count):
                    taken.enter_context(socket.create_server(("127.0.0.1", number)))
            except OSError:
                continue
            return first


@asynccontextmanager
async def an_agent(directory: Path) -> AsyncIterator[AgentProcess]:
    async with RedisServer(directory / "redis") as redis:
        store = await Store.open(StoreSettings(url=redis.url, partitions=4))
        keeper = await RedisKeeper.open(store, session_timeout=4.0, faults=Faults())
        agent = AgentProcess(directory, redis.url, keeper)
        await agent.start()
        try:
            yield agent
        finally:
            workers = agent.workers()
            await agent.end(signal.SIGKILL)
            for pid in workers:
                if alive(pid):
                    os.kill(pid, signal.SIGKILL)
            await keeper.close()
            await store.close()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "redis").mkdir()
    return tmp_path


async def test_the_processes_of_a_host_serve_and_its_status_is_in_the_keeper(directory: Path) -> None:
    async with an_agent(directory) as agent:
        status = await agent.until_ready()
        assert sorted(child.kind for child in status) == ["center+dispatcher", "coordinator", "room", "room"]
        assert sorted(child.pid for child in status) == sorted(agent.workers())
        assert all(child.node is not None and child.node.startswith("host-1-") for child in status)
        async with Center(f"http://127.0.0.1:{agent.http_port}", KEY) as center:
            secret = (await center.create_app("news")).device_secret
            token = jwt.encode({"sub": "d1"}, secret, algorithm="HS256")
            async with Device("127.0.0.1", agent.mqtt_port, app="news", device="d1", token=token) as device:
                await device.wait_connected()
                await center.send("news", "hello", devices=["d1"])
                async with asyncio.timeout(WITHIN):
                    assert (await device.receive()).text == "hello"
        async with httpx.AsyncClient() as client:
            probed = [
                (await client.get(f"http://127.0.0.1:{agent.status_ports + number}/readyz"))
                for number in (0, 1, 3)  # the center has its probes at its own port
            ]
        assert [answer.status_code for answer in probed] == [200, 200, 200]
        workers = agent.workers()
        assert await agent.end(signal.SIGTERM) == 0
        assert not any(map(alive, workers))
        await eventually(agent.status, [])  # the news of it takes a moment to come here


async def test_a_killed_process_is_replaced_under_another_name(directory: Path) -> None:
    async with an_agent(directory) as agent:
        before = await agent.until_ready()
        victim = next(child for child in before if child.kind == "room")
        os.kill(victim.pid, signal.SIGKILL)
        after = await agent.until_ready(victim.pid)
        assert victim.node not in {child.node for child in after}
        assert sum(child.restarts for child in after) == 1


async def test_sighup_replaces_every_process_with_the_settings_as_they_are_then(directory: Path) -> None:
    async with an_agent(directory) as agent:
        former = [child.pid for child in await agent.until_ready()]
        agent.write_config("node.region = 'north'")
        os.kill(agent.pid, signal.SIGHUP)
        await agent.until_ready(*former)
        await until(lambda: not any(map(alive, former)))
        async with Center(f"http://127.0.0.1:{agent.http_port}", KEY), httpx.AsyncClient() as client:
            answer = await client.get(
                f"http://127.0.0.1:{agent.http_port}/v1/nodes", headers={"Authorization": f"Bearer {KEY}"}
            )
        assert {node["region"] for node in answer.json()["nodes"]} == {"north"}


async def test_a_mistake_in_the_new_settings_leaves_the_old_processes_alone(directory: Path) -> None:
    async with an_agent(directory) as agent:
        former = [child.pid for child in await agent.until_ready()]
        agent.write_config("room.prot = 1")
        os.kill(agent.pid, signal.SIGHUP)
        await until(lambda: "roll_given_up" in agent.log.read_text())
        await until(lambda: sorted(agent.workers()) == sorted(former))
        said = agent.log.read_text()
        assert "room.prot: unknown setting; did you mean room.port?" in said
        assert "Traceback" not in said, said[said.index("Traceback") :]


async def test_the_unit_of_the_command_is_printed(directory: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(*LONGLINE, "agent", "--systemd", "--agent.processes", "room=2", "--data", "some data"),
        cwd=directory,
        env={**os.environ, "PYTHONPATH": SOURCE},
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(WITHIN):
        unit, _ = await process.communicate()
    assert process.returncode == 0
    (line,) = (line for line in unit.decode().splitlines() if line.startswith("ExecStart="))
    words = shlex.split(line.removeprefix("ExecStart="))
    assert words[-5:] == ["agent", "--agent.processes", "room=2", "--data_dir", str(directory / "some data")]
