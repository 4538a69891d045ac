"""Asking many partitions, and what becomes of one item that cannot be served."""

import asyncio
from collections.abc import Sequence

import pytest
import structlog

from longline.errors import StoreError, Unavailable
from longline.store.calls import Reply
from longline.store.scatter import Spare, ask_all, divide, scatter
from longline.telemetry.faults import Faults


class Partitions:
    """Four, by the number's rest; each answers with ten times the number, unless the number is bad."""

    def __init__(self, *bad: int, error: Exception | None = None) -> None:
        self.bad = set(bad)
        self.error = error or StoreError(word="WRONGTYPE", text="of the wrong kind")
        self.asked: list[tuple[int, list[int]]] = []

    async def ask(self, partition: int, part: Sequence[int]) -> Reply:
        self.asked.append((partition, list(part)))
        await asyncio.sleep(0)
        if self.bad.intersection(part):
            raise self.error
        return [10 * number for number in part]

    def read(self, partition: int, part: Sequence[int], reply: Reply) -> list[int]:
        assert isinstance(reply, list)
        return [answer for answer in reply if isinstance(answer, int)]

    async def scatter(self, items: Sequence[int], spare: Spare[int, int] | None = None) -> list[int]:
        return await scatter(items, lambda number: number % 4, self.ask, self.read, spare)


def a_spare(faults: Faults) -> Spare[int, int]:
    return Spare(faults, "here", lambda number: -number)


async def test_answers_come_in_the_order_of_the_items_and_each_partition_is_asked_once() -> None:
    partitions = Partitions()
    items = [7, 4, 9, 3, 8, 7]
    assert await partitions.scatter(items) == [70, 40, 90, 30, 80, 70]
    assert sorted(partitions.asked) == [(0, [4, 8]), (1, [9]), (3, [7, 3, 7])]
    assert await partitions.scatter([]) == []


async def test_all_are_asked_in_order() -> None:
    async def ask(partition: int) -> int:
        await asyncio.sleep(0)
        return partition * partition

    assert await ask_all(4, ask) == [0, 1, 4, 9]
    assert divide("abcabc", "abc".index) == {0: ["a", "a"], 1: ["b", "b"], 2: ["c", "c"]}


async def test_an_error_is_raised_where_nobody_stands_in() -> None:
    with pytest.raises(StoreError):
        await Partitions(4).scatter([4, 5])


async def test_one_item_that_is_refused_fails_alone_is_counted_and_told_once() -> None:
    faults, partitions = Faults(), Partitions(4)
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            assert await partitions.scatter([0, 4, 8, 5], a_spare(faults)) == [0, -4, 80, 50]
    assert faults.counts == {"here": 3}
    assert len(logs) == 1
    assert partitions.asked[:5] == [(0, [0, 4, 8]), (1, [5]), (0, [0]), (0, [4]), (0, [8])]


async def test_an_answer_that_nobody_can_read_is_of_its_item() -> None:
    class Odd(Partitions):
        def read(self, partition: int, part: Sequence[int], reply: Reply) -> list[int]:
            if 4 in part:
                raise ValueError("odd")
            return super().read(partition, part, reply)

    faults = Faults()
    assert await Odd().scatter([0, 4, 5], a_spare(faults)) == [0, -4, 50]
    assert faults.counts == {"here": 1}


@pytest.mark.parametrize("items", [[4], [4, 8], [4, 5]])
async def test_where_nothing_is_served_the_store_is_to_blame(items: list[int]) -> None:
    faults = Faults()
    with pytest.raises(StoreError):
        await Partitions(4, 5, 8).scatter(items, a_spare(faults))
    assert faults.counts == {}


@pytest.mark.parametrize("items", [[0, 4, 8], [4, 5]])
async def test_a_store_that_cannot_be_reached_is_no_fault_of_an_item(items: list[int]) -> None:
    partitions = Partitions(4, error=Unavailable())
    with pytest.raises(Unavailable):
        await partitions.scatter(items, a_spare(Faults()))
    assert len(partitions.asked) <= 2, "and it is not asked again"
