"""Apps: names are unique, numbers are never used again, and a deleted app takes everything with it."""

import asyncio

import msgspec
import pytest

from longline.errors import AppExists, AppNotFound
from longline.model.access import AclRule, AppAccess, FormerKey, FormerSecret, TokenIssuer
from longline.model.audience import Devices, Everyone
from longline.model.devices import Profile
from longline.model.messages import Envelope
from longline.saver.port.devices import Registration
from longline.saver.port.inboxes import Arrive, Fetch
from longline.saver.port.messages import Outcome, Refused, Submission
from tests.contract.store_fixture import START, StoreFixture, an_app

ACCESS = AppAccess(
    tokens=TokenIssuer(
        jwks_url="https://id.example.org/keys",
        keys='[{"kty":"OKP"}]',
        issuer="https://id.example.org/",
        audience=("one", "zwei"),
        algorithms=("RS256", "EdDSA"),
        device_claim="device_id",
        device_secret=False,
    ),
    end_at_expiry=True,
    former_server_key=FormerKey(bytes(range(32)), START + 1),
    former_device_secret=FormerSecret("the one before", START + 2),
    rules=(
        AclRule("both", "home/{device}/#"),
        AclRule("publish", 'a "quoted" é/+'),
        AclRule("subscribe", "#"),
    ),
)


async def test_what_few_apps_have_is_kept_whole(store: StoreFixture) -> None:
    """From the beginning, after a change, in a list, and after a restart."""
    created = await store.saver.apps.create(msgspec.structs.replace(an_app("weather"), access=ACCESS))
    assert created.access == ACCESS
    app = await store.saver.apps.find("news")
    assert app is not None
    assert app.access == AppAccess()
    assert await store.saver.apps.update(msgspec.structs.replace(app, access=ACCESS), app)
    await store.reopen()
    assert [app.access for app in await store.saver.apps.list("", 10)] == [ACCESS, ACCESS]
    changed = await store.saver.apps.find("news")
    assert changed is not None
    assert await store.saver.apps.update(app, changed)
    again = await store.saver.apps.find("news")
    assert again is not None
    assert again.access == AppAccess()


async def test_an_app_is_found_by_name_with_all_that_was_said_of_it(store: StoreFixture) -> None:
    created = await store.saver.apps.create(an_app("weather"))
    assert await store.saver.apps.find("weather") == created
    assert created == msgspec.structs.replace(an_app("weather"), number=created.number)


async def test_an_app_that_was_never_made_is_not_found(store: StoreFixture) -> None:
    assert await store.saver.apps.find("weather") is None


async def test_apps_are_found_by_number_in_the_order_asked(store: StoreFixture) -> None:
    weather = await store.saver.apps.create(an_app("weather"))
    news = await store.saver.apps.find("news")
    gone = await store.saver.apps.create(an_app("gone"))
    await store.saver.apps.delete(gone.number)
    again = await store.saver.apps.create(an_app("gone"))
    asked = [weather.number, 99, store.app, gone.number, again.number, weather.number]
    assert list(await store.saver.apps.numbered(asked)) == [weather, None, news, None, again, weather]
    assert list(await store.saver.apps.numbered([])) == []


async def test_a_second_app_of_one_name_is_refused(store: StoreFixture) -> None:
    with pytest.raises(AppExists):
        await store.saver.apps.create(an_app("news"))


async def test_apps_are_listed_by_name_page_by_page(store: StoreFixture) -> None:
    for name in ("weather", "chess", "maps"):
        await store.saver.apps.create(an_app(name))
    first = await store.saver.apps.list("", 2)
    rest = await store.saver.apps.list(first[-1].app, 10)
    assert [app.app for app in first + rest] == ["chess", "maps", "news", "weather"]


async def test_an_update_replaces_what_may_change_and_nothing_else(store: StoreFixture) -> None:
    app = await store.saver.apps.find("news")
    assert app is not None
    changed = msgspec.structs.replace(
        app,
        name="The News",
        server_key_hash=b"k" * 32,
        device_secret="other",
        pubsub=True,
        client_certificates=True,
        generation=3,
        access=ACCESS,
    )
    assert await store.saver.apps.update(changed, app)
    assert await store.saver.apps.find("news") == changed


async def test_an_update_of_what_somebody_else_has_changed_is_refused(store: StoreFixture) -> None:
    app = await store.saver.apps.find("news")
    assert app is not None
    for change in (
        {"name": "x"},
        {"server_key_hash": b"x"},
        {"device_secret": "x"},
        {"pubsub": True},
        {"client_certificates": True},
        {"generation": 1},
        {"access": AppAccess(end_at_expiry=True)},
        {"access": ACCESS},
    ):
        theirs, mine = msgspec.structs.replace(app, **change), msgspec.structs.replace(app, name="mine")
        assert await store.saver.apps.update(theirs, app)
        assert not await store.saver.apps.update(mine, app)
        assert await store.saver.apps.find("news") == theirs
        assert await store.saver.apps.update(app, theirs)


async def test_of_updates_that_race_from_one_state_one_is_done(store: StoreFixture) -> None:
    app = await store.saver.apps.find("news")
    assert app is not None
    changes = [msgspec.structs.replace(app, name=f"name {n}") for n in range(20)]
    done = await asyncio.gather(*(store.saver.apps.update(change, app) for change in changes))
    assert done.count(True) == 1
    assert await store.saver.apps.find("news") == changes[done.index(True)]


async def test_an_app_that_does_not_exist_cannot_be_updated(store: StoreFixture) -> None:
    missing = msgspec.structs.replace(an_app("weather"), number=99)
    with pytest.raises(AppNotFound):
        await store.saver.apps.update(msgspec.structs.replace(missing, pubsub=True), missing)


async def test_a_deleted_app_is_gone_with_its_devices_and_messages(store: StoreFixture) -> None:
    await store.register("phone", profile=Profile(tags=("red",)))
    message_id = await store.push("hello", "phone")
    await store.saver.apps.delete(store.app)
    assert await store.saver.apps.find("news") is None
    assert await store.saver.apps.list("", 10) == []
    assert await store.saver.devices.find(store.app, ["phone"]) == [None]
    assert await store.saver.devices.list(store.app, tag=None, alias=None, after=-1, limit=10) == []
    assert await store.saver.devices.count(store.app) == 0
    assert await store.saver.ledgers.status(store.app, message_id) is None
    assert await store.saver.ledgers.deliveries(store.app, message_id, -1, 10) is None
    assert not await store.saver.messages.cancel(store.app, message_id, store.now)


async def test_what_waits_in_a_deleted_app_is_not_read_any_more(store: StoreFixture) -> None:
    """While its connections are being ended, too; other apps in the same batch are."""
    app = store.app
    (ordinal,) = await store.register("a")
    await store.push("one", "a")
    await store.push("all")
    other = (await store.saver.apps.create(an_app("rain"))).number
    await store.saver.devices.put(other, [Registration("b", Profile())], store.now)
    await store.submit(Submission(other, (Envelope(store.message(), Devices(("b",))),), store.now))
    (device,) = await store.saver.devices.find(other, ["b"])
    assert device is not None
    await store.saver.apps.delete(app)
    fetches = [
        Fetch(n, o, 0, 0, 10, store.now) for n, o in ((app, ordinal), (other, device.ordinal), (app, 5))
    ]
    pages = await store.saver.inboxes.fetch(fetches)
    assert [len(page.pushes) for page in pages] == [0, 1, 0]
    assert all(page.complete for page in pages)


async def test_nothing_is_sent_to_nor_registered_in_a_deleted_app(store: StoreFixture) -> None:
    await store.register("phone")
    await store.saver.apps.delete(store.app)
    envelopes = (
        Envelope(store.message(), Devices(("phone",))),
        Envelope(store.message(), Everyone()),
    )
    (outcome,) = await store.submit(Submission(store.app, envelopes, store.now))
    assert isinstance(outcome, Outcome)
    assert outcome.results == (Refused("app_not_found"), Refused("app_not_found"))
    assert await store.saver.inboxes.arrive([Arrive(store.app, "phone", store.now)]) == [None]
    with pytest.raises(AppNotFound):
        await store.saver.devices.put(store.app, [Registration("tablet", Profile())], store.now)


async def test_a_device_of_an_app_that_never_was_holds_up_nobody_else(store: StoreFixture) -> None:
    batch = [Arrive(99, "phone", store.now), Arrive(store.app, "phone", store.now)]
    stranger, known = await store.saver.inboxes.arrive(batch)
    assert stranger is None
    assert known is not None


async def test_the_name_of_a_deleted_app_is_free_and_its_number_is_not(store: StoreFixture) -> None:
    await store.register("phone")
    await store.saver.apps.delete(store.app)
    await store.pass_time(0)
    again = await store.saver.apps.create(an_app("news"))
    assert again.number > store.app
    assert await store.saver.devices.find(again.number, ["phone"]) == [None]
    assert await store.saver.devices.count(again.number) == 0


async def test_a_deleted_app_stays_deleted_after_a_restart(store: StoreFixture) -> None:
    await store.register("phone")
    message_id = await store.push("hello", "phone")
    await store.saver.apps.delete(store.app)
    await store.reopen()
    assert await store.saver.apps.find("news") is None
    assert await store.saver.devices.find(store.app, ["phone"]) == [None]
    assert await store.saver.ledgers.status(store.app, message_id) is None


async def test_what_a_deleted_app_leaves_is_removed_in_bounded_slices(store: StoreFixture) -> None:
    """However much an app holds, no single call has to remove all of it."""
    await store.register(*(f"d{n}" for n in range(50)), profile=Profile(tags=("red", "blue")))
    for n in range(10):
        await store.push("hello", *(f"d{m}" for m in range(n * 5, n * 5 + 5)))
    await store.push("to all")
    await store.saver.apps.delete(store.app)
    assert await store.saver.expiry.next_due() is not None
    removed = []
    while done := await store.saver.expiry.end(store.now, 20):
        removed.append(done)
    assert max(removed) <= 20
    assert len(removed) > 5
