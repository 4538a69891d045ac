"""What processes have of the machine: memory, now and at most, and time on a processor."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self

LOOK_EVERY = 0.1  # s


class Scheduled(NamedTuple):
    """What the loops' threads of processes had of the processors, in seconds, since they began.

    `waited`: ready to run, while others ran. What they did late meanwhile is the machine's doing.
    """

    ran: float
    waited: float

    @classmethod
    def of(cls, processes: Sequence[int]) -> Self:
        """Until now."""
        lines = [Path(f"/proc/{process}/schedstat").read_text().split() for process in processes]
        ran, waited = (sum(int(line[at]) for line in lines) / 1e9 for at in (0, 1))
        return cls(ran, waited)

    def since(self, before: Self) -> str:
        ran, waited = self.ran - before.ran, self.waited - before.waited
        return f"had a processor for {ran:.1f} s and waited {waited:.1f} s"


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
