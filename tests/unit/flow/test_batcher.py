"""Gathering, bounds, failures, and who is told when: the one loop that everybody passes things on with."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from longline.errors import StoreError, Unavailable
from longline.flow.batcher import Batcher, OnFull, Retry
from longline.flow.line import Portion
from longline.telemetry.faults import Faults
from longline.testing.clock import VirtualClock, settle

LONG = 3600.0  # s: a delay that no test waits for


class Worker:
    """Does what it is told with each batch, once it may; remembers all of them."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.done: list[int] = []
        self.answers: list[Callable[[Sequence[int]], Sequence[int] | None]] = []
        self.poison: set[int] = set()
        self.may_work = asyncio.Event()
        self.may_work.set()

    async def work(self, batch: Sequence[int]) -> Sequence[int] | None:
        self.batches.append(list(batch))
        await self.may_work.wait()
        if self.poison & set(batch):
            raise ValueError("poison")
        again = self.answers.pop(0)(batch) if self.answers else None
        self.done += [item for item in batch if item not in (again or ())]
        return again


def unavailable(batch: Sequence[int]) -> Sequence[int]:
    raise Unavailable("the store is away")


def only(*again: int) -> Callable[[Sequence[int]], Sequence[int]]:
    return lambda batch: [item for item in batch if item in again]


class Bench:
    def __init__(self, **options: Any) -> None:
        self.worker = Worker()
        self.faults = Faults()
        self.clock = VirtualClock()
        chosen: dict[str, Any] = {"limit": 100, "batch": 10, "retry": Retry(1.0, 5.0), **options}
        self.batcher: Batcher[int] = Batcher(
            "test",
            self.worker.work,
            faults=self.faults,
            sleep=self.clock.sleep,
            monotonic=self.clock.now,
            **chosen,
        )

    def add(self, *items: int) -> list[bool]:
        return [self.batcher.add(item) for item in items]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.batcher.run())
        try:
            await settle()
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_items_are_worked_on_in_order_and_in_batches() -> None:
    bench = Bench(batch=2)
    bench.add(1, 2, 3)
    async with bench.running():
        assert bench.worker.batches == [[1, 2], [3]]
        bench.add(4)
        await settle()
    assert bench.worker.batches == [[1, 2], [3], [4]]


async def test_one_too_many_is_refused() -> None:
    bench = Bench(limit=2)
    assert bench.add(1, 2, 3) == [True, True, False]
    assert (len(bench.batcher), bench.batcher.lost) == (2, 1)
    async with bench.running():
        assert bench.worker.done == [1, 2]


async def test_what_is_under_way_takes_room() -> None:
    bench = Bench(limit=2)
    bench.worker.may_work.clear()
    async with bench.running():
        bench.add(1, 2)
        await settle()
        assert bench.worker.batches == [[1, 2]]
        assert bench.add(3) == [False]
        bench.worker.answers = [only(2)]
        bench.worker.may_work.set()
        await settle()
        assert bench.add(4, 5) == [True, False]
        await bench.clock.advance(1.0)
    assert bench.worker.done == [1, 2, 4]


async def test_the_oldest_that_wait_make_room_for_the_new() -> None:
    bench = Bench(limit=3, batch=1, on_full=OnFull.DROP_OLDEST)
    bench.worker.may_work.clear()
    async with bench.running():
        assert bench.add(1) == [True]
        await settle()
        assert bench.add(2, 3, 4, 5) == [True] * 4
        assert (len(bench.batcher), bench.batcher.lost) == (3, 2)
        bench.worker.may_work.set()
        await settle()
    assert bench.worker.done == [1, 4, 5]


async def test_where_all_are_under_way_none_can_make_room() -> None:
    bench = Bench(limit=1, on_full=OnFull.DROP_OLDEST)
    bench.worker.may_work.clear()
    async with bench.running():
        bench.add(1)
        await settle()
        assert bench.add(2) == [False]
    assert bench.batcher.lost == 1


async def test_those_that_are_to_be_tried_again_go_first() -> None:
    bench = Bench(batch=4)
    bench.worker.answers = [only(1, 3)]
    bench.add(1, 2, 3)
    async with bench.running():
        bench.add(4, 5, 6)
        await settle()
        assert bench.worker.batches == [[1, 2, 3]]
        await bench.clock.advance(1.0)
    assert bench.worker.batches == [[1, 2, 3], [1, 3, 4, 5], [6]]


async def test_the_pause_grows_while_nothing_gets_done_and_is_short_again_afterwards() -> None:
    bench = Bench(retry=Retry(1.0, 3.0))
    bench.worker.answers = [unavailable, unavailable, unavailable, unavailable, only(2), unavailable, only()]
    bench.add(1, 2)
    pauses = []
    async with bench.running():
        while (pause := bench.clock.next_wake) is not None:
            pauses.append(pause)
            await bench.clock.advance(pause)
        bench.worker.answers = [unavailable]
        bench.add(3)
        await settle()
        assert bench.clock.next_wake == 1.0
    assert pauses == [1.0, 2.0, 3.0, 3.0, 1.0, 2.0]
    assert bench.worker.done == [1, 2]


async def test_an_unforeseen_fault_is_that_of_one_item() -> None:
    """The others are done, once; the fault is counted each time and given up."""
    bench = Bench()
    bench.worker.poison = {2, 4}
    bench.add(1, 2, 3, 4, 5)
    async with bench.running():
        assert bench.clock.next_wake is None
        await bench.batcher.idle()
        bench.add(6)
        await settle()
    assert bench.worker.done == [1, 3, 5, 6]
    assert bench.faults.counts == {"test": 2}


async def test_one_that_no_repetition_can_mend_is_given_up() -> None:
    def refused(batch: Sequence[int]) -> Sequence[int]:
        if 2 in batch:
            raise StoreError(word="WRONGTYPE", text="of another kind")
        return ()

    bench = Bench()
    bench.worker.answers = [refused] * 4
    bench.add(1, 2, 3)
    async with bench.running():
        await bench.batcher.idle()
    assert bench.worker.done == [1, 3]
    assert bench.faults.counts == {"test": 1}


async def test_one_that_cannot_be_done_now_is_tried_again_beside_one_that_never_can() -> None:
    bench = Bench()
    bench.worker.poison = {2}
    bench.worker.answers = [only(), unavailable, only()]  # of 1, of 3, and of 3 again
    bench.add(1, 2, 3)
    async with bench.running():
        assert bench.worker.done == [1]
        await bench.clock.advance(1.0)
    assert bench.worker.done == [1, 3]
    assert bench.faults.counts == {"test": 1}


async def test_a_first_item_waits_for_company() -> None:
    bench = Bench(delay=0.02)
    async with bench.running():
        bench.add(1)
        await settle()
        bench.add(2)
        await bench.batcher.idle()
    assert bench.worker.batches == [[1, 2]]


async def test_a_full_batch_waits_for_nobody() -> None:
    bench = Bench(delay=LONG, batch=2)
    async with bench.running():
        bench.add(1)
        await settle()
        assert bench.worker.batches == []
        bench.add(2, 3)
        await settle()
        assert bench.worker.batches == [[1, 2]]
        bench.add(4, 5)
        await settle()
        assert bench.worker.batches == [[1, 2], [3, 4]]


async def test_who_waits_for_the_end_waits_for_no_company() -> None:
    bench = Bench(delay=LONG)
    async with bench.running():
        bench.add(1)
        await settle()
        await bench.batcher.settled()
        assert bench.worker.done == [1]
        bench.add(2)
        await settle()
        assert bench.worker.batches == [[1]]  # and the next ones wait for it again


async def test_settled_and_idle_return_at_once_where_nothing_waits() -> None:
    bench = Bench()
    await bench.batcher.settled()
    await bench.batcher.idle()


async def test_settled_waits_for_what_is_under_way() -> None:
    bench = Bench()
    bench.worker.may_work.clear()
    async with bench.running():
        bench.add(1)
        await settle()
        settled = asyncio.create_task(bench.batcher.settled())
        await settle()
        assert not settled.done()
        bench.worker.may_work.set()
        await settled
    assert bench.worker.done == [1]


async def test_settled_waits_for_no_later_item() -> None:
    bench = Bench(batch=1)
    async with bench.running():
        bench.worker.may_work.clear()
        bench.add(1)
        settled = asyncio.create_task(bench.batcher.settled())
        await settle()
        bench.add(2)
        bench.worker.answers = [only(), unavailable]
        bench.worker.may_work.set()
        await settled
    assert bench.worker.done == [1]


async def test_one_that_was_dropped_does_not_stand_for_an_older_one_that_is_tried_again() -> None:
    """The failed ones go in front of younger ones, some of which may have been dropped meanwhile."""
    bench = Bench(limit=10, batch=5, on_full=OnFull.DROP_OLDEST)
    bench.worker.may_work.clear()
    bench.worker.answers = [unavailable]
    async with bench.running():
        bench.add(1, 2, 3, 4)
        settled = asyncio.create_task(bench.batcher.settled())
        await settle()
        bench.add(5, 6, 7, 8, 9, 10, 11)  # 5 is dropped: four are under way
        assert bench.batcher.lost == 1
        bench.worker.may_work.set()
        bench.worker.answers.append(only(4))
        await bench.clock.advance(1.0)
        assert bench.worker.done == [1, 2, 3, 6]
        assert not settled.done()
        await bench.clock.advance(1.0)
        assert settled.done()


async def test_a_waiter_that_left_is_in_nobodys_way() -> None:
    bench = Bench()
    bench.add(1)
    leaving = asyncio.create_task(bench.batcher.settled())
    staying = asyncio.create_task(bench.batcher.settled())
    await settle()
    leaving.cancel()
    async with bench.running():
        await staying
    assert leaving.cancelled()


async def test_what_was_under_way_when_the_task_was_cancelled_is_done_by_the_next() -> None:
    bench = Bench(limit=3)
    bench.add(1, 2)
    bench.worker.may_work.clear()
    async with bench.running():
        pass
    assert len(bench.batcher) == 2
    assert bench.add(3, 4) == [True, False]
    settled = asyncio.create_task(bench.batcher.settled())
    bench.worker.may_work.set()
    async with bench.running():
        await settled
    assert bench.worker.done == [1, 2, 3]


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 6)),
        st.just(("settled", 0)),
        st.tuples(st.just("let"), st.sampled_from(["all", "none", "odd ones fail", "poison"])),
        st.tuples(st.just("pass"), st.sampled_from([1, 10])),
    ),
    max_size=40,
)


@given(actions=ACTIONS, on_full=st.sampled_from(OnFull), batch=st.integers(1, 4))
def test_whatever_happens_nobody_is_told_too_early_and_nothing_is_forgotten(
    actions: list[tuple[str, Any]], on_full: OnFull, batch: int
) -> None:
    asyncio.run(_whatever_happens(actions, on_full, batch))


async def _whatever_happens(actions: list[tuple[str, Any]], on_full: OnFull, batch: int) -> None:
    mode = "all"
    may_work = asyncio.Semaphore(0)
    offered = 0
    accepted: list[int] = []
    done: Counter[int] = Counter()
    given_up: Counter[int] = Counter()
    steps = itertools.count()
    last: dict[int, int] = {}  # when an item was worked on for the last time
    told: list[tuple[int, int]] = []  # how many had been accepted, and when their end was told

    async def work(items: Sequence[int]) -> Sequence[int] | None:
        assert list(items) == sorted(items)
        await may_work.acquire()
        last.update(dict.fromkeys(items, next(steps)))
        if mode == "none":
            raise Unavailable("not now")
        if mode == "poison" and any(item % 3 == 0 for item in items):
            given_up.update(items if len(items) == 1 else ())
            raise ValueError("never")
        again = [item for item in items if item % 2 and mode == "odd ones fail"]
        done.update(item for item in items if item not in again)
        return again

    clock = VirtualClock()
    batcher: Batcher[int] = Batcher(
        "test",
        work,
        faults=Faults(),
        limit=8,
        batch=batch,
        retry=Retry(1.0, 4.0),
        on_full=on_full,
        sleep=clock.sleep,
    )

    async def wait(count: int) -> None:
        await batcher.settled()
        told.append((count, next(steps)))

    async with asyncio.TaskGroup() as waiters:
        running = asyncio.create_task(batcher.run())
        for name, value in actions:
            if name == "add":
                numbers = range(offered, offered + value)
                accepted += [number for number in numbers if batcher.add(number)]
                offered += value
            elif name == "settled":
                waiters.create_task(wait(len(accepted)))
                await settle()
            elif name == "let":
                mode = value
                may_work.release()
                await settle()
            else:
                await clock.advance(value)
            assert len(batcher) <= 8
        mode = "all"
        while len(batcher):
            may_work.release()
            await clock.advance(4.0)
        await batcher.idle()
        await settle()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    assert max([*done.values(), *given_up.values()], default=1) == 1
    assert not done & given_up
    assert batcher.lost == offered - len(done) - len(given_up)
    if on_full is OnFull.REFUSE:
        assert sorted([*done, *given_up]) == accepted
    assert len(told) == sum(name == "settled" for name, _ in actions)
    for count, at in told:
        assert all(last.get(item, -1) < at for item in accepted[:count])


async def test_what_takes_too_long_together_is_done_fewer_at_a_time_and_more_again_when_it_does_not() -> None:
    bench = Bench(batch=Portion(8, 2, target=1.0, first=8))
    bench.add(*range(40))
    bench.worker.may_work.clear()
    async with bench.running():
        await bench.clock.advance(2.0)  # the first eight took so long
        bench.worker.may_work.set()
        await settle()
    assert [len(batch) for batch in bench.worker.batches] == [8, 4, 8, 8, 8, 4]
    assert bench.worker.done == list(range(40))


async def test_what_is_refused_at_once_is_tried_again_fewer_at_a_time() -> None:
    bench = Bench(batch=Portion(8, 2, target=1.0))
    bench.worker.answers = [unavailable, unavailable]
    bench.add(*range(8))
    async with bench.running():
        await bench.clock.advance(10.0)
    assert [len(batch) for batch in bench.worker.batches] == [8, 4, 2, 4, 2]


async def test_many_that_come_at_once_are_begun_with_few() -> None:
    bench = Bench(batch=Portion(8, 1, target=1.0, first=2))
    bench.add(*range(16))
    async with bench.running():
        pass
    assert [len(batch) for batch in bench.worker.batches] == [2, 4, 8, 2]
