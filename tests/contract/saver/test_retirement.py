"""Devices that have not come for long are taken away, and nobody who is there."""

import asyncio

import pytest

from longline.model.audience import Devices
from longline.model.devices import Came
from longline.model.events import DEVICE
from longline.model.pubsub import StoredWill
from longline.register.port import Bind
from longline.saver.port.inboxes import Arrive
from longline.saver.port.retirement import DONE
from longline.saver.port.sessions import FOREVER, CloseSession, OpenSession
from tests.contract.store_fixture import MINUTE, START, StoreFixture

CAME = Came("192.0.2.7", "MQTT 5.0")
DAY = 24 * 60 * MINUTE


async def retire(store: StoreFixture, before: int = START + DAY, limit: int = 100) -> int:
    """Looks at all devices, step by step; how many were retired."""
    after, retired = 0, 0
    while after != DONE:
        done = await store.saver.retirement.retire(store.app, after, before, store.now, limit)
        retired += done.devices
        after = done.after
    return retired


async def come(store: StoreFixture, name: str) -> None:
    await store.saver.inboxes.arrive([Arrive(store.app, name, store.now, came=CAME)])


async def there(store: StoreFixture) -> set[str]:
    devices = await store.saver.devices.list(store.app, tag=None, alias=None, after=-1, limit=1000)
    return {device.device for device in devices}


async def test_who_has_not_come_for_long_is_retired_and_told_of(store: StoreFixture) -> None:
    """As is who never came and was registered before; what waits for them is dropped, and says why."""
    await store.register("old", "never", "late")
    await come(store, "old")
    message = store.message(ttl=30 * DAY)
    await store.send(message, Devices(("old",)))
    store.now = START + 2 * DAY
    await come(store, "late")
    await store.register("new")
    assert await retire(store) == 2
    assert await there(store) == {"late", "new"}
    ledger = await store.ledger(message.id)
    assert ledger.dropped == {"device_retired": 1}
    while await store.saver.events.carry(100):
        pass
    events = (await store.saver.events.read(store.app, "", 100)).events
    retired = {e.device for _, e in events if e.kind == DEVICE and e.data == b'{"state":"retired"}'}
    assert retired == {"old", "never"}
    assert await retire(store) == 0


async def test_the_last_connection_counts_and_not_the_first(store: StoreFixture) -> None:
    binding = await store.bind("phone")
    await come(store, "phone")
    store.now = START + 2 * DAY
    await store.unbind("phone", binding)
    assert await retire(store, START + DAY) == 0
    assert await retire(store, START + 3 * DAY) == 1


async def test_nobody_who_is_connected_is_retired(store: StoreFixture) -> None:
    await store.bind("phone")
    await come(store, "phone")
    store.now = START + 100 * DAY
    assert await retire(store, store.now) == 0


@pytest.mark.parametrize(("expires_in", "retired"), [(3600, 1), (90 * 86_400, 0), (FOREVER, 1)])
async def test_a_session_that_ends_later_keeps_its_device(
    store: StoreFixture, expires_in: int, retired: int
) -> None:
    """One that would never end does not, or it would be there for ever."""
    binding = await store.bind("phone")
    await come(store, "phone")
    ordinal = await store.ordinal("phone")
    asked = OpenSession(store.app, "phone", ordinal, binding.node, binding.epoch, store.now, True, expires_in)
    await store.saver.sessions.open([asked])
    await store.unbind("phone", binding)
    await store.saver.sessions.close([CloseSession(store.app, ordinal, binding.epoch, store.now, False)])
    store.now = START + 30 * DAY
    assert await retire(store, store.now) == retired


async def test_steps_are_small_and_lead_through_all(store: StoreFixture) -> None:
    names = [f"d{n}" for n in range(150)]
    await store.register(*names)
    store.now = START + 2 * DAY
    await come(store, "d77")
    assert await retire(store, limit=7) == 149
    assert await there(store) == {"d77"}


async def test_who_comes_meanwhile_is_there_or_comes_anew(store: StoreFixture) -> None:
    """Never bound, and with an ordinal that is nobody's."""
    names = [f"d{n}" for n in range(40)]
    await store.register(*names)
    store.now = START + 2 * DAY

    async def connect(name: str) -> int:
        await store.sessions.bind([Bind(store.app, name, "node-1", store.now)])
        (arrival,) = await store.saver.inboxes.arrive([Arrive(store.app, name, store.now, came=CAME)])
        assert arrival is not None
        return arrival.ordinal

    results = await asyncio.gather(retire(store, limit=5), *map(connect, names))
    ordinals = results[1:]
    assert [await store.ordinal(name) for name in names] == list(ordinals)
    assert await retire(store) == 0


async def test_another_apps_devices_are_left_alone_and_none_of_a_deleted_app_is_looked_for(
    store: StoreFixture,
) -> None:
    await store.register("phone")
    store.now = START + 2 * DAY
    assert (await store.saver.retirement.retire(99, 0, store.now, store.now, 100)).devices == 0
    assert await there(store) == {"phone"}
    await store.saver.apps.delete(store.app)
    assert (await store.saver.retirement.retire(store.app, 0, store.now, store.now, 100)).devices == 0


async def test_a_will_that_is_not_published_keeps_its_device(store: StoreFixture) -> None:
    binding = await store.bind("phone")
    await come(store, "phone")
    ordinal = await store.ordinal("phone")
    will = StoredWill("home/door", b"open", 1, delay=60)
    asked = OpenSession(store.app, "phone", ordinal, binding.node, binding.epoch, store.now, True, 0, will)
    await store.saver.sessions.open([asked])
    await store.unbind("phone", binding)
    await store.saver.sessions.close([CloseSession(store.app, ordinal, binding.epoch, store.now, True)])
    store.now = START + 2 * DAY
    assert await retire(store) == 0
