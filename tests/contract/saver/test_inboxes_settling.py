"""Settle and cancel: each device of each message once, whatever is repeated, late or unknown."""

import pytest

from longline.model.ledger import Ledger, State
from longline.saver.port.inboxes import Push, Receipt
from tests.contract.store_fixture import MINUTE, StoreFixture


async def both(store: StoreFixture) -> list[tuple[str, Push]]:
    """A unicast and a broadcast, as device "a" gets them, with their ids; "b" gets them, too."""
    await store.register("a", "b")
    ids = [await store.push("one", "a", "b"), await store.push("all")]
    pushes = (await store.page("a")).pushes
    return list(zip(ids, pushes, strict=True))


async def pending_for(store: StoreFixture, name: str, message_id: str) -> Push:
    """A message as a device gets it: its position is the device's own."""
    return next(push for push in (await store.page(name)).pushes if push.message.id == message_id)


def outcome_of(ledger: Ledger) -> tuple[int, int, int, int, dict[str, int]]:
    return ledger.pending, ledger.acked, ledger.expired, ledger.collapsed, dict(ledger.dropped)


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


async def test_cancelling_drops_what_is_pending_and_nothing_else(store: StoreFixture) -> None:
    for message_id, _ in await both(store):
        await store.settle("b", await pending_for(store, "b", message_id), State.ACKED)
        assert await store.is_open(message_id)
        assert await store.saver.messages.cancel(store.app, message_id, store.now)
        assert outcome_of(await store.ledger(message_id)) == (0, 1, 0, 0, {"cancelled": 1})
        assert not await store.is_open(message_id)
    assert await store.waiting("a") == []
    assert await store.pending("a") == 0


async def test_an_ack_of_what_was_cancelled_changes_nothing(store: StoreFixture) -> None:
    for message_id, push in await both(store):
        await store.saver.messages.cancel(store.app, message_id, store.now)
        await store.settle("a", push, State.ACKED, sent_at=store.now)
        assert outcome_of(await store.ledger(message_id)) == (0, 0, 0, 0, {"cancelled": 2})


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
