"""Tasks by name, and the two ways in which they show that something is wrong."""

import asyncio
from collections.abc import Iterable

import pytest

from longline.model.figures import MAX_TASKS, TaskKind
from longline.telemetry.tasks import FEW, GRACE, GROWS_FOR, MINUTE, TaskWatch, kind_of


class Loop:
    """Time that a test moves, and tasks that it begins and ends."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.tasks: list[asyncio.Task[object]] = []
        self.watch = TaskWatch(lambda: self.now, lambda: self.tasks)

    def begin(self, name: str, count: int = 1) -> None:
        for _ in range(count):
            self.tasks.append(asyncio.create_task(self._wait(), name=name))

    async def _wait(self) -> object:
        return await asyncio.Event().wait()

    def end(self, count: int = 1) -> None:
        for task in self.tasks[:count]:
            task.cancel()
        del self.tasks[:count]

    def minutes(self, counts: Iterable[int], name: str = "a") -> None:
        """So many tasks in each minute, at least; in its middle there are more."""
        for count in counts:
            self.end(len(self.tasks))
            self.begin(name, count)
            self.watch.look()
            self.begin(name, 50)
            self.now += MINUTE / 2
            self.watch.look()
            self.end(50)
            self.now += MINUTE / 2
            self.watch.look()


@pytest.fixture
async def loop() -> Loop:
    return Loop()


async def test_tasks_are_told_by_name_with_the_age_of_the_oldest(loop: Loop) -> None:
    loop.begin("b")
    assert loop.watch.look() == [TaskKind("b", 1, 0.0)]
    loop.now += 5
    loop.begin("b")
    loop.begin("a")
    loop.watch.look()
    loop.now += 2.5
    assert loop.watch.look() == [TaskKind("a", 1, 2.5), TaskKind("b", 2, 7.5)]


async def test_a_task_without_a_name_goes_by_its_function(loop: Loop) -> None:
    task = asyncio.create_task(asyncio.sleep(0))
    assert kind_of(task) == "sleep"
    await task


async def test_the_rarest_kinds_of_too_many_are_told_as_one(loop: Loop) -> None:
    for n in range(MAX_TASKS + 7):
        loop.begin("kind-" + "x" * n, 2 if n else 1)
    kinds = loop.watch.look()
    assert len(kinds) == MAX_TASKS
    assert (kinds[-1].name, kinds[-1].count) == ("other", 2 * 7 + 1)


async def test_a_kind_that_becomes_more_in_every_minute_grows(loop: Loop) -> None:
    counts = range(FEW, FEW + 2 * (GROWS_FOR + 2), 2)
    loop.minutes(counts[: GROWS_FOR + 1])
    assert loop.watch.growing == {}
    loop.minutes(counts[GROWS_FOR + 1 :])
    assert loop.watch.growing == {"a": pytest.approx(counts[-1], abs=2)}


async def test_a_kind_that_has_once_become_less_does_not_grow(loop: Loop) -> None:
    loop.minutes([*range(FEW, FEW + 12, 2), FEW, *range(FEW, FEW + 10, 2)])
    assert loop.watch.growing == {}


async def test_a_kind_of_which_there_are_few_does_not_grow(loop: Loop) -> None:
    loop.minutes(range(1, GROWS_FOR + 5))
    assert loop.watch.growing == {}


async def test_a_kind_that_grew_and_stands_still_does_so_no_more(loop: Loop) -> None:
    loop.minutes(range(FEW, FEW + GROWS_FOR + 3))
    assert loop.watch.growing
    loop.minutes([FEW + GROWS_FOR + 3] * 3)
    assert loop.watch.growing == {}


async def test_load_that_comes_and_goes_grows_nothing(loop: Loop) -> None:
    loop.minutes([FEW + 20 * (n % 2) for n in range(3 * GROWS_FOR)])
    assert loop.watch.growing == {}


async def test_a_task_that_does_not_come_round_is_stuck(loop: Loop) -> None:
    loop.watch.expect("round", 2)
    loop.begin("round")
    loop.begin("other")
    await asyncio.sleep(0)
    for _ in range(5):
        loop.watch.look()
        loop.now += (GRACE + 1) / 5
    loop.watch.look()
    assert loop.watch.stuck == {}
    loop.now += 2
    loop.watch.look()
    assert loop.watch.stuck == {"round": round(GRACE + 3)}


async def test_a_task_that_waits_for_something_else_each_time_comes_round(loop: Loop) -> None:
    gates: list[asyncio.Future[None]] = []

    async def rounds() -> object:
        while True:
            gates.append(asyncio.get_running_loop().create_future())
            await gates[-1]

    loop.watch.expect("round", 2)
    loop.tasks.append(asyncio.create_task(rounds(), name="round"))
    for _ in range(5):
        await asyncio.sleep(0)
        loop.watch.look()
        loop.now += GRACE + 1
        gates[-1].set_result(None)
        await asyncio.sleep(0)
        loop.watch.look()
        assert loop.watch.stuck == {}
    loop.end()


async def test_a_stuck_task_that_goes_on_is_stuck_no_more(loop: Loop) -> None:
    gate = asyncio.Event()

    async def rounds() -> object:
        await gate.wait()
        return await asyncio.Event().wait()

    loop.watch.expect("round", 1)
    loop.tasks.append(asyncio.create_task(rounds(), name="round"))
    await asyncio.sleep(0)
    loop.watch.look()
    loop.now += GRACE + 2
    loop.watch.look()
    assert "round" in loop.watch.stuck
    gate.set()
    await asyncio.sleep(0)
    loop.watch.look()
    assert loop.watch.stuck == {}
    loop.end()
