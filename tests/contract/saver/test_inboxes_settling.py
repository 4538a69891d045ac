"""Receipts: each device of each message once, whatever is repeated, late or unknown."""

import pytest

from longline.model.ledger import State
from longline.saver.port.inboxes import Receipt
from tests.contract.saver.pushes import both, outcome_of, pending_for
from tests.contract.store_fixture import StoreFixture


@pytest.mark.parametrize(
    ("state", "reason", "expected"),
    [
        (State.ACKED, None, (1, 1, 0, 0, {})),
        (State.EXPIRED, None, (1, 0, 1, 0, {})),
        (State.COLLAPSED, None, (1, 0, 0, 1, {})),
        (State.DROPPED, "too_large", (1, 0, 0, 0, {"too_large": 1})),
    ],
)
async def test_a_receipt_moves_a_device_out_of_pending(
    store: StoreFixture, state: State, reason: str | None, expected: tuple[int, int, int, int, dict[str, int]]
) -> None:
    for message_id, push in await both(store):
        await store.settle("a", push, state, reason=reason)
        assert outcome_of(await store.ledger(message_id)) == expected
    assert await store.waiting("a") == []
    assert await store.waiting("b") == ["one", "all"]


async def test_the_first_outcome_stays_whatever_is_said_later(store: StoreFixture) -> None:
    for message_id, push in await both(store):
        await store.settle("a", push, State.ACKED)
        before = await store.ledger(message_id)
        for state in State:
            await store.settle("a", push, state, reason="late")
        ledger = await store.ledger(message_id)
        assert outcome_of(ledger) == outcome_of(before)


async def test_the_first_outcome_in_a_batch_counts(store: StoreFixture) -> None:
    for message_id, push in await both(store):
        other = await pending_for(store, "b", message_id)
        batch = [
            await store.receipt("b", other, State.DROPPED, reason="x"),
            await store.receipt("a", push, State.PENDING, sent_at=store.now),
            await store.receipt("a", push, State.ACKED),
            await store.receipt("b", other, State.ACKED),
            await store.receipt("a", push, State.DROPPED, reason="x"),
        ]
        await store.saver.inboxes.settle(batch)
        ledger = await store.ledger(message_id)
        assert outcome_of(ledger) == (0, 1, 0, 0, {"x": 1})
        assert ledger.sent == 1


async def test_written_is_progress_and_not_an_outcome(store: StoreFixture) -> None:
    for message_id, push in await both(store):
        await store.settle("a", push, State.PENDING, sent_at=store.now)
        ledger = await store.ledger(message_id)
        assert (ledger.pending, ledger.sent) == (2, 1)
        await store.settle("a", push, State.ACKED)
        assert (await store.ledger(message_id)).sent == 1


async def test_an_ack_counts_as_sent_even_if_nobody_said_so(store: StoreFixture) -> None:
    for message_id, push in await both(store):
        await store.settle("a", push, State.ACKED)
        ledger = await store.ledger(message_id)
        assert (ledger.sent, ledger.routed) == (1, 1)


async def test_receipts_for_what_does_not_exist_change_nothing(store: StoreFixture) -> None:
    pairs = await both(store)
    ordinal = await store.ordinal("a")
    for _, push in pairs:
        for position in (push.position + 999, 0):
            for broadcast in (False, True):
                await store.saver.inboxes.settle(
                    [Receipt(store.app, ordinal, position, broadcast, State.ACKED, store.now, store.now)]
                )
        strangers = [
            Receipt(store.app, ordinal + 999, push.position, push.broadcast, State.ACKED, store.now),
            Receipt(store.app + 1, ordinal, push.position, False, State.ACKED, store.now),
            Receipt(store.app, ordinal, push.position, not push.broadcast, State.ACKED, store.now),
        ]
        await store.saver.inboxes.settle(strangers)
    for message_id, _ in pairs:
        assert outcome_of(await store.ledger(message_id)) == (2, 0, 0, 0, {})
