"""Ways to connect, tried one a little after the other: real time, of which nothing is asserted."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from longline.sdk import racing
from longline.sdk.racing import race

Way = Callable[[], Awaitable[str]]


def works(name: str) -> Way:
    async def way() -> str:
        return name

    return way


def fails(name: str) -> Way:
    async def way() -> str:
        raise OSError(name)

    return way


async def hangs() -> str:
    await asyncio.Event().wait()
    raise AssertionError


async def test_the_first_that_works_is_taken_and_later_ones_are_not_begun() -> None:
    async def never() -> str:
        raise AssertionError

    assert await race([works("a"), never], pytest.fail) == (0, "a")


async def test_the_next_begins_at_once_when_one_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(racing, "AHEAD", 3600.0)
    assert await race([fails("a"), fails("b"), works("c")], pytest.fail) == (2, "c")


async def test_the_next_begins_beside_one_that_takes_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(racing, "AHEAD", 0.01)
    before = asyncio.all_tasks()
    assert await race([hangs, hangs, works("c")], pytest.fail) == (2, "c")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_when_all_fail_the_last_failure_is_raised() -> None:
    with pytest.raises(OSError, match="b"):
        await race([fails("a"), fails("b")], pytest.fail)


async def test_what_came_too_late_is_discarded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(racing, "AHEAD", 0.01)
    done = asyncio.Event()
    discarded: list[str] = []

    async def late() -> str:
        await done.wait()
        return "late"

    async def winner() -> str:
        done.set()
        return "winner"

    won = await race([late, winner], discarded.append)
    assert won in ((0, "late"), (1, "winner")), "both may be there when it looks"
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert discarded in ([], ["winner" if won[0] == 0 else "late"]), "either it was given up, or it had come"


async def test_whoever_gives_up_leaves_nothing_running(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(racing, "AHEAD", 0.001)
    before = asyncio.all_tasks()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await race([hangs, hangs], pytest.fail)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
