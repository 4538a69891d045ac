"""A task without an end goes on after whatever it raised; and what is done again and again."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from longline.telemetry.faults import Faults

FIRST: Final = 0.1  # s until it goes on; twice as long each time that it soon raises again, up to
LONGEST: Final = 5.0  # s, which is also how long it has to go well for the next pause to be short again


async def kept(
    place: str,
    work: Callable[[], Awaitable[None]],
    faults: Faults,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Does `work`, which has no end; when it raises something, notes that as a fault of `place`, and after a
    pause begins it again.

    So `work` keeps what must outlive a fault in its object, and nothing in variables of its own: the item
    that raised is the one that is lost. Returns when `work` does.
    """
    pause = FIRST
    while True:
        began = clock()
        try:
            return await work()
        except Exception as error:
            faults.note(place, error)
        if clock() - began >= LONGEST:
            pause = FIRST
        await sleep(pause)
        pause = min(LONGEST, 2 * pause)


async def again(
    work: Callable[[], Awaitable[None]],
    every: float,
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Does `work` at once, and again `every` seconds after it was done, for ever."""
    while True:
        await work()
        await sleep(every)
