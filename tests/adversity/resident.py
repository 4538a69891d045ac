"""How much memory processes have, now and at most."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

LOOK_EVERY = 0.1  # s


async def highest(processes: Sequence[int]) -> int:
    """The most memory that the processes have together, until it is cancelled."""
    most = 0
    with suppress(asyncio.CancelledError):
        while True:
            most = max(most, memory(processes))
            await asyncio.sleep(LOOK_EVERY)
    return most


async def stopped(watching: "asyncio.Task[int]") -> int:
    watching.cancel()
    return await watching


def memory(processes: Sequence[int]) -> int:
    """Resident bytes that are nobody else's."""
    total = 0
    for process in processes:
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "RssAnon":
                total += int(value.split()[0]) * 1024
    return total
