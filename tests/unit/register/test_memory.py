"""What only the register of one process promises."""

from longline.register.memory import SPARE, MemoryRegister
from longline.register.port import Bind, Unbind


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


async def test_of_transitions_that_nobody_reads_the_latest_are_kept_and_the_others_counted() -> None:
    register = MemoryRegister(outbox=3)
    await register.bind([Bind(1, f"d{n}", "node", 5) for n in range(5)])
    assert [transition.device for transition in await register.transitions(10)] == ["d2", "d3", "d4"]
    assert register.statistics() == {"lingering": 0, "transitions": 3, "transitions_lost": 2}
    await register.forget(await register.transitions(2))
    assert register.statistics() == {"lingering": 0, "transitions": 1, "transitions_lost": 2}
