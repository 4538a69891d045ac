"""Virtual time wakes who is due, in order, and nobody else."""

import asyncio

import pytest

from longline.testing.clock import VirtualClock, settle


async def sleeper(clock: VirtualClock, log: list[tuple[str, float]], name: str, *waits: float) -> None:
    for wait in waits:
        await clock.sleep(wait)
        log.append((name, clock.now()))


async def test_sleepers_wake_in_the_order_of_their_time_and_may_sleep_again() -> None:
    clock = VirtualClock(start=0.0)
    log: list[tuple[str, float]] = []
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(sleeper(clock, log, "slow", 5.0))
        tasks.create_task(sleeper(clock, log, "quick", 2.0, 2.0))
        await clock.advance(10.0)
        assert log == [("quick", 2.0), ("quick", 4.0), ("slow", 5.0)]
    assert clock.now() == 10.0


async def test_who_is_not_due_sleeps_on() -> None:
    clock = VirtualClock(start=0.0)
    log: list[tuple[str, float]] = []
    task = asyncio.create_task(sleeper(clock, log, "one", 3.0))
    await clock.advance(2.5)
    assert log == []
    assert clock.sleeping == 1
    assert clock.next_wake == 0.5
    await clock.advance(0.5)
    assert log == [("one", 3.0)]
    assert clock.next_wake is None
    await task


async def test_a_cancelled_sleeper_is_forgotten() -> None:
    clock = VirtualClock()
    task = asyncio.create_task(clock.sleep(1.0))
    await settle()
    task.cancel()
    await settle()
    assert clock.sleeping == 0
    assert clock.next_wake is None
    await clock.advance(2.0)


async def test_a_sleep_of_nothing_only_lets_others_run() -> None:
    await VirtualClock().sleep(0.0)


async def test_time_does_not_run_backwards() -> None:
    with pytest.raises(ValueError, match="backwards"):
        await VirtualClock().advance(-1.0)
