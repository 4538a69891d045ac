"""What is remembered of devices that acknowledge nothing."""

from longline.saver.port.parking import Release, Standing, Strike
from tests.contract.store_fixture import StoreFixture


async def strike(store: StoreFixture, *ordinals: int, parks_at: int = 3) -> None:
    await store.saver.parking.strike([Strike(store.app, n, store.now, parks_at) for n in ordinals])


async def standing(store: StoreFixture, ordinal: int) -> Standing | None:
    (found,) = await store.saver.parking.standings(store.app, [ordinal])
    return found


async def test_a_device_that_acknowledges_has_nothing(store: StoreFixture) -> None:
    (ordinal,) = await store.register("a")
    assert await standing(store, ordinal) is None
    assert (await store.arrive("a")).standing is None
    await store.saver.parking.release([Release(store.app, ordinal)])


async def test_strikes_are_counted_and_told_to_who_lets_the_device_in(store: StoreFixture) -> None:
    ordinal, other = await store.register("a", "b")
    for _ in range(2):
        await store.pass_time(1000)
        await strike(store, ordinal)
    assert await standing(store, ordinal) == Standing(2, store.now)
    assert (await store.arrive("a")).standing == Standing(2, store.now)
    assert await standing(store, other) is None


async def test_a_device_is_parked_from_so_many_on_and_stays_so(store: StoreFixture) -> None:
    (ordinal,) = await store.register("a")
    for _ in range(3):
        await store.pass_time(1000)
        await strike(store, ordinal)
    since = store.now
    assert await standing(store, ordinal) == Standing(3, since, since)
    await store.pass_time(1000)
    await strike(store, ordinal)
    assert await standing(store, ordinal) == Standing(4, store.now, since)
    await store.reopen()
    assert (await store.arrive("a")).standing == Standing(4, store.now, since)


async def test_a_device_can_be_parked_at_once(store: StoreFixture) -> None:
    (ordinal,) = await store.register("a")
    await strike(store, ordinal, parks_at=1)
    assert await standing(store, ordinal) == Standing(1, store.now, store.now)


async def test_a_strike_that_is_told_twice_counts_once(store: StoreFixture) -> None:
    (ordinal,) = await store.register("a")
    for _ in range(3):
        await strike(store, ordinal)
    assert await standing(store, ordinal) == Standing(1, store.now)


async def test_several_strikes_of_one_call_count(store: StoreFixture) -> None:
    ordinal, other = await store.register("a", "b")
    await store.saver.parking.strike(
        [Strike(store.app, n, store.now + at, 3) for at in range(3) for n in (ordinal, other)]
    )
    assert await standing(store, ordinal) == Standing(3, store.now + 2, store.now + 2)
    assert await standing(store, other) == Standing(3, store.now + 2, store.now + 2)


async def test_an_acknowledgement_ends_it(store: StoreFixture) -> None:
    (ordinal,) = await store.register("a")
    await strike(store, ordinal, parks_at=1)
    await store.saver.parking.release([Release(store.app, ordinal)] * 2)
    assert await standing(store, ordinal) is None
    await store.pass_time(1)
    await strike(store, ordinal)
    assert await standing(store, ordinal) == Standing(1, store.now)


async def test_of_a_device_that_is_deleted_nothing_is_left_for_a_later_one(store: StoreFixture) -> None:
    (ordinal,) = await store.register("a")
    await strike(store, ordinal, parks_at=1)
    await store.saver.devices.delete(store.app, "a", store.now)
    assert await standing(store, ordinal) is None
    await strike(store, ordinal)  # its room has not heard of it yet
    assert await standing(store, ordinal) is None
    assert (await store.arrive("a")).standing is None
