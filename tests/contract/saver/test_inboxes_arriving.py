"""Devices that connect: registered when they are new, and told what a connection needs to know."""

from longline.saver.port.inboxes import GUEST, Arrive
from tests.contract.store_fixture import StoreFixture


async def test_who_arrives_for_the_first_time_is_registered(store: StoreFixture) -> None:
    arrival = await store.arrive("phone")
    assert arrival.ordinal == await store.ordinal("phone")
    assert arrival.banned_until == 0
    assert not arrival.pending
    assert await store.arrive("phone") == arrival


async def test_one_batch_of_arrivals_may_name_a_device_twice(store: StoreFixture) -> None:
    await store.register("old")
    batch = [Arrive(store.app, name, store.now) for name in ("new", "old", "new")]
    first, old, second = await store.saver.inboxes.arrive(batch)
    assert first is not None
    assert old is not None
    assert first == second
    assert first.ordinal != old.ordinal
    assert await store.saver.devices.count(store.app) == 2


async def test_an_arrival_says_whether_something_waits(store: StoreFixture) -> None:
    await store.register("phone", "tablet")
    await store.push("hello", "phone")
    assert (await store.arrive("phone")).pending
    assert not (await store.arrive("tablet")).pending
    await store.push("to all")
    assert (await store.arrive("tablet")).pending


async def test_a_ban_is_told_on_arrival_and_can_be_lifted(store: StoreFixture) -> None:
    await store.register("phone")
    assert await store.saver.devices.ban(store.app, "phone", store.now + 1000)
    assert (await store.arrive("phone")).banned_until == store.now + 1000
    assert await store.saver.devices.ban(store.app, "phone", 0)
    assert (await store.arrive("phone")).banned_until == 0
    assert not await store.saver.devices.ban(store.app, "nobody", 1)


async def test_who_is_not_to_be_registered_is_not(store: StoreFixture) -> None:
    """Also among others in one batch, and twice."""
    await store.register("old")
    now = store.now
    batch = [
        Arrive(store.app, "guest", now, False),
        Arrive(store.app, "old", now, False),
        Arrive(store.app, "new", now),
        Arrive(store.app, "guest", now, False),
    ]
    first, old, new, again = await store.saver.inboxes.arrive(batch)
    assert first is not None
    assert old is not None
    assert new is not None
    assert (first.ordinal, first.pending, first.log_after, first.banned_until) == (GUEST, False, 0, 0)
    assert again == first
    assert old.ordinal == await store.ordinal("old")
    assert new.ordinal == await store.ordinal("new")
    assert await store.saver.devices.count(store.app) == 2
    (arrival,) = await store.saver.inboxes.arrive([Arrive(store.app, "guest", now)])
    assert arrival is not None
    assert arrival.ordinal == await store.ordinal("guest")


async def test_nobody_arrives_in_an_app_that_is_gone_registered_or_not(store: StoreFixture) -> None:
    await store.saver.apps.delete(store.app)
    batch = [Arrive(store.app, "guest", store.now, False), Arrive(99, "guest", store.now, False)]
    assert await store.saver.inboxes.arrive(batch) == [None, None]


async def test_who_comes_back_after_many_new_ones_is_told_what_waits(store: StoreFixture) -> None:
    """Also beside a new one, who does not have it; and a guest among them is no device."""
    await store.register("old", "banned")
    await store.push("hello", "old")
    assert await store.saver.devices.ban(store.app, "banned", store.now + 1000)
    arrive = store.saver.inboxes.arrive
    for number in range(10):
        new = [Arrive(store.app, f"new-{number}-{which}", store.now) for which in range(3)]
        assert None not in await arrive(new)
    names = ("old", "another", "banned", "another")
    old, another, banned, again = await arrive([Arrive(store.app, name, store.now) for name in names])
    assert old is not None
    assert banned is not None
    assert another is not None
    assert (old.pending, another.pending, banned.pending) == (True, False, False)
    assert (old.banned_until, banned.banned_until) == (0, store.now + 1000)
    assert again == another
    for number in range(10):
        assert await arrive([Arrive(store.app, f"newer-{number}", store.now)]) != [None]
    (guest,) = await arrive([Arrive(store.app, "old", store.now, False)])
    assert guest is not None
    assert guest.ordinal == old.ordinal
    assert await store.saver.devices.count(store.app) == 2 + 30 + 1 + 10
