"""What waits for a device is bounded: the oldest goes, those without high priority first, into the ledger."""

import asyncio

from longline.model.audience import Devices
from longline.model.ledger import State
from longline.model.messages import Envelope
from longline.saver.port.inboxes import INBOX_FULL
from tests.contract.engines import INBOX_BYTES, INBOX_MESSAGES
from tests.contract.saver.pushes import outcome_of
from tests.contract.store_fixture import StoreFixture

Outcomes = tuple[int, int, int, int, dict[str, int]]

FULL: Outcomes = (0, 0, 0, 0, {INBOX_FULL: 1})
WAITS: Outcomes = (1, 0, 0, 0, {})
LARGE = 256 * 1024


async def test_the_oldest_goes_when_one_too_many_comes(store: StoreFixture) -> None:
    """Each that goes is in the ledger, and what stays is what is newest, in its order."""
    await store.register("a", "b")
    ids = [await store.push(str(n), "a") for n in range(INBOX_MESSAGES + 7)]
    assert await store.waiting("a") == [str(n) for n in range(7, INBOX_MESSAGES + 7)]
    assert await store.pending("a") == INBOX_MESSAGES
    outcomes = [outcome_of(await store.ledger(message_id)) for message_id in ids]
    assert outcomes == [FULL] * 7 + [WAITS] * INBOX_MESSAGES


async def test_an_inbox_is_bounded_however_many_come_together(store: StoreFixture) -> None:
    await store.register("a")
    envelopes = [Envelope(store.message(str(n)), Devices(("a",))) for n in range(2 * INBOX_MESSAGES + 20)]
    halves = envelopes[: INBOX_MESSAGES + 20], envelopes[INBOX_MESSAGES + 20 :]
    await store.submit(*(store.submission(envelope) for envelope in halves[0]))
    await store.submit(store.submission(*halves[1]))
    assert await store.waiting("a") == [str(n) for n in range(INBOX_MESSAGES + 20, 2 * INBOX_MESSAGES + 20)]


async def test_those_of_high_priority_go_last(store: StoreFixture) -> None:
    await store.register("a")
    for n in range(INBOX_MESSAGES):
        await store.push(str(n), "a", priority="high" if n % 2 == 0 else "normal")
    for n in range(3):
        await store.push(f"new {n}", "a")
    gone = {"1", "3", "5"}
    expected = [str(n) for n in range(INBOX_MESSAGES) if str(n) not in gone]
    assert await store.waiting("a") == [*expected, "new 0", "new 1", "new 2"]


async def test_where_all_have_high_priority_the_oldest_goes_and_a_newer_one_without_it_first(
    store: StoreFixture,
) -> None:
    await store.register("a")
    for n in range(INBOX_MESSAGES):
        await store.push(str(n), "a", priority="high")
    refused = await store.push("normal", "a")
    assert outcome_of(await store.ledger(refused)) == FULL
    await store.push("newest", "a", priority="high")
    assert await store.waiting("a") == [*(str(n) for n in range(1, INBOX_MESSAGES)), "newest"]


async def test_what_a_device_takes_makes_room(store: StoreFixture) -> None:
    """Also in the middle of a long inbox, and however often that is counted."""
    await store.register("a")
    text = "x" * 300
    for n in range(INBOX_MESSAGES):
        await store.push(f"{n} {text}", "a")
    for _ in range(3):
        pushes = (await store.page("a")).pushes
        for push in pushes[5:60:2]:
            await store.settle("a", push, State.ACKED)
        for n in range(28):
            await store.push(f"more {n} {text}", "a")
        assert await store.pending("a") == INBOX_MESSAGES
        waiting = await store.waiting("a")
        assert waiting[:5] == [push.message.payload.decode() for push in pushes[:5]]
        await store.push(f"one more {text}", "a")
        assert await store.waiting("a") == [*waiting[1:], f"one more {text}"]
    await store.ack_all("a")
    for n in range(INBOX_MESSAGES):
        await store.push(f"{n} {text}", "a")
    assert (await store.waiting("a"))[0] == f"0 {text}"


async def test_an_inbox_is_bounded_in_bytes(store: StoreFixture) -> None:
    await store.register("a")
    fitting = INBOX_BYTES // LARGE
    ids = [await store.push(chr(65 + n % 26) * LARGE, "a") for n in range(fitting + 4)]
    waiting = [push.message.id for push in (await store.page("a")).pushes]
    assert fitting - 1 <= len(waiting) <= fitting
    assert waiting == ids[-len(waiting) :]
    assert outcome_of(await store.ledger(ids[0])) == FULL


async def test_a_message_to_many_is_dropped_only_for_whom_it_is_too_much(store: StoreFixture) -> None:
    await store.register("a", "b")
    first = await store.push("first", "a", "b")
    for n in range(INBOX_MESSAGES):
        await store.push(str(n), "a")
    assert outcome_of(await store.ledger(first)) == (1, 0, 0, 0, {INBOX_FULL: 1})
    assert await store.waiting("b") == ["first"]


async def test_who_took_a_message_that_was_dropped_meanwhile_has_it(store: StoreFixture) -> None:
    await store.register("a")
    first = await store.push("first", "a")
    (push,) = (await store.page("a")).pushes
    for n in range(INBOX_MESSAGES):
        await store.push(str(n), "a")
    await store.settle("a", push, State.ACKED)
    assert outcome_of(await store.ledger(first)) == (0, 1, 0, 0, {})


async def test_broadcasts_count_when_a_device_comes(store: StoreFixture) -> None:
    """The oldest of both goes, and of broadcasts only for who is crowded."""
    await store.register("a", "b")
    early = await store.push("early", "a")
    old = await store.push("old")
    for n in range(INBOX_MESSAGES - 2):
        await store.push(str(n), "a", priority="high" if n == 0 else "normal")
    ids = [await store.push(f"all {n}") for n in range(3)]
    await store.arrive("a")
    await store.arrive("b")
    expected = [*(str(n) for n in range(INBOX_MESSAGES - 2) if n != 1), "all 0", "all 1", "all 2"]
    assert await store.waiting("a") == expected
    assert outcome_of(await store.ledger(early)) == FULL
    assert outcome_of(await store.ledger(old)) == (1, 0, 0, 0, {INBOX_FULL: 1})
    assert outcome_of(await store.ledger(ids[0])) == (2, 0, 0, 0, {})
    assert await store.waiting("b") == ["old", "all 0", "all 1", "all 2"]


async def test_unread_broadcasts_are_bounded_too(store: StoreFixture) -> None:
    await store.register("a")
    for n in range(INBOX_MESSAGES + 5):
        await store.push(str(n))
    await store.arrive("a")
    assert await store.waiting("a") == [str(n) for n in range(5, INBOX_MESSAGES + 5)]


async def test_an_inbox_is_bounded_for_all_who_send_at_once(store: StoreFixture) -> None:
    await store.register("a")
    await asyncio.gather(*(store.push(str(n), "a") for n in range(INBOX_MESSAGES + 30)))
    assert await store.pending("a") == INBOX_MESSAGES
