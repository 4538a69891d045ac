"""What `/readyz` goes by."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import httpx
import pytest

from longline.errors import LonglineError, Overloaded, Unavailable
from longline.node.embedded import open_engines
from longline.node.isolation import Isolation
from longline.node.process import ROLES, Process
from longline.node.readiness import FRESH, SLOW, Readiness
from longline.node.reconciler import Reconciler
from longline.settings import load
from tests.servers.ports import free_ports


class Node:
    """A process whose parts a test has well or not."""

    def __init__(self) -> None:
        self.now = 0.0
        self.away = ""
        self.in_touch = True
        self.fault: LonglineError | None = None
        self.checks = 0
        self.answers = asyncio.Event()
        self.answers.set()
        self.readiness = Readiness(lambda: self.away, lambda: self.in_touch, self._check, lambda: self.now)

    async def _check(self) -> None:
        self.checks += 1
        await self.answers.wait()
        if self.fault is not None:
            raise self.fault

    async def obstacle(self) -> str:
        self.now += FRESH
        return await self.readiness.obstacle()


async def test_a_process_that_is_well_is_ready() -> None:
    assert await Node().obstacle() == ""


async def test_a_node_that_drains_or_is_cut_off_is_not_ready_and_asks_nobody() -> None:
    node = Node()
    node.away = "the node drains"
    assert await node.obstacle() == "the node drains"
    node.away, node.in_touch = "", False
    assert "out of touch" in await node.obstacle()
    assert node.checks == 0


async def test_a_store_that_takes_nothing_is_told_and_so_is_its_recovery() -> None:
    node = Node()
    node.fault = Unavailable("no space left")
    assert "no space left" in await node.obstacle()
    node.fault = None
    assert await node.obstacle() == ""


async def test_a_store_that_has_much_to_do_is_no_obstacle() -> None:
    node = Node()
    node.fault = Overloaded("its queue is full")
    assert await node.obstacle() == ""


async def test_one_look_serves_all_who_ask_meanwhile() -> None:
    node = Node()
    node.answers.clear()
    asking = [asyncio.create_task(node.readiness.obstacle()) for _ in range(100)]
    await asyncio.sleep(0)
    node.answers.set()
    assert set(await asyncio.gather(*asking)) == {""}
    assert await node.readiness.obstacle() == ""
    assert node.checks == 1


async def test_slow_is_not_dead_until_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the store takes its time the answer is the last one; then, that it does not answer."""
    monkeypatch.setattr("longline.node.readiness.PATIENCE", 0.0)
    node = Node()
    assert await node.obstacle() == ""
    node.answers.clear()
    assert await node.obstacle() == ""
    node.now += SLOW
    assert "does not answer" in await node.obstacle()
    node.answers.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert await node.obstacle() == ""
    assert node.checks >= 2
    await node.readiness.close()


@asynccontextmanager
async def started(data_dir: Path) -> AsyncIterator[Process]:
    """A node of its own."""
    http_port, mqtt_port = free_ports(2)
    flags: dict[str, object] = {
        "data_dir": data_dir,
        "center.port": http_port,
        "room.port": mqtt_port,
        "room.ws_port": 0,
        "node.gc_freeze": False,
    }
    process = Process(load(flags=flags).settings, ROLES, open_engines, alone=True)
    await process.start()
    try:
        yield process
    finally:
        await process.stop()


async def test_readyz_says_what_keeps_the_process_from_its_work(tmp_path: Path) -> None:
    async with started(tmp_path) as process, httpx.AsyncClient() as http:

        async def told() -> tuple[int, str]:
            answer = await http.get(f"http://127.0.0.1:{process.settings.center.port}/readyz")
            return answer.status_code, answer.text

        assert (await told())[0] == 200
        process._isolation = cast(Isolation, SimpleNamespace(isolated=True))
        status, text = await told()
        assert status == 503
        assert "cannot reach its store" in text
        process.membership.fallen = True
        status, text = await told()
        assert status == 503
        assert "taken for dead" in text
        process._isolation, process.membership.fallen = None, False
        process.retire()
        status, text = await told()
        assert status == 503
        assert "drains" in text


async def test_who_waits_for_events_waits_on_while_the_node_moves_its_devices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An order to drain stands for days: callers that are answered at once would ask all the time."""
    async with started(tmp_path) as process:
        center = process._center
        assert center is not None
        monkeypatch.setattr(Reconciler, "draining", True)
        assert not process._takes_traffic()
        assert center.ready()
        monkeypatch.undo()
        process.membership.fallen = True
        assert not process._takes_traffic()
        assert center.ready()
        process.membership.fallen = False
        process.retire()
        assert not center.ready()
