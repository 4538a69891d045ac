"""Expire: what is over is ended, what is old is forgotten, and nothing else is touched."""

from longline.model.audience import Devices, Everyone
from longline.model.ledger import State
from longline.saver.port.inboxes import Receipt
from tests.contract.engines import RETENTION
from tests.contract.saver.positions import position_of
from tests.contract.scene import MINUTE, Scene


async def test_a_message_ends_when_its_time_is_over(scene: Scene) -> None:
    await scene.register("a", "b")
    ids = [await scene.push("one", "a", "b"), await scene.push("all")]
    await scene.ack_all("b")
    await scene.pass_time(MINUTE - 1)
    for message_id in ids:
        assert (await scene.ledger(message_id)).pending == 1
        assert await scene.is_open(message_id)
    await scene.pass_time(1)
    for message_id in ids:
        ledger = await scene.ledger(message_id)
        assert (ledger.pending, ledger.acked, ledger.expired) == (0, 1, 1)
        assert not await scene.is_open(message_id)
    assert await scene.waiting("a") == []
    assert not (await scene.arrive("a")).pending


async def test_an_ack_after_the_end_changes_nothing(scene: Scene) -> None:
    await scene.register("a")
    ids = [await scene.push("one", "a"), await scene.push("all")]
    pushes = (await scene.page("a")).pushes
    await scene.pass_time(MINUTE)
    for message_id, push in zip(ids, pushes, strict=True):
        await scene.settle("a", push, State.ACKED, sent_at=scene.now)
        ledger = await scene.ledger(message_id)
        assert (ledger.expired, ledger.acked) == (1, 0)


async def test_next_expiry_says_when_there_is_work(scene: Scene) -> None:
    await scene.register("a")
    assert await scene.saver.messages.next_expiry() is None
    await scene.push("late", "a", ttl=2 * MINUTE)
    await scene.push("soon", "a", ttl=MINUTE)
    await scene.push("later", "a", ttl=3 * MINUTE)
    start = scene.now
    seen = []
    while (due := await scene.saver.messages.next_expiry()) is not None:
        assert await scene.saver.messages.expire(due - 1, 100) == 0
        assert await scene.saver.messages.expire(due, 100) == 1
        seen.append(due - start)
    ends = [MINUTE, 2 * MINUTE, 3 * MINUTE]
    assert seen == ends + [end + RETENTION for end in ends]


async def test_no_call_does_more_than_it_was_allowed(scene: Scene) -> None:
    await scene.register("a")
    ids = [await scene.push(str(n), *(("a",) if n % 5 else ())) for n in range(20)]
    scene.now += MINUTE
    ended = []
    while done := await scene.saver.messages.expire(scene.now, 6):
        ended.append(done)
        open_now = [message_id for message_id in ids if await scene.is_open(message_id)]
        assert open_now == ids[sum(ended) :], "the oldest end first"
    assert ended == [6, 6, 6, 2]
    assert sum([(await scene.ledger(message_id)).expired for message_id in ids]) == 20


async def test_a_ledger_is_kept_for_its_retention_and_then_forgotten(scene: Scene) -> None:
    await scene.register("a")
    ids = [await scene.push("one", "a"), await scene.push("all"), await scene.push("gone", "a")]
    await scene.saver.messages.cancel(scene.app, ids[2], scene.now)
    await scene.pass_time(MINUTE)
    await scene.pass_time(RETENTION - 1)
    for message_id in ids:
        await scene.ledger(message_id)
    await scene.pass_time(1)
    for message_id in ids:
        assert await scene.saver.ledgers.status(scene.app, message_id) is None
        assert await scene.saver.ledgers.deliveries(scene.app, message_id, -1, 10) is None
    assert await scene.saver.messages.next_expiry() is None


async def test_what_is_not_due_is_not_touched(scene: Scene) -> None:
    await scene.register("a")
    await scene.push("soon", "a", ttl=MINUTE)
    await scene.push("late", "a", ttl=10 * MINUTE)
    await scene.pass_time(MINUTE)
    assert await scene.waiting("a") == ["late"]


async def test_a_message_for_who_is_online_waits_for_nobody(scene: Scene) -> None:
    await scene.register("a")
    ids = [await scene.push(text, *to, online_only=True) for text, to in (("one", ("a",)), ("all", ()))]
    assert await scene.waiting("a") == []
    assert await scene.pending("a") == 0
    assert not (await scene.arrive("a")).pending
    for message_id in ids:
        assert (await scene.ledger(message_id)).pending == 1


async def test_a_message_for_who_is_online_ends_as_offline_where_it_was_not_written(scene: Scene) -> None:
    ordinals = await scene.register("a", "b", "c")
    ids = []
    for audience in (("a", "b", "c"), ()):
        message = scene.message(online_only=True)
        _, outcome = await scene.send(message, Devices(audience) if audience else Everyone())
        (route,) = outcome.routes
        ids.append(message.id)
        await scene.saver.inboxes.settle(
            [
                Receipt(
                    scene.app, ordinal, position_of(route, ordinal), not audience, state, scene.now, scene.now
                )
                for ordinal, state in zip(ordinals, (State.ACKED, State.PENDING), strict=False)
            ]
        )
    await scene.pass_time(MINUTE)
    for message_id in ids:
        ledger = await scene.ledger(message_id)
        assert (ledger.acked, ledger.expired, ledger.dropped, ledger.sent) == (1, 1, {"offline": 1}, 2)
