"""What is kept of the connections that devices had: when each began and ended, why, where and how."""

import msgspec
import pytest

from longline.model.devices import NODE_DIED, Came, ConnectionBounds, ConnectionRecord
from longline.register.port import Rebind, Unbind
from longline.saver.port.inboxes import Arrive
from tests.contract import engines
from tests.contract.store_fixture import MINUTE, START, StoreFixture

KEPT = 3  # as the engines are opened
AGE = 60 * MINUTE

BY_WIFI = Came("192.0.2.7", "MQTT 5.0", "longline", "1.0")
BY_RADIO = Came("2001:db8::7", "MQTT 3.1.1")


async def connect(store: StoreFixture, name: str, came: Came | None = BY_WIFI, node: str = "node-1") -> int:
    """A device comes; the epoch of its session."""
    binding = await store.bind(name, node)
    arrive = Arrive(store.app, name, store.now, came=came, epoch=binding.epoch, node=node)
    assert await store.saver.inboxes.arrive([arrive]) != [None]
    return binding.epoch


async def disconnect(store: StoreFixture, name: str, epoch: int, reason: str, linger: int = 0) -> None:
    assert await store.sessions.unbind([Unbind(store.app, name, epoch, store.now, linger, reason)]) == [True]


async def history(store: StoreFixture, name: str) -> list[ConnectionRecord]:
    return await store.saver.visits.connections(store.app, await store.ordinal(name), store.now)


async def test_a_connection_is_kept_with_its_beginning_its_end_and_why(store: StoreFixture) -> None:
    """Also after the store was opened anew."""
    await store.register("phone")
    assert await history(store, "phone") == []
    first = await connect(store, "phone")
    assert await history(store, "phone") == [ConnectionRecord(first, START, "node-1", BY_WIFI)]
    store.now += MINUTE
    await disconnect(store, "phone", first, "disconnected")
    over = ConnectionRecord(first, START, "node-1", BY_WIFI, START + MINUTE, "disconnected")
    assert await history(store, "phone") == [over]
    await store.reopen()
    store.now += MINUTE
    second = await connect(store, "phone", BY_RADIO, "node-2")
    newer = ConnectionRecord(second, START + 2 * MINUTE, "node-2", BY_RADIO)
    assert await history(store, "phone") == [newer, over]


async def test_a_connection_ends_when_it_breaks_and_not_when_its_device_has_lingered(
    store: StoreFixture,
) -> None:
    epoch = await connect(store, "phone")
    await disconnect(store, "phone", epoch, "connection_lost", linger=1000)
    over = ConnectionRecord(epoch, START, "node-1", BY_WIFI, START, "connection_lost")
    assert await history(store, "phone") == [over]
    store.now += MINUTE
    assert await store.sessions.end_lingering(store.now, 10) == 1
    assert await history(store, "phone") == [over]


async def test_of_a_connection_that_was_taken_over_no_end_is_told(store: StoreFixture) -> None:
    """Also where its room tells of its end afterwards."""
    first = await connect(store, "phone")
    second = await connect(store, "phone")
    late = Unbind(store.app, "phone", first, store.now, reason="taken_over")
    assert await store.sessions.unbind([late]) == [False]
    found = await history(store, "phone")
    assert [(each.epoch, each.ended_at) for each in found] == [(second, 0), (first, 0)]


async def test_those_of_a_node_that_died_end_with_it(store: StoreFixture) -> None:
    epoch = await connect(store, "phone", node="node-9")
    store.now += MINUTE
    while await store.sessions.release("node-9", store.now, 1000, 10):
        pass
    (found,) = await history(store, "phone")
    assert (found.epoch, found.ended_at, found.reason) == (epoch, store.now, NODE_DIED)


async def test_the_end_of_a_session_that_got_another_epoch_is_that_of_its_connection(
    store: StoreFixture,
) -> None:
    first = await connect(store, "phone")
    rebind = Rebind(store.app, "phone", "node-1b", first, store.now)
    (second,) = await store.sessions.rebind([rebind])
    assert second is not None
    store.now += MINUTE
    await disconnect(store, "phone", second, "kicked")
    assert await history(store, "phone") == [
        ConnectionRecord(first, START, "node-1", BY_WIFI, START + MINUTE, "kicked")
    ]


async def test_the_latest_are_kept_and_no_more(store: StoreFixture) -> None:
    epochs = []
    for _ in range(3 * KEPT):
        epochs.append(await connect(store, "phone"))
        await disconnect(store, "phone", epochs[-1], "disconnected")
        store.now += 1
    taken_over = [await connect(store, "clock") for _ in range(3 * KEPT)]
    assert [each.epoch for each in await history(store, "phone")] == epochs[: -KEPT - 1 : -1]
    assert [each.epoch for each in await history(store, "clock")] == taken_over[: -KEPT - 1 : -1]


async def test_they_are_kept_for_a_time_after_their_end(store: StoreFixture) -> None:
    epoch = await connect(store, "phone")
    store.now += MINUTE
    await disconnect(store, "phone", epoch, "disconnected")
    store.now += AGE
    assert len(await history(store, "phone")) == 1
    store.now += 1
    assert await history(store, "phone") == []


async def test_one_that_goes_on_is_kept_however_long_it_does_and_from_its_end_on_as_any(
    store: StoreFixture,
) -> None:
    first = await connect(store, "phone")
    store.now += 3 * AGE
    second = await connect(store, "phone", BY_RADIO)
    store.now += 3 * AGE
    await connect(store, "clock")  # what is old goes as others come
    goes_on = ConnectionRecord(second, START + 3 * AGE, "node-1", BY_RADIO)
    assert await history(store, "phone") == [goes_on]
    await disconnect(store, "phone", second, "connection_lost")
    over = ConnectionRecord(second, START + 3 * AGE, "node-1", BY_RADIO, store.now, "connection_lost")
    assert first < second
    store.now += AGE
    assert await history(store, "phone") == [over]


async def test_one_that_was_taken_over_is_kept_from_then_on(store: StoreFixture) -> None:
    first = await connect(store, "phone")
    store.now += 3 * AGE
    second = await connect(store, "phone")
    await connect(store, "clock")
    store.now += AGE
    assert [each.epoch for each in await history(store, "phone")] == [second, first]


async def test_who_comes_again_at_once_has_what_ended_before_told_as_it_ended(store: StoreFixture) -> None:
    first = await connect(store, "phone")
    await disconnect(store, "phone", first, "kicked")
    second = await connect(store, "phone")
    await disconnect(store, "phone", second, "disconnected")
    await connect(store, "phone")
    found = await history(store, "phone")
    assert [each.reason for each in found] == ["", "disconnected", "kicked"]


async def test_none_are_kept_any_more_where_none_are_to_be(
    store: StoreFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor what was kept before: of who comes, it goes at once."""
    epoch = await connect(store, "phone")
    await disconnect(store, "phone", epoch, "disconnected")
    bounds = engines.BOUNDS
    none = msgspec.structs.replace(bounds, connections=ConnectionBounds(0, AGE))
    monkeypatch.setattr(engines, "BOUNDS", none)
    await store.reopen()
    await connect(store, "phone")
    assert await history(store, "phone") == []
    monkeypatch.setattr(engines, "BOUNDS", bounds)
    await store.reopen()
    assert await history(store, "phone") == []


async def test_a_connection_that_was_there_before_is_none(store: StoreFixture) -> None:
    epoch = await connect(store, "phone")
    await connect(store, "phone", None)
    assert [each.epoch for each in await history(store, "phone")] == [epoch]


async def test_what_is_told_twice_is_there_once(store: StoreFixture) -> None:
    epoch = await connect(store, "phone")
    again = Arrive(store.app, "phone", store.now, came=BY_WIFI, epoch=epoch, node="node-1")
    await store.saver.inboxes.arrive([again, again])
    assert [each.epoch for each in await history(store, "phone")] == [epoch]


async def test_a_device_that_is_deleted_takes_them_along(store: StoreFixture) -> None:
    """Nor has a later one of its name what the connection leaves that it still had."""
    epoch = await connect(store, "phone")
    await connect(store, "clock")
    assert await store.saver.devices.delete(store.app, "phone", store.now)
    await store.register("phone")
    await disconnect(store, "phone", epoch, "device_deleted")
    assert await history(store, "phone") == []
    assert len(await history(store, "clock")) == 1
    assert await store.differences() == []


async def test_an_app_that_is_deleted_takes_them_along(store: StoreFixture) -> None:
    await connect(store, "phone")
    await connect(store, "clock")
    await store.saver.apps.delete(store.app)
    while await store.saver.expiry.end(store.now, 100):
        pass
    assert await store.differences() == []
