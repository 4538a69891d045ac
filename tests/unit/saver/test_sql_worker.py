"""The thread that serves what has gathered: groups, bounds, failures of one and of all, closing."""

import asyncio
import threading
import time
from collections.abc import Callable
from itertools import pairwise

import pytest

from longline.errors import AppNotFound, Overloaded, Unavailable
from longline.saver.sql.worker import SLICE, Job, Later, Worker, by_operation, perform
from tests.waiting import until


def double(calls: list[int]) -> list[int]:
    return [2 * n for n in calls]


class Gate:
    """Holds the thread between groups, so that a test decides what gathers."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()
        self.groups: list[int] = []

    def process(self, jobs: list[Job]) -> None:
        self.groups.append(len(jobs))
        self.entered.set()
        self.opened.wait()
        perform(jobs)


async def held(
    gate: Gate,
    limit: int = 100,
    byte_limit: int = 1000,
    group_limit: int = 100,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Worker, "asyncio.Future[int]"]:
    """A worker whose thread is inside its first group."""
    worker = Worker("test", limit, byte_limit, group_limit, gate.process, clock=clock)
    first = worker.call(double, 0)
    await asyncio.to_thread(gate.entered.wait)
    return worker, first


async def test_what_gathers_while_a_group_is_served_becomes_the_next_group() -> None:
    gate = Gate()
    worker, first = await held(gate)
    rest = [worker.call(double, n) for n in range(1, 11)]
    gate.opened.set()
    assert await asyncio.gather(first, *rest) == [2 * n for n in range(11)]
    assert gate.groups == [1, 10]
    await worker.close()


async def test_of_a_large_group_so_many_are_told_in_one_turn_of_the_loop() -> None:
    """Each of them goes on at once, with an answer to write."""
    gate = Gate()
    worker, first = await held(gate, limit=1000, group_limit=1000)
    rest = [worker.call(double, n) for n in range(3 * SLICE)]
    told: list[int] = []
    for future in rest:
        future.add_done_callback(lambda future: told.append(future.result()))
    gate.opened.set()
    await first
    seen = [0]
    while seen[-1] < len(rest):
        await asyncio.sleep(0)
        seen.append(len(told))
    assert max(after - before for before, after in pairwise(seen)) <= SLICE
    assert told == [2 * n for n in range(3 * SLICE)]
    assert gate.groups == [1, 3 * SLICE]
    assert worker.waiting == 0
    await worker.close()


async def test_a_group_is_closed_when_it_is_heavy_enough() -> None:
    gate = Gate()
    worker, first = await held(gate, group_limit=4)
    rest = [worker.call(double, n, weight=2) for n in range(6)]
    gate.opened.set()
    await asyncio.gather(first, *rest)
    assert gate.groups == [1, 2, 2, 2]
    await worker.close()


async def test_a_call_that_is_served_in_part_goes_on_before_all_others() -> None:
    served: list[int] = []

    def one_at_a_time(calls: list[list[int]]) -> list[int | Later]:
        """Takes one number of all the calls, and answers a call when it has all of its."""
        left = 1
        answers: list[int | Later] = []
        for numbers in calls:
            taken, rest = numbers[:left], numbers[left:]
            left -= len(taken)
            served.extend(taken)
            answers.append(Later(rest) if rest else len(served))
        return answers

    gate = Gate()
    worker, first = await held(gate)
    calls = [worker.call(one_at_a_time, numbers) for numbers in ([1, 2, 3], [4], [5, 6])]
    gate.opened.set()
    closing = asyncio.create_task(worker.close())  # what is under way is finished
    assert await asyncio.gather(*calls) == [3, 4, 6]
    assert served == [1, 2, 3, 4, 5, 6]
    assert gate.groups == [1, 3, 3, 3, 2, 1, 1]
    await closing
    assert await first == 0
    assert worker.waiting == 0


async def test_a_full_queue_refuses_and_goes_on() -> None:
    gate = Gate()
    worker, first = await held(gate, limit=10)
    taken = worker.call(double, 1, weight=9)
    with pytest.raises(Overloaded):
        worker.call(double, 2)
    gate.opened.set()
    await asyncio.gather(first, taken)
    assert worker.waiting == 0
    assert await worker.call(double, 3) == 6
    await worker.close()


async def test_a_queue_full_of_bytes_refuses_too() -> None:
    gate = Gate()
    worker, first = await held(gate, byte_limit=1000)
    taken = worker.call(double, 1, size=1000)
    with pytest.raises(Overloaded):
        worker.call(double, 2, size=1)
    assert worker.waiting_bytes == 1000
    gate.opened.set()
    await asyncio.gather(first, taken)
    assert worker.waiting_bytes == 0
    await worker.close()


async def test_a_call_heavier_than_the_queue_passes_when_nothing_waits() -> None:
    worker = Worker("test", 10, 1000, 100, perform)
    assert await worker.call(double, 1, weight=1000) == 2
    await worker.close()


async def test_closing_serves_what_was_accepted_and_takes_no_more() -> None:
    gate = Gate()
    worker, first = await held(gate)
    rest = [worker.call(double, n) for n in range(5)]
    closing = asyncio.create_task(worker.close(), name="close")
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        worker.call(double, 1)
    gate.opened.set()
    await closing
    assert await asyncio.gather(first, *rest) == [0, 0, 2, 4, 6, 8]
    assert "test" not in [thread.name for thread in threading.enumerate()]
    await worker.close()


async def test_a_result_that_is_an_error_is_that_calls_alone() -> None:
    def pick(calls: list[int]) -> list[int | AppNotFound]:
        return [AppNotFound("odd") if n % 2 else n for n in calls]

    worker = Worker("test", 100, 1000, 100, perform)
    results = await asyncio.gather(*(worker.call(pick, n) for n in range(3)), return_exceptions=True)
    assert results[0::2] == [0, 2]
    assert isinstance(results[1], AppNotFound)
    await worker.close()


async def test_a_caller_that_gave_up_does_not_disturb_the_others() -> None:
    gate = Gate()
    worker, first = await held(gate)
    given_up, patient = worker.call(double, 1), worker.call(double, 2)
    given_up.cancel()
    gate.opened.set()
    assert (await first, await patient) == (0, 4)
    assert worker.waiting == 0
    await worker.close()


async def test_what_is_to_be_done_between_groups_is_done_after_each() -> None:
    rests: list[str] = []
    worker = Worker("test", 100, 1000, 100, perform, lambda: rests.append(threading.current_thread().name))
    for n in range(3):
        await worker.call(double, n)
    await worker.close()
    assert rests == ["test"] * 3


async def test_who_has_nothing_to_do_for_a_while_is_idle_once() -> None:
    idle: list[str] = []
    worker = Worker(
        "test", 100, 1000, 100, perform, idle=lambda: idle.append(threading.current_thread().name)
    )
    await worker.call(double, 1)
    await until(lambda: idle)
    await worker.call(double, 1)
    await until(lambda: len(idle) > 1)
    await worker.close()
    assert idle == ["test"] * 2


def test_calls_of_one_operation_are_served_together_in_their_order() -> None:
    loop = asyncio.new_event_loop()
    operations: list[Callable[[list[int]], list[int]]] = [double, sorted, double]
    jobs = [Job(operation, n, 1, 0, loop.create_future()) for n, operation in enumerate(operations)]
    grouped = by_operation(jobs)
    assert [[job.argument for job in group] for group in grouped.values()] == [[0, 2], [1]]
    loop.close()


async def test_the_thread_goes_on_whatever_serving_a_group_raises() -> None:
    """Without it every later call would wait for ever."""

    def process(jobs: list[Job]) -> None:
        if jobs[0].argument == 1:
            raise ZeroDivisionError
        perform(jobs)

    def rest() -> None:
        raise ZeroDivisionError

    worker = Worker("test", 100, 1000, 100, process, rest)
    with pytest.raises(Unavailable):
        await worker.call(double, 1)
    assert await worker.call(double, 2) == 4
    assert worker.waiting == 0
    await worker.close()


async def test_the_time_of_a_group_is_that_of_the_call_that_has_waited_longest() -> None:
    now = 100.0
    gate = Gate()
    worker, first = await held(gate, clock=lambda: now)
    rest = []
    for n in range(5):
        now = 101.0 + n
        rest.append(worker.call(double, n))
    now = 110.0
    gate.opened.set()
    await asyncio.gather(first, *rest)
    assert (sum(worker.seconds.counts), worker.seconds.total) == (2, 10.0 + 9.0)
    await worker.close()
