"""Every part of a process that has no end goes on after whatever nobody foresaw."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple, cast
from uuid import uuid4

import jwt
import pytest

from longline import Center, Device
from longline.node.cluster import member
from longline.node.process import ROLES, Process
from longline.settings import load
from longline.telemetry.counters import OTHER
from tests.integration.live_node import LiveNode
from tests.servers.ports import free_ports
from tests.servers.shared import shared
from tests.servers.zookeeper import shared_zookeeper
from tests.waiting import WITHIN, until

KEY = "a-key-for-a-test-and-for-nothing-else"
OURS = (
    "room.",
    "node.",
    "coordinator.",
    "dispatcher.",
    "telemetry.",
    "keeper.",
    "zookeeper.",
    "store ",
    "center.",
)
# It owns tasks of ours, which are planted in, and waits for nothing but their end.
OWNERS = {"room.routes"}
OPERATIONS = {"keeper.save"}  # it ends by itself, and whoever asked for it hears how


class Planted(Exception):
    """What nobody foresaw."""


class Running(NamedTuple):
    process: Process
    url: str
    key: str
    mqtt_port: int


@asynccontextmanager
async def alone(directory: Path) -> AsyncIterator[Running]:
    async with LiveNode(directory) as node:
        yield Running(node.embedded, node.url, node.admin_key, node.mqtt_port)


@asynccontextmanager
async def of_a_cluster(directory: Path, **settings: object) -> AsyncIterator[Running]:
    http_port, mqtt_port = free_ports(2)
    with shared("redis") as server:
        flags = {
            "data_dir": directory,
            "admin_key": KEY,
            "center.port": http_port,
            "room.port": mqtt_port,
            "room.ws_port": 0,
            "store.url": server.url,
            "store.partitions": 4,
            "node.gc_freeze": False,
            "node.shutdown_grace": 1,
            "node.drain_grace": 0,
            **{name.replace("__", "."): value for name, value in settings.items()},
        }
        process = member(load(flags=flags).settings, ROLES)
        await process.start()
        try:
            yield Running(process, f"http://127.0.0.1:{http_port}", KEY, mqtt_port)
        finally:
            await process.stop()


def with_zookeeper(directory: Path) -> AbstractAsyncContextManager[Running]:
    host = shared_zookeeper().host
    return of_a_cluster(directory, keeper__hosts=host, keeper__root=f"/test-{uuid4().hex}")


def with_a_keeper_in_the_store(directory: Path) -> AbstractAsyncContextManager[Running]:
    return of_a_cluster(directory, keeper__engine="redis")


async def online(center: Center) -> bool:
    (status,) = await center.status("news", ["d1"])
    return status.online


def parts() -> dict[str, "asyncio.Task[object]"]:
    """The tasks that are to live as long as the process, by name."""
    found = {task.get_name(): task for task in asyncio.all_tasks()}
    return {
        name: task
        for name, task in found.items()
        if name.startswith(OURS) and name not in OWNERS | OPERATIONS
    }


def plant(task: "asyncio.Task[object]") -> bool:
    """Has what the task waits for raise; False when it waits for nothing at this moment."""
    waited_for = cast("asyncio.Future[object] | None", getattr(task, "_fut_waiter", None))
    if waited_for is None or waited_for.done() or isinstance(waited_for, asyncio.Task):
        return False
    waited_for.set_exception(Planted())
    return True


@pytest.mark.parametrize("start", [alone, with_a_keeper_in_the_store, with_zookeeper])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_no_part_ends_whatever_it_meets(
    tmp_path: Path, start: Callable[[Path], AbstractAsyncContextManager[Running]]
) -> None:
    async with start(tmp_path) as running, Center(running.url, running.key) as center:
        secret = (await center.create_app("news", pubsub=True)).device_secret
        before = parts()
        assert {"room.commands", "room.routes.announce", "node.membership", "coordinator.presence"} <= set(
            before
        )
        for task in before.values():
            await until(partial(plant, task))

        token = jwt.encode({"sub": "d1"}, secret, algorithm="HS256")
        async with (
            Device("127.0.0.1", running.mqtt_port, app="news", device="d1", token=token) as device,
            asyncio.timeout(WITHIN),
        ):
            await device.wait_connected()
            await center.send("news", "hello", devices=["d1"])
            await center.send("news", "all of you", everyone=True)
            assert {(await device.receive()).text, (await device.receive()).text} == {"hello", "all of you"}
            await until(lambda: online(center))
        assert {name for name, task in before.items() if task.done()} == set()
        counts = running.process.faults.counts
        assert counts["room.commands"] >= 1
        assert OTHER not in counts  # each part is told apart, whichever came first
