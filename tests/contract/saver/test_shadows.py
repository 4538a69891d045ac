"""Shadows: compared and replaced in one step, told until they are seen, gone with their device."""

import asyncio

from longline.model.devices import Profile
from longline.saver.port.devices import Registration
from longline.saver.port.inboxes import Arrive
from longline.saver.port.shadows import Changed, Shadow, ShadowChange, ShadowSeen
from tests.contract.store_fixture import StoreFixture, an_app

LAMP = Shadow(b'{"on":true}', b'{"on":false,"name":"\xc3\xa9"}', 1, 1)


async def change(
    store: StoreFixture, ordinal: int, before: int, shadow: Shadow, app: int | None = None
) -> Changed:
    """What becomes of one change."""
    item = ShadowChange(store.app if app is None else app, ordinal, before, shadow)
    (changed,) = await store.saver.shadows.change([item])
    return changed


async def find(store: StoreFixture, ordinal: int) -> Shadow | None:
    (shadow,) = await store.saver.shadows.find(store.app, [ordinal])
    return shadow


async def is_told(store: StoreFixture, device: str) -> bool:
    """Whether a device that connects hears that something is desired of it."""
    (arrival,) = await store.saver.inboxes.arrive([Arrive(store.app, device, store.now)])
    assert arrival is not None
    return arrival.shadow


async def test_a_shadow_is_found_as_it_was_left_and_those_of_others_beside_it(store: StoreFixture) -> None:
    """Also after the store was opened anew; who was never spoken of has an empty one."""
    lamp, fan = await store.register("lamp", "fan")
    assert await find(store, lamp) == Shadow()
    assert await change(store, lamp, 0, LAMP) == Changed.DONE
    await store.reopen()
    assert await store.saver.shadows.find(store.app, [fan, lamp, 9_999]) == [Shadow(), LAMP, None]
    assert await store.saver.shadows.find(store.app, []) == []
    assert await store.saver.shadows.change([]) == []


async def test_of_two_who_act_on_one_version_one_is_done(store: StoreFixture) -> None:
    """The other is told so, and what it wanted is not there, whichever of them came first."""
    (lamp,) = await store.register("lamp")
    assert await change(store, lamp, 0, LAMP) == Changed.DONE
    shadows = [Shadow(b'{"n":%d}' % n, b"{}", 2, 2) for n in range(8)]
    codes = await asyncio.gather(*(change(store, lamp, 1, shadow) for shadow in shadows))
    assert sorted(codes) == [Changed.CONFLICT] * 7 + [Changed.DONE]
    assert await find(store, lamp) == shadows[codes.index(Changed.DONE)]


async def test_a_change_of_another_version_than_there_is_changes_nothing(store: StoreFixture) -> None:
    (lamp,) = await store.register("lamp")
    assert await change(store, lamp, 1, LAMP) == Changed.CONFLICT
    assert await find(store, lamp) == Shadow()
    assert await change(store, lamp, 0, LAMP) == Changed.DONE
    assert await change(store, lamp, 0, Shadow(b'{"on":1}', b"{}", 1, 1)) == Changed.CONFLICT
    assert await find(store, lamp) == LAMP


async def test_changes_of_one_batch_are_answered_in_order(store: StoreFixture) -> None:
    lamp, fan, bell = await store.register("lamp", "fan", "bell")
    batch = [
        ShadowChange(store.app, bell, 1, LAMP),
        ShadowChange(store.app, lamp, 0, LAMP),
        ShadowChange(store.app, 9_999, 0, LAMP),
        ShadowChange(store.app, fan, 0, LAMP),
    ]
    assert await store.saver.shadows.change(batch) == [
        Changed.CONFLICT,
        Changed.DONE,
        Changed.NO_DEVICE,
        Changed.DONE,
    ]


async def test_a_device_is_told_until_it_has_seen_the_latest(store: StoreFixture) -> None:
    """Not for what it has reported itself; an older acknowledgement that comes late takes nothing back."""
    (lamp,) = await store.register("lamp")
    assert not await is_told(store, "lamp")
    await change(store, lamp, 0, LAMP)
    assert await is_told(store, "lamp")
    await store.saver.shadows.seen([ShadowSeen(store.app, lamp, 1)])
    assert not await is_told(store, "lamp")
    await change(store, lamp, 1, Shadow(LAMP.desired, b'{"on":true}', 2, 1))
    assert not await is_told(store, "lamp")
    await change(store, lamp, 2, Shadow(b'{"on":false}', b'{"on":true}', 3, 3))
    await store.saver.shadows.seen([ShadowSeen(store.app, lamp, 1)])
    assert await is_told(store, "lamp")
    await store.saver.shadows.seen([ShadowSeen(store.app, lamp, 3), ShadowSeen(store.app, lamp, 1)])
    assert not await is_told(store, "lamp")
    assert await find(store, lamp) == Shadow(b'{"on":false}', b'{"on":true}', 3, 3, 3)


async def test_a_later_device_of_the_name_inherits_nothing(store: StoreFixture) -> None:
    """Nor can who still speaks of the one that was deleted say anything of it."""
    (before,) = await store.register("lamp")
    await change(store, before, 0, LAMP)
    assert await store.saver.devices.delete(store.app, "lamp", store.now)
    assert await find(store, before) is None
    assert await change(store, before, 1, Shadow(b"{}", b"{}", 2, 2)) == Changed.NO_DEVICE
    await store.saver.shadows.seen([ShadowSeen(store.app, before, 1)])
    (after,) = await store.register("lamp")
    assert await find(store, after) == Shadow()
    assert not await is_told(store, "lamp")


async def test_the_shadows_of_a_deleted_app_go_with_it(store: StoreFixture) -> None:
    """A later app of the name has none of them."""
    (lamp,) = await store.register("lamp")
    await change(store, lamp, 0, LAMP)
    app = store.app
    await store.saver.apps.delete(app)
    assert await store.saver.shadows.find(app, [lamp]) == [None]
    assert await change(store, lamp, 1, LAMP, app) == Changed.NO_DEVICE
    while await store.saver.expiry.end(store.now, 100):
        pass
    again = (await store.saver.apps.create(an_app("news"))).number
    (device,) = await store.saver.devices.put(again, [Registration("lamp", Profile())], store.now)
    assert await store.saver.shadows.find(again, [device.ordinal]) == [Shadow()]
