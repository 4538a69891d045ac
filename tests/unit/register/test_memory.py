"""What only the register of one process promises."""

from longline.register.memory import MemoryRegister
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
    await register.unbind([Unbind(1, "phone", bound.binding.epoch)])
    assert register._apps == {}
