"""Work that is bounded reaches every partition that has some."""

import random

import pytest

from longline.store.sharing import shares, work_off

SEED = 5


def test_partitions_get_as_much_as_others_or_all_that_they_have() -> None:
    chance = random.Random(SEED)
    for _ in range(500):
        counts = [chance.choice((0, 1, 5, 90, 4000)) for _ in range(chance.randrange(1, 20))]
        limit = chance.randrange(1, 3000)
        parts = shares(counts, limit, chance.randrange(len(counts)))
        assert sum(parts.values()) == min(limit, sum(counts))
        assert all(0 < part <= counts[partition] for partition, part in parts.items())
        cut_short = [part for partition, part in parts.items() if part < counts[partition]]
        assert all(part <= least + 1 for least in cut_short for part in parts.values()), (counts, limit)


def test_where_there_is_not_one_for_each_those_get_some_whose_turn_it_is() -> None:
    assert [sorted(shares([7, 0, 7, 7, 7], 2, first)) for first in range(5)] == [
        *([0, 2], [2, 3], [2, 3], [3, 4], [0, 4]),
    ]


class Working:
    """Partitions with so much to do, of which those that are `stuck` do nothing."""

    def __init__(self, *counts: int, stuck: tuple[int, ...] = ()) -> None:
        self.counts = list(counts)
        self.stuck = stuck
        self.asked = 0
        self.calls: list[int] = []  # how much each was to do

    async def waiting(self, partition: int) -> int:
        self.asked += 1
        return self.counts[partition]

    async def work(self, partition: int, most: int) -> int:
        self.calls.append(most)
        if partition in self.stuck:
            return 0
        self.counts[partition] -= most
        return most

    async def work_off(self, limit: int, size: int = 100) -> int:
        return await work_off(len(self.counts), limit, size, self.waiting, self.work)


async def test_all_is_done_in_slices_and_no_more_than_the_limit() -> None:
    working = Working(30, 0, 450, 170)
    assert await working.work_off(10_000) == 650
    assert working.counts == [0, 0, 0, 0]
    assert max(working.calls) == 100
    working = Working(300, 300, 300)
    assert await working.work_off(250) == 250
    assert sorted(working.counts) == [216, 217, 217]
    assert working.asked == 3, "what is not cut into slices is asked for once"


async def test_nobody_has_to_stand_back_for_ever() -> None:
    working = Working(*[1000] * 10)
    for _ in range(500):
        assert await working.work_off(3) == 3
    assert max(working.counts) < 1000


async def test_nobody_is_asked_where_nothing_may_be_done_or_again_where_nothing_is() -> None:
    working = Working(300, 300, stuck=(0, 1))
    assert await working.work_off(0) == 0
    assert working.asked == 0
    assert await working.work_off(1000) == 0
    assert working.calls == [100, 100]


@pytest.mark.parametrize("counts", [(0, 0, 0), (0,)])
async def test_where_nothing_waits_nothing_is_done(counts: tuple[int, ...]) -> None:
    working = Working(*counts)
    assert await working.work_off(1000) == 0
    assert working.calls == []
