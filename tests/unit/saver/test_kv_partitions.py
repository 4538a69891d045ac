"""Pages put together from what partitions tell."""

import random
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import cast

import pytest

from longline.saver.kv import layout
from longline.saver.kv.partitions import Partitions
from longline.store.redis import Reply, Store, Word
from longline.store.script import Script

NUMBERS = cast(Script, "numbers")  # ARGV: from, limit. Returns {number at which it goes on or false, numbers}
NAMES = cast(Script, "names")  # ARGV: prefix, name after which to begin, limit. Returns what `names.lua` says
SEED = 20


class Told:
    """A store that has numbers and names, and looks at no more than `looks` numbers in one call."""

    longest_call = 1.0

    def __init__(self, parts: Sequence[Sequence[int]], looks: int = 1_000_000) -> None:
        self.partitions = len(parts)
        self._parts = {layout.tag(at): sorted(part) for at, part in enumerate(parts)}
        self._looks = looks
        self.asked: list[tuple[bytes, int]] = []  # which partition, for how many

    async def run(
        self, tag: bytes, script: Script, keys: Sequence[bytes], args: Sequence[Word], **how: bool
    ) -> Reply:
        numbers = self._parts[tag]
        limit = int(args[-1])
        self.asked.append((tag, limit))
        if script is NAMES:
            prefix, behind = bytes(args[0]), args[1]  # type: ignore[arg-type]
            names = [prefix + b"%03d" % number for number in numbers]
            first = bisect_right(names, behind)
            page: list[Reply] = [*names[first : first + limit]]
            return [page[-1] if len(page) == limit else None, page]
        start = int(args[0])
        first = bisect_left(numbers, start)
        found = [number for number in numbers[first : first + limit] if number < start + self._looks]
        end = first + len(found)
        following = None if end == len(numbers) else min(numbers[end], start + self._looks)
        return [following, [*found]]


async def numbers(store: Told, start: int, limit: int, among: Sequence[int] | None = None) -> list[int]:
    def read(partition: int, reply: Reply) -> tuple[list[int], int | None]:
        following, found = cast(tuple[int | None, list[int]], reply)
        return found, following

    return await Partitions(cast(Store, store)).page(
        NUMBERS,
        range(store.partitions) if among is None else among,
        start,
        limit,
        lambda partition, number, most: [number, most],
        read,
        lambda number: number,
    )


@pytest.mark.parametrize("looks", [1_000_000, 7])
@pytest.mark.parametrize("limit", [1, 3, 20, 500])
async def test_a_page_has_the_first_items_however_they_lie(limit: int, looks: int) -> None:
    """Evenly, by chance, in runs, or all in one; some partitions with nothing."""
    chance = random.Random(SEED)
    everything = sorted(chance.sample(range(1000), 200))
    for home in (
        lambda place: place % 5,
        lambda place: chance.randrange(5),
        lambda place: place // 45,
        lambda place: 3,
        lambda place: 2 * chance.randrange(3),
    ):
        parts: list[list[int]] = [[] for _ in range(5)]
        for place, number in enumerate(everything):
            parts[home(place)].append(number)
        store = Told(parts, looks)
        for start in (0, everything[0], everything[57] + 1, everything[-1], 1000):
            rest = [number for number in everything if number >= start]
            assert await numbers(store, start, limit) == rest[:limit]


async def test_partitions_tell_a_share_and_only_those_that_lag_behind_are_asked_again() -> None:
    store = Told([[*range(n, 1000, 10)] for n in range(10)])
    assert await numbers(store, 0, 100) == [*range(100)]
    assert store.asked == [(layout.tag(at), 12) for at in range(10)]
    store = Told([[*range(100)], [*range(100, 1000)], [*range(1000, 2000)], []])
    assert await numbers(store, 0, 24) == [*range(24)]
    first, again = store.asked[:4], store.asked[4:]
    assert first == [(layout.tag(at), 8) for at in range(4)]
    assert again == [(layout.tag(0), 16), (layout.tag(1), 16)], "the page had come as far as 1007"


async def test_a_few_partitions_share_the_page_among_them() -> None:
    """Others are not asked, and leave no room for what they might have had."""
    store = Told([[*range(n, 1000, 10)] for n in range(10)])
    assert await numbers(store, 0, 100, [2, 7]) == [number for number in range(500) if number % 5 == 2]
    assert store.asked == [(layout.tag(2), 52), (layout.tag(7), 52)]
    assert await numbers(store, 0, 100, []) == []


async def test_the_first_place_of_a_partition_is_that_of_the_next_ordinal_in_it() -> None:
    partitions = Partitions(cast(Store, Told([[]] * 7)))
    for ordinal in range(30):
        for partition in range(7):
            place = partitions.place_from(partition, ordinal)
            assert ordinal <= place * 7 + partition < ordinal + 7


async def test_names_are_read_page_by_page_in_their_order() -> None:
    """Nothing is left out or comes twice, where pages end with the last name of a partition, too."""
    chance = random.Random(SEED)
    for limit in (1, 4, 50, 200):
        parts: list[list[int]] = [[] for _ in range(4)]
        for number in range(150):
            parts[chance.choice((0, 0, 0, 1, 3))].append(number)
        partitions = Partitions(cast(Store, Told(parts)))
        found: list[str] = []
        while page := await partitions.names(NAMES, [b"n"], found[-1] if found else "", limit):
            assert len(page) == min(limit, 150 - len(found))
            found += page
        assert found == [f"n{number:03d}" for number in range(150)]
