"""Enqueue: what is answered, what is routed, and what a key remembers."""

import asyncio

import msgspec
import pytest

from longline.model.audience import Audience, Devices, Everyone
from longline.model.commands import Unicast
from longline.model.messages import Envelope
from longline.saver.port.messages import Accepted, IdempotencyConflict, Outcome, Refused, Submission
from tests.contract.saver.positions import log_before_of, position_of
from tests.contract.store_fixture import MINUTE, StoreFixture, an_app


def results(outcome: Outcome | IdempotencyConflict) -> tuple[Accepted | Refused, ...]:
    assert isinstance(outcome, Outcome)
    return outcome.results


async def test_a_message_to_devices_is_routed_to_those_that_exist(store: StoreFixture) -> None:
    ordinals = await store.register("a", "b")
    binding = await store.bind("b")
    message = store.message()
    result, outcome = await store.send(message, Devices(("b", "nobody", "a")))
    (route,) = outcome.routes
    assert isinstance(route, Unicast)
    assert result == Accepted(message.id, 3)
    assert route.message == message
    assert route.app == store.app
    assert [(target.device, target.ordinal, target.binding) for target in route.targets] == [
        ("b", ordinals[1], binding),
        ("a", ordinals[0], None),
    ]


async def test_devices_that_do_not_exist_are_in_the_ledger_as_dropped(store: StoreFixture) -> None:
    await store.register("a")
    ledger = await store.ledger(await store.push("hello", "a", "x", "y"))
    assert (ledger.targeted, ledger.pending, ledger.dropped) == (3, 1, {"device_not_found": 2})


async def test_an_audience_in_which_nobody_exists_is_refused(store: StoreFixture) -> None:
    message = store.message()
    result, outcome = await store.send(message, Devices(("x", "y")))
    assert result == Refused("no_target")
    assert outcome.routes == ()
    assert await store.saver.ledgers.status(store.app, message.id) is None
    assert await store.saver.expiry.next_due() is None


async def test_a_broadcast_in_an_app_without_devices_is_refused(store: StoreFixture) -> None:
    result, outcome = await store.send(store.message(), Everyone())
    assert result == Refused("no_target")
    assert outcome.routes == ()


async def test_a_refused_message_does_not_stop_the_others_of_its_request(store: StoreFixture) -> None:
    await store.register("a")
    good, bad = store.message(), store.message()
    envelopes = (Envelope(bad, Devices(("x",))), Envelope(good, Devices(("a",))))
    (outcome,) = await store.submit(store.submission(*envelopes))
    assert results(outcome) == (Refused("no_target"), Accepted(good.id, 1))


async def test_positions_rise_with_the_order_of_acceptance(store: StoreFixture) -> None:
    (ordinal,) = await store.register("a")
    positions = []
    for audience in (Devices(("a",)), Everyone(), Devices(("a",))):
        _, outcome = await store.send(store.message(), audience)
        (route,) = outcome.routes
        positions.append(position_of(route, ordinal))
    assert positions == sorted(set(positions))


@pytest.mark.parametrize("key", [None, "a key"], ids=["without a key", "with a key"])
async def test_whatever_is_stored_tells_of_the_open_broadcast_before_it(
    store: StoreFixture, key: str | None
) -> None:
    """By it a room knows that something goes first which it has not got yet."""
    (ordinal, _) = await store.register("a", "b")

    async def told(audience: Audience, *, online_only: bool = False) -> tuple[int, int]:
        envelope = Envelope(store.message(online_only=online_only), audience)
        name = None if key is None else f"{key} {envelope.message.id}"
        (outcome,) = await store.submit(store.submission(envelope, key=name))
        assert isinstance(outcome, Outcome)
        (route,) = outcome.routes
        return position_of(route, ordinal), log_before_of(route, ordinal)

    assert (await told(Devices(("a",))))[1] == 0
    first, before = await told(Everyone())
    assert before == 0
    for online_only in (False, True):
        assert (await told(Devices(("a",)), online_only=online_only))[1] == first
    assert (await told(Devices(("b", "a"))))[1] == first
    assert (await told(Everyone(), online_only=True))[1] == first
    second, before = await told(Everyone())
    assert before == first
    assert (await told(Devices(("a",))))[1] == second
    await store.reopen()
    assert (await told(Devices(("a",))))[1] == second


async def test_a_broadcast_that_is_over_is_told_of_by_nobody(store: StoreFixture) -> None:
    (ordinal,) = await store.register("a")
    _, first = await store.send(store.message(ttl=10**9), Everyone())
    message = store.message(ttl=10**9)
    await store.send(message, Everyone())
    assert await store.saver.messages.cancel(store.app, message.id, store.now)
    for audience in (Devices(("a",)), Everyone()):
        _, outcome = await store.send(store.message(), audience)
        assert log_before_of(outcome.routes[0], ordinal) == position_of(first.routes[0], ordinal)


async def test_messages_stored_together_tell_of_each_other_in_their_order(store: StoreFixture) -> None:
    (ordinal,) = await store.register("a")
    audiences = (Devices(("a",)), Everyone(), Devices(("a",)), Everyone(), Devices(("a",)))
    envelopes = [Envelope(store.message(), audience) for audience in audiences]
    (outcome,) = await store.submit(store.submission(*envelopes))
    assert isinstance(outcome, Outcome)
    positions = [position_of(route, ordinal) for route in outcome.routes]
    before = [log_before_of(route, ordinal) for route in outcome.routes]
    assert before == [0, 0, positions[1], positions[1], positions[3]]


async def test_positions_are_not_given_again_after_everything_was_purged(store: StoreFixture) -> None:
    (ordinal,) = await store.register("a")
    _, before = await store.send(store.message(), Everyone())
    await store.pass_time(10**9)
    await store.pass_time(10**9)
    await store.reopen()
    _, after = await store.send(store.message(), Everyone())
    assert position_of(after.routes[0], ordinal) > position_of(before.routes[0], ordinal)


async def test_enqueues_that_arrive_together_are_all_stored(store: StoreFixture) -> None:
    """Requests that share a commit do not share a fate."""
    await store.register("a", "b")
    pushes = [store.push(f"m{n}", "ab"[n % 2]) for n in range(100)]
    await asyncio.gather(*pushes)
    assert await store.waiting("a") == [f"m{n}" for n in range(0, 100, 2)]
    assert await store.waiting("b") == [f"m{n}" for n in range(1, 100, 2)]


async def test_a_stored_message_is_seen_by_whoever_asks_afterwards(store: StoreFixture) -> None:
    """Reads see every change that was answered before they began."""
    await store.register("a")
    for n in range(50):
        message_id = await store.push(str(n), "a")
        assert (await store.ledger(message_id)).pending == 1
        assert await store.pending("a") == n + 1


async def test_a_message_comes_back_exactly_as_it_was_sent(store: StoreFixture) -> None:
    await store.register("a")
    message = msgspec.structs.replace(
        store.message(collapse="k€y", qos=0), payload=bytes(range(256)) * 1024, content_type="a/b; c=é"
    )
    await store.send(message, Devices(("a",)))
    ((push,), status) = (
        (await store.page("a")).pushes,
        await store.saver.ledgers.status(store.app, message.id),
    )
    assert push.message == message
    assert status is not None
    assert status.message == message


async def test_everything_is_there_after_a_restart(store: StoreFixture) -> None:
    await store.register("a", "b")
    unicast = await store.push("one", "a")
    broadcast = await store.push("all")
    await store.ack_all("b")
    await store.reopen()
    assert await store.waiting("a") == ["one", "all"]
    assert await store.waiting("b") == []
    assert (await store.ledger(unicast)).pending == 1
    assert (await store.ledger(broadcast)).acked == 1


async def test_the_ledger_counts_who_was_bound_as_routed(store: StoreFixture) -> None:
    await store.register("a", "b", "c")
    await store.bind("a")
    message_id = await store.push("hello", "a", "b", "c")
    assert (await store.ledger(message_id)).routed == 1
    await store.ack_all("b")
    ledger = await store.ledger(message_id)
    assert (ledger.routed, ledger.sent, ledger.acked) == (2, 1, 1)


async def test_a_message_of_another_app_is_not_found(store: StoreFixture) -> None:
    await store.register("a")
    message_id = await store.push("hello", "a")
    other = (await store.saver.apps.create(an_app("weather"))).number
    assert await store.saver.ledgers.status(other, message_id) is None
    assert await store.saver.ledgers.deliveries(other, message_id, -1, 10) is None
    assert not await store.saver.messages.cancel(other, message_id, store.now)


async def test_what_is_not_a_message_id_is_not_found(store: StoreFixture) -> None:
    for nonsense in ("", "nonsense", "00", "é"):
        assert await store.saver.ledgers.status(store.app, nonsense) is None
        assert not await store.saver.messages.cancel(store.app, nonsense, store.now)


# --- idempotency ---


def keyed(store: StoreFixture, key: str, digest: bytes, *devices: str) -> Submission:
    envelopes = (Envelope(store.message(), Devices(devices)), Envelope(store.message(), Devices(("x",))))
    return Submission(store.app, envelopes, store.now, key, digest, idempotency_ttl=MINUTE)


async def test_a_repeated_request_stores_nothing_and_repeats_its_results(store: StoreFixture) -> None:
    await store.register("a")
    (first,) = await store.submit(keyed(store, "k", b"body", "a"))
    (again,) = await store.submit(keyed(store, "k", b"body", "a"))
    assert isinstance(again, Outcome)
    assert again.results == results(first)
    assert again.results[1] == Refused("no_target")
    assert again.replayed
    assert again.routes == ()
    assert await store.pending("a") == 1


async def test_a_key_of_which_nothing_was_stored_is_free_once_the_device_is_there(
    store: StoreFixture,
) -> None:
    """An order whose device registers a moment later can still be pushed, under the key that it has."""
    (first,) = await store.submit(keyed(store, "k", b"body", "a"))
    assert results(first) == (Refused("no_target"), Refused("no_target"))
    assert await store.saver.expiry.next_due() is None, "nothing is remembered of it"
    await store.register("a")
    (second,) = await store.submit(keyed(store, "k", b"body", "a"))
    assert isinstance(second, Outcome)
    assert not second.replayed
    assert isinstance(second.results[0], Accepted)
    (third,) = await store.submit(keyed(store, "k", b"body", "a"))
    assert isinstance(third, Outcome)
    assert (third.replayed, third.results) == (True, second.results)
    assert await store.pending("a") == 1


async def test_a_key_of_which_nothing_was_stored_is_free_for_another_request(store: StoreFixture) -> None:
    for body in (b"one", b"two"):
        (outcome,) = await store.submit(keyed(store, "k", body, "a"))
        assert isinstance(outcome, Outcome)
        assert not outcome.replayed


async def test_requests_with_one_key_that_race_are_stored_once(store: StoreFixture) -> None:
    await store.register("a")
    one, two = keyed(store, "k", b"body", "a"), keyed(store, "k", b"body", "a")
    (first, second), (third,) = await asyncio.gather(
        store.submit(one, two), store.submit(keyed(store, "k", b"body", "a"))
    )
    assert results(first) == results(second) == results(third)
    assert [isinstance(o, Outcome) and o.replayed for o in (first, second, third)] == [False, True, True]
    assert await store.pending("a") == 1


async def test_a_key_used_for_another_request_is_a_conflict(store: StoreFixture) -> None:
    await store.register("a")
    await store.submit(keyed(store, "k", b"body", "a"))
    answers = await store.submit(keyed(store, "k", b"other", "a"), keyed(store, "l", b"other", "a"))
    assert isinstance(answers[0], IdempotencyConflict)
    assert isinstance(answers[1], Outcome)
    assert await store.pending("a") == 2


async def test_keys_of_one_app_say_nothing_to_another(store: StoreFixture) -> None:
    await store.register("a")
    await store.submit(keyed(store, "k", b"body", "a"))
    other = (await store.saver.apps.create(an_app("weather"))).number
    (outcome,) = await store.submit(msgspec.structs.replace(keyed(store, "k", b"other", "a"), app=other))
    assert isinstance(outcome, Outcome)


async def test_a_key_is_remembered_across_a_restart_and_until_its_time(store: StoreFixture) -> None:
    await store.register("a")
    await store.submit(keyed(store, "k", b"body", "a"))
    await store.reopen()
    store.now += MINUTE - 1
    (before,) = await store.submit(keyed(store, "k", b"body", "a"))
    store.now += 1
    (after,) = await store.submit(keyed(store, "k", b"other", "a"))
    (again,) = await store.submit(keyed(store, "k", b"other", "a"))
    assert [isinstance(o, Outcome) and o.replayed for o in (before, after, again)] == [True, False, True]


async def test_old_keys_are_swept(store: StoreFixture) -> None:
    await store.register("a")
    submission = msgspec.structs.replace(keyed(store, "k", b"body", "a"), idempotency_ttl=MINUTE // 2)
    await store.submit(submission)
    assert await store.saver.expiry.next_due() == store.now + MINUTE // 2
    assert await store.pass_time(MINUTE // 2) == 1
    assert await store.saver.expiry.next_due() == store.now + MINUTE // 2, "when the message is over"
