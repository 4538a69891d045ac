"""What a device has missed: said when it comes, until it knows, and each once."""

import msgspec

from longline.model.audience import Everyone
from longline.model.ledger import State
from longline.saver.port.inboxes import TOO_LARGE, Arrival, Cursor, Told
from tests.contract.engines import INBOX_MESSAGES, RETENTION
from tests.contract.store_fixture import MINUTE, START, StoreFixture

HOUR = 60 * MINUTE


def counts(arrival: Arrival) -> tuple[int, int, int] | None:
    """Dropped, expired, collapsed; None for no gap."""
    gap = arrival.gap
    return None if gap is None else (gap.dropped, gap.expired, gap.collapsed)


async def tell(store: StoreFixture, name: str, arrival: Arrival) -> None:
    """The device has acknowledged what it missed."""
    assert arrival.gap is not None
    await store.saver.inboxes.close_gaps([Told(store.app, arrival.ordinal, arrival.gap)])


async def missed(store: StoreFixture, name: str) -> tuple[int, int, int] | None:
    return counts(await store.arrive(name))


async def test_who_misses_nothing_has_no_gap(store: StoreFixture) -> None:
    assert await missed(store, "new") is None
    await store.push("one", "new")
    await store.push("all")
    assert await missed(store, "new") is None
    await store.ack_all("new")
    await store.pass_time(HOUR)
    assert await missed(store, "new") is None


async def test_each_message_that_ended_unseen_is_counted(store: StoreFixture) -> None:
    await store.register("a", "b")
    for n in range(INBOX_MESSAGES + 3):
        await store.push(str(n), "a", ttl=HOUR)
    for n in range(3):
        await store.push(f"score {n}", "a", collapse="score", ttl=HOUR)
    assert await missed(store, "a") == (4, 0, 2)  # the first of them took the place of an older one
    await store.pass_time(2 * HOUR)
    arrival = await store.arrive("a")
    assert counts(arrival) == (4, INBOX_MESSAGES, 2)
    assert arrival.gap is not None
    assert arrival.gap.since == START
    assert await missed(store, "b") is None


async def test_a_broadcast_that_ended_unseen_is_counted_for_each_who_did_not_get_it(
    store: StoreFixture,
) -> None:
    await store.register("a", "b", "c")
    await store.push("all")
    await store.push("all again")
    await store.ack_all("b")
    (push, _) = (await store.page("c")).pushes
    await store.settle("c", push, State.PENDING)  # it was written, and never acknowledged
    await store.pass_time(HOUR)
    arrival = await store.arrive("a")
    assert counts(arrival) == (0, 2, 0)
    assert arrival.gap is not None
    assert START < arrival.gap.since <= store.now
    assert await missed(store, "b") is None
    assert await missed(store, "c") == (0, 1, 0)
    await store.register("later")
    assert await missed(store, "later") is None


async def test_broadcasts_that_were_collapsed_are_counted_when_their_time_is_over(
    store: StoreFixture,
) -> None:
    await store.register("a", "b")
    await store.push("old", collapse="k")
    await store.push("new", collapse="k", ttl=HOUR)
    await store.ack_all("b")
    await store.pass_time(2 * MINUTE)
    assert await missed(store, "a") == (0, 0, 1)
    assert await store.waiting("a") == ["new"]


async def test_what_was_taken_back_or_was_for_who_is_there_is_no_gap(store: StoreFixture) -> None:
    await store.register("a")
    for message_id in (await store.push("one", "a"), await store.push("all")):
        assert await store.saver.messages.cancel(store.app, message_id, store.now)
    await store.push("now", "a", online_only=True)
    await store.send(store.message("now", online_only=True), Everyone())
    await store.pass_time(HOUR)
    assert await missed(store, "a") is None


async def test_what_was_written_to_a_connection_is_no_gap(store: StoreFixture) -> None:
    await store.register("a")
    await store.push("one", "a")
    (push,) = (await store.page("a")).pushes
    await store.settle("a", push, State.PENDING)
    await store.pass_time(HOUR)
    assert await missed(store, "a") is None


async def test_what_the_client_does_not_take_is_a_gap(store: StoreFixture) -> None:
    await store.register("a", "b")
    await store.push("one", "a")
    await store.push("all")
    for push in (await store.page("a")).pushes:
        await store.settle("a", push, State.DROPPED, reason=TOO_LARGE)
        await store.settle("a", push, State.DROPPED, reason=TOO_LARGE)
    assert await missed(store, "a") == (2, 0, 0)
    assert await missed(store, "b") is None


async def test_broadcasts_that_are_too_much_for_who_comes_are_a_gap_at_once(store: StoreFixture) -> None:
    await store.register("a")
    for n in range(INBOX_MESSAGES + 5):
        await store.push(str(n))
    assert await missed(store, "a") == (5, 0, 0)
    assert await missed(store, "a") == (5, 0, 0)


async def test_a_device_is_told_until_it_knows_and_then_only_of_what_is_new(store: StoreFixture) -> None:
    await store.register("a")
    await store.push("one", "a")
    await store.push("all")
    await store.pass_time(HOUR)
    arrival = await store.arrive("a")
    assert counts(arrival) == counts(await store.arrive("a")) == (0, 2, 0)
    # More is missed before it says that it knows.
    await store.push("two", "a")
    await store.push("all")
    await store.pass_time(HOUR)
    await tell(store, "a", arrival)
    await tell(store, "a", arrival)  # told again
    later = await store.arrive("a")
    assert counts(later) == (0, 2, 0)
    await tell(store, "a", later)
    assert await missed(store, "a") is None
    await tell(store, "a", arrival)
    await store.push("three", "a")
    await store.pass_time(HOUR)
    assert await missed(store, "a") == (0, 1, 0)


async def test_a_broadcast_that_ends_after_a_newer_one_is_told_of_too(store: StoreFixture) -> None:
    await store.register("a")
    await store.push("long", ttl=2 * HOUR)
    await store.push("short")
    await store.pass_time(HOUR)
    arrival = await store.arrive("a")
    assert counts(arrival) == (0, 1, 0)
    await tell(store, "a", arrival)
    await store.pass_time(HOUR + MINUTE)
    assert await missed(store, "a") == (0, 1, 0)


async def test_a_cursor_says_whether_the_device_knows_what_it_misses(store: StoreFixture) -> None:
    await store.register("a")
    await store.push("short")
    await store.push("long", ttl=3 * HOUR)
    await store.pass_time(HOUR)
    arrival = await store.arrive("a")
    (push,) = (await store.page("a")).pushes
    await store.settle("a", push, State.ACKED)
    cursor = Cursor(store.app, arrival.ordinal, push.position)
    await store.saver.inboxes.advance([cursor])
    assert await missed(store, "a") == (0, 1, 0)
    await store.saver.inboxes.advance(
        [msgspec.structs.replace(cursor, log_after=push.position + 1, told=arrival.told)]
    )
    assert await missed(store, "a") is None


async def test_a_gap_goes_with_the_ledger_and_with_the_device(store: StoreFixture) -> None:
    await store.register("a", "b")
    await store.push("one", "a", "b")
    await store.push("all")
    await store.pass_time(HOUR)
    assert await missed(store, "b") == (0, 2, 0)
    await store.saver.devices.delete(store.app, "a", store.now)
    await store.register("a")
    assert await missed(store, "a") is None
    await store.pass_time(RETENTION + HOUR)
    assert await missed(store, "b") == (0, 1, 0)  # of a broadcast nobody knows any more
