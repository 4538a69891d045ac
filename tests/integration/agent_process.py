"""`longline agent` by the real command, on a store of its own, and what its host's keeper says of it."""

import asyncio
import json
import os
import random
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

from longline.center.operators.agent_orders import status_in
from longline.keeper.port import Keeper
from longline.keeper.redis import RedisKeeper
from longline.model.agents import ProcessStatus
from longline.settings import StoreSettings
from longline.store.redis import Store
from longline.telemetry.faults import Faults
from tests.integration.processes import alive, children, command
from tests.servers.ports import free_ports
from tests.servers.redis_server import RedisServer
from tests.waiting import WITHIN, until

PROCESSES = ("room=2", "center+dispatcher=1", "coordinator=1")
KEY = "an-admin-key-of-a-test"
LONGLINE = (sys.executable, "-m", "longline")


class AgentProcess:
    """An agent, and what its host's keeper says of it."""

    def __init__(
        self,
        directory: Path,
        store: str,
        keeper: Keeper,
        host: str = "host-1",
        processes: Sequence[str] = PROCESSES,
    ) -> None:
        self.host = host
        self.processes = list(processes)
        self.directory = directory
        self.store = store
        self.keeper = keeper
        self.http_port, self.mqtt_port = free_ports(2)
        self.status_ports = a_row_of_ports(8)
        self.config = directory / f"{host}.toml"
        self.write_config()
        self.log = directory / f"{host}.log"
        self._process: asyncio.subprocess.Process | None = None

    def write_config(self, line: str = "") -> None:
        self.config.write_text(
            f"""
            admin_key = "{KEY}"
            data_dir = "{self.directory}/data"
            node.name = "{self.host}"
            node.log_format = "json"
            node.drain_grace = 5
            room.port = {self.mqtt_port}
            room.ws_port = 0
            center.port = {self.http_port}
            store.url = "{self.store}"
            store.partitions = 4
            keeper.engine = "redis"
            keeper.session_timeout = 4
            agent.processes = {json.dumps(self.processes)}
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
        """Waits until the status says that all processes, none of them a former one, take traffic."""
        count = sum(int(entry.rpartition("=")[2]) for entry in self.processes)

        async def looked() -> list[ProcessStatus]:
            if self._process is not None and self._process.returncode is not None:
                raise AssertionError(self.log.read_text()[-4000:])
            status = await self.status()
            ready = [child for child in status if child.state == "ready" and child.pid not in former]
            return status if len(ready) == len(status) == count else []

        return await until(looked)

    async def status(self) -> list[ProcessStatus]:
        """What the keeper has of this host's agent."""
        kept = await self.keeper.read(f"agents/{self.host}")
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
    """One with a store of its own."""
    async with (
        a_store(directory) as (store, keeper),
        running(AgentProcess(directory, store, keeper)) as agent,
    ):
        yield agent


@asynccontextmanager
async def a_store(directory: Path) -> AsyncIterator[tuple[str, Keeper]]:
    """Its address, and the keeper in it."""
    async with RedisServer(directory / "redis") as redis:
        store = await Store.open(StoreSettings(url=redis.url, partitions=4))
        keeper = await RedisKeeper.open(store, session_timeout=4.0, faults=Faults())
        try:
            yield redis.url, keeper
        finally:
            await keeper.close()
            await store.close()


@asynccontextmanager
async def running(agent: AgentProcess) -> AsyncIterator[AgentProcess]:
    """The agent, from its start; in the end it and its processes are killed."""
    await agent.start()
    try:
        yield agent
    finally:
        workers = agent.workers()
        await agent.end(signal.SIGKILL)
        for pid in workers:
            if alive(pid):
                os.kill(pid, signal.SIGKILL)
