"""Waiting for what a test wants to see, and never for a time: the limits only say when to give up."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, overload

T = TypeVar("T")

WITHIN = 60.0  # s: generous, for machines that are busy with other things
FIRST_PAUSE = 0.001  # s between two looks, doubled up to the longest
LONGEST_PAUSE = 0.05
CLOCK = 0.01  # s: more than any loop's clock is coarse


@overload
async def until(
    look: Callable[[], Awaitable[T]], within: float = ..., *, tell: Callable[[], object] = ...
) -> T: ...
@overload
async def until(look: Callable[[], T], within: float = ..., *, tell: Callable[[], object] = ...) -> T: ...
async def until(
    look: Callable[[], object], within: float = WITHIN, *, tell: Callable[[], object] = str
) -> object:
    """Looks again and again until what it sees is true in the sense of `if`, and returns that.

    `AssertionError` after `within` seconds: with what it saw last, and what `tell` has to say then.
    """
    deadline = time.monotonic() + within
    pause = 0.0
    while True:
        seen = await _seen(look)
        if seen:
            return seen
        assert time.monotonic() < deadline, f"not within {within:g} s; seen last: {seen!r} {tell()}"
        await asyncio.sleep(pause)
        pause = min(LONGEST_PAUSE, max(FIRST_PAUSE, 2 * pause))


async def eventually(
    look: Callable[[], object],
    wanted: object,
    within: float = WITHIN,
    *,
    tell: Callable[[], object] = str,
) -> None:
    """Looks again and again until it sees what is wanted; `AssertionError` with what it saw last."""
    seen: object = None

    async def so() -> bool:
        nonlocal seen
        seen = await _seen(look)
        return seen == wanted

    await until(so, within, tell=lambda: f"{seen!r} instead of {wanted!r} {tell()}")


async def moment(
    look: Callable[[], object], within: float = WITHIN, *, tell: Callable[[], object] = str
) -> float:
    """As `until`; returns when it was so, by the monotonic clock."""
    await until(look, within, tell=tell)
    return time.monotonic()


async def later(moment: float) -> None:
    """Returns when the monotonic clock has reached a moment, for what a time that passes brings about.

    What must be so by then is looked at afterwards, and is so on a machine of any speed, or a fault.
    """
    await asyncio.sleep(moment - time.monotonic() + CLOCK)


def wait_until(look: Callable[[], T | None], what: str, within: float = WITHIN) -> T:
    """As `until`, where no loop runs; fails with `what`."""
    deadline = time.monotonic() + within
    pause = FIRST_PAUSE
    while not (seen := look()):
        assert time.monotonic() < deadline, f"not within {within:g} s: {what}"
        time.sleep(pause)
        pause = min(LONGEST_PAUSE, 2 * pause)
    return seen


def stand_still(seconds: float) -> None:
    """Holds the loop up, as a process is that gets no time: nothing else here runs meanwhile."""
    time.sleep(seconds)


async def _seen(look: Callable[[], object]) -> object:
    seen = look()
    return await seen if inspect.isawaitable(seen) else seen
