"""Who waits in tests sees what it waits for, and says what it saw when that never comes."""

import itertools

import pytest

from tests.waiting import eventually, until, wait_until


async def test_what_was_waited_for_is_returned() -> None:
    numbers = itertools.count()
    assert await until(lambda: next(numbers)) == 1


async def test_a_look_may_have_to_be_waited_for_itself() -> None:
    numbers = itertools.count()

    async def look() -> int:
        return next(numbers)

    await eventually(look, 3)
    assert await until(look) == 4


async def test_what_never_comes_is_told_with_what_was_seen_instead() -> None:
    with pytest.raises(AssertionError, match=r"seen last: \[\] the log"):
        await until(list[int], within=0.0, tell=lambda: "the log")
    with pytest.raises(AssertionError, match="1 instead of 2"):
        await eventually(lambda: 1, 2, within=0.0)
    with pytest.raises(AssertionError, match="somebody leads"):
        wait_until(lambda: None, "somebody leads", within=0.0)


def test_without_a_loop_what_was_waited_for_is_returned_too() -> None:
    numbers = itertools.count()
    assert wait_until(lambda: next(numbers), "two") == 1
