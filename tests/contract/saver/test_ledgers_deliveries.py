"""The rows of a message's ledger, device by device."""

from longline.model.audience import Tagged
from longline.model.devices import Profile
from longline.model.ledger import State
from longline.saver.port.messages import Accepted
from tests.contract.saver.pushes import pending_for
from tests.contract.store_fixture import MINUTE, StoreFixture


async def stands(store: StoreFixture, message_id: str) -> dict[str, tuple[State, str | None]]:
    """A message's state and reason by device, in the order in which they are told."""
    rows = await store.saver.ledgers.deliveries(store.app, message_id, -1, 10)
    assert rows is not None
    return {row.device: (row.state, row.reason) for _, row in rows}


async def test_deliveries_tell_each_devices_times(store: StoreFixture) -> None:
    await store.register("a", "b", "c")
    accepted = store.now
    message_id = await store.push("one", "c", "a", "nobody", "b")
    (push,) = (await store.page("a")).pushes
    other = await pending_for(store, "b", message_id)
    store.now += 5
    await store.settle("a", push, State.PENDING, sent_at=store.now)
    store.now += 5
    await store.settle("a", push, State.ACKED, sent_at=store.now)
    await store.settle("b", other, State.DROPPED, reason="too_large")
    rows = await store.saver.ledgers.deliveries(store.app, message_id, -1, 10)
    assert rows is not None
    assert sorted(
        (row.device, row.state, row.reason, row.accepted_at, row.sent_at, row.settled_at) for _, row in rows
    ) == [
        ("a", State.ACKED, None, accepted, accepted + 5, accepted + 10),
        ("b", State.DROPPED, "too_large", accepted, None, accepted + 10),
        ("c", State.PENDING, None, accepted, None, None),
    ]


async def test_deliveries_are_read_page_by_page(store: StoreFixture) -> None:
    names = [f"d{n:02}" for n in range(25)]
    ordinals = zip(await store.register(*names), names, strict=True)
    message_id = await store.push("one", *reversed(names))
    seen: list[tuple[int, str]] = []
    after = -1
    while rows := await store.saver.ledgers.deliveries(store.app, message_id, after, 10):
        assert len(rows) <= 10
        seen += [(ordinal, row.device) for ordinal, row in rows]
        after = rows[-1][0]
    assert seen == sorted(ordinals)


async def test_deliveries_still_name_a_device_that_was_deleted(store: StoreFixture) -> None:
    await store.register("a", "b")
    message_id = await store.push("one", "a", "b")
    await store.saver.devices.delete(store.app, "a", store.now)
    rows = await store.saver.ledgers.deliveries(store.app, message_id, -1, 10)
    assert rows is not None
    assert {(row.device, row.reason) for _, row in rows} == {("a", "device_deleted"), ("b", None)}


async def test_a_broadcasts_deliveries_are_its_audience_with_the_state_of_each(store: StoreFixture) -> None:
    """When it was sent and settled is not known."""
    await store.register("before")
    await store.saver.devices.delete(store.app, "before", store.now)
    await store.register("acks", "drops", "leaves", "waits", profile=Profile(tags=("red",)))
    await store.register("other")
    accepted = store.now
    result, _ = await store.send(store.message("to the red"), Tagged(("red",)))
    assert isinstance(result, Accepted)
    await store.register("late", profile=Profile(tags=("red",)))
    for name, state in (("acks", State.ACKED), ("drops", State.DROPPED)):
        (push,) = (await store.page(name)).pushes
        reason = "too_large_for_client" if state is State.DROPPED else None
        await store.settle(name, push, state, reason=reason, sent_at=store.now)
    await store.saver.devices.delete(store.app, "leaves", store.now)
    assert await stands(store, result.message_id) == {
        "acks": (State.ACKED, None),
        "drops": (State.DROPPED, "too_large_for_client"),
        "leaves": (State.DROPPED, "device_deleted"),
        "waits": (State.PENDING, None),
    }
    rows = await store.saver.ledgers.deliveries(store.app, result.message_id, -1, 10)
    assert rows is not None
    assert {(row.accepted_at, row.sent_at, row.settled_at) for _, row in rows} == {(accepted, None, None)}
    await store.pass_time(10 * MINUTE)
    assert (await stands(store, result.message_id))["waits"] == (State.EXPIRED, None)


async def test_a_broadcast_that_was_replaced_says_so_of_each_device(store: StoreFixture) -> None:
    await store.register("a", "b")
    older = await store.push("older", collapse="score")
    await store.push("newer", collapse="score")
    assert await stands(store, older) == dict.fromkeys(("a", "b"), (State.COLLAPSED, None))


async def test_a_broadcasts_deliveries_are_read_page_by_page_in_the_order_of_unicasts(
    store: StoreFixture,
) -> None:
    names = [f"d{n:02}" for n in range(40)]
    ordinals = await store.register(*names)
    message_id = await store.push("all")
    seen: list[tuple[int, str]] = []
    after = -1
    while rows := await store.saver.ledgers.deliveries(store.app, message_id, after, 7):
        assert len(rows) <= 7
        seen += [(ordinal, row.device) for ordinal, row in rows]
        after = rows[-1][0]
    assert seen == sorted(zip(ordinals, names, strict=True))


async def test_devices_far_apart_are_on_one_page(store: StoreFixture) -> None:
    """However many are between them whom it is not for: more than are looked at in one step."""
    red = Profile(tags=("red",))
    name = store.neighbours()
    await store.register(name(0), profile=red)
    for start in range(1, 9000, 1000):
        await store.register(*(name(start + n) for n in range(1000)))
    await store.register(name(10_000), profile=red)
    result, _ = await store.send(store.message(), Tagged(("red",)))
    assert isinstance(result, Accepted)
    assert set(await stands(store, result.message_id)) == {name(0), name(10_000)}


async def test_a_message_that_does_not_exist_has_no_deliveries(store: StoreFixture) -> None:
    assert await store.saver.ledgers.deliveries(store.app, store.message().id, -1, 10) is None
