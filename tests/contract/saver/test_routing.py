"""Between the store and the nodes: whose task a broadcast is, what was left undone, and whose word counts."""

import pytest
from pyroaring import BitMap

from longline.model.audience import Devices, Everyone
from longline.model.commands import Broadcast, Unicast
from longline.model.ledger import State
from longline.saver.port.inboxes import Cursor, Push, Receipt
from tests.contract.saver.positions import position_of
from tests.contract.scene import MINUTE, Scene

LATE = 3_600_000  # ms: long enough to be missed by whoever looks for what was left undone


async def broadcast(scene: Scene, text: str = "all", *, online_only: bool = False) -> Broadcast:
    _, outcome = await scene.send(scene.message(text, online_only=online_only, ttl=2 * LATE), Everyone())
    (route,) = outcome.routes
    assert isinstance(route, Broadcast)
    return route


async def unicast(scene: Scene, *devices: str) -> Unicast:
    _, outcome = await scene.send(scene.message(ttl=2 * LATE), Devices(devices))
    (route,) = outcome.routes
    assert isinstance(route, Unicast)
    return route


async def written(scene: Scene, route: Unicast | Broadcast, ordinal: int) -> None:
    """A room says that it wrote the message to the device's connection."""
    position, to_all = position_of(route, ordinal), isinstance(route, Broadcast)
    await scene.saver.inboxes.settle(
        [Receipt(scene.app, ordinal, position, to_all, State.PENDING, scene.now, scene.now)]
    )


# --- broadcasts as tasks ---


async def test_the_parts_of_a_broadcast_are_for_all_devices_together(scene: Scene) -> None:
    ordinals = await scene.register(*(f"d{n}" for n in range(20)))
    await scene.saver.devices.delete(scene.app, "d7", scene.now)
    parts = (await broadcast(scene)).parts
    targets = {
        own * len(parts) + index
        for index, part in enumerate(parts)
        for own in BitMap.deserialize(part.audience)
    }
    assert targets == set(ordinals) - {ordinals[7]}


async def test_each_node_has_its_part_of_a_broadcast_until_it_is_done(scene: Scene) -> None:
    await scene.register("a")
    first, second = await broadcast(scene), await broadcast(scene)
    for route in (first, second):
        await scene.saver.routing.assign(scene.app, route.message.id, ["n1", "n2"])
    both = [(scene.app, first.message.id), (scene.app, second.message.id)]
    assert sorted(await scene.saver.routing.unfinished("n1", 10)) == sorted(both)
    await scene.saver.routing.finish(scene.app, first.message.id, "n1", scene.now)
    assert await scene.saver.routing.unfinished("n1", 10) == both[1:]
    assert sorted(await scene.saver.routing.unfinished("n2", 10)) == sorted(both)
    assert len(await scene.saver.routing.unfinished("n2", 1)) == 1
    assert await scene.saver.routing.unfinished("n3", 10) == []


async def test_a_node_that_is_done_stays_so(scene: Scene) -> None:
    await scene.register("a")
    message_id = (await broadcast(scene)).message.id
    await scene.saver.routing.assign(scene.app, message_id, ["n1", "n2"])
    await scene.saver.routing.finish(scene.app, message_id, "n1", scene.now)
    await scene.saver.routing.assign(scene.app, message_id, ["n1", "n2", "n3"])
    assert await scene.saver.routing.unfinished("n1", 10) == []
    for node in ("n2", "n3"):
        assert await scene.saver.routing.unfinished(node, 10) == [(scene.app, message_id)]
        await scene.saver.routing.finish(scene.app, message_id, node, scene.now)
        assert await scene.saver.routing.unfinished(node, 10) == []


async def test_an_online_broadcast_is_over_when_its_last_node_is_done(scene: Scene) -> None:
    ordinals = await scene.register("a", "b", "c")
    route = await broadcast(scene, online_only=True)
    message_id = route.message.id
    await scene.saver.routing.assign(scene.app, message_id, ["n1", "n2"])
    await written(scene, route, ordinals[0])
    await scene.saver.routing.finish(scene.app, message_id, "n1", scene.now)
    assert (await scene.ledger(message_id)).pending == 3
    for _ in range(2):
        await scene.saver.routing.finish(scene.app, message_id, "n2", scene.now)
        ledger = await scene.ledger(message_id)
        assert (ledger.pending, ledger.dropped) == (1, {"offline": 2})
    for ordinal in ordinals:
        position = position_of(route, ordinal)
        await scene.saver.inboxes.settle(
            [Receipt(scene.app, ordinal, position, True, State.ACKED, scene.now)]
        )
    ledger = await scene.ledger(message_id)
    assert (ledger.acked, ledger.dropped) == (1, {"offline": 2})


async def test_a_broadcast_for_later_too_is_not_over_with_its_nodes(scene: Scene) -> None:
    await scene.register("a")
    message_id = (await broadcast(scene)).message.id
    await scene.saver.routing.assign(scene.app, message_id, ["n1"])
    await scene.saver.routing.finish(scene.app, message_id, "n1", scene.now)
    assert (await scene.ledger(message_id)).pending == 1
    assert await scene.waiting("a") == ["all"]


async def test_a_node_without_a_task_ends_nothing(scene: Scene) -> None:
    await scene.register("a")
    message_id = (await broadcast(scene, online_only=True)).message.id
    await scene.saver.routing.finish(scene.app, message_id, "n1", scene.now)
    await scene.saver.routing.assign(scene.app, message_id, ["n1"])
    await scene.saver.routing.finish(scene.app, message_id, "n2", scene.now)
    await scene.saver.routing.finish(scene.app + 1, message_id, "n1", scene.now)
    await scene.saver.routing.finish(scene.app, scene.message().id, "n1", scene.now)
    assert (await scene.ledger(message_id)).pending == 1


async def test_a_task_of_what_is_over_ends_nothing_more(scene: Scene) -> None:
    await scene.register("a")
    message_id = (await broadcast(scene, online_only=True)).message.id
    await scene.saver.routing.assign(scene.app, message_id, ["n1"])
    await scene.saver.messages.cancel(scene.app, message_id, scene.now)
    await scene.saver.routing.finish(scene.app, message_id, "n1", scene.now)
    assert (await scene.ledger(message_id)).dropped == {"cancelled": 1}


async def test_tasks_outlive_the_process_where_nodes_do(scene: Scene) -> None:
    await scene.register("a")
    message_id = (await broadcast(scene)).message.id
    await scene.saver.routing.assign(scene.app, message_id, ["n1"])
    await scene.reopen()
    left = await scene.saver.routing.unfinished("n1", 10)
    assert left == ([(scene.app, message_id)] if scene.engine.shared else [])


# --- what was left undone ---


async def unrouted(scene: Scene) -> list[str]:
    """The ids of what nobody routed, found by whoever looks for it now."""
    return sorted(route.message.id for route in await scene.saver.routing.unrouted(scene.now, 100))


async def test_a_message_that_nobody_wrote_to_its_connected_device_is_found(scene: Scene) -> None:
    await scene.register("a", "b")
    binding = await scene.bind("a")
    lost = await unicast(scene, "a", "b")
    assert await scene.saver.routing.unrouted(scene.now - 1, 100) == [], "it may be on its way"
    scene.now += LATE
    found = await scene.saver.routing.unrouted(scene.now, 100)
    if not scene.engine.shared:
        assert found == []
        return
    (route,) = found
    assert isinstance(route, Unicast)
    assert (route.app, route.message) == (scene.app, lost.message)
    (target,) = route.targets
    assert (target.device, target.binding) == ("a", binding)
    assert target.position == position_of(lost, target.ordinal)


async def test_what_was_found_is_not_found_again_at_once(scene: Scene) -> None:
    await scene.register("a")
    await scene.bind("a")
    message_id = (await unicast(scene, "a")).message.id
    scene.now += LATE
    assert await unrouted(scene) == ([message_id] if scene.engine.shared else [])
    assert await unrouted(scene) == []
    scene.now += LATE
    assert await unrouted(scene) == ([message_id] if scene.engine.shared else [])


@pytest.mark.parametrize("state", [State.PENDING, State.ACKED, State.DROPPED])
async def test_a_message_of_which_a_room_has_spoken_was_routed(scene: Scene, state: State) -> None:
    (ordinal,) = await scene.register("a")
    await scene.bind("a")
    route = await unicast(scene, "a")
    position = position_of(route, ordinal)
    await scene.saver.inboxes.settle(
        [Receipt(scene.app, ordinal, position, False, state, scene.now, scene.now, "too_large")]
    )
    scene.now += LATE
    assert await unrouted(scene) == []


async def test_a_message_for_who_is_away_needs_no_routing(scene: Scene) -> None:
    await scene.register("a", "b")
    await unicast(scene, "a")
    await scene.unbind("b", await scene.bind("b"))
    await unicast(scene, "b")
    scene.now += LATE
    assert await unrouted(scene) == []


async def test_a_broadcast_that_nobody_was_given_is_found(scene: Scene) -> None:
    await scene.register("a")
    await scene.bind("a")
    lost, given = await broadcast(scene), await broadcast(scene)
    await scene.saver.routing.assign(scene.app, given.message.id, ["node-1"])
    scene.now += LATE
    assert await unrouted(scene) == ([lost.message.id] if scene.engine.shared else [])


async def test_what_is_over_needs_no_routing(scene: Scene) -> None:
    await scene.register("a")
    await scene.bind("a")
    for route in (await unicast(scene, "a"), await broadcast(scene)):
        await scene.saver.messages.cancel(scene.app, route.message.id, scene.now)
    await scene.push("short", "a")
    await scene.push("short")
    await scene.pass_time(MINUTE)
    scene.now += LATE
    assert await unrouted(scene) == []


async def test_what_was_stored_whole_needs_no_completion(scene: Scene) -> None:
    await scene.register("a", "b")
    await scene.bind("a")
    await unicast(scene, "a", "b")
    await broadcast(scene)
    scene.now += LATE
    assert await scene.saver.routing.complete(scene.now, 100) == []
    assert len(await scene.waiting("a")) == 2


# --- whose word counts ---


async def pushes_to(scene: Scene, name: str) -> list[tuple[str, Push]]:
    """A unicast and a broadcast as the device gets them, with their ids."""
    ids = [await scene.push("one", name), await scene.push("all")]
    return list(zip(ids, (await scene.page(name)).pushes, strict=True))


async def say(scene: Scene, name: str, push: Push, state: State, epoch: int) -> None:
    ordinal = await scene.ordinal(name)
    reason = "too_large" if state == State.DROPPED else None
    await scene.saver.inboxes.settle(
        [
            Receipt(
                scene.app, ordinal, push.position, push.broadcast, state, scene.now, scene.now, reason, epoch
            )
        ]
    )


@pytest.mark.parametrize("state", [State.PENDING, State.EXPIRED, State.COLLAPSED, State.DROPPED])
async def test_a_session_that_lost_its_device_is_not_heard(scene: Scene, state: State) -> None:
    await scene.register("a")
    old = await scene.bind("a", "n1")
    new = await scene.bind("a", "n2")
    for message_id, push in await pushes_to(scene, "a"):
        await say(scene, "a", push, state, old.epoch)
        ledger = await scene.ledger(message_id)
        assert (ledger.pending, ledger.sent) == (1, 0)
        await say(scene, "a", push, state, new.epoch)
        ledger = await scene.ledger(message_id)
        assert (ledger.pending, ledger.sent) == (1 if state == State.PENDING else 0, 1)


async def test_that_a_device_took_a_push_is_true_whoever_says_so(scene: Scene) -> None:
    await scene.register("a")
    old = await scene.bind("a", "n1")
    await scene.bind("a", "n2")
    for message_id, push in await pushes_to(scene, "a"):
        await say(scene, "a", push, State.ACKED, old.epoch)
        assert (await scene.ledger(message_id)).acked == 1
    assert await scene.waiting("a") == []


async def test_a_session_is_heard_after_its_end_while_nobody_else_owns_the_device(scene: Scene) -> None:
    await scene.register("a")
    binding = await scene.bind("a")
    await scene.unbind("a", binding)
    for message_id, push in await pushes_to(scene, "a"):
        await say(scene, "a", push, State.DROPPED, binding.epoch)
        assert (await scene.ledger(message_id)).dropped == {"too_large": 1}


async def test_who_names_no_session_is_heard(scene: Scene) -> None:
    await scene.register("a")
    await scene.bind("a")
    for message_id, push in await pushes_to(scene, "a"):
        await say(scene, "a", push, State.DROPPED, 0)
        assert (await scene.ledger(message_id)).dropped == {"too_large": 1}


async def test_of_one_batch_only_what_old_sessions_say_is_not_heard(scene: Scene) -> None:
    ordinals = await scene.register("a", "b")
    bindings = [await scene.bind("a", "n1"), await scene.bind("b", "n1")]
    await scene.bind("a", "n2")
    message_id = await scene.push("all")
    (push,) = (await scene.page("a")).pushes
    (other,) = (await scene.page("b")).pushes
    await scene.saver.inboxes.settle(
        [
            Receipt(
                scene.app, ordinal, position, True, State.DROPPED, scene.now, 0, "too_large", binding.epoch
            )
            for ordinal, position, binding in zip(
                ordinals, (push.position, other.position), bindings, strict=True
            )
        ]
    )
    assert (await scene.ledger(message_id)).dropped == {"too_large": 1}
    assert await scene.waiting("a") == ["all"]


async def test_a_session_that_lost_its_device_moves_no_cursor(scene: Scene) -> None:
    (ordinal,) = await scene.register("a")
    old = await scene.bind("a", "n1")
    new = await scene.bind("a", "n2")
    before = (await scene.arrive("a")).log_after
    await scene.push("all")
    read = (await scene.page("a")).log_after
    assert read > before
    for epoch, after in ((old.epoch, before), (new.epoch, read)):
        await scene.saver.inboxes.advance([Cursor(scene.app, ordinal, read, epoch)])
        assert (await scene.arrive("a")).log_after == after


async def test_a_cursor_without_a_session_or_of_the_last_one_moves(scene: Scene) -> None:
    (ordinal,) = await scene.register("a")
    binding = await scene.bind("a")
    await scene.unbind("a", binding)
    for epoch in (binding.epoch, 0):
        await scene.push("all")
        read = (await scene.page("a")).log_after
        await scene.saver.inboxes.advance([Cursor(scene.app, ordinal, read, epoch)])
        assert (await scene.arrive("a")).log_after == read
