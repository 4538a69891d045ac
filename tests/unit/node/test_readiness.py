"""What `/readyz` goes by."""

import asyncio

import pytest

from longline.errors import LonglineError, Overloaded, Unavailable
from longline.node.readiness import FRESH, SLOW, Readiness


class Node:
    """A process whose parts a test has well or not."""

    def __init__(self) -> None:
        self.now = 0.0
        self.itself = ""
        self.in_touch = True
        self.fault: LonglineError | None = None
        self.checks = 0
        self.answers = asyncio.Event()
        self.answers.set()
        self.readiness = Readiness(lambda: self.itself, lambda: self.in_touch, self._check, lambda: self.now)

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
    node.itself = "the node drains"
    assert "drains" in await node.obstacle()
    node.itself, node.in_touch = "", False
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
