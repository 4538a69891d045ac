"""Queues over time, and locks: who waits for them, and who holds them."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from longline.center.requests.locks import Locks
from longline.profiling import locks, queues
from longline.profiling.content import AtLock, LockUse, QueuesContent
from tests.waiting import until


class Owner:
    """Has locks in every way that ours have them."""

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self.places = asyncio.Semaphore(2)
        self.each = {"a": asyncio.Lock(), "b": asyncio.Lock()}
        self.locks = Locks()

    async def work(self, lock: asyncio.Lock | asyncio.Semaphore, gate: asyncio.Event) -> None:
        async with lock:
            await gate.wait()  # works

    @asynccontextmanager
    async def entered(self) -> AsyncIterator[None]:
        async with self.turn:
            yield

    async def work_inside(self, gate: asyncio.Event) -> None:
        async with self.entered():
            await gate.wait()  # works inside


class Slotted:
    """Has its lock in a slot."""

    __slots__ = ("_turn",)

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def work(self, gate: asyncio.Event) -> None:
        async with self._turn:
            await gate.wait()


def line_of(text: str) -> int:
    with open(__file__) as file:
        return next(n for n, line in enumerate(file, 1) if line.rstrip().endswith(f"# {text}"))


def looked() -> Counter[tuple[str, bool]]:
    """The uses of locks now: their names, and whether they are held."""
    found = locks.look(asyncio.all_tasks(), locks.LockNames())
    return Counter((use.lock.removeprefix(f"{__name__}."), use.holds) for use in found.uses)


async def ended(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_lock_is_named_by_the_attribute_that_it_is_in() -> None:
    owner, slotted, gate = Owner(), Slotted(), asyncio.Event()
    tasks = [
        asyncio.create_task(owner.work(owner.turn, gate)),
        asyncio.create_task(owner.work(owner.places, gate)),
        asyncio.create_task(owner.work(owner.each["b"], gate)),
        asyncio.create_task(owner.work(owner.locks.of("news"), gate)),
        asyncio.create_task(slotted.work(gate)),
    ]
    names = [
        "Owner.turn",
        "Owner.places",
        "Owner.each",
        "center.requests.locks.Locks._stripes",
        "Slotted._turn",
    ]
    await until(lambda: looked() == Counter({(name, True): 1 for name in names}), tell=looked)
    await ended(*tasks)
    assert looked() == {}


async def test_a_lock_that_is_nobodys_goes_by_its_variable_or_by_the_line() -> None:
    gate = asyncio.Event()

    async def work(mine: asyncio.Lock) -> None:
        async with mine:
            await gate.wait()

    async def hidden(get: list[list[asyncio.Lock]]) -> None:
        async with get[0][0]:
            await gate.wait()  # hidden

    tasks = [asyncio.create_task(work(asyncio.Lock())), asyncio.create_task(hidden([[asyncio.Lock()]]))]
    await until(lambda: len(looked()) == 2)
    by_variable, by_line = sorted(name for name, _ in looked())[::-1]
    assert by_variable.endswith("<locals>.work.mine")
    assert by_line.startswith("a lock at ")
    assert by_line.endswith(f":{line_of('hidden')})")
    await ended(*tasks)


async def test_who_is_about_to_enter_waits_and_does_not_hold() -> None:
    owner, gate = Owner(), asyncio.Event()
    tasks = [asyncio.create_task(owner.work(owner.turn, gate)) for _ in range(4)]
    tasks += [asyncio.create_task(owner.work(owner.places, gate)) for _ in range(4)]
    expected = {
        ("Owner.turn", True): 1,
        ("Owner.turn", False): 3,
        ("Owner.places", True): 2,
        ("Owner.places", False): 2,
    }
    await until(lambda: looked() == expected, tell=looked)
    await ended(*tasks)


async def test_a_lock_is_held_through_a_context_manager_of_ours_too() -> None:
    owner, gate = Owner(), asyncio.Event()
    task = asyncio.create_task(owner.work_inside(gate))
    await until(lambda: ("Owner.turn", True) in looked(), tell=looked)
    await ended(task)


async def test_of_very_many_tasks_some_are_looked_at_and_the_others_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(locks, "MAX_TASKS", 3)
    gate = asyncio.Event()
    tasks = [asyncio.create_task(Slotted().work(gate)) for _ in range(10)]
    await until(lambda: locks.look(tasks, locks.LockNames()).uses)
    found = locks.look(tasks, locks.LockNames())
    assert (len(found.uses), found.left_out) == (3, 7)
    await ended(*tasks)


def named(content: QueuesContent, name: str) -> LockUse:
    (found,) = [lock for lock in content.locks if lock.name == f"{__name__}.{name}"]
    return found


async def test_a_held_lock_and_a_growing_queue_are_found_by_name_with_who_is_to_blame() -> None:
    owner, gate = Owner(), asyncio.Event()
    holder = asyncio.create_task(owner.work(owner.turn, gate), name="holder-1")
    await until(lambda: ("Owner.turn", True) in looked())
    others = [asyncio.create_task(owner.work(owner.turn, gate), name=f"waiter-{n}") for n in range(3)]
    depth = 0.0

    def depths() -> dict[str, float]:
        nonlocal depth
        depth += 1
        return {"growing": depth, "still": 7.0}

    content = await queues.take(1.0, depths)
    looks = len(content.at)
    assert 2 <= looks <= queues.POINTS + 2
    assert content.at == sorted(content.at)
    found = {queue.name: queue.depth for queue in content.queues}
    assert found == {"growing": [float(n + 1) for n in range(looks)], "still": [7.0] * looks}
    lock = named(content, "Owner.turn")
    assert lock.held == [1] * looks
    assert (lock.waiting[0], lock.waiting[-1]) == (0, 3) or lock.waiting == [3] * looks
    where = f"Owner.work (test_queues.py:{line_of('works')})"
    assert lock.holders == [AtLock("holder-*", where, looks)]
    assert [(at.task, at.where.split(" ")[0]) for at in lock.waiters] == [("waiter-*", "Owner.work")]
    assert lock.longest_hold > 0.5
    assert lock.longest_wait > 0.5
    await ended(holder, *others)


async def test_a_lock_that_nobody_uses_any_more_has_a_series_of_the_same_length() -> None:
    owner, gate = Owner(), asyncio.Event()
    early = asyncio.create_task(owner.work(owner.each["a"], gate))

    async def after() -> None:
        await asyncio.sleep(0.5)
        gate.set()
        await early
        await owner.work(owner.turn, asyncio.Event())

    later = asyncio.create_task(after())
    await until(lambda: ("Owner.each", True) in looked())
    content = await queues.take(1.5, dict)
    first, second = named(content, "Owner.each"), named(content, "Owner.turn")
    assert len(first.held) == len(second.held) == len(content.at)
    assert (first.held[0], first.held[-1]) == (1, 0)
    assert (second.held[0], second.held[-1]) == (0, 1)
    await ended(later)


async def test_queues_and_locks_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues, "MAX_QUEUES", 2)
    monkeypatch.setattr(queues, "MAX_LOCKS", 1)
    owner, slotted, gate = Owner(), Slotted(), asyncio.Event()
    tasks = [asyncio.create_task(owner.work(owner.turn, gate)), asyncio.create_task(slotted.work(gate))]
    await until(lambda: len(looked()) == 2)
    content = await queues.take(0.1, lambda: {f"queue-{n}": 0.0 for n in range(5)})
    assert (len(content.queues), len(content.locks)) == (2, 1)
    await ended(*tasks)


async def test_what_takes_long_to_look_at_is_looked_at_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0

    def slow() -> dict[str, float]:
        nonlocal looks
        looks += 1
        end = time.thread_time() + 0.02
        while time.thread_time() < end:
            pass
        return {}

    await queues.take(1.0, slow)
    assert looks <= 3
