"""Collapse keys: the newest of a key replaces what waits, for the devices of both."""

import asyncio

from longline.model.audience import Audience, Devices, Everyone
from longline.model.devices import Profile
from longline.model.ledger import State
from longline.model.messages import Envelope
from longline.saver.port.devices import Registration
from longline.saver.port.messages import Submission
from tests.contract.scene import Scene, an_app


async def test_a_newer_message_collapses_an_older_one_of_its_key(scene: Scene) -> None:
    await scene.register("a")
    old = await scene.push("1:0", "a", collapse="score")
    new = await scene.push("2:0", "a", collapse="score")
    assert await scene.waiting("a") == ["2:0"]
    assert (await scene.ledger(old)).collapsed == 1
    assert (await scene.ledger(new)).pending == 1


async def test_other_keys_and_no_key_are_left_alone(scene: Scene) -> None:
    await scene.register("a")
    for text, key in (("plain", None), ("x", "x"), ("y", "y"), ("x2", "x"), ("plain2", None)):
        await scene.push(text, "a", collapse=key)
    assert await scene.waiting("a") == ["plain", "y", "x2", "plain2"]


async def test_only_devices_of_both_messages_are_concerned(scene: Scene) -> None:
    await scene.register("a", "b", "c")
    old = await scene.push("old", "a", "b", collapse="k")
    await scene.push("new", "b", "c", collapse="k")
    ledger = await scene.ledger(old)
    assert (ledger.pending, ledger.collapsed) == (1, 1)
    assert [await scene.waiting(name) for name in "abc"] == [["old"], ["new"], ["new"]]


async def test_what_is_settled_is_not_collapsed(scene: Scene) -> None:
    await scene.register("a")
    old = await scene.push("old", "a", collapse="k")
    await scene.ack_all("a")
    await scene.push("new", "a", collapse="k")
    ledger = await scene.ledger(old)
    assert (ledger.acked, ledger.collapsed) == (1, 0)


async def test_an_ack_of_what_was_collapsed_changes_nothing(scene: Scene) -> None:
    await scene.register("a")
    old = await scene.push("old", "a", collapse="k")
    (push,) = (await scene.page("a")).pushes
    await scene.push("new", "a", collapse="k")
    await scene.settle("a", push, State.ACKED)
    assert (await scene.ledger(old)).collapsed == 1


async def test_messages_of_one_key_in_one_request_collapse_in_their_order(scene: Scene) -> None:
    await scene.register("a", "b")
    messages = [scene.message(str(n), collapse="k") for n in range(4)]
    audiences: list[Audience] = [Devices(("a", "b")), Everyone(), Devices(("a",)), Devices(("a",))]
    await scene.submit(scene.submission(*(Envelope(*pair) for pair in zip(messages, audiences, strict=True))))
    ledgers = [await scene.ledger(message.id) for message in messages]
    assert [ledger.collapsed for ledger in ledgers] == [2, 1, 1, 0]
    assert await scene.waiting("a") == ["3"]
    assert await scene.waiting("b") == ["1"]


async def test_messages_of_one_key_that_arrive_together_leave_one(scene: Scene) -> None:
    await scene.register("a")
    ids = await asyncio.gather(*(scene.push(str(n), "a", collapse="k") for n in range(20)))
    assert await scene.waiting("a") == ["19"]
    assert sum([(await scene.ledger(message_id)).collapsed for message_id in ids]) == 19


async def test_a_broadcast_collapses_unicasts_and_broadcasts(scene: Scene) -> None:
    await scene.register("a", "b")
    unicast = await scene.push("u", "a", collapse="k")
    broadcast = await scene.push("b1", collapse="k")
    other = await scene.push("other", collapse="other")
    await scene.ack_all("b")
    await scene.push("b2", collapse="k")
    assert (await scene.ledger(unicast)).collapsed == 1
    ledger = await scene.ledger(broadcast)
    assert (ledger.collapsed, ledger.acked) == (1, 1)
    assert (await scene.ledger(other)).collapsed == 0
    assert await scene.waiting("a") == ["other", "b2"]
    assert await scene.waiting("b") == ["b2"]


async def test_a_unicast_collapses_a_broadcast_for_its_device_only(scene: Scene) -> None:
    await scene.register("a", "b")
    broadcast = await scene.push("all", collapse="k")
    await scene.push("own", "a", collapse="k")
    ledger = await scene.ledger(broadcast)
    assert (ledger.collapsed, ledger.pending) == (1, 1)
    assert await scene.waiting("a") == ["own"]
    assert await scene.waiting("b") == ["all"]


async def test_a_device_registered_later_is_not_concerned_by_an_older_broadcast(scene: Scene) -> None:
    await scene.register("a")
    old = await scene.push("old", collapse="k")
    await scene.register("b")
    new = await scene.push("new", collapse="k")
    assert (await scene.ledger(old)).collapsed == 1
    assert (await scene.ledger(new)).targeted == 2


async def test_keys_of_one_app_do_not_collapse_those_of_another(scene: Scene) -> None:
    await scene.register("a")
    other = (await scene.saver.apps.create(an_app("weather"))).number
    await scene.saver.devices.put(other, [Registration("a", Profile())], scene.now)
    await scene.push("own", "a", collapse="k")
    await scene.push("all", collapse="k2")
    for key in ("k", "k2"):
        for audience in (Devices(("a",)), Everyone()):
            envelope = Envelope(scene.message(collapse=key), audience)
            await scene.submit(Submission(other, (envelope,), scene.now))
    assert await scene.waiting("a") == ["own", "all"]


async def test_a_message_for_who_is_online_only_neither_collapses_nor_is_collapsed(scene: Scene) -> None:
    """It may reach nobody, so it must not take away what would have."""
    await scene.register("a")
    kept = await scene.push("kept", "a", collapse="k")
    fleeting = [
        await scene.push("now", "a", collapse="k", online_only=True),
        await scene.push("now, all", collapse="k", online_only=True),
    ]
    assert (await scene.ledger(kept)).pending == 1
    await scene.push("new", "a", collapse="k")
    assert (await scene.ledger(kept)).collapsed == 1
    for message_id in fleeting:
        assert (await scene.ledger(message_id)).collapsed == 0
