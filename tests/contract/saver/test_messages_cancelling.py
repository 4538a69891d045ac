"""Messages that are taken back."""

from longline.model.ledger import State
from tests.contract.saver.pushes import both, outcome_of, pending_for
from tests.contract.store_fixture import MINUTE, StoreFixture


async def test_cancelling_drops_what_is_pending_and_nothing_else(store: StoreFixture) -> None:
    for message_id, _ in await both(store):
        await store.settle("b", await pending_for(store, "b", message_id), State.ACKED)
        assert await store.is_open(message_id)
        assert await store.saver.messages.cancel(store.app, message_id, store.now)
        assert outcome_of(await store.ledger(message_id)) == (0, 1, 0, 0, {"cancelled": 1})
        assert not await store.is_open(message_id)
    assert await store.waiting("a") == []
    assert await store.pending("a") == 0


async def test_an_ack_of_what_was_cancelled_says_who_took_it_before(store: StoreFixture) -> None:
    for message_id, push in await both(store):
        await store.saver.messages.cancel(store.app, message_id, store.now)
        await store.settle("a", push, State.ACKED, sent_at=store.now)
        assert outcome_of(await store.ledger(message_id)) == (0, 1, 0, 0, {"cancelled": 1})


async def test_cancelling_twice_or_late_is_harmless(store: StoreFixture) -> None:
    for message_id, _ in await both(store):
        assert await store.saver.messages.cancel(store.app, message_id, store.now)
        assert await store.saver.messages.cancel(store.app, message_id, store.now)
    late = await store.push("late", "a")
    await store.pass_time(MINUTE)
    assert await store.saver.messages.cancel(store.app, late, store.now)
    assert outcome_of(await store.ledger(late)) == (0, 0, 1, 0, {})


async def test_what_was_never_sent_cannot_be_cancelled(store: StoreFixture) -> None:
    assert not await store.saver.messages.cancel(store.app, store.message().id, store.now)
