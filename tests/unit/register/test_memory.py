"""What only the register of one process promises."""

import pytest

from longline.register.memory import SPARE, Left, MemoryRegister
from longline.register.port import Bind, Transition, Unbind


async def test_locating_needs_no_task_switch_and_says_the_same() -> None:
    register = MemoryRegister()
    await register.bind([Bind(1, "phone", "node", 5)])
    names = ["phone", "tablet"]
    assert register.locate_now(1, names) == await register.locate(1, names)


async def test_epochs_rise_across_a_restart() -> None:
    """A session of before the restart must not be taken for one of after it."""
    before, after = MemoryRegister(), MemoryRegister()
    (old,) = await before.bind([Bind(1, "phone", "node", 5)])
    (new,) = await after.bind([Bind(1, "phone", "node", 5)])
    assert new.binding.epoch >= old.binding.epoch


async def test_an_app_without_sessions_takes_no_memory() -> None:
    register = MemoryRegister()
    (bound,) = await register.bind([Bind(1, "phone", "node", 5)])
    await register.unbind([Unbind(1, "phone", bound.binding.epoch, 6)])
    assert register._apps == {}


async def test_a_device_that_comes_and_goes_all_the_time_takes_no_more_memory() -> None:
    register = MemoryRegister()
    for now in range(3 * SPARE):
        (bound,) = await register.bind([Bind(1, "phone", "node", now)])
        assert await register.unbind([Unbind(1, "phone", bound.binding.epoch, now, 1_000_000)]) == [True]
    assert len(register._due) <= SPARE + 2
    assert await register.end_lingering(1_000_000 + 3 * SPARE, 10) == 1


async def all_told(register: MemoryRegister) -> list[Transition]:
    told: list[Transition] = []
    while part := await register.transitions(2):
        told += part
        await register.forget(part)
    return told


async def test_of_transitions_that_nobody_reads_the_latest_of_each_device_is_kept() -> None:
    """One that comes and goes all the time pushes nobody else's out, and takes no more memory for it."""
    register = MemoryRegister(outbox=3)
    await register.bind([Bind(1, "early", "a", 5)])
    await register.bind([Bind(1, "phone", "ab"[n % 2], 5) for n in range(100)])
    await register.bind([Bind(1, f"d{n}", "a", 5) for n in range(5)])
    bound = await register.bind([Bind(1, "phone", "ab"[n % 2], 5) for n in range(100)])
    statistics = {"lingering": 0, "transitions": 3 + 6, "transitions_left_out": 98 + 99}
    assert register.statistics() == statistics
    told = await all_told(register)
    assert [item.device for item in told] == [
        "early",
        "phone",
        "phone",
        *(f"d{n}" for n in range(5)),
        "phone",
    ]
    assert [item.missed for item in told] == [False] * 8 + [True]
    assert told[-1].epoch == bound[-1].binding.epoch
    sequences = [item.sequence for item in told]
    assert sequences == sorted(sequences)
    await register.bind([Bind(1, "phone", "a", 5)])
    assert [item.missed for item in await all_told(register)] == [False]


async def test_what_lived_before_the_start_is_ended_by_it() -> None:
    register = MemoryRegister()
    register.resume(0, [Left(1, "phone", 77, "node"), Left(2, "tablet", 78, "node")], 9)
    told = await all_told(register)
    assert [(item.app, item.device, item.state, item.epoch, item.node, item.at) for item in told] == [
        (1, "phone", "offline", 77, "node", 9),
        (2, "tablet", "offline", 78, "node", 9),
    ]
    assert await register.locate(1, ["phone"]) == [None]


async def test_a_clock_that_stepped_back_takes_no_number_back(monkeypatch: pytest.MonkeyPatch) -> None:
    before = MemoryRegister()
    (old,) = await before.bind([Bind(1, "phone", "node", 5)])
    (told,) = await before.transitions(10)
    (untold,) = await before.bind([Bind(1, "phone", "node", 5)])
    monkeypatch.setattr("time.time_ns", lambda: 5)
    after = MemoryRegister()
    after.resume(told.sequence, [Left(1, "phone", old.binding.epoch, "node")], 5)
    (new,) = await after.bind([Bind(1, "phone", "node", 5)])
    assert new.binding.epoch > untold.binding.epoch
    sequences = [item.sequence for item in (told, *await after.transitions(10))]
    assert sequences == sorted(set(sequences))
