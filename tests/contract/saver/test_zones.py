"""Audiences by time zone: whose clocks show some time, which schedules ask for."""

from collections.abc import Mapping
from zoneinfo import available_timezones

from longline.model.audience import AllOf, Expression, InZone, NoneOf, OnPlatform
from longline.model.devices import Profile
from longline.saver.port.devices import Registration
from tests.contract.store_fixture import StoreFixture


async def put(store: StoreFixture, profiles: Mapping[str, Profile]) -> None:
    batch = [Registration(name, profile) for name, profile in profiles.items()]
    await store.saver.devices.put(store.app, batch, store.now)


async def described(store: StoreFixture, expression: Expression) -> list[str]:
    return sorted((await store.saver.audiences.describe(store.app, expression, 100)).some)


async def test_who_is_in_a_time_zone_is_found_as_it_is_now(store: StoreFixture) -> None:
    """Whatever else is known of a device, and after it has moved, says nothing more, or is gone."""
    await put(
        store,
        {
            "ann": Profile(timezone="Europe/Berlin", platform="ios", attributes={"age": 17}),
            "bob": Profile(timezone="Asia/Tokyo"),
            "cyd": Profile(timezone="Europe/Berlin"),
            "dan": Profile(tags=("red",)),
        },
    )
    berlin, tokyo = InZone(("Europe/Berlin", "Europe/Paris")), InZone(("Asia/Tokyo",))
    assert await described(store, berlin) == ["ann", "cyd"]
    assert await described(store, NoneOf((berlin, tokyo))) == ["dan"]
    assert await described(store, AllOf((OnPlatform(("ios",)), berlin))) == ["ann"]
    await put(store, {"ann": Profile(timezone="Asia/Tokyo"), "bob": Profile()})
    assert await store.saver.devices.delete(store.app, "cyd", store.now)
    assert await described(store, berlin) == []
    assert await described(store, tokyo) == ["ann"]
    assert await described(store, NoneOf((tokyo,))) == ["bob", "dan"]


async def test_who_is_in_none_of_all_the_worlds_zones_is_found(store: StoreFixture) -> None:
    await put(
        store, {"ann": Profile(timezone="Europe/Berlin"), "bob": Profile(), "cyd": Profile(timezone="Mars")}
    )
    world = InZone(tuple(sorted(available_timezones())))
    assert await described(store, NoneOf((world,))) == ["bob", "cyd"]
