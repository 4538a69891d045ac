"""Apps: names are unique, numbers are never used again, and a deleted app takes everything with it."""

import asyncio

import msgspec
import pytest

from longline.errors import AppExists, AppNotFound
from longline.model.audience import Devices, Everyone
from longline.model.devices import Profile
from longline.model.messages import Envelope
from longline.saver.port.devices import Registration
from longline.saver.port.inboxes import Arrive
from longline.saver.port.messages import Outcome, Refused, Submission
from tests.contract.scene import Scene, an_app


async def test_an_app_is_found_by_name_with_all_that_was_said_of_it(scene: Scene) -> None:
    created = await scene.saver.apps.create(an_app("weather"))
    assert await scene.saver.apps.find("weather") == created
    assert created == msgspec.structs.replace(an_app("weather"), number=created.number)


async def test_an_app_that_was_never_made_is_not_found(scene: Scene) -> None:
    assert await scene.saver.apps.find("weather") is None


async def test_a_second_app_of_one_name_is_refused(scene: Scene) -> None:
    with pytest.raises(AppExists):
        await scene.saver.apps.create(an_app("news"))


async def test_apps_are_listed_by_name_page_by_page(scene: Scene) -> None:
    for name in ("weather", "chess", "maps"):
        await scene.saver.apps.create(an_app(name))
    first = await scene.saver.apps.list("", 2)
    rest = await scene.saver.apps.list(first[-1].app, 10)
    assert [app.app for app in first + rest] == ["chess", "maps", "news", "weather"]


async def test_an_update_replaces_what_may_change_and_nothing_else(scene: Scene) -> None:
    app = await scene.saver.apps.find("news")
    assert app is not None
    changed = msgspec.structs.replace(
        app, name="The News", server_key_hash=b"k" * 32, device_secret="other", pubsub=True
    )
    assert await scene.saver.apps.update(changed, app)
    assert await scene.saver.apps.find("news") == changed


async def test_an_update_of_what_somebody_else_has_changed_is_refused(scene: Scene) -> None:
    app = await scene.saver.apps.find("news")
    assert app is not None
    for change in ({"name": "x"}, {"server_key_hash": b"x"}, {"device_secret": "x"}, {"pubsub": True}):
        theirs, mine = msgspec.structs.replace(app, **change), msgspec.structs.replace(app, name="mine")
        assert await scene.saver.apps.update(theirs, app)
        assert not await scene.saver.apps.update(mine, app)
        assert await scene.saver.apps.find("news") == theirs
        assert await scene.saver.apps.update(app, theirs)


async def test_of_updates_that_race_from_one_state_one_is_done(scene: Scene) -> None:
    app = await scene.saver.apps.find("news")
    assert app is not None
    changes = [msgspec.structs.replace(app, name=f"name {n}") for n in range(20)]
    done = await asyncio.gather(*(scene.saver.apps.update(change, app) for change in changes))
    assert done.count(True) == 1
    assert await scene.saver.apps.find("news") == changes[done.index(True)]


async def test_an_app_that_does_not_exist_cannot_be_updated(scene: Scene) -> None:
    missing = msgspec.structs.replace(an_app("weather"), number=99)
    with pytest.raises(AppNotFound):
        await scene.saver.apps.update(msgspec.structs.replace(missing, pubsub=True), missing)


async def test_a_deleted_app_is_gone_with_its_devices_and_messages(scene: Scene) -> None:
    await scene.register("phone", profile=Profile(tags=("red",)))
    message_id = await scene.push("hello", "phone")
    await scene.saver.apps.delete(scene.app)
    assert await scene.saver.apps.find("news") is None
    assert await scene.saver.apps.list("", 10) == []
    assert await scene.saver.devices.find(scene.app, ["phone"]) == [None]
    assert await scene.saver.devices.list(scene.app, tag=None, alias=None, after=-1, limit=10) == []
    assert await scene.saver.devices.count(scene.app) == 0
    assert await scene.saver.ledgers.status(scene.app, message_id) is None
    assert await scene.saver.ledgers.deliveries(scene.app, message_id, -1, 10) is None
    assert not await scene.saver.messages.cancel(scene.app, message_id, scene.now)


async def test_nothing_is_sent_to_nor_registered_in_a_deleted_app(scene: Scene) -> None:
    await scene.register("phone")
    await scene.saver.apps.delete(scene.app)
    envelopes = (
        Envelope(scene.message(), Devices(("phone",))),
        Envelope(scene.message(), Everyone()),
    )
    (outcome,) = await scene.submit(Submission(scene.app, envelopes, scene.now))
    assert isinstance(outcome, Outcome)
    assert outcome.results == (Refused("app_not_found"), Refused("app_not_found"))
    assert await scene.saver.inboxes.arrive([Arrive(scene.app, "phone", scene.now)]) == [None]
    with pytest.raises(AppNotFound):
        await scene.saver.devices.put(scene.app, [Registration("tablet", Profile())], scene.now)


async def test_a_device_of_an_app_that_never_was_holds_up_nobody_else(scene: Scene) -> None:
    batch = [Arrive(99, "phone", scene.now), Arrive(scene.app, "phone", scene.now)]
    stranger, known = await scene.saver.inboxes.arrive(batch)
    assert stranger is None
    assert known is not None


async def test_the_name_of_a_deleted_app_is_free_and_its_number_is_not(scene: Scene) -> None:
    await scene.register("phone")
    await scene.saver.apps.delete(scene.app)
    await scene.pass_time(0)
    again = await scene.saver.apps.create(an_app("news"))
    assert again.number > scene.app
    assert await scene.saver.devices.find(again.number, ["phone"]) == [None]
    assert await scene.saver.devices.count(again.number) == 0


async def test_a_deleted_app_stays_deleted_after_a_restart(scene: Scene) -> None:
    await scene.register("phone")
    message_id = await scene.push("hello", "phone")
    await scene.saver.apps.delete(scene.app)
    await scene.reopen()
    assert await scene.saver.apps.find("news") is None
    assert await scene.saver.devices.find(scene.app, ["phone"]) == [None]
    assert await scene.saver.ledgers.status(scene.app, message_id) is None


async def test_what_a_deleted_app_leaves_is_removed_in_bounded_slices(scene: Scene) -> None:
    """However much an app holds, no single call has to remove all of it."""
    await scene.register(*(f"d{n}" for n in range(50)), profile=Profile(tags=("red", "blue")))
    for n in range(10):
        await scene.push("hello", *(f"d{m}" for m in range(n * 5, n * 5 + 5)))
    await scene.push("to all")
    await scene.saver.apps.delete(scene.app)
    assert await scene.saver.messages.next_expiry() is not None
    removed = []
    while done := await scene.saver.messages.expire(scene.now, 20):
        removed.append(done)
    assert max(removed) <= 20
    assert len(removed) > 5
