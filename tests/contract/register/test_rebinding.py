"""Sessions that go to another name of their node: a node that was taken for dead, and lives."""

import pytest

from longline.errors import Fenced
from longline.model.devices import Binding
from longline.register.port import Bind, Rebind, Register, Transition, Unbind

NOW = 1_800_000_000_000
LATER = NOW + 20_000
GRACE = 15_000


async def bind(register: Register, device: str, node: str, now: int = NOW) -> Binding:
    (bound,) = await register.bind([Bind(1, device, node, now)])
    return bound.binding


async def die(register: Register, node: str, linger: int = GRACE) -> None:
    await register.declare_dead(node)
    while await register.release(node, NOW + 1, linger, 10):
        pass


async def told(register: Register) -> list[tuple[str, str, int]]:
    found: list[Transition] = []
    while part := await register.transitions(1000):
        found += part
        await register.forget(part)
    return [(item.state, item.node, item.epoch) for item in found]


async def test_a_session_goes_to_the_new_name_of_its_node_and_was_never_away(register: Register) -> None:
    old = await bind(register, "phone", "a")
    await die(register, "a")
    (epoch,) = await register.rebind([Rebind(1, "phone", "a2", old.epoch, LATER)])
    assert epoch is not None
    assert epoch > old.epoch
    assert await register.locate(1, ["phone"]) == [Binding("a2", epoch, NOW)]
    assert await register.end_lingering(NOW + 100 * GRACE, 10) == 0, "it is connected again"
    assert await told(register) == [("online", "a", old.epoch), ("moved", "a2", epoch)]
    assert await register.unbind([Unbind(1, "phone", old.epoch, LATER)]) == [False]
    assert await register.unbind([Unbind(1, "phone", epoch, LATER)]) == [True]


async def test_what_has_come_elsewhere_meanwhile_is_not_taken_back(register: Register) -> None:
    old, other = await bind(register, "phone", "a"), await bind(register, "tablet", "a")
    await die(register, "a")
    new = await bind(register, "phone", "b")
    epochs = await register.rebind(
        [Rebind(1, "phone", "a2", old.epoch, LATER), Rebind(1, "tablet", "a2", other.epoch, LATER)]
    )
    assert epochs[0] is None
    tablet = epochs[1]
    assert tablet is not None
    assert await register.locate(1, ["phone", "tablet"]) == [new, Binding("a2", tablet, NOW)]
    assert await register.rebind([Rebind(1, "phone", "a2", old.epoch, LATER)]) == [None]


async def test_what_lingers_elsewhere_after_a_newer_session_is_not_taken_back(register: Register) -> None:
    old = await bind(register, "phone", "a")
    new = await bind(register, "phone", "b")
    await register.unbind([Unbind(1, "phone", new.epoch, NOW, GRACE)])
    assert await register.rebind([Rebind(1, "phone", "a2", old.epoch, LATER)]) == [None]
    assert await register.locate(1, ["phone"]) == [new]
    assert await register.end_lingering(NOW + GRACE, 10) == 1


async def test_done_twice_it_is_done_once(register: Register) -> None:
    """The answer to the first may have been lost on the way."""
    old = await bind(register, "phone", "a")
    await die(register, "a")
    asked = Rebind(1, "phone", "a2", old.epoch, LATER)
    first = await register.rebind([asked])
    assert await register.rebind([asked]) == first
    assert await register.rebind([asked, asked]) == [*first, *first]
    assert [state for state, _, _ in await told(register)] == ["online", "moved"]


async def test_a_device_that_reconnects_while_its_node_takes_a_new_name_keeps_its_new_session(
    register: Register,
) -> None:
    old = await bind(register, "phone", "a")
    await die(register, "a")
    new = await bind(register, "phone", "a2")
    assert await register.rebind([Rebind(1, "phone", "a2", old.epoch, LATER)]) == [new.epoch]
    assert await register.locate(1, ["phone"]) == [new]


async def test_a_session_whose_time_to_come_back_is_over_begins_anew(register: Register) -> None:
    old = await bind(register, "phone", "a")
    await die(register, "a")
    assert await register.end_lingering(NOW + 1 + GRACE, 10) == 1
    (epoch,) = await register.rebind([Rebind(1, "phone", "a2", old.epoch, LATER)])
    assert epoch is not None
    assert epoch > old.epoch
    assert await register.locate(1, ["phone"]) == [Binding("a2", epoch, LATER)]
    assert await told(register) == [
        ("online", "a", old.epoch),
        ("offline", "a", old.epoch),
        ("online", "a2", epoch),
    ]


async def test_a_session_that_the_table_has_forgotten_is_in_it_again(register: Register) -> None:
    """Under the same name: what the table has is older than the session."""
    older = await bind(register, "phone", "elsewhere")
    (epoch,) = await register.rebind([Rebind(1, "phone", "a", older.epoch + 5, LATER)])
    assert epoch is not None
    assert await register.locate(1, ["phone"]) == [Binding("a", epoch, NOW)]
    assert await register.count(1) == 1


async def test_a_dead_name_is_no_name_to_go_to(register: Register) -> None:
    binding = await bind(register, "phone", "a")
    await register.declare_dead("a2")
    with pytest.raises(Fenced):
        await register.rebind([Rebind(1, "phone", "a2", binding.epoch, LATER)])
    assert await register.locate(1, ["phone"]) == [binding]


async def test_a_new_name_that_dies_releases_what_it_was_given(register: Register) -> None:
    old = await bind(register, "phone", "a")
    await die(register, "a")
    await register.rebind([Rebind(1, "phone", "a2", old.epoch, LATER)])
    await die(register, "a2", linger=0)
    assert await register.count(1) == 0
    assert (await told(register))[-1][0] == "offline"


async def test_many_go_in_one_call_and_are_answered_in_order(register: Register) -> None:
    names = [f"d{n}" for n in range(50)]
    bound = await register.bind([Bind(1 + n % 2, name, "a", NOW) for n, name in enumerate(names)])
    await die(register, "a")
    epochs = await register.rebind(
        [
            Rebind(1 + n % 2, name, "a2", item.binding.epoch, LATER)
            for n, (name, item) in enumerate(zip(names, bound, strict=True))
        ]
    )
    for n, name in enumerate(names):
        (binding,) = await register.locate(1 + n % 2, [name])
        assert binding is not None
        assert (binding.node, binding.epoch) == ("a2", epochs[n])
    assert await register.rebind([]) == []
