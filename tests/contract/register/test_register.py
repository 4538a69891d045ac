"""The session table: one owner a device, epochs that rise, removal that is fenced."""

import asyncio

from longline.register.port import Bind, Register, Unbind

NOW = 1_800_000_000_000


async def test_a_bound_device_is_located_where_it_is_bound(register: Register) -> None:
    (bound,) = await register.bind([Bind(1, "phone", "node-a", NOW)])
    assert bound.previous is None
    assert (bound.binding.node, bound.binding.since) == ("node-a", NOW)
    assert await register.locate(1, ["phone", "tablet"]) == [bound.binding, None]


async def test_a_new_bind_takes_over_and_names_what_it_replaced(register: Register) -> None:
    (old,) = await register.bind([Bind(1, "phone", "node-a", NOW)])
    (new,) = await register.bind([Bind(1, "phone", "node-b", NOW + 5)])
    assert new.previous == old.binding
    assert new.binding.epoch > old.binding.epoch
    assert await register.locate(1, ["phone"]) == [new.binding]


async def test_epochs_rise_also_after_an_unbind(register: Register) -> None:
    """Whoever still holds an old epoch must not be taken for the new owner."""
    epochs = []
    for _ in range(5):
        (bound,) = await register.bind([Bind(1, "phone", "node-a", NOW)])
        epochs.append(bound.binding.epoch)
        assert await register.unbind([Unbind(1, "phone", bound.binding.epoch, NOW)]) == [True]
    assert epochs == sorted(set(epochs))


async def test_a_late_close_of_an_old_session_does_not_unbind_the_new_one(register: Register) -> None:
    (old,) = await register.bind([Bind(1, "phone", "node-a", NOW)])
    (new,) = await register.bind([Bind(1, "phone", "node-a", NOW)])
    assert await register.unbind([Unbind(1, "phone", old.binding.epoch, NOW)]) == [False]
    assert await register.locate(1, ["phone"]) == [new.binding]


async def test_an_unbind_works_once(register: Register) -> None:
    (bound,) = await register.bind([Bind(1, "phone", "node-a", NOW)])
    gone = Unbind(1, "phone", bound.binding.epoch, NOW)
    assert await register.unbind([gone, gone]) == [True, False]
    assert await register.locate(1, ["phone"]) == [None]
    assert await register.unbind([Unbind(9, "nobody", 1, NOW)]) == [False]


async def test_a_batch_is_answered_in_its_order(register: Register) -> None:
    """Also when it binds one device twice: the last bind owns it."""
    batch = [Bind(1, name, f"node-{n}", NOW) for n, name in enumerate(["a", "b", "a"])]
    first, other, second = await register.bind(batch)
    assert second.previous == first.binding
    assert await register.locate(1, ["b", "a"]) == [other.binding, second.binding]


async def test_apps_are_apart(register: Register) -> None:
    one, two = await register.bind([Bind(1, "phone", "node-a", NOW), Bind(2, "phone", "node-b", NOW)])
    assert two.previous is None
    assert await register.locate(1, ["phone"]) == [one.binding]
    assert await register.locate(2, ["phone"]) == [two.binding]
    assert await register.unbind([Unbind(2, "phone", two.binding.epoch, NOW)]) == [True]
    assert await register.locate(1, ["phone"]) == [one.binding]


async def test_bound_devices_are_counted_per_app(register: Register) -> None:
    assert await register.count(1) == 0
    bounds = await register.bind([Bind(1, name, "node-a", NOW) for name in ("a", "b", "a")])
    assert await register.count(1) == 2
    await register.unbind([Unbind(1, "b", bounds[1].binding.epoch, NOW)])
    assert (await register.count(1), await register.count(2)) == (1, 0)


async def test_binds_that_race_leave_one_owner_with_the_highest_epoch(register: Register) -> None:
    races = [register.bind([Bind(1, "phone", f"node-{n}", NOW)]) for n in range(50)]
    bindings = [bound.binding for (bound,) in await asyncio.gather(*races)]
    assert len({binding.epoch for binding in bindings}) == 50
    assert await register.locate(1, ["phone"]) == [max(bindings, key=lambda binding: binding.epoch)]


async def test_an_empty_batch_is_nothing(register: Register) -> None:
    assert await register.bind([]) == []
    assert await register.unbind([]) == []
    assert await register.locate(1, []) == []
