"""What is known of devices' visits: when each was last there, and how it came."""

from longline.model.devices import Came, Visit
from longline.model.events import DEVICE
from longline.register.port import Unbind
from longline.saver.port.inboxes import Arrive
from longline.saver.port.sessions import CloseSession, OpenSession
from tests.contract.store_fixture import MINUTE, START, StoreFixture

BY_WIFI = Came("192.0.2.7", "MQTT 5.0", "longline", "1.0")
BY_RADIO = Came("2001:db8::7", "MQTT 3.1.1")


async def come(store: StoreFixture, name: str, came: Came | None = BY_WIFI) -> None:
    assert await store.saver.inboxes.arrive([Arrive(store.app, name, store.now, came=came)]) != [None]


async def visit(store: StoreFixture, name: str) -> Visit:
    (found,) = await store.saver.visits.find(store.app, [await store.ordinal(name)])
    return found


async def test_a_visit_tells_when_a_device_came_how_and_when_it_was_gone(store: StoreFixture) -> None:
    """Also after the store was opened anew."""
    await store.register("phone")
    assert await visit(store, "phone") == Visit()
    binding = await store.bind("phone")
    await come(store, "phone")
    assert await visit(store, "phone") == Visit(START, 0, BY_WIFI)
    store.now += MINUTE
    await store.unbind("phone", binding)
    assert await visit(store, "phone") == Visit(START, START + MINUTE, BY_WIFI)
    await store.reopen()
    assert await visit(store, "phone") == Visit(START, START + MINUTE, BY_WIFI)
    store.now += MINUTE
    await come(store, "phone", BY_RADIO)
    assert await visit(store, "phone") == Visit(START + 2 * MINUTE, START + MINUTE, BY_RADIO)


async def test_a_connection_that_was_there_before_is_no_visit(store: StoreFixture) -> None:
    await come(store, "phone")
    store.now += MINUTE
    await come(store, "phone", None)
    assert await visit(store, "phone") == Visit(START, 0, BY_WIFI)


async def test_a_visit_tells_until_when_its_device_is_kept_out(store: StoreFixture) -> None:
    await store.register("phone")
    await store.saver.devices.ban(store.app, "phone", START + MINUTE)
    assert await visit(store, "phone") == Visit(banned_until=START + MINUTE)
    await store.saver.devices.ban(store.app, "phone", 0)
    assert await visit(store, "phone") == Visit()


async def test_who_lingers_is_gone_when_its_time_is_over(store: StoreFixture) -> None:
    binding = await store.bind("phone")
    await come(store, "phone")
    store.now += MINUTE
    await store.sessions.unbind([Unbind(store.app, "phone", binding.epoch, store.now, 1000)])
    assert (await visit(store, "phone")).left_at == 0
    assert await store.sessions.end_lingering(store.now + 1000, 10) == 1
    assert (await visit(store, "phone")).left_at == store.now + 1000


async def test_those_of_a_node_that_died_are_gone_with_it(store: StoreFixture) -> None:
    await store.bind("phone", "node-9")
    await come(store, "phone")
    store.now += MINUTE
    while await store.sessions.release("node-9", store.now, 0, 10):
        pass
    assert (await visit(store, "phone")).left_at == store.now


async def test_many_are_found_at_once_in_the_order_asked_for(store: StoreFixture) -> None:
    names = [f"d{n}" for n in range(20)]
    ordinals = await store.register(*names)
    for number, name in enumerate(names[:10]):
        store.now = START + number
        await come(store, name)
    found = await store.saver.visits.find(store.app, [*reversed(ordinals), 9_999])
    assert [each.came_at for each in found] == [0] * 10 + [START + n for n in reversed(range(10))] + [0]
    assert await store.saver.visits.find(store.app, []) == []


async def test_a_visit_tells_of_the_session_that_is_kept_and_until_when(store: StoreFixture) -> None:
    binding = await store.bind("phone")
    await come(store, "phone")
    ordinal = await store.ordinal("phone")
    session = OpenSession(
        store.app, "phone", ordinal, binding.node, binding.epoch, store.now, True, expires_in=60
    )
    assert await store.saver.sessions.open([session]) != [None]
    assert await visit(store, "phone") == Visit(START, 0, BY_WIFI, True, 0)
    await store.saver.sessions.close([CloseSession(store.app, ordinal, binding.epoch, store.now, False)])
    assert await visit(store, "phone") == Visit(START, 0, BY_WIFI, True, START + MINUTE)


async def test_a_device_that_was_deleted_leaves_no_visit_to_a_later_one(store: StoreFixture) -> None:
    """Nor does the end of the connection that it still had."""
    binding = await store.bind("phone")
    await come(store, "phone")
    assert await store.saver.devices.delete(store.app, "phone", store.now)
    await store.register("phone")
    store.now += MINUTE
    await store.unbind("phone", binding)
    assert await visit(store, "phone") == Visit()


async def told(store: StoreFixture) -> list[tuple[str, str, bytes]]:
    """Kind, device and data of all events that are read."""
    while await store.saver.events.carry(100):
        pass
    page = await store.saver.events.read(store.app, "", 1000)
    return [(event.kind, event.device, event.data) for _, event in page.events]


async def test_what_becomes_of_devices_is_told_in_order(store: StoreFixture) -> None:
    """Whoever registers them, and once."""
    await store.register("phone")
    await store.register("phone")
    await come(store, "phone")
    await come(store, "clock")
    events = await told(store)
    assert sorted(events) == [
        (DEVICE, "clock", b'{"state":"registered"}'),
        (DEVICE, "phone", b'{"state":"registered"}'),
    ]
    assert await store.saver.devices.delete(store.app, "phone", store.now)
    assert not await store.saver.devices.delete(store.app, "phone", store.now)
    await store.register("phone")
    mine = [event for event in await told(store) if event[1] == "phone"]
    assert mine == [
        (DEVICE, "phone", b'{"state":"deleted"}'),
        (DEVICE, "phone", b'{"state":"registered"}'),
    ]
    assert await told(store) == await told(store)
