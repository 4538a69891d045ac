"""Enqueue: what is answered, what is routed, and what a key remembers."""

import asyncio

import msgspec

from longline.model.audience import Devices, Everyone
from longline.model.commands import Unicast
from longline.model.messages import Envelope
from longline.saver.port.messages import Accepted, IdempotencyConflict, Outcome, Refused, Submission
from tests.contract.saver.positions import position_of
from tests.contract.scene import MINUTE, Scene, an_app


def results(outcome: Outcome | IdempotencyConflict) -> tuple[Accepted | Refused, ...]:
    assert isinstance(outcome, Outcome)
    return outcome.results


async def test_a_message_to_devices_is_routed_to_those_that_exist(scene: Scene) -> None:
    ordinals = await scene.register("a", "b")
    binding = await scene.bind("b")
    message = scene.message()
    result, outcome = await scene.send(message, Devices(("b", "nobody", "a")))
    (route,) = outcome.routes
    assert isinstance(route, Unicast)
    assert result == Accepted(message.id, 3)
    assert route.message == message
    assert route.app == scene.app
    assert [(target.device, target.ordinal, target.binding) for target in route.targets] == [
        ("b", ordinals[1], binding),
        ("a", ordinals[0], None),
    ]


async def test_devices_that_do_not_exist_are_in_the_ledger_as_dropped(scene: Scene) -> None:
    await scene.register("a")
    ledger = await scene.ledger(await scene.push("hello", "a", "x", "y"))
    assert (ledger.targeted, ledger.pending, ledger.dropped) == (3, 1, {"device_not_found": 2})


async def test_an_audience_in_which_nobody_exists_is_refused(scene: Scene) -> None:
    message = scene.message()
    result, outcome = await scene.send(message, Devices(("x", "y")))
    assert result == Refused("no_target")
    assert outcome.routes == ()
    assert await scene.saver.ledgers.status(scene.app, message.id) is None
    assert await scene.saver.messages.next_expiry() is None


async def test_a_broadcast_in_an_app_without_devices_is_refused(scene: Scene) -> None:
    result, outcome = await scene.send(scene.message(), Everyone())
    assert result == Refused("no_target")
    assert outcome.routes == ()


async def test_a_refused_message_does_not_stop_the_others_of_its_request(scene: Scene) -> None:
    await scene.register("a")
    good, bad = scene.message(), scene.message()
    envelopes = (Envelope(bad, Devices(("x",))), Envelope(good, Devices(("a",))))
    (outcome,) = await scene.submit(scene.submission(*envelopes))
    assert results(outcome) == (Refused("no_target"), Accepted(good.id, 1))


async def test_positions_rise_with_the_order_of_acceptance(scene: Scene) -> None:
    (ordinal,) = await scene.register("a")
    positions = []
    for audience in (Devices(("a",)), Everyone(), Devices(("a",))):
        _, outcome = await scene.send(scene.message(), audience)
        (route,) = outcome.routes
        positions.append(position_of(route, ordinal))
    assert positions == sorted(set(positions))


async def test_positions_are_not_given_again_after_everything_was_purged(scene: Scene) -> None:
    (ordinal,) = await scene.register("a")
    _, before = await scene.send(scene.message(), Everyone())
    await scene.pass_time(10**9)
    await scene.pass_time(10**9)
    await scene.reopen()
    _, after = await scene.send(scene.message(), Everyone())
    assert position_of(after.routes[0], ordinal) > position_of(before.routes[0], ordinal)


async def test_enqueues_that_arrive_together_are_all_stored(scene: Scene) -> None:
    """Requests that share a commit do not share a fate."""
    await scene.register("a", "b")
    pushes = [scene.push(f"m{n}", "ab"[n % 2]) for n in range(100)]
    await asyncio.gather(*pushes)
    assert await scene.waiting("a") == [f"m{n}" for n in range(0, 100, 2)]
    assert await scene.waiting("b") == [f"m{n}" for n in range(1, 100, 2)]


async def test_a_stored_message_is_seen_by_whoever_asks_afterwards(scene: Scene) -> None:
    """Reads see every change that was answered before they began."""
    await scene.register("a")
    for n in range(50):
        message_id = await scene.push(str(n), "a")
        assert (await scene.ledger(message_id)).pending == 1
        assert await scene.pending("a") == n + 1


async def test_a_message_comes_back_exactly_as_it_was_sent(scene: Scene) -> None:
    await scene.register("a")
    message = msgspec.structs.replace(
        scene.message(collapse="k€y", qos=0), payload=bytes(range(256)) * 1024, content_type="a/b; c=é"
    )
    await scene.send(message, Devices(("a",)))
    ((push,), status) = (
        (await scene.page("a")).pushes,
        await scene.saver.ledgers.status(scene.app, message.id),
    )
    assert push.message == message
    assert status is not None
    assert status.message == message


async def test_everything_is_there_after_a_restart(scene: Scene) -> None:
    await scene.register("a", "b")
    unicast = await scene.push("one", "a")
    broadcast = await scene.push("all")
    await scene.ack_all("b")
    await scene.reopen()
    assert await scene.waiting("a") == ["one", "all"]
    assert await scene.waiting("b") == []
    assert (await scene.ledger(unicast)).pending == 1
    assert (await scene.ledger(broadcast)).acked == 1


async def test_the_ledger_counts_who_was_bound_as_routed(scene: Scene) -> None:
    await scene.register("a", "b", "c")
    await scene.bind("a")
    message_id = await scene.push("hello", "a", "b", "c")
    assert (await scene.ledger(message_id)).routed == 1
    await scene.ack_all("b")
    ledger = await scene.ledger(message_id)
    assert (ledger.routed, ledger.sent, ledger.acked) == (2, 1, 1)


async def test_a_message_of_another_app_is_not_found(scene: Scene) -> None:
    await scene.register("a")
    message_id = await scene.push("hello", "a")
    other = (await scene.saver.apps.create(an_app("weather"))).number
    assert await scene.saver.ledgers.status(other, message_id) is None
    assert await scene.saver.ledgers.deliveries(other, message_id, -1, 10) is None
    assert not await scene.saver.messages.cancel(other, message_id, scene.now)


async def test_what_is_not_a_message_id_is_not_found(scene: Scene) -> None:
    for nonsense in ("", "nonsense", "00", "é"):
        assert await scene.saver.ledgers.status(scene.app, nonsense) is None
        assert not await scene.saver.messages.cancel(scene.app, nonsense, scene.now)


# --- idempotency ---


def keyed(scene: Scene, key: str, digest: bytes, *devices: str) -> Submission:
    envelopes = (Envelope(scene.message(), Devices(devices)), Envelope(scene.message(), Devices(("x",))))
    return Submission(scene.app, envelopes, scene.now, key, digest, idempotency_ttl=MINUTE)


async def test_a_repeated_request_stores_nothing_and_repeats_its_results(scene: Scene) -> None:
    await scene.register("a")
    (first,) = await scene.submit(keyed(scene, "k", b"body", "a"))
    (again,) = await scene.submit(keyed(scene, "k", b"body", "a"))
    assert isinstance(again, Outcome)
    assert again.results == results(first)
    assert again.results[1] == Refused("no_target")
    assert again.replayed
    assert again.routes == ()
    assert await scene.pending("a") == 1


async def test_a_repeated_refusal_is_a_refusal_even_if_the_device_came_meanwhile(scene: Scene) -> None:
    (first,) = await scene.submit(keyed(scene, "k", b"body", "a"))
    await scene.register("a")
    (again,) = await scene.submit(keyed(scene, "k", b"body", "a"))
    assert results(again) == results(first) == (Refused("no_target"), Refused("no_target"))


async def test_requests_with_one_key_that_race_are_stored_once(scene: Scene) -> None:
    await scene.register("a")
    one, two = keyed(scene, "k", b"body", "a"), keyed(scene, "k", b"body", "a")
    (first, second), (third,) = await asyncio.gather(
        scene.submit(one, two), scene.submit(keyed(scene, "k", b"body", "a"))
    )
    assert results(first) == results(second) == results(third)
    assert [isinstance(o, Outcome) and o.replayed for o in (first, second, third)] == [False, True, True]
    assert await scene.pending("a") == 1


async def test_a_key_used_for_another_request_is_a_conflict(scene: Scene) -> None:
    await scene.register("a")
    await scene.submit(keyed(scene, "k", b"body", "a"))
    answers = await scene.submit(keyed(scene, "k", b"other", "a"), keyed(scene, "l", b"other", "a"))
    assert isinstance(answers[0], IdempotencyConflict)
    assert isinstance(answers[1], Outcome)
    assert await scene.pending("a") == 2


async def test_keys_of_one_app_say_nothing_to_another(scene: Scene) -> None:
    await scene.register("a")
    await scene.submit(keyed(scene, "k", b"body", "a"))
    other = (await scene.saver.apps.create(an_app("weather"))).number
    (outcome,) = await scene.submit(msgspec.structs.replace(keyed(scene, "k", b"other", "a"), app=other))
    assert isinstance(outcome, Outcome)


async def test_a_key_is_remembered_across_a_restart_and_until_its_time(scene: Scene) -> None:
    await scene.register("a")
    await scene.submit(keyed(scene, "k", b"body", "a"))
    await scene.reopen()
    scene.now += MINUTE - 1
    (before,) = await scene.submit(keyed(scene, "k", b"body", "a"))
    scene.now += 1
    (after,) = await scene.submit(keyed(scene, "k", b"other", "a"))
    (again,) = await scene.submit(keyed(scene, "k", b"other", "a"))
    assert [isinstance(o, Outcome) and o.replayed for o in (before, after, again)] == [True, False, True]


async def test_old_keys_are_swept(scene: Scene) -> None:
    await scene.submit(keyed(scene, "k", b"body", "a"))
    assert await scene.saver.messages.next_expiry() == scene.now + MINUTE
    assert await scene.pass_time(MINUTE) == 1
    assert await scene.saver.messages.next_expiry() is None
