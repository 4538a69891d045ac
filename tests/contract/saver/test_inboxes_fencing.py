"""Whose word about a device counts: that of the session that owns it."""

import pytest

from longline.model.ledger import State
from longline.saver.port.inboxes import Cursor, PendingPush, Receipt
from tests.contract.store_fixture import StoreFixture


async def pushes_to(store: StoreFixture, name: str) -> list[tuple[str, PendingPush]]:
    """A unicast and a broadcast as the device gets them, with their ids."""
    ids = [await store.push("one", name), await store.push("all")]
    return list(zip(ids, (await store.page(name)).pushes, strict=True))


async def say(store: StoreFixture, name: str, push: PendingPush, state: State, epoch: int) -> None:
    ordinal = await store.ordinal(name)
    reason = "too_large" if state == State.DROPPED else None
    await store.saver.inboxes.settle(
        [
            Receipt(
                store.app, ordinal, push.position, push.broadcast, state, store.now, store.now, reason, epoch
            )
        ]
    )


@pytest.mark.parametrize("state", [State.PENDING, State.EXPIRED, State.COLLAPSED, State.DROPPED])
async def test_a_session_that_lost_its_device_is_not_heard(store: StoreFixture, state: State) -> None:
    await store.register("a")
    old = await store.bind("a", "n1")
    new = await store.bind("a", "n2")
    for message_id, push in await pushes_to(store, "a"):
        await say(store, "a", push, state, old.epoch)
        ledger = await store.ledger(message_id)
        assert (ledger.pending, ledger.sent) == (1, 0)
        await say(store, "a", push, state, new.epoch)
        ledger = await store.ledger(message_id)
        assert (ledger.pending, ledger.sent) == (1 if state == State.PENDING else 0, 1)


async def test_that_a_device_took_a_push_is_true_whoever_says_so(store: StoreFixture) -> None:
    await store.register("a")
    old = await store.bind("a", "n1")
    await store.bind("a", "n2")
    for message_id, push in await pushes_to(store, "a"):
        await say(store, "a", push, State.ACKED, old.epoch)
        assert (await store.ledger(message_id)).acked == 1
    assert await store.waiting("a") == []


async def test_a_session_is_heard_after_its_end_while_nobody_else_owns_the_device(
    store: StoreFixture,
) -> None:
    await store.register("a")
    binding = await store.bind("a")
    await store.unbind("a", binding)
    for message_id, push in await pushes_to(store, "a"):
        await say(store, "a", push, State.DROPPED, binding.epoch)
        assert (await store.ledger(message_id)).dropped == {"too_large": 1}


async def test_who_names_no_session_is_heard(store: StoreFixture) -> None:
    await store.register("a")
    await store.bind("a")
    for message_id, push in await pushes_to(store, "a"):
        await say(store, "a", push, State.DROPPED, 0)
        assert (await store.ledger(message_id)).dropped == {"too_large": 1}


async def test_of_one_batch_only_what_old_sessions_say_is_not_heard(store: StoreFixture) -> None:
    ordinals = await store.register("a", "b")
    bindings = [await store.bind("a", "n1"), await store.bind("b", "n1")]
    await store.bind("a", "n2")
    message_id = await store.push("all")
    (push,) = (await store.page("a")).pushes
    (other,) = (await store.page("b")).pushes
    await store.saver.inboxes.settle(
        [
            Receipt(
                store.app, ordinal, position, True, State.DROPPED, store.now, 0, "too_large", binding.epoch
            )
            for ordinal, position, binding in zip(
                ordinals, (push.position, other.position), bindings, strict=True
            )
        ]
    )
    assert (await store.ledger(message_id)).dropped == {"too_large": 1}
    assert await store.waiting("a") == ["all"]


async def test_a_session_that_lost_its_device_moves_no_cursor(store: StoreFixture) -> None:
    (ordinal,) = await store.register("a")
    old = await store.bind("a", "n1")
    new = await store.bind("a", "n2")
    before = (await store.arrive("a")).log_after
    await store.push("all")
    read = (await store.page("a")).log_after
    assert read > before
    for epoch, after in ((old.epoch, before), (new.epoch, read)):
        await store.saver.inboxes.advance([Cursor(store.app, ordinal, read, epoch)])
        assert (await store.arrive("a")).log_after == after


async def test_a_cursor_without_a_session_or_of_the_last_one_moves(store: StoreFixture) -> None:
    (ordinal,) = await store.register("a")
    binding = await store.bind("a")
    await store.unbind("a", binding)
    for epoch in (binding.epoch, 0):
        await store.push("all")
        read = (await store.page("a")).log_after
        await store.saver.inboxes.advance([Cursor(store.app, ordinal, read, epoch)])
        assert (await store.arrive("a")).log_after == read
