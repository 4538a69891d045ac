"""Settle and cancel: each device of each message once, whatever is repeated, late or unknown."""

import pytest

from longline.model.ledger import Ledger, State
from longline.saver.port.inboxes import Push, Receipt
from tests.contract.scene import MINUTE, Scene


async def both(scene: Scene) -> list[tuple[str, Push]]:
    """A unicast and a broadcast, as device "a" gets them, with their ids; "b" gets them, too."""
    await scene.register("a", "b")
    ids = [await scene.push("one", "a", "b"), await scene.push("all")]
    pushes = (await scene.page("a")).pushes
    return list(zip(ids, pushes, strict=True))


async def pending_for(scene: Scene, name: str, message_id: str) -> Push:
    """A message as a device gets it: its position is the device's own."""
    return next(push for push in (await scene.page(name)).pushes if push.message.id == message_id)


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
    scene: Scene, state: State, reason: str | None, expected: tuple[int, int, int, int, dict[str, int]]
) -> None:
    for message_id, push in await both(scene):
        await scene.settle("a", push, state, reason=reason)
        assert outcome_of(await scene.ledger(message_id)) == expected
    assert await scene.waiting("a") == []
    assert await scene.waiting("b") == ["one", "all"]


async def test_the_first_outcome_stays_whatever_is_said_later(scene: Scene) -> None:
    for message_id, push in await both(scene):
        await scene.settle("a", push, State.ACKED)
        before = await scene.ledger(message_id)
        for state in State:
            await scene.settle("a", push, state, reason="late")
        ledger = await scene.ledger(message_id)
        assert outcome_of(ledger) == outcome_of(before)


async def test_the_first_outcome_in_a_batch_counts(scene: Scene) -> None:
    for message_id, push in await both(scene):
        other = await pending_for(scene, "b", message_id)
        batch = [
            await scene.receipt("b", other, State.DROPPED, reason="x"),
            await scene.receipt("a", push, State.PENDING, sent_at=scene.now),
            await scene.receipt("a", push, State.ACKED),
            await scene.receipt("b", other, State.ACKED),
            await scene.receipt("a", push, State.DROPPED, reason="x"),
        ]
        await scene.saver.inboxes.settle(batch)
        ledger = await scene.ledger(message_id)
        assert outcome_of(ledger) == (0, 1, 0, 0, {"x": 1})
        assert ledger.sent == 1


async def test_written_is_progress_and_not_an_outcome(scene: Scene) -> None:
    for message_id, push in await both(scene):
        await scene.settle("a", push, State.PENDING, sent_at=scene.now)
        ledger = await scene.ledger(message_id)
        assert (ledger.pending, ledger.sent) == (2, 1)
        await scene.settle("a", push, State.ACKED)
        assert (await scene.ledger(message_id)).sent == 1


async def test_an_ack_counts_as_sent_even_if_nobody_said_so(scene: Scene) -> None:
    for message_id, push in await both(scene):
        await scene.settle("a", push, State.ACKED)
        ledger = await scene.ledger(message_id)
        assert (ledger.sent, ledger.routed) == (1, 1)


async def test_receipts_for_what_does_not_exist_change_nothing(scene: Scene) -> None:
    pairs = await both(scene)
    ordinal = await scene.ordinal("a")
    for _, push in pairs:
        for position in (push.position + 999, 0):
            for broadcast in (False, True):
                await scene.saver.inboxes.settle(
                    [Receipt(scene.app, ordinal, position, broadcast, State.ACKED, scene.now, scene.now)]
                )
        strangers = [
            Receipt(scene.app, ordinal + 999, push.position, push.broadcast, State.ACKED, scene.now),
            Receipt(scene.app + 1, ordinal, push.position, False, State.ACKED, scene.now),
            Receipt(scene.app, ordinal, push.position, not push.broadcast, State.ACKED, scene.now),
        ]
        await scene.saver.inboxes.settle(strangers)
    for message_id, _ in pairs:
        assert outcome_of(await scene.ledger(message_id)) == (2, 0, 0, 0, {})


async def test_cancelling_drops_what_is_pending_and_nothing_else(scene: Scene) -> None:
    for message_id, _ in await both(scene):
        await scene.settle("b", await pending_for(scene, "b", message_id), State.ACKED)
        assert await scene.is_open(message_id)
        assert await scene.saver.messages.cancel(scene.app, message_id, scene.now)
        assert outcome_of(await scene.ledger(message_id)) == (0, 1, 0, 0, {"cancelled": 1})
        assert not await scene.is_open(message_id)
    assert await scene.waiting("a") == []
    assert await scene.pending("a") == 0


async def test_an_ack_of_what_was_cancelled_changes_nothing(scene: Scene) -> None:
    for message_id, push in await both(scene):
        await scene.saver.messages.cancel(scene.app, message_id, scene.now)
        await scene.settle("a", push, State.ACKED, sent_at=scene.now)
        assert outcome_of(await scene.ledger(message_id)) == (0, 0, 0, 0, {"cancelled": 2})


async def test_cancelling_twice_or_late_is_harmless(scene: Scene) -> None:
    for message_id, _ in await both(scene):
        assert await scene.saver.messages.cancel(scene.app, message_id, scene.now)
        assert await scene.saver.messages.cancel(scene.app, message_id, scene.now)
    late = await scene.push("late", "a")
    await scene.pass_time(MINUTE)
    assert await scene.saver.messages.cancel(scene.app, late, scene.now)
    assert outcome_of(await scene.ledger(late)) == (0, 0, 1, 0, {})


async def test_what_was_never_sent_cannot_be_cancelled(scene: Scene) -> None:
    assert not await scene.saver.messages.cancel(scene.app, scene.message().id, scene.now)


async def test_deliveries_tell_each_devices_times(scene: Scene) -> None:
    await scene.register("a", "b", "c")
    accepted = scene.now
    message_id = await scene.push("one", "c", "a", "nobody", "b")
    (push,) = (await scene.page("a")).pushes
    other = await pending_for(scene, "b", message_id)
    scene.now += 5
    await scene.settle("a", push, State.PENDING, sent_at=scene.now)
    scene.now += 5
    await scene.settle("a", push, State.ACKED, sent_at=scene.now)
    await scene.settle("b", other, State.DROPPED, reason="too_large")
    rows = await scene.saver.ledgers.deliveries(scene.app, message_id, -1, 10)
    assert rows is not None
    assert sorted(
        (row.device, row.state, row.reason, row.accepted_at, row.sent_at, row.settled_at) for _, row in rows
    ) == [
        ("a", State.ACKED, None, accepted, accepted + 5, accepted + 10),
        ("b", State.DROPPED, "too_large", accepted, None, accepted + 10),
        ("c", State.PENDING, None, accepted, None, None),
    ]


async def test_deliveries_are_read_page_by_page(scene: Scene) -> None:
    names = [f"d{n:02}" for n in range(25)]
    ordinals = zip(await scene.register(*names), names, strict=True)
    message_id = await scene.push("one", *reversed(names))
    seen: list[tuple[int, str]] = []
    after = -1
    while rows := await scene.saver.ledgers.deliveries(scene.app, message_id, after, 10):
        assert len(rows) <= 10
        seen += [(ordinal, row.device) for ordinal, row in rows]
        after = rows[-1][0]
    assert seen == sorted(ordinals)


async def test_deliveries_still_name_a_device_that_was_deleted(scene: Scene) -> None:
    await scene.register("a", "b")
    message_id = await scene.push("one", "a", "b")
    await scene.saver.devices.delete(scene.app, "a", scene.now)
    rows = await scene.saver.ledgers.deliveries(scene.app, message_id, -1, 10)
    assert rows is not None
    assert {(row.device, row.reason) for _, row in rows} == {("a", "device_deleted"), ("b", None)}


async def test_a_broadcast_has_no_rows(scene: Scene) -> None:
    await scene.register("a")
    assert await scene.saver.ledgers.deliveries(scene.app, await scene.push("all"), -1, 10) == []


async def test_a_message_that_does_not_exist_has_no_deliveries(scene: Scene) -> None:
    assert await scene.saver.ledgers.deliveries(scene.app, scene.message().id, -1, 10) is None
