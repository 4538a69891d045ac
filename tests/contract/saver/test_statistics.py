"""What is counted for each app: in the step of what is counted, so once, and read by hour and by day."""

import msgspec

from longline.model.audience import Devices, Everyone
from longline.model.devices import Came
from longline.model.events import RECEIPT, Event
from longline.model.ledger import State
from longline.model.messages import Envelope
from longline.model.statistics import DAY, HOUR, Counts
from longline.saver.port.inboxes import Arrive
from longline.saver.port.statistics import Seen
from tests.contract.store_fixture import START, StoreFixture, an_app

TODAY = START // DAY * DAY
CAME = Came("192.0.2.7", "MQTT 5.0")


async def hours(store: StoreFixture, app: int | None = None) -> dict[int, Counts]:
    """What was counted in each hour, from the first of the day on."""
    number = store.app if app is None else app
    found = await store.saver.counts.read(number, TODAY, TODAY + 3 * DAY, by_day=False, now=store.now)
    return {(each.at - TODAY) // HOUR: each for each in found}


async def days(store: StoreFixture) -> list[Counts]:
    return await store.saver.counts.read(
        store.app, TODAY - 5 * DAY, TODAY + 400 * DAY, by_day=True, now=store.now
    )


async def gather(store: StoreFixture) -> None:
    while await store.saver.counts.gather(store.now, 100):
        pass


async def come(store: StoreFixture, *names: str) -> None:
    batch = [Arrive(store.app, name, store.now, came=CAME) for name in names]
    assert None not in await store.saver.inboxes.arrive(batch)


def this_hour(store: StoreFixture) -> int:
    return (store.now - TODAY) // HOUR


async def test_an_app_of_which_nothing_was_counted_has_no_hours(store: StoreFixture) -> None:
    assert await hours(store) == {}
    assert await days(store) == []


async def test_messages_and_what_devices_took_are_counted(store: StoreFixture) -> None:
    """Whatever their audience, and each once, however often it is said."""
    await store.register("one", "two")
    single, both, everyone = (store.message(ttl=DAY) for _ in range(3))
    await store.send(single, Devices(("one",)))
    await store.send(both, Devices(("one", "two", "nobody")))
    await store.send(everyone, Everyone())
    await store.send(store.message(), Devices(("nobody",)))
    hour = this_hour(store)
    counted = (await hours(store))[hour]
    assert (counted.messages, counted.deliveries, counted.new) == (3, 0, 2)
    taken = [
        await store.receipt(name, push, State.ACKED, sent_at=store.now)
        for name in ("one", "two")
        for push in (await store.page(name)).pushes
    ]
    await store.saver.inboxes.settle(taken)
    await store.saver.inboxes.settle(taken)
    await gather(store)
    counted = (await hours(store))[hour]
    assert (counted.messages, counted.deliveries) == (3, 5)


async def test_what_was_taken_after_all_is_counted_and_what_was_not_is_not(store: StoreFixture) -> None:
    """A receipt that is repeated, or comes after the message's end."""
    await store.register("one")
    await store.push("first", "one", ttl=1000)
    await store.push("second", "one", ttl=DAY)
    first, second = (await store.page("one")).pushes
    await store.pass_time(2000)
    late = await store.receipt("one", first, State.ACKED, sent_at=store.now)
    refused = await store.receipt("one", second, State.DROPPED, reason="client_refused")
    await store.saver.inboxes.settle([late, refused])
    await store.saver.inboxes.settle([late, await store.receipt("one", first, State.PENDING)])
    assert (await hours(store))[this_hour(store)].deliveries == 1


async def test_what_applications_tell_is_counted(store: StoreFixture) -> None:
    """As often as it was stored: an event that is recorded again is not."""

    def told(sequence: int, name: str) -> Event:
        data = msgspec.json.encode({"id": f"e{sequence}", "topic": "t", "message_id": "m", "name": name})
        return Event(store.app, RECEIPT, "phone", store.now, data, "s", sequence)

    batch = [told(1, "shown"), told(2, "opened"), told(3, "shown"), told(4, "dismissed")]
    await store.saver.events.append(batch)
    await store.saver.events.append(batch)
    counted = (await hours(store))[this_hour(store)]
    assert (counted.shown, counted.opened) == (2, 1)


async def test_devices_that_come_to_be_and_go_are_counted(store: StoreFixture) -> None:
    await store.register("one", "two")
    await store.register("one")
    await come(store, "three")
    await store.saver.devices.delete(store.app, "one", store.now)
    await store.saver.devices.delete(store.app, "one", store.now)
    await store.saver.retirement.retire(store.app, 0, store.now + 1, store.now, 100)
    counted = (await hours(store))[this_hour(store)]
    assert (counted.new, counted.gone, counted.active) == (3, 3, 1)


async def test_a_device_is_active_once_in_each_hour_and_day(store: StoreFixture) -> None:
    """It comes, or is still there, as its room says; and all is kept when the store is opened anew."""
    store.now = TODAY + DAY + 5 * HOUR
    await come(store, "one", "two", "one")
    await come(store, "one")
    await gather(store)
    store.now += HOUR
    await store.saver.counts.seen([Seen(store.app, [await store.ordinal("one")])], store.now)
    await come(store, "three")
    await store.reopen()
    assert {hour: each.active for hour, each in (await hours(store)).items()} == {29: 2, 30: 2}
    await gather(store)
    store.now += HOUR
    assert {hour: each.active for hour, each in (await hours(store)).items()} == {29: 2, 30: 2}
    assert [(each.at, each.active, each.new) for each in await days(store)] == [(TODAY + DAY, 3, 3)]
    store.now += DAY
    await gather(store)
    await come(store, "two")
    await gather(store)
    await gather(store)
    assert [each.active for each in await days(store)] == [3, 1]


async def test_days_are_the_sum_of_their_hours_in_utc(store: StoreFixture) -> None:
    await store.register("one")
    for hour in (0, 23, 24):
        store.now = TODAY + hour * HOUR
        await store.send(store.message(), Devices(("one",)))
        await gather(store)
    assert {hour: each.messages for hour, each in (await hours(store)).items() if each.messages} == {
        0: 1,
        23: 1,
        24: 1,
    }
    assert [(each.at, each.messages) for each in await days(store) if each.messages] == [
        (TODAY, 2),
        (TODAY + DAY, 1),
    ]


async def test_a_retried_request_counts_its_messages_once(store: StoreFixture) -> None:
    await store.register("one")
    messages = [Envelope(store.message(), Devices(("one",))) for _ in range(2)]
    for _ in range(2):
        await store.submit(store.submission(*messages, key="k", digest=b"d"))
    assert (await hours(store))[this_hour(store)].messages == 2


async def test_what_was_counted_of_an_app_is_gone_with_it(store: StoreFixture) -> None:
    await store.register("one")
    await come(store, "one")
    await gather(store)
    other = (await store.saver.apps.create(an_app("other"))).number
    await store.saver.apps.delete(store.app)
    assert await hours(store) == {}
    while await store.saver.expiry.end(store.now, 1000):
        pass
    await gather(store)
    assert await hours(store, other) == {}
