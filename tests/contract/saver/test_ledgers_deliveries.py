"""The rows of a message's ledger, device by device."""

from longline.model.ledger import State
from tests.contract.saver.pushes import pending_for
from tests.contract.store_fixture import StoreFixture


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


async def test_a_broadcast_has_no_rows(store: StoreFixture) -> None:
    await store.register("a")
    assert await store.saver.ledgers.deliveries(store.app, await store.push("all"), -1, 10) == []


async def test_a_message_that_does_not_exist_has_no_deliveries(store: StoreFixture) -> None:
    assert await store.saver.ledgers.deliveries(store.app, store.message().id, -1, 10) is None
