"""When a process knows that it cannot do its work, and when it does not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from longline.node.isolation import EVERY, FALLEN, Isolation, Silence, silent
from longline.telemetry.faults import Faults
from longline.testing.clock import VirtualClock, settle
from tests.waiting import until

PATIENCE = 5.0


class Site:
    """A store that answers what it is asked, or does not, and a process that asks it all the time."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.heard = 0
        self.waiting = 1
        self.answers = True
        self.fallen = False
        self.working = 0
        self.faults = Faults()
        self.broken: Exception | None = None
        self.isolation = Isolation(
            self.signs,
            patience=PATIENCE,
            fallen=lambda: self.fallen,
            work=self._work,
            faults=self.faults,
            monotonic=self.clock.now,
            sleep=self.clock.sleep,
        )

    def signs(self) -> tuple[int, int]:
        self.heard += self.answers
        return self.heard, self.waiting

    async def _work(self) -> None:
        if self.broken is not None:
            raise self.broken
        self.working += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.working -= 1


@asynccontextmanager
async def a_site() -> AsyncIterator[Site]:
    site = Site()
    running = asyncio.create_task(site.isolation.run())
    await settle()
    try:
        yield site
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await settle()
        assert site.working == 0


async def test_a_store_that_says_nothing_for_too_long_isolates_a_process_until_it_says_something() -> None:
    async with a_site() as site:
        await site.clock.advance(60)
        assert not site.isolation.isolated
        site.answers = False
        await site.clock.advance(PATIENCE - EVERY)
        assert not site.isolation.isolated
        await site.clock.advance(2 * EVERY)
        assert site.isolation.isolated
        assert site.working == 1
        await site.clock.advance(60)
        assert site.working == 1
        site.answers = True
        await site.clock.advance(EVERY)
        assert not site.isolation.isolated
        await settle()
        assert site.working == 0


async def test_a_store_of_which_nothing_is_asked_is_not_silent() -> None:
    async with a_site() as site:
        site.answers = False
        site.waiting = 0
        await site.clock.advance(60)
        assert not site.isolation.isolated


def test_a_process_that_stood_still_itself_does_not_call_the_store_silent() -> None:
    silence = Silence(lambda: (0, 1), 1000.0)
    assert [silence.look(1000.0 + 60 * minutes) for minutes in (1, 2, 3)] == [0.5, 1.0, 1.5]


async def test_who_was_taken_for_dead_and_finds_no_new_name_is_isolated() -> None:
    """The keeper is away for it, and its clients are bound to nobody."""
    async with a_site() as site:
        site.fallen = True
        await site.clock.advance(FALLEN - 2 * EVERY)
        assert not site.isolation.isolated
        await site.clock.advance(3 * EVERY)
        assert site.isolation.isolated
        site.fallen = False
        await site.clock.advance(EVERY)
        assert not site.isolation.isolated


async def test_a_fault_in_what_is_done_about_it_ends_nothing() -> None:
    async with a_site() as site:
        site.broken = ValueError("what nobody foresaw")
        site.answers = False
        await site.clock.advance(2 * PATIENCE)
        assert site.faults.counts == {"node.isolation": 1}
        site.answers = True
        await site.clock.advance(EVERY)
        assert not site.isolation.isolated


@pytest.mark.parametrize("waiting", [0, 1])
async def test_who_is_to_end_learns_that_the_store_is_gone_while_something_waits_for_it(waiting: int) -> None:
    asked = 0

    def signs() -> tuple[int, int]:
        nonlocal asked
        asked += 1
        return 0, waiting

    gone = asyncio.create_task(silent(signs, EVERY / 2))
    await until(lambda: gone.done() or asked > 3)
    assert gone.done() == bool(waiting)
    gone.cancel()
