"""Expire: what is over is ended, what is old is forgotten, and nothing else is touched."""

from longline.model.audience import Devices, Everyone
from longline.model.ledger import State
from longline.saver.port.inboxes import Receipt
from tests.contract.engines import RETENTION
from tests.contract.saver.positions import position_of
from tests.contract.store_fixture import MINUTE, StoreFixture


async def test_a_message_ends_when_its_time_is_over(store: StoreFixture) -> None:
    await store.register("a", "b")
    ids = [await store.push("one", "a", "b"), await store.push("all")]
    await store.ack_all("b")
    await store.pass_time(MINUTE - 1)
    for message_id in ids:
        assert (await store.ledger(message_id)).pending == 1
        assert await store.is_open(message_id)
    await store.pass_time(1)
    for message_id in ids:
        ledger = await store.ledger(message_id)
        assert (ledger.pending, ledger.acked, ledger.expired) == (0, 1, 1)
        assert not await store.is_open(message_id)
    assert await store.waiting("a") == []
    assert not (await store.arrive("a")).pending


async def test_an_ack_after_the_end_says_who_took_it_before(store: StoreFixture) -> None:
    await store.register("a")
    ids = [await store.push("one", "a"), await store.push("all")]
    pushes = (await store.page("a")).pushes
    await store.pass_time(MINUTE)
    for message_id, push in zip(ids, pushes, strict=True):
        await store.settle("a", push, State.ACKED, sent_at=store.now)
        ledger = await store.ledger(message_id)
        assert (ledger.expired, ledger.acked) == (0, 1)


async def test_next_expiry_says_when_there_is_work(store: StoreFixture) -> None:
    await store.register("a")
    assert await store.saver.expiry.next_due() is None
    await store.push("late", "a", ttl=2 * MINUTE)
    await store.push("soon", "a", ttl=MINUTE)
    await store.push("later", "a", ttl=3 * MINUTE)
    start = store.now
    seen = []
    while (due := await store.saver.expiry.next_due()) is not None:
        assert await store.saver.expiry.end(due - 1, 100) == 0
        assert await store.saver.expiry.end(due, 100) == 1
        seen.append(due - start)
    ends = [MINUTE, 2 * MINUTE, 3 * MINUTE]
    assert seen == ends + [end + RETENTION for end in ends]


async def test_no_call_does_more_than_it_was_allowed(store: StoreFixture) -> None:
    await store.register("a")
    ids = [await store.push(str(n), *(("a",) if n % 5 else ())) for n in range(20)]
    store.now += MINUTE
    ended = []
    while done := await store.saver.expiry.end(store.now, 6):
        ended.append(done)
        open_now = [message_id for message_id in ids if await store.is_open(message_id)]
        assert open_now == ids[sum(ended) :], "the oldest end first"
    assert ended == [6, 6, 6, 2]
    assert sum([(await store.ledger(message_id)).expired for message_id in ids]) == 20


async def test_a_ledger_is_kept_for_its_retention_and_then_forgotten(store: StoreFixture) -> None:
    await store.register("a")
    ids = [await store.push("one", "a"), await store.push("all"), await store.push("gone", "a")]
    await store.saver.messages.cancel(store.app, ids[2], store.now)
    await store.pass_time(MINUTE)
    await store.pass_time(RETENTION - 1)
    for message_id in ids:
        await store.ledger(message_id)
    await store.pass_time(1)
    for message_id in ids:
        assert await store.saver.ledgers.status(store.app, message_id) is None
        assert await store.saver.ledgers.deliveries(store.app, message_id, -1, 10) is None
    assert await store.saver.expiry.next_due() is None


async def test_what_is_not_due_is_not_touched(store: StoreFixture) -> None:
    await store.register("a")
    await store.push("soon", "a", ttl=MINUTE)
    await store.push("late", "a", ttl=10 * MINUTE)
    await store.pass_time(MINUTE)
    assert await store.waiting("a") == ["late"]


async def test_a_message_for_who_is_online_waits_for_nobody(store: StoreFixture) -> None:
    await store.register("a")
    ids = [await store.push(text, *to, online_only=True) for text, to in (("one", ("a",)), ("all", ()))]
    assert await store.waiting("a") == []
    assert await store.pending("a") == 0
    assert not (await store.arrive("a")).pending
    for message_id in ids:
        assert (await store.ledger(message_id)).pending == 1


async def test_a_message_for_who_is_online_ends_as_offline_where_it_was_not_written(
    store: StoreFixture,
) -> None:
    ordinals = await store.register("a", "b", "c")
    ids = []
    for audience in (("a", "b", "c"), ()):
        message = store.message(online_only=True)
        _, outcome = await store.send(message, Devices(audience) if audience else Everyone())
        (route,) = outcome.routes
        ids.append(message.id)
        await store.saver.inboxes.settle(
            [
                Receipt(
                    store.app, ordinal, position_of(route, ordinal), not audience, state, store.now, store.now
                )
                for ordinal, state in zip(ordinals, (State.ACKED, State.PENDING), strict=False)
            ]
        )
    await store.pass_time(MINUTE)
    for message_id in ids:
        ledger = await store.ledger(message_id)
        assert (ledger.acked, ledger.expired, ledger.dropped, ledger.sent) == (1, 1, {"offline": 1}, 2)
