"""A task without an end goes on after whatever it raised, and ever more rarely while it goes on raising."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from longline.flow.kept import kept
from longline.telemetry.faults import Faults


class Part:
    """Raises as often as it is told to, after so many seconds each time, and then ends."""

    def __init__(self, *lives: float) -> None:
        self.now = 0.0
        self.lives = list(lives)
        self.pauses: list[float] = []
        self.faults = Faults()

    async def work(self) -> None:
        if self.lives:
            self.now += self.lives.pop(0)
            raise ValueError("a mistake")

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def run(self, work: Callable[[], Awaitable[None]] | None = None) -> Awaitable[None]:
        return kept("a.part", work or self.work, self.faults, clock=lambda: self.now, sleep=self.sleep)


async def test_what_it_raises_is_noted_and_it_begins_again() -> None:
    part = Part(0, 0)
    await part.run()
    assert part.faults.counts == {"a.part": 2}
    assert len(part.pauses) == 2


async def test_one_that_goes_on_raising_is_begun_ever_more_rarely_up_to_a_limit() -> None:
    part = Part(*[0] * 9)
    await part.run()
    assert part.pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5, 5])


async def test_one_that_went_well_for_a_while_is_begun_again_at_once() -> None:
    part = Part(0, 0, 0, 60, 0)
    await part.run()
    assert part.pauses == pytest.approx([0.1, 0.2, 0.4, 0.1, 0.2])


async def test_it_ends_when_its_owner_ends_it() -> None:
    part = Part()

    async def work() -> None:
        await asyncio.Event().wait()

    task = asyncio.ensure_future(part.run(work))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert part.faults.counts == {}
