"""Receipts: each device of each message once, whatever is repeated, late or unknown."""

from collections.abc import Awaitable, Callable

import pytest

from longline.model.ledger import State
from longline.saver.port.inboxes import Receipt
from tests.contract.engines import RETENTION
from tests.contract.saver.pushes import both, outcome_of, pending_for
from tests.contract.store_fixture import MINUTE, StoreFixture


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


async def test_of_a_batch_that_a_device_took_it_counts_else_the_first_outcome(store: StoreFixture) -> None:
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
        assert outcome_of(ledger) == (0, 2, 0, 0, {})
        assert ledger.sent == 2


async def test_the_first_outcome_in_a_batch_counts_when_nobody_took_it(store: StoreFixture) -> None:
    for message_id, push in await both(store):
        outcomes = [(State.EXPIRED, None), (State.DROPPED, "x"), (State.COLLAPSED, None)]
        await store.saver.inboxes.settle(
            [await store.receipt("a", push, state, reason=reason) for state, reason in outcomes]
        )
        assert outcome_of(await store.ledger(message_id)) == (1, 0, 1, 0, {})


async def end_by_its_time(store: StoreFixture, message_id: str) -> None:
    await store.pass_time(MINUTE)


async def collapse(store: StoreFixture, message_id: str) -> None:
    await store.push("newer", collapse="k")


async def cancel(store: StoreFixture, message_id: str) -> None:
    assert await store.saver.messages.cancel(store.app, message_id, store.now)


AUDIENCES: list[tuple[str, ...]] = [("a",), ("a", "b"), ()]


@pytest.mark.parametrize("end", [end_by_its_time, collapse, cancel])
@pytest.mark.parametrize("audience", AUDIENCES, ids=["one", "two", "all"])
async def test_what_a_device_took_is_acked_whatever_it_had_been_taken_for(
    store: StoreFixture, audience: tuple[str, ...], end: Callable[[StoreFixture, str], Awaitable[None]]
) -> None:
    """Its receipt was on its way, or its room stood still, when the message came to its end."""
    await store.register("a", "b")
    message_id = await store.push("x", *audience, collapse="k")
    (push,) = (await store.page("a")).pushes
    await end(store, message_id)
    before = await store.ledger(message_id)
    assert (before.pending, before.acked) == (0, 0)
    for _ in range(2):  # the store may have lost its answer
        await store.settle("a", push, State.ACKED, sent_at=store.now)
        ledger = await store.ledger(message_id)
        assert (ledger.targeted, ledger.pending) == (before.targeted, 0)
        assert (ledger.acked, ledger.sent) == (1, 1)
    await store.settle("a", push, State.DROPPED, reason="late")
    assert (await store.ledger(message_id)).acked == 1
    rows = await store.saver.ledgers.deliveries(store.app, message_id, -1, 10)
    assert rows is not None
    assert [(row.state, row.reason) for _, row in rows if row.device == "a"] == [(State.ACKED, None)]
    assert "x" not in await store.waiting("a")


async def test_a_device_that_was_deleted_since_has_taken_what_it_took(store: StoreFixture) -> None:
    pairs = await both(store)
    receipts = [await store.receipt("a", push, State.ACKED) for _, push in pairs]
    await store.saver.devices.delete(store.app, "a", store.now)
    await store.saver.inboxes.settle(receipts)
    for message_id, _ in pairs:
        assert outcome_of(await store.ledger(message_id)) == (1, 1, 0, 0, {})


async def test_an_ack_after_a_ledger_is_forgotten_changes_nothing(store: StoreFixture) -> None:
    for _, push in await both(store):
        receipt = await store.receipt("a", push, State.ACKED)
        await store.pass_time(MINUTE)
        await store.pass_time(RETENTION)
        await store.saver.inboxes.settle([receipt])
        assert await store.saver.ledgers.status(store.app, push.message.id) is None


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
