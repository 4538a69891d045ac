"""Devices: ordinals are given once, profiles are replaced, labels find them."""

import asyncio

import msgspec

from longline.model.devices import Device, Profile
from longline.model.ledger import State
from longline.saver.port.devices import Registration
from tests.contract.store_fixture import StoreFixture, an_app


async def listed(store: StoreFixture, *, tag: str | None = None, alias: str | None = None) -> list[str]:
    """The names of who has these labels, in alphabetical order."""
    devices = await store.saver.devices.list(store.app, tag=tag, alias=alias, after=-1, limit=1000)
    return sorted(device.device for device in devices)


async def test_registered_devices_are_found_with_their_profiles(store: StoreFixture) -> None:
    profile = Profile(
        aliases=("ann",), tags=("red", "é"), attributes={"n": 1, "deep": {"x": [1, None]}}, timezone="UTC"
    )
    batch = [Registration("phone", profile), Registration("tablet", Profile(platform="web"))]
    made = await store.saver.devices.put(store.app, batch, store.now)
    found = await store.saver.devices.find(store.app, ["tablet", "nobody", "phone"])
    assert found == [made[1], None, made[0]]
    assert made[0].profile == profile
    assert made[0].app == "news"
    assert made[0].created_at == store.now


async def test_ordinals_are_small_and_not_given_again_after_a_deletion(store: StoreFixture) -> None:
    given = await store.register(*(f"d{n}" for n in range(40)))
    for n in range(40):
        await store.saver.devices.delete(store.app, f"d{n}", store.now)
    await store.reopen()
    given += await store.register(*(f"d{n}" for n in range(40)))
    assert len(set(given)) == 80
    assert min(given) >= 0
    assert max(given) < 1000


async def test_registering_again_replaces_the_profile_and_keeps_the_ordinal(store: StoreFixture) -> None:
    before = await store.register("phone", profile=Profile(tags=("red",), aliases=("ann",)))
    created = store.now
    store.now += 5
    after = await store.register("phone", profile=Profile(tags=("blue",)))
    (device,) = await store.saver.devices.find(store.app, ["phone"])
    assert device is not None
    assert before == after
    assert device.profile == Profile(tags=("blue",))
    assert device.created_at == created
    assert await listed(store, tag="red") == []
    assert await listed(store, alias="ann") == []
    assert await listed(store, tag="blue") == ["phone"]


async def test_of_a_device_given_twice_in_a_batch_the_last_profile_counts(store: StoreFixture) -> None:
    batch = [Registration("phone", Profile(tags=("red",))), Registration("phone", Profile(tags=("blue",)))]
    one, two = await store.saver.devices.put(store.app, batch, store.now)
    assert one == two
    assert one.profile.tags == ("blue",)
    assert await listed(store, tag="red") == []


async def test_an_empty_batch_is_nothing(store: StoreFixture) -> None:
    assert await store.saver.devices.put(store.app, [], store.now) == []
    assert await store.saver.devices.find(store.app, []) == []
    assert await store.saver.inboxes.arrive([]) == []
    assert await store.saver.inboxes.fetch([]) == []
    assert await store.saver.messages.enqueue([]) == []
    assert await store.saver.inboxes.count(store.app, [], store.now) == []
    await store.saver.inboxes.settle([])
    await store.saver.inboxes.advance([])


async def test_devices_are_listed_by_ordinal_page_by_page(store: StoreFixture) -> None:
    names = [f"d{n:02}" for n in range(100)]
    ordinals = dict(zip(names, await store.register(*names, profile=Profile(tags=("red",))), strict=True))
    for name in names[::3]:
        await store.saver.devices.delete(store.app, name, store.now)
        del ordinals[name]
    for tag in (None, "red"):
        for limit in (1, 7, 10, 1000):
            seen: list[tuple[str, int]] = []
            after = -1
            while page := await store.saver.devices.list(
                store.app, tag=tag, alias=None, after=after, limit=limit
            ):
                assert len(page) <= limit
                seen += [(device.device, device.ordinal) for device in page]
                after = page[-1].ordinal
            assert seen == sorted(ordinals.items(), key=lambda item: item[1])


async def test_of_many_devices_those_few_with_a_label_are_listed(store: StoreFixture) -> None:
    names = [f"d{n}" for n in range(3000)]
    await store.register(*names)
    rare = names[::599]
    await store.register(*rare, profile=Profile(tags=("rare", "x:y"), aliases=("{p1}",)))
    assert await listed(store, tag="rare") == sorted(rare)
    assert await listed(store, tag="x:y", alias="{p1}") == sorted(rare)
    first = await store.saver.devices.list(store.app, tag="rare", alias=None, after=-1, limit=2)
    rest = await store.saver.devices.list(
        store.app, tag="rare", alias=None, after=first[-1].ordinal, limit=100
    )
    assert len(first) == 2
    assert sorted(device.device for device in first + rest) == sorted(rare)


async def test_tag_and_alias_narrow_a_list_together(store: StoreFixture) -> None:
    await store.register("a", profile=Profile(tags=("red",), aliases=("ann",)))
    await store.register("b", profile=Profile(tags=("red",), aliases=("bob",)))
    await store.register("c", profile=Profile(tags=("blue",), aliases=("ann",)))
    assert await listed(store, tag="red") == ["a", "b"]
    assert await listed(store, alias="ann") == ["a", "c"]
    assert await listed(store, tag="red", alias="ann") == ["a"]
    assert await listed(store, tag="ann") == []


async def test_apps_do_not_see_each_others_devices(store: StoreFixture) -> None:
    await store.register("phone", profile=Profile(tags=("red",)))
    other = (await store.saver.apps.create(an_app("weather"))).number
    assert await store.saver.devices.find(other, ["phone"]) == [None]
    assert await store.saver.devices.list(other, tag="red", alias=None, after=-1, limit=10) == []
    assert await store.saver.devices.count(other) == 0


async def test_devices_are_counted_without_those_that_left(store: StoreFixture) -> None:
    await store.register("a", "b", "c")
    await store.saver.devices.delete(store.app, "b", store.now)
    assert await store.saver.devices.count(store.app) == 2


async def test_names_may_hold_any_text(store: StoreFixture) -> None:
    names = ["a/b", "a'b", 'a"b', "日本", "x" * 500, " ", "a\\b", "%", "1/2", "a", "a\0b"]
    await store.register(*names)
    found = await store.saver.devices.find(store.app, names)
    assert [device.device if device else None for device in found] == names
    await store.push("hello", *names)
    for name in names:
        assert await store.waiting(name) == ["hello"]


async def test_what_waits_for_a_deleted_device_is_dropped(store: StoreFixture) -> None:
    await store.register("phone", "tablet")
    unicast = await store.push("hello", "phone", "tablet")
    broadcast = await store.push("to all")
    (push, *_) = (await store.page("tablet")).pushes
    await store.settle("tablet", push, State.ACKED)
    assert await store.saver.devices.delete(store.app, "phone", store.now)
    for message_id, acked in ((unicast, 1), (broadcast, 0)):
        ledger = await store.ledger(message_id)
        assert ledger.dropped == {"device_deleted": 1}
        assert (ledger.acked, ledger.pending) == (acked, 1 - acked)


async def test_a_deleted_device_is_forgotten(store: StoreFixture) -> None:
    await store.register("phone", profile=Profile(tags=("red",)))
    assert await store.saver.devices.delete(store.app, "phone", store.now)
    assert await store.saver.devices.find(store.app, ["phone"]) == [None]
    assert await listed(store, tag="red") == []
    assert not await store.saver.devices.delete(store.app, "phone", store.now)


async def test_a_device_that_is_registered_anew_has_nothing_of_the_old_one(store: StoreFixture) -> None:
    await store.register("phone")
    await store.push("to phone", "phone")
    await store.push("to all")
    await store.saver.devices.delete(store.app, "phone", store.now)
    await store.register("phone")
    assert await store.waiting("phone") == []
    assert await store.pending("phone") == 0


# --- changing what somebody else may change ------------------------------------------------------------


async def found(store: StoreFixture, name: str) -> Device:
    (device,) = await store.saver.devices.find(store.app, [name])
    assert device is not None
    return device


async def test_an_update_of_a_device_that_somebody_else_has_changed_is_refused(store: StoreFixture) -> None:
    await store.register("a", profile=Profile(tags=("red",), attributes={"n": 1}))
    before = await found(store, "a")
    mine = Profile(tags=("blue",), attributes={"n": 1, "x": 1.5}, platform="ios")
    assert await store.saver.devices.update(store.app, before, mine)
    assert (await found(store, "a")) == msgspec.structs.replace(before, profile=mine)
    assert not await store.saver.devices.update(store.app, before, Profile(tags=("green",)))
    assert (await found(store, "a")).profile == mine
    for tag, names in (("red", []), ("blue", ["a"]), ("green", [])):
        page = await store.saver.devices.list(store.app, tag=tag, alias=None, after=-1, limit=10)
        assert [device.device for device in page] == names


async def test_of_updates_that_race_from_one_state_one_is_done(store: StoreFixture) -> None:
    await store.register("a")
    before = await found(store, "a")
    profiles = [Profile(tags=(f"t{n}",)) for n in range(20)]
    done = await asyncio.gather(
        *(store.saver.devices.update(store.app, before, profile) for profile in profiles)
    )
    assert done.count(True) == 1
    assert (await found(store, "a")).profile == profiles[done.index(True)]


async def test_an_update_brings_no_device_back(store: StoreFixture) -> None:
    await store.register("a", "b")
    before = await found(store, "a")
    await store.saver.devices.delete(store.app, "a", store.now)
    assert not await store.saver.devices.update(store.app, before, Profile(tags=("red",)))
    assert await store.saver.devices.find(store.app, ["a"]) == [None]
    await store.register("a")
    assert not await store.saver.devices.update(store.app, before, Profile(tags=("red",))), "it is another"
    other = await found(store, "b")
    await store.saver.apps.delete(store.app)
    assert not await store.saver.devices.update(store.app, other, Profile(tags=("red",)))


async def by_name(store: StoreFixture, prefix: str, limit: int) -> list[str]:
    """All names that begin so, page by page."""
    names: list[str] = []
    while page := await store.saver.devices.named(store.app, prefix, names[-1] if names else "", limit):
        assert len(page) <= limit
        names += [device.device for device in page]
    return names


async def test_devices_are_found_by_how_their_names_begin_in_the_order_of_their_bytes(
    store: StoreFixture,
) -> None:
    names = [
        "a",
        "ab",
        "a b",
        "a%",
        "aé",
        "a日",
        "a\U0010ffff",
        "a\U0010ffffz",
        "b",
        "A",
        "é",
        *(f"a-{n}" for n in range(70)),
    ]
    await store.register(*names)
    await store.register("ab", profile=Profile(tags=("red",)))
    for prefix in ("", "a", "a-", "a-6", "a\U0010ffff", "é", "x"):
        expected = sorted((name for name in names if name.startswith(prefix)), key=str.encode)
        for limit in (1, 7, 100):
            assert await by_name(store, prefix, limit) == expected
    (found,) = await store.saver.devices.named(store.app, "ab", "", 10)
    assert found.profile.tags == ("red",)
    assert await store.saver.devices.named(store.app, "a", "", 0) == []


async def test_a_deleted_device_is_found_by_no_beginning_of_its_name(store: StoreFixture) -> None:
    await store.register("ab", "ac")
    await store.saver.devices.delete(store.app, "ab", store.now)
    assert await by_name(store, "a", 10) == ["ac"]
    other = (await store.saver.apps.create(an_app("weather"))).number
    assert await store.saver.devices.named(other, "a", "", 10) == []
    await store.register("ab")
    assert await by_name(store, "a", 10) == ["ab", "ac"]
