"""Sessions that linger, nodes that die, and what others are told of it all."""

from collections.abc import Sequence

import pytest

from longline.errors import Fenced
from longline.model.devices import Binding
from longline.register.port import Bind, Register, Transition, Unbind

NOW = 1_800_000_000_000
GRACE = 15_000


async def bind(register: Register, device: str, node: str, now: int = NOW) -> Binding:
    (bound,) = await register.bind([Bind(1, device, node, now)])
    return bound.binding


async def lose(
    register: Register, device: str, binding: Binding, now: int = NOW, linger: int = GRACE
) -> bool:
    (owned,) = await register.unbind([Unbind(1, device, binding.epoch, now, linger)])
    return owned


async def told(register: Register, limit: int = 1000) -> list[Transition]:
    """Every transition since the last call; those of one source are in order."""
    transitions: list[Transition] = []
    while part := await register.transitions(limit):
        transitions += part
        await register.forget(part)
    sequences: dict[str, int] = {}
    for transition in transitions:
        assert transition.sequence > sequences.get(transition.source, 0)
        sequences[transition.source] = transition.sequence
    return transitions


def states(transitions: Sequence[Transition], device: str = "phone") -> list[tuple[str, str, int]]:
    return [(item.state, item.node, item.epoch) for item in transitions if item.device == device]


# --- lingering ---------------------------------------------------------------------------------------


async def test_a_session_that_lost_its_connection_is_still_there_to_others(register: Register) -> None:
    binding = await bind(register, "phone", "a")
    assert await lose(register, "phone", binding)
    assert await register.locate(1, ["phone"]) == [binding]
    assert await register.count(1) == 1


async def test_it_is_over_when_its_time_is(register: Register) -> None:
    binding = await bind(register, "phone", "a")
    await lose(register, "phone", binding)
    assert await register.end_lingering(NOW + GRACE - 1, 10) == 0
    assert await register.locate(1, ["phone"]) == [binding]
    assert await register.end_lingering(NOW + GRACE, 10) == 1
    assert await register.end_lingering(NOW + GRACE, 10) == 0
    assert await register.locate(1, ["phone"]) == [None]
    assert await register.count(1) == 0
    assert states(await told(register)) == [("online", "a", binding.epoch), ("offline", "a", binding.epoch)]


async def test_a_device_that_comes_back_in_time_has_not_been_away(register: Register) -> None:
    old = await bind(register, "phone", "a")
    await lose(register, "phone", old)
    (bound,) = await register.bind([Bind(1, "phone", "a", NOW + 5)])
    assert bound.previous == old
    assert await register.end_lingering(NOW + 10 * GRACE, 10) == 0
    assert await register.locate(1, ["phone"]) == [bound.binding]
    assert states(await told(register)) == [("online", "a", old.epoch)]


async def test_a_device_that_comes_back_elsewhere_has_moved(register: Register) -> None:
    old = await bind(register, "phone", "a")
    await lose(register, "phone", old)
    (bound,) = await register.bind([Bind(1, "phone", "b", NOW + 5)])
    assert bound.previous == old
    assert await register.end_lingering(NOW + 10 * GRACE, 10) == 0
    assert states(await told(register)) == [("online", "a", old.epoch), ("moved", "b", bound.binding.epoch)]


async def test_the_old_session_can_neither_linger_nor_end_any_more(register: Register) -> None:
    """Its room may be slow to notice that the connection broke."""
    old = await bind(register, "phone", "a")
    new = await bind(register, "phone", "b")
    assert not await lose(register, "phone", old)
    assert not await lose(register, "phone", old, linger=0)
    assert await register.end_lingering(NOW + 10 * GRACE, 10) == 0
    assert await register.locate(1, ["phone"]) == [new]


async def test_a_session_that_lingers_can_be_ended_at_once(register: Register) -> None:
    binding = await bind(register, "phone", "a")
    await lose(register, "phone", binding)
    assert await lose(register, "phone", binding, NOW + 1, linger=0)
    assert await register.end_lingering(NOW + GRACE, 10) == 0
    assert states(await told(register)) == [("online", "a", binding.epoch), ("offline", "a", binding.epoch)]


async def test_saying_twice_that_a_connection_broke_is_harmless(register: Register) -> None:
    binding = await bind(register, "phone", "a")
    assert await lose(register, "phone", binding)
    assert await lose(register, "phone", binding)
    assert await register.end_lingering(NOW + GRACE, 10) == 1
    assert len(await told(register)) == 2


async def test_lingering_ends_in_batches_until_nothing_is_due(register: Register) -> None:
    for n in range(100):
        binding = await bind(register, f"d{n}", "a")
        await lose(register, f"d{n}", binding, linger=GRACE + (n % 2))
    ended = [await register.end_lingering(NOW + GRACE, 20) for _ in range(4)]
    assert max(ended) <= 20
    assert sum(ended) == 50
    assert await register.count(1) == 50


# --- transitions -------------------------------------------------------------------------------------


async def test_what_others_see_is_told_in_order(register: Register) -> None:
    first = await bind(register, "phone", "a", NOW)
    second = await bind(register, "phone", "b", NOW + 1)
    await lose(register, "phone", second, NOW + 2, linger=0)
    third = await bind(register, "phone", "b", NOW + 3)
    transitions = await told(register)
    assert states(transitions) == [
        ("online", "a", first.epoch),
        ("moved", "b", second.epoch),
        ("offline", "b", second.epoch),
        ("online", "b", third.epoch),
    ]
    assert [item.at for item in transitions] == [NOW, NOW + 1, NOW + 2, NOW + 3]
    assert {item.app for item in transitions} == {1}
    assert len({item.source for item in transitions}) == 1, "a device is told of by one source"


async def test_a_takeover_on_the_same_node_is_no_transition(register: Register) -> None:
    first = await bind(register, "phone", "a")
    await bind(register, "phone", "a")
    assert states(await told(register)) == [("online", "a", first.epoch)]


async def test_transitions_are_kept_until_they_are_forgotten(register: Register) -> None:
    await register.bind([Bind(1, f"d{n}", "a", NOW) for n in range(300)])
    seen = await register.transitions(1000)
    assert sorted(seen, key=str) == sorted(await register.transitions(1000), key=str)
    await register.forget(seen)
    assert await register.transitions(1000) == []
    later = await bind(register, "d7", "b")
    (transition,) = await register.transitions(1000)
    assert (transition.state, transition.epoch) == ("moved", later.epoch)
    assert all(transition.sequence > old.sequence for old in seen if old.source == transition.source)


async def test_forgetting_some_keeps_the_others(register: Register) -> None:
    for node in ("a", "b", "c"):
        await bind(register, "phone", node)
    first, second, third = await register.transitions(10)
    await register.forget([second])
    assert await register.transitions(10) == [third]
    await register.forget([first])
    await register.forget([])
    assert await register.transitions(10) == [third]


async def test_a_reader_gets_no_more_than_it_asks_for_and_all_of_it_in_the_end(register: Register) -> None:
    bounds = await register.bind([Bind(n % 3, f"d{n}", "a", NOW) for n in range(200)])
    assert len(await register.transitions(7)) == 7
    transitions = await told(register, 7)
    assert sorted(item.epoch for item in transitions) == sorted(bound.binding.epoch for bound in bounds)


# --- nodes that die ----------------------------------------------------------------------------------


async def test_a_node_that_was_declared_dead_binds_nothing_any_more(register: Register) -> None:
    alive = await bind(register, "phone", "b")
    await register.declare_dead("a")
    await register.declare_dead("a")
    with pytest.raises(Fenced):
        await register.bind([Bind(1, name, "a", NOW) for name in ("phone", "tablet", "watch")])
    assert await register.locate(1, ["phone", "tablet", "watch"]) == [alive, None, None]
    assert (await bind(register, "tablet", "b")).node == "b"


async def test_devices_of_a_dead_node_linger_and_come_back_elsewhere(register: Register) -> None:
    old = {f"d{n}": await bind(register, f"d{n}", "a") for n in range(100)}
    other = await bind(register, "other", "b")
    await told(register)
    await register.declare_dead("a")
    found = 0
    while part := await register.release("a", NOW, GRACE, 30):
        assert part <= 30
        found += part
    assert found == 100
    back = [await bind(register, f"d{n}", "b", NOW + 1) for n in range(40)]
    assert await register.end_lingering(NOW + GRACE, 1000) == 60
    transitions = await told(register)
    assert sorted(item.device for item in transitions if item.state == "offline") == sorted(
        f"d{n}" for n in range(40, 100)
    )
    assert [states(transitions, f"d{n}") for n in range(40)] == [[("moved", "b", b.epoch)] for b in back]
    assert all(item.epoch == old[item.device].epoch for item in transitions if item.state == "offline")
    assert await register.locate(1, ["other"]) == [other]


async def test_a_device_that_left_the_node_before_is_not_released(register: Register) -> None:
    await bind(register, "moved", "a")
    moved = await bind(register, "moved", "b")
    await lose(register, "gone", await bind(register, "gone", "a"), linger=0)
    waiting = await bind(register, "waiting", "a")
    await lose(register, "waiting", waiting, linger=GRACE)
    await register.declare_dead("a")
    assert await register.release("a", NOW + 5, 10 * GRACE, 100) == 0
    assert await register.end_lingering(NOW + GRACE, 100) == 1, "its time runs from when its connection broke"
    assert await register.locate(1, ["moved", "gone", "waiting"]) == [moved, None, None]


async def test_a_node_can_be_released_without_any_grace(register: Register) -> None:
    binding = await bind(register, "phone", "a")
    await register.declare_dead("a")
    assert await register.release("a", NOW + 5, 0, 100) == 1
    assert await register.locate(1, ["phone"]) == [None]
    assert [(item.state, item.at) for item in await told(register)] == [("online", NOW), ("offline", NOW + 5)]
    assert not await lose(register, "phone", binding), "what the node says late changes nothing"
