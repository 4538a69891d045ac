"""Waiting for what a test needs to have happened."""

import asyncio
from collections.abc import Callable

LOOK_EVERY = 0.005  # s


async def until(holds: Callable[[], bool], within: float = 20.0) -> None:
    """Looks again and again; `TimeoutError` when it takes longer than `within` seconds."""
    async with asyncio.timeout(within):
        while True:
            if holds():
                return
            await asyncio.sleep(LOOK_EVERY)
