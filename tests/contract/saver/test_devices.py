"""Devices: ordinals are given once, profiles are replaced, labels find them."""

from longline.model.devices import Profile
from longline.model.ledger import State
from longline.saver.port.devices import Registration
from longline.saver.port.inboxes import Arrive
from tests.contract.scene import Scene, an_app


async def listed(scene: Scene, *, tag: str | None = None, alias: str | None = None) -> list[str]:
    """The names of who has these labels, in alphabetical order."""
    devices = await scene.saver.devices.list(scene.app, tag=tag, alias=alias, after=-1, limit=1000)
    return sorted(device.device for device in devices)


async def test_registered_devices_are_found_with_their_profiles(scene: Scene) -> None:
    profile = Profile(
        aliases=("ann",), tags=("red", "é"), attributes={"n": 1, "deep": {"x": [1, None]}}, timezone="UTC"
    )
    batch = [Registration("phone", profile), Registration("tablet", Profile(platform="web"))]
    made = await scene.saver.devices.put(scene.app, batch, scene.now)
    found = await scene.saver.devices.find(scene.app, ["tablet", "nobody", "phone"])
    assert found == [made[1], None, made[0]]
    assert made[0].profile == profile
    assert made[0].app == "news"
    assert made[0].created_at == scene.now


async def test_ordinals_are_small_and_not_given_again_after_a_deletion(scene: Scene) -> None:
    given = await scene.register(*(f"d{n}" for n in range(40)))
    for n in range(40):
        await scene.saver.devices.delete(scene.app, f"d{n}", scene.now)
    await scene.reopen()
    given += await scene.register(*(f"d{n}" for n in range(40)))
    assert len(set(given)) == 80
    assert min(given) >= 0
    assert max(given) < 1000


async def test_registering_again_replaces_the_profile_and_keeps_the_ordinal(scene: Scene) -> None:
    before = await scene.register("phone", profile=Profile(tags=("red",), aliases=("ann",)))
    created = scene.now
    scene.now += 5
    after = await scene.register("phone", profile=Profile(tags=("blue",)))
    (device,) = await scene.saver.devices.find(scene.app, ["phone"])
    assert device is not None
    assert before == after
    assert device.profile == Profile(tags=("blue",))
    assert device.created_at == created
    assert await listed(scene, tag="red") == []
    assert await listed(scene, alias="ann") == []
    assert await listed(scene, tag="blue") == ["phone"]


async def test_of_a_device_given_twice_in_a_batch_the_last_profile_counts(scene: Scene) -> None:
    batch = [Registration("phone", Profile(tags=("red",))), Registration("phone", Profile(tags=("blue",)))]
    one, two = await scene.saver.devices.put(scene.app, batch, scene.now)
    assert one == two
    assert one.profile.tags == ("blue",)
    assert await listed(scene, tag="red") == []


async def test_an_empty_batch_is_nothing(scene: Scene) -> None:
    assert await scene.saver.devices.put(scene.app, [], scene.now) == []
    assert await scene.saver.devices.find(scene.app, []) == []
    assert await scene.saver.inboxes.arrive([]) == []
    assert await scene.saver.inboxes.fetch([]) == []
    assert await scene.saver.messages.enqueue([]) == []
    assert await scene.saver.inboxes.count(scene.app, [], scene.now) == []
    await scene.saver.inboxes.settle([])
    await scene.saver.inboxes.advance([])


async def test_devices_are_listed_by_ordinal_page_by_page(scene: Scene) -> None:
    names = [f"d{n:02}" for n in range(100)]
    ordinals = dict(zip(names, await scene.register(*names, profile=Profile(tags=("red",))), strict=True))
    for name in names[::3]:
        await scene.saver.devices.delete(scene.app, name, scene.now)
        del ordinals[name]
    for tag in (None, "red"):
        for limit in (1, 7, 10, 1000):
            seen: list[tuple[str, int]] = []
            after = -1
            while page := await scene.saver.devices.list(
                scene.app, tag=tag, alias=None, after=after, limit=limit
            ):
                assert len(page) <= limit
                seen += [(device.device, device.ordinal) for device in page]
                after = page[-1].ordinal
            assert seen == sorted(ordinals.items(), key=lambda item: item[1])


async def test_of_many_devices_those_few_with_a_label_are_listed(scene: Scene) -> None:
    names = [f"d{n}" for n in range(3000)]
    await scene.register(*names)
    rare = names[::599]
    await scene.register(*rare, profile=Profile(tags=("rare", "x:y"), aliases=("{p1}",)))
    assert await listed(scene, tag="rare") == sorted(rare)
    assert await listed(scene, tag="x:y", alias="{p1}") == sorted(rare)
    first = await scene.saver.devices.list(scene.app, tag="rare", alias=None, after=-1, limit=2)
    rest = await scene.saver.devices.list(
        scene.app, tag="rare", alias=None, after=first[-1].ordinal, limit=100
    )
    assert len(first) == 2
    assert sorted(device.device for device in first + rest) == sorted(rare)


async def test_tag_and_alias_narrow_a_list_together(scene: Scene) -> None:
    await scene.register("a", profile=Profile(tags=("red",), aliases=("ann",)))
    await scene.register("b", profile=Profile(tags=("red",), aliases=("bob",)))
    await scene.register("c", profile=Profile(tags=("blue",), aliases=("ann",)))
    assert await listed(scene, tag="red") == ["a", "b"]
    assert await listed(scene, alias="ann") == ["a", "c"]
    assert await listed(scene, tag="red", alias="ann") == ["a"]
    assert await listed(scene, tag="ann") == []


async def test_apps_do_not_see_each_others_devices(scene: Scene) -> None:
    await scene.register("phone", profile=Profile(tags=("red",)))
    other = (await scene.saver.apps.create(an_app("weather"))).number
    assert await scene.saver.devices.find(other, ["phone"]) == [None]
    assert await scene.saver.devices.list(other, tag="red", alias=None, after=-1, limit=10) == []
    assert await scene.saver.devices.count(other) == 0


async def test_devices_are_counted_without_those_that_left(scene: Scene) -> None:
    await scene.register("a", "b", "c")
    await scene.saver.devices.delete(scene.app, "b", scene.now)
    assert await scene.saver.devices.count(scene.app) == 2


async def test_names_may_hold_any_text(scene: Scene) -> None:
    names = ["a/b", "a'b", 'a"b', "日本", "x" * 500, " ", "a\\b", "%", "1/2", "a", "a\0b"]
    await scene.register(*names)
    found = await scene.saver.devices.find(scene.app, names)
    assert [device.device if device else None for device in found] == names
    await scene.push("hello", *names)
    for name in names:
        assert await scene.waiting(name) == ["hello"]


async def test_who_arrives_for_the_first_time_is_registered(scene: Scene) -> None:
    arrival = await scene.arrive("phone")
    assert arrival.ordinal == await scene.ordinal("phone")
    assert arrival.banned_until == 0
    assert not arrival.pending
    assert await scene.arrive("phone") == arrival


async def test_one_batch_of_arrivals_may_name_a_device_twice(scene: Scene) -> None:
    await scene.register("old")
    batch = [Arrive(scene.app, name, scene.now) for name in ("new", "old", "new")]
    first, old, second = await scene.saver.inboxes.arrive(batch)
    assert first is not None
    assert old is not None
    assert first == second
    assert first.ordinal != old.ordinal
    assert await scene.saver.devices.count(scene.app) == 2


async def test_an_arrival_says_whether_something_waits(scene: Scene) -> None:
    await scene.register("phone", "tablet")
    await scene.push("hello", "phone")
    assert (await scene.arrive("phone")).pending
    assert not (await scene.arrive("tablet")).pending
    await scene.push("to all")
    assert (await scene.arrive("tablet")).pending


async def test_a_ban_is_told_at_the_door_and_can_be_lifted(scene: Scene) -> None:
    await scene.register("phone")
    assert await scene.saver.devices.ban(scene.app, "phone", scene.now + 1000)
    assert (await scene.arrive("phone")).banned_until == scene.now + 1000
    assert await scene.saver.devices.ban(scene.app, "phone", 0)
    assert (await scene.arrive("phone")).banned_until == 0
    assert not await scene.saver.devices.ban(scene.app, "nobody", 1)


async def test_what_waits_for_a_deleted_device_is_dropped(scene: Scene) -> None:
    await scene.register("phone", "tablet")
    unicast = await scene.push("hello", "phone", "tablet")
    broadcast = await scene.push("to all")
    (push, *_) = (await scene.page("tablet")).pushes
    await scene.settle("tablet", push, State.ACKED)
    assert await scene.saver.devices.delete(scene.app, "phone", scene.now)
    for message_id, acked in ((unicast, 1), (broadcast, 0)):
        ledger = await scene.ledger(message_id)
        assert ledger.dropped == {"device_deleted": 1}
        assert (ledger.acked, ledger.pending) == (acked, 1 - acked)


async def test_a_deleted_device_is_forgotten(scene: Scene) -> None:
    await scene.register("phone", profile=Profile(tags=("red",)))
    assert await scene.saver.devices.delete(scene.app, "phone", scene.now)
    assert await scene.saver.devices.find(scene.app, ["phone"]) == [None]
    assert await listed(scene, tag="red") == []
    assert not await scene.saver.devices.delete(scene.app, "phone", scene.now)


async def test_a_device_that_is_registered_anew_has_nothing_of_the_old_one(scene: Scene) -> None:
    await scene.register("phone")
    await scene.push("to phone", "phone")
    await scene.push("to all")
    await scene.saver.devices.delete(scene.app, "phone", scene.now)
    await scene.register("phone")
    assert await scene.waiting("phone") == []
    assert await scene.pending("phone") == 0
