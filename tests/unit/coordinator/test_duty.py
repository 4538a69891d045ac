"""A duty is done by who leads it, again and again, whatever happens in one round."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from longline.coordinator.duty import Duty
from longline.errors import Unavailable
from longline.keeper.local import LocalKeeper
from longline.telemetry.faults import Faults
from longline.testing.clock import VirtualClock
from tests.unit.coordinator.cluster import a_member


class Rounds:
    """What the rounds of a duty answer, or raise, one after the other; then that there is nothing to do."""

    def __init__(self, *answers: bool | Exception) -> None:
        self.answers = list(answers)
        self.done = 0

    async def __call__(self) -> bool:
        self.done += 1
        answer = self.answers.pop(0) if self.answers else False
        if isinstance(answer, Exception):
            raise answer
        return answer


@asynccontextmanager
async def running(duty: Duty) -> AsyncIterator[None]:
    task = asyncio.create_task(duty.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def a_keeper(*names: str) -> LocalKeeper:
    keeper = LocalKeeper()
    for name in names:
        await keeper.join(a_member(name))
    return keeper


async def test_a_duty_is_done_only_by_who_leads_it() -> None:
    keeper, clock = await a_keeper("a", "b"), VirtualClock()
    mine, other = Rounds(), Rounds()
    a = Duty("expiry", keeper, lambda: "a", mine, Faults(), every=1.0, sleep=clock.sleep)
    b = Duty("expiry", keeper, lambda: "b", other, Faults(), every=1.0, sleep=clock.sleep)
    async with running(a), running(b):
        await clock.advance(3.5)
        assert (mine.done, other.done) == (4, 0)
        await keeper.leave("a")
        await clock.advance(2.0)
        assert (mine.done, other.done) == (4, 2)


async def test_a_duty_is_not_done_by_who_is_no_member() -> None:
    keeper, clock, rounds = await a_keeper(), VirtualClock(), Rounds()
    async with running(Duty("expiry", keeper, lambda: "a", rounds, Faults(), every=1.0, sleep=clock.sleep)):
        await clock.advance(5.0)
    assert rounds.done == 0


async def test_a_duty_is_led_under_the_name_that_the_process_has_at_the_moment() -> None:
    keeper, clock, rounds = await a_keeper("a", "b"), VirtualClock(), Rounds()
    name = "a"
    async with running(Duty("expiry", keeper, lambda: name, rounds, Faults(), every=1.0, sleep=clock.sleep)):
        await clock.advance(0.5)
        assert rounds.done == 1
        await keeper.leave("a")
        name = "b"
        await clock.advance(1.0)
        assert rounds.done == 2


async def test_a_round_that_says_that_there_is_more_is_followed_by_the_next_at_once() -> None:
    keeper, clock, rounds = await a_keeper("a"), VirtualClock(), Rounds(True, True, False)
    async with running(Duty("expiry", keeper, lambda: "a", rounds, Faults(), every=1.0, sleep=clock.sleep)):
        await clock.advance(0.5)
        assert rounds.done == 3


async def test_a_leader_who_is_replaced_between_two_rounds_does_no_more() -> None:
    keeper, clock = await a_keeper("a"), VirtualClock()
    done = 0

    async def round() -> bool:
        nonlocal done
        done += 1
        await keeper.leave("a")
        return True

    async with running(Duty("expiry", keeper, lambda: "a", round, Faults(), every=1.0, sleep=clock.sleep)):
        await clock.advance(5.0)
    assert done == 1


async def test_a_round_that_fails_is_tried_again_after_a_while() -> None:
    """Also when it fails as nobody foresaw: the process may serve clients."""
    keeper, clock = await a_keeper("a"), VirtualClock()
    rounds = Rounds(Unavailable("no store"), RuntimeError("what nobody foresaw"))
    faults = Faults()
    duty = Duty("expiry", keeper, lambda: "a", rounds, faults, every=0.1, sleep=clock.sleep)
    async with running(duty):
        await clock.advance(0.9)
        assert (rounds.done, duty.failures) == (1, 1)
        await clock.advance(1.0)
        assert (rounds.done, duty.failures) == (2, 2)
        await clock.advance(1.0)
        assert rounds.done > 2
    assert duty.failures == 2
    assert faults.counts == {"coordinator.expiry": 1}
