"""Tasks by name: how many, how old, and where they wait."""

import asyncio
import time
from collections.abc import AsyncIterator

from longline.profiling import tasks
from longline.profiling.content import TasksOfKind
from longline.profiling.tasks import where
from longline.telemetry.tasks import TaskWatch, kind_of
from tests.waiting import until


async def inner(gate: asyncio.Event) -> None:
    await gate.wait()  # inner


async def outer(gate: asyncio.Event) -> None:
    await inner(gate)


async def numbers(gate: asyncio.Event) -> AsyncIterator[int]:
    await gate.wait()  # numbers
    yield 1


async def loops(gate: asyncio.Event) -> None:
    async for _ in numbers(gate):
        pass


def line_of(function: str) -> int:
    with open(__file__) as file:
        return next(n for n, line in enumerate(file, 1) if line.rstrip().endswith(f"# {function}"))


def kinds(watch: TaskWatch) -> dict[str, TasksOfKind]:
    return {kind.name: kind for kind in tasks.take(watch).kinds}


async def test_tasks_are_counted_by_name_without_its_numbers() -> None:
    gate = asyncio.Event()
    watch = TaskWatch(time.monotonic)
    mine = [asyncio.create_task(outer(gate), name=f"audit.{n}") for n in range(3)]
    mine.append(asyncio.create_task(outer(gate)))
    found = kinds(watch)
    assert found["audit.*"].count == 3
    assert found["outer"].count == 1, "one without a name has that of its coroutine"
    gate.set()
    await asyncio.gather(*mine)
    assert "audit.*" not in kinds(watch)


async def test_a_task_waits_in_the_innermost_frame_that_is_no_library() -> None:
    gate = asyncio.Event()
    plain, looping = asyncio.create_task(outer(gate)), asyncio.create_task(loops(gate))
    await until(lambda: "inner" in where(plain) and "numbers" in where(looping))
    assert where(plain) == f"inner (test_tasks.py:{line_of('inner')})"
    assert where(looping) == f"numbers (test_tasks.py:{line_of('numbers')})"
    sleeping = asyncio.create_task(asyncio.sleep(1000))
    await until(lambda: where(sleeping).startswith("sleep (asyncio/tasks.py:"))
    for task in (plain, looping, sleeping):
        task.cancel()
    await asyncio.gather(plain, looping, sleeping, return_exceptions=True)
    assert where(plain) == "?"


async def test_a_task_is_as_old_as_the_first_look_that_found_it() -> None:
    now = 100.0
    gate = asyncio.Event()
    watch = TaskWatch(lambda: now)
    old = asyncio.create_task(outer(gate), name="old-1")
    watch.look()
    now = 130.0
    young = asyncio.create_task(outer(gate), name="old-2")
    watch.look()
    now = 135.0
    assert kinds(watch)["old-*"].oldest_seconds == 35.0
    old.cancel()
    await asyncio.gather(old, return_exceptions=True)
    assert kinds(watch)["old-*"].oldest_seconds == 5.0
    gate.set()
    await young


async def test_a_secret_in_a_name_is_not_told() -> None:
    gate = asyncio.Event()
    secret = f"lla_{'A' * 43}"
    task = asyncio.create_task(outer(gate), name=f"call with Bearer {secret}")
    assert secret not in kind_of(task)
    gate.set()
    await task
