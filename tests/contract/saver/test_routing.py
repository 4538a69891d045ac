"""Between the store and the nodes: whose task a broadcast is, and what was left undone."""

import pytest
from pyroaring import BitMap

from longline.model.audience import Devices, Everyone
from longline.model.commands import Broadcast, Target, Unicast
from longline.model.ledger import State
from longline.saver.port.inboxes import Receipt
from tests.contract.saver.positions import position_of
from tests.contract.store_fixture import MINUTE, StoreFixture

LATE = 3_600_000  # ms: long enough to be missed by whoever looks for what was left undone


async def broadcast(store: StoreFixture, text: str = "all", *, online_only: bool = False) -> Broadcast:
    _, outcome = await store.send(store.message(text, online_only=online_only, ttl=2 * LATE), Everyone())
    (route,) = outcome.routes
    assert isinstance(route, Broadcast)
    return route


async def unicast(store: StoreFixture, *devices: str, online_only: bool = False) -> Unicast:
    _, outcome = await store.send(store.message(online_only=online_only, ttl=2 * LATE), Devices(devices))
    (route,) = outcome.routes
    assert isinstance(route, Unicast)
    return route


async def written(store: StoreFixture, route: Unicast | Broadcast, ordinal: int) -> None:
    """A room says that it wrote the message to the device's connection."""
    position, to_all = position_of(route, ordinal), isinstance(route, Broadcast)
    await store.saver.inboxes.settle(
        [Receipt(store.app, ordinal, position, to_all, State.PENDING, store.now, store.now)]
    )


# --- broadcasts as tasks ---


async def test_the_parts_of_a_broadcast_are_for_all_devices_together(store: StoreFixture) -> None:
    ordinals = await store.register(*(f"d{n}" for n in range(20)))
    await store.saver.devices.delete(store.app, "d7", store.now)
    parts = (await broadcast(store)).parts
    targets = {
        own * len(parts) + index
        for index, part in enumerate(parts)
        for own in BitMap.deserialize(part.audience)
    }
    assert targets == set(ordinals) - {ordinals[7]}


async def test_each_node_has_its_part_of_a_broadcast_until_it_is_done(store: StoreFixture) -> None:
    await store.register("a")
    first, second = await broadcast(store), await broadcast(store)
    for route in (first, second):
        await store.saver.routing.assign(store.app, route.message.id, ["n1", "n2"])
    both = [(store.app, first.message.id), (store.app, second.message.id)]
    assert sorted(await store.saver.routing.unfinished("n1", 10)) == sorted(both)
    await store.saver.routing.finish(store.app, first.message.id, "n1", store.now)
    assert await store.saver.routing.unfinished("n1", 10) == both[1:]
    assert sorted(await store.saver.routing.unfinished("n2", 10)) == sorted(both)
    assert len(await store.saver.routing.unfinished("n2", 1)) == 1
    assert await store.saver.routing.unfinished("n3", 10) == []


async def test_a_node_that_is_done_stays_so(store: StoreFixture) -> None:
    await store.register("a")
    message_id = (await broadcast(store)).message.id
    await store.saver.routing.assign(store.app, message_id, ["n1", "n2"])
    await store.saver.routing.finish(store.app, message_id, "n1", store.now)
    await store.saver.routing.assign(store.app, message_id, ["n1", "n2", "n3"])
    assert await store.saver.routing.unfinished("n1", 10) == []
    for node in ("n2", "n3"):
        assert await store.saver.routing.unfinished(node, 10) == [(store.app, message_id)]
        await store.saver.routing.finish(store.app, message_id, node, store.now)
        assert await store.saver.routing.unfinished(node, 10) == []


async def test_an_online_broadcast_is_over_when_its_last_node_is_done(store: StoreFixture) -> None:
    ordinals = await store.register("a", "b", "c")
    route = await broadcast(store, online_only=True)
    message_id = route.message.id
    await store.saver.routing.assign(store.app, message_id, ["n1", "n2"])
    await written(store, route, ordinals[0])
    await store.saver.routing.finish(store.app, message_id, "n1", store.now)
    assert (await store.ledger(message_id)).pending == 3
    for _ in range(2):
        await store.saver.routing.finish(store.app, message_id, "n2", store.now)
        ledger = await store.ledger(message_id)
        assert (ledger.pending, ledger.dropped) == (1, {"offline": 2})
    for ordinal in ordinals[:2]:  # the second has taken it all the same
        position = position_of(route, ordinal)
        await store.saver.inboxes.settle(
            [Receipt(store.app, ordinal, position, True, State.ACKED, store.now)]
        )
    ledger = await store.ledger(message_id)
    assert (ledger.acked, ledger.dropped) == (2, {"offline": 1})


async def test_a_broadcast_for_later_too_is_not_over_with_its_nodes(store: StoreFixture) -> None:
    await store.register("a")
    message_id = (await broadcast(store)).message.id
    await store.saver.routing.assign(store.app, message_id, ["n1"])
    await store.saver.routing.finish(store.app, message_id, "n1", store.now)
    assert (await store.ledger(message_id)).pending == 1
    assert await store.waiting("a") == ["all"]


async def test_a_node_without_a_task_ends_nothing(store: StoreFixture) -> None:
    await store.register("a")
    message_id = (await broadcast(store, online_only=True)).message.id
    await store.saver.routing.finish(store.app, message_id, "n1", store.now)
    await store.saver.routing.assign(store.app, message_id, ["n1"])
    await store.saver.routing.finish(store.app, message_id, "n2", store.now)
    await store.saver.routing.finish(store.app + 1, message_id, "n1", store.now)
    await store.saver.routing.finish(store.app, store.message().id, "n1", store.now)
    assert (await store.ledger(message_id)).pending == 1


async def test_a_task_of_what_is_over_ends_nothing_more(store: StoreFixture) -> None:
    await store.register("a")
    message_id = (await broadcast(store, online_only=True)).message.id
    await store.saver.routing.assign(store.app, message_id, ["n1"])
    await store.saver.messages.cancel(store.app, message_id, store.now)
    await store.saver.routing.finish(store.app, message_id, "n1", store.now)
    assert (await store.ledger(message_id)).dropped == {"cancelled": 1}


async def test_tasks_outlive_the_process_where_nodes_do(store: StoreFixture) -> None:
    await store.register("a")
    message_id = (await broadcast(store)).message.id
    await store.saver.routing.assign(store.app, message_id, ["n1"])
    await store.reopen()
    left = await store.saver.routing.unfinished("n1", 10)
    assert left == ([(store.app, message_id)] if store.engine.shared else [])


# --- what was left undone ---


async def unrouted(store: StoreFixture) -> list[str]:
    """The ids of what nobody routed, found by whoever looks for it now."""
    return sorted(route.message.id for route in await store.saver.routing.unrouted(store.now, 100))


def targets_of(route: Unicast | Broadcast) -> tuple[Target, ...]:
    assert isinstance(route, Unicast)
    return route.targets


async def test_a_message_that_nobody_wrote_to_its_connected_device_is_found(store: StoreFixture) -> None:
    await store.register("a", "b")
    binding = await store.bind("a")
    lost = await unicast(store, "a", "b")
    assert await store.saver.routing.unrouted(store.now - 1, 100) == [], "it may be on its way"
    store.now += LATE
    found = await store.saver.routing.unrouted(store.now, 100)
    if not store.engine.shared:
        assert found == []
        return
    (route,) = found
    assert isinstance(route, Unicast)
    assert (route.app, route.message) == (store.app, lost.message)
    (target,) = route.targets
    assert (target.device, target.binding) == ("a", binding)
    assert target.position == position_of(lost, target.ordinal)


async def test_of_what_waits_for_a_device_the_newest_is_found_and_all_that_is_for_who_is_connected(
    store: StoreFixture,
) -> None:
    await store.register("a", "b")
    for device in ("a", "b"):
        await store.bind(device)
    await unicast(store, "a", "b")
    newest = {"b": (await unicast(store, "b")).message.id, "a": (await unicast(store, "a")).message.id}
    now_or_never = [(await unicast(store, "a", online_only=True)).message.id for _ in range(2)]
    store.now += LATE
    found = await store.saver.routing.unrouted(store.now, 100)
    told = [(target.device, route.message.id) for route in found for target in targets_of(route)]
    expected = [*newest.items(), *(("a", message_id) for message_id in now_or_never)]
    assert sorted(told) == (sorted(expected) if store.engine.shared else [])
    assert await unrouted(store) == []


async def test_a_large_message_is_found_whole_for_each_device(store: StoreFixture) -> None:
    devices = [f"d{number}" for number in range(200)]
    await store.register(*devices)
    for device in devices:
        await store.bind(device)
    text = "x" * 50_000
    _, outcome = await store.send(store.message(text, ttl=2 * LATE), Devices(tuple(devices)))
    store.now += LATE
    found = await store.saver.routing.unrouted(store.now, 10_000)
    if not store.engine.shared:
        assert found == []
        return
    assert sorted(target.device for route in found for target in targets_of(route)) == sorted(devices)
    assert {route.message for route in found} == {outcome.routes[0].message}


async def test_of_very_many_that_nobody_routed_no_more_are_found_at_once_than_were_asked_for(
    store: StoreFixture,
) -> None:
    devices = [f"d{number}" for number in range(30)]
    await store.register(*devices)
    for device in devices:
        await store.bind(device)
        await unicast(store, device)
    store.now += LATE
    found: list[str] = []
    while some := await store.saver.routing.unrouted(store.now, 10):
        assert len(some) <= 10
        store.now += 1000
        found += [target.device for route in some for target in targets_of(route)]
    assert sorted(found) == (sorted(devices) if store.engine.shared else [])


async def test_what_was_found_is_not_found_again_at_once(store: StoreFixture) -> None:
    await store.register("a")
    await store.bind("a")
    message_id = (await unicast(store, "a")).message.id
    store.now += LATE
    assert await unrouted(store) == ([message_id] if store.engine.shared else [])
    assert await unrouted(store) == []
    store.now += LATE
    assert await unrouted(store) == ([message_id] if store.engine.shared else [])


@pytest.mark.parametrize("state", [State.PENDING, State.ACKED, State.DROPPED])
async def test_a_message_of_which_a_room_has_spoken_was_routed(store: StoreFixture, state: State) -> None:
    (ordinal,) = await store.register("a")
    await store.bind("a")
    route = await unicast(store, "a")
    position = position_of(route, ordinal)
    reason = "too_large" if state == State.DROPPED else None
    await store.saver.inboxes.settle(
        [Receipt(store.app, ordinal, position, False, state, store.now, store.now, reason)]
    )
    store.now += LATE
    assert await unrouted(store) == []


async def test_a_message_for_who_is_away_needs_no_routing(store: StoreFixture) -> None:
    await store.register("a", "b")
    await unicast(store, "a")
    await store.unbind("b", await store.bind("b"))
    await unicast(store, "b")
    store.now += LATE
    assert await unrouted(store) == []


async def test_a_broadcast_that_nobody_was_given_is_found(store: StoreFixture) -> None:
    await store.register("a")
    await store.bind("a")
    lost, given = await broadcast(store), await broadcast(store)
    await store.saver.routing.assign(store.app, given.message.id, ["node-1"])
    store.now += LATE
    assert await unrouted(store) == ([lost.message.id] if store.engine.shared else [])


async def test_of_very_many_broadcasts_that_nobody_was_given_no_more_are_found_at_once_than_were_asked_for(
    store: StoreFixture,
) -> None:
    """Each has its payload with it."""
    await store.register("a")
    lost = [(await broadcast(store)).message.id for _ in range(30)]
    store.now += LATE
    found: list[str] = []
    while some := await store.saver.routing.unrouted(store.now, 10):
        assert len(some) <= 10
        store.now += 1000
        found += [route.message.id for route in some]
    assert sorted(found) == (sorted(lost) if store.engine.shared else [])


async def test_what_is_over_needs_no_routing(store: StoreFixture) -> None:
    await store.register("a")
    await store.bind("a")
    for route in (await unicast(store, "a"), await broadcast(store)):
        await store.saver.messages.cancel(store.app, route.message.id, store.now)
    await store.push("short", "a")
    await store.push("short")
    await store.pass_time(MINUTE)
    store.now += LATE
    assert await unrouted(store) == []


async def test_what_was_stored_whole_needs_no_completion(store: StoreFixture) -> None:
    await store.register("a", "b")
    await store.bind("a")
    await unicast(store, "a", "b")
    await broadcast(store)
    store.now += LATE
    assert await store.saver.routing.complete(store.now, 100) == []
    assert len(await store.waiting("a")) == 2
