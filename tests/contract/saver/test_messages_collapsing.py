"""Collapse keys: the newest of a key replaces what waits, for the devices of both."""

import asyncio

from longline.model.audience import Audience, Devices, Everyone
from longline.model.devices import Profile
from longline.model.messages import Envelope
from longline.saver.port.devices import Registration
from longline.saver.port.messages import Submission
from tests.contract.store_fixture import StoreFixture, an_app


async def test_a_newer_message_collapses_an_older_one_of_its_key(store: StoreFixture) -> None:
    await store.register("a")
    old = await store.push("1:0", "a", collapse="score")
    new = await store.push("2:0", "a", collapse="score")
    assert await store.waiting("a") == ["2:0"]
    assert (await store.ledger(old)).collapsed == 1
    assert (await store.ledger(new)).pending == 1


async def test_other_keys_and_no_key_are_left_alone(store: StoreFixture) -> None:
    await store.register("a")
    for text, key in (("plain", None), ("x", "x"), ("y", "y"), ("x2", "x"), ("plain2", None)):
        await store.push(text, "a", collapse=key)
    assert await store.waiting("a") == ["plain", "y", "x2", "plain2"]


async def test_only_devices_of_both_messages_are_concerned(store: StoreFixture) -> None:
    await store.register("a", "b", "c")
    old = await store.push("old", "a", "b", collapse="k")
    await store.push("new", "b", "c", collapse="k")
    ledger = await store.ledger(old)
    assert (ledger.pending, ledger.collapsed) == (1, 1)
    assert [await store.waiting(name) for name in "abc"] == [["old"], ["new"], ["new"]]


async def test_what_is_settled_is_not_collapsed(store: StoreFixture) -> None:
    await store.register("a")
    old = await store.push("old", "a", collapse="k")
    await store.ack_all("a")
    await store.push("new", "a", collapse="k")
    ledger = await store.ledger(old)
    assert (ledger.acked, ledger.collapsed) == (1, 0)


async def test_messages_of_one_key_in_one_request_collapse_in_their_order(store: StoreFixture) -> None:
    await store.register("a", "b")
    messages = [store.message(str(n), collapse="k") for n in range(4)]
    audiences: list[Audience] = [Devices(("a", "b")), Everyone(), Devices(("a",)), Devices(("a",))]
    await store.submit(store.submission(*(Envelope(*pair) for pair in zip(messages, audiences, strict=True))))
    ledgers = [await store.ledger(message.id) for message in messages]
    assert [ledger.collapsed for ledger in ledgers] == [2, 1, 1, 0]
    assert await store.waiting("a") == ["3"]
    assert await store.waiting("b") == ["1"]


async def test_messages_of_one_key_that_arrive_together_leave_one(store: StoreFixture) -> None:
    await store.register("a")
    ids = await asyncio.gather(*(store.push(str(n), "a", collapse="k") for n in range(20)))
    assert await store.waiting("a") == ["19"]
    assert sum([(await store.ledger(message_id)).collapsed for message_id in ids]) == 19


async def test_a_broadcast_collapses_unicasts_and_broadcasts(store: StoreFixture) -> None:
    await store.register("a", "b")
    unicast = await store.push("u", "a", collapse="k")
    broadcast = await store.push("b1", collapse="k")
    other = await store.push("other", collapse="other")
    await store.ack_all("b")
    await store.push("b2", collapse="k")
    assert (await store.ledger(unicast)).collapsed == 1
    ledger = await store.ledger(broadcast)
    assert (ledger.collapsed, ledger.acked) == (1, 1)
    assert (await store.ledger(other)).collapsed == 0
    assert await store.waiting("a") == ["other", "b2"]
    assert await store.waiting("b") == ["b2"]


async def test_a_unicast_collapses_a_broadcast_for_its_device_only(store: StoreFixture) -> None:
    await store.register("a", "b")
    broadcast = await store.push("all", collapse="k")
    await store.push("own", "a", collapse="k")
    ledger = await store.ledger(broadcast)
    assert (ledger.collapsed, ledger.pending) == (1, 1)
    assert await store.waiting("a") == ["own"]
    assert await store.waiting("b") == ["all"]


async def test_a_device_registered_later_is_not_concerned_by_an_older_broadcast(store: StoreFixture) -> None:
    await store.register("a")
    old = await store.push("old", collapse="k")
    await store.register("b")
    new = await store.push("new", collapse="k")
    assert (await store.ledger(old)).collapsed == 1
    assert (await store.ledger(new)).targeted == 2


async def test_keys_of_one_app_do_not_collapse_those_of_another(store: StoreFixture) -> None:
    await store.register("a")
    other = (await store.saver.apps.create(an_app("weather"))).number
    await store.saver.devices.put(other, [Registration("a", Profile())], store.now)
    await store.push("own", "a", collapse="k")
    await store.push("all", collapse="k2")
    for key in ("k", "k2"):
        for audience in (Devices(("a",)), Everyone()):
            envelope = Envelope(store.message(collapse=key), audience)
            await store.submit(Submission(other, (envelope,), store.now))
    assert await store.waiting("a") == ["own", "all"]


async def test_a_message_for_who_is_online_only_neither_collapses_nor_is_collapsed(
    store: StoreFixture,
) -> None:
    """It may reach nobody, so it must not take away what would have."""
    await store.register("a")
    kept = await store.push("kept", "a", collapse="k")
    fleeting = [
        await store.push("now", "a", collapse="k", online_only=True),
        await store.push("now, all", collapse="k", online_only=True),
    ]
    assert (await store.ledger(kept)).pending == 1
    await store.push("new", "a", collapse="k")
    assert (await store.ledger(kept)).collapsed == 1
    for message_id in fleeting:
        assert (await store.ledger(message_id)).collapsed == 0
