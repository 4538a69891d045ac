"""Long lists, and others on the same loop."""

import asyncio
from contextlib import suppress
from itertools import groupby, pairwise

from longline.center.requests.long_lists import SLICE, Rows

ROWS = list(range(1000))


async def test_what_is_made_of_rows_is_in_their_order() -> None:
    rows = Rows()
    lists = [await rows.each(1, ROWS[:count], str) for count in (0, 1, 10, 11, SLICE, SLICE + 1, 1000)]
    assert lists == [[str(n) for n in range(count)] for count in (0, 1, 10, 11, SLICE, SLICE + 1, 1000)]


async def test_however_many_lists_there_are_the_loop_serves_others_after_a_slice() -> None:
    rows = Rows()
    made: list[int] = []
    between: list[int] = []

    async def watch() -> None:
        while True:
            between.append(len(made))
            await asyncio.sleep(0)

    watching = asyncio.create_task(watch())
    await asyncio.gather(*(rows.each(app, ROWS, made.append) for app in range(50)))
    watching.cancel()
    assert len(made) == 50 * len(ROWS)
    assert max(after - before for before, after in pairwise(between)) <= SLICE


async def test_rows_that_are_large_are_fewer_in_a_slice() -> None:
    rows = Rows()
    made: list[int] = []
    between: list[int] = []

    async def watch() -> None:
        while True:
            between.append(len(made))
            await asyncio.sleep(0)

    watching = asyncio.create_task(watch())
    await rows.each(1, ROWS, made.append, lambda row: SLICE // 2)
    watching.cancel()
    assert max(after - before for before, after in pairwise(between)) <= 2


async def test_apps_take_turns() -> None:
    """One has fifty lists to be made; the other's first comes next, and not behind all of them."""
    rows = Rows()
    order: list[str] = []

    async def one(app: int, name: str) -> None:
        await rows.each(app, ROWS, lambda row: order.append(name))

    many = [asyncio.create_task(one(1, f"many {n}")) for n in range(50)]
    await asyncio.sleep(0)
    few = asyncio.create_task(one(2, "few"))
    await asyncio.gather(*many, few)
    lists = [name for name, _ in groupby(order)]
    assert lists.index("few") <= 2
    assert len(lists) == 51, "one list at a time"


async def test_a_row_that_nothing_can_be_made_of_gives_the_turn_back() -> None:
    rows = Rows()

    def fail(row: int) -> None:
        raise ValueError(row)

    for _ in range(2):
        with suppress(ValueError):
            await rows.each(1, ROWS, fail)
    assert await rows.each(1, ROWS, int) == ROWS
