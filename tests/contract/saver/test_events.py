"""Events for app servers: each once, in order, from a queue that is bounded."""

import asyncio

import msgspec

from longline.model.events import Event
from tests.contract.engines import EVENTS
from tests.contract.store_fixture import StoreFixture, an_app


def an_event(store: StoreFixture, sequence: int, *, source: str = "s1", app: int | None = None) -> Event:
    data = msgspec.json.encode({"state": "online", "n": sequence, "who": "grün"})
    return Event(
        store.app if app is None else app, "presence", f"d{sequence}", store.now, data, source, sequence
    )


async def told(store: StoreFixture, *, app: int | None = None) -> list[tuple[str, int]]:
    """Source and sequence of all events that an app has."""
    events = await store.saver.events.read(store.app if app is None else app, "", 100_000)
    return [(event.source, event.sequence) for _, event in events]


async def test_an_event_is_told_as_it_was_recorded(store: StoreFixture) -> None:
    event = an_event(store, 7)
    await store.saver.events.append([event])
    ((cursor, told),) = await store.saver.events.read(store.app, "", 10)
    assert told == event
    assert cursor != ""


async def test_an_app_without_events_is_told_nothing(store: StoreFixture) -> None:
    assert await store.saver.events.read(store.app, "", 10) == []
    await store.saver.events.append([])
    assert await store.saver.events.read(store.app, "", 10) == []


async def test_events_are_read_from_a_cursor_on(store: StoreFixture) -> None:
    await store.saver.events.append([an_event(store, n) for n in range(1, 26)])
    seen: list[int] = []
    cursor = ""
    while page := await store.saver.events.read(store.app, cursor, 10):
        assert len(page) <= 10
        seen += [event.sequence for _, event in page]
        cursor = page[-1][0]
    assert seen == list(range(1, 26))
    assert await store.saver.events.read(store.app, cursor, 10) == []
    await store.saver.events.append([an_event(store, 26)])
    assert [event.sequence for _, event in await store.saver.events.read(store.app, cursor, 10)] == [26]


async def test_an_event_recorded_twice_is_told_once(store: StoreFixture) -> None:
    batch = [an_event(store, n) for n in range(1, 4)]
    await store.saver.events.append(batch)
    await store.saver.events.append([*batch, an_event(store, 4)])
    await store.saver.events.append([an_event(store, 5), an_event(store, 5)])
    await store.saver.events.append(batch[:1])
    assert await told(store) == [("s1", n) for n in range(1, 6)]


async def test_sequences_may_leave_some_out(store: StoreFixture) -> None:
    await store.saver.events.append([an_event(store, n) for n in (3, 10, 4, 11)])
    assert await told(store) == [("s1", 3), ("s1", 10), ("s1", 11)]


async def test_events_of_two_sources_have_nothing_to_do_with_each_other(store: StoreFixture) -> None:
    await store.saver.events.append([an_event(store, 10), an_event(store, 1, source="s2")])
    await store.saver.events.append([an_event(store, 2, source="s2"), an_event(store, 11)])
    events = await told(store)
    assert [n for source, n in events if source == "s1"] == [10, 11]
    assert [n for source, n in events if source == "s2"] == [1, 2]


async def test_one_source_speaks_of_several_apps(store: StoreFixture) -> None:
    other = (await store.saver.apps.create(an_app("weather"))).number
    batch = [an_event(store, n, app=other if n % 2 else store.app) for n in range(1, 9)]
    for _ in range(2):
        await store.saver.events.append(batch)
    assert await told(store) == [("s1", n) for n in (2, 4, 6, 8)]
    assert await told(store, app=other) == [("s1", n) for n in (1, 3, 5, 7)]


async def test_events_that_two_record_at_once_are_told_once(store: StoreFixture) -> None:
    """A coordinator that lost its office may still be at work when the next one begins."""
    batch = [an_event(store, n) for n in range(1, 30)]
    await asyncio.gather(*(store.saver.events.append(batch) for _ in range(5)))
    assert await told(store) == [("s1", n) for n in range(1, 30)]


async def test_of_a_full_queue_the_oldest_go(store: StoreFixture) -> None:
    await store.saver.events.append([an_event(store, 1)])
    ((old, _),) = await store.saver.events.read(store.app, "", 1)
    total = 5 * EVENTS
    for start in range(2, total + 1, 50):
        await store.saver.events.append(
            [an_event(store, n) for n in range(start, min(start + 50, total + 1))]
        )
    kept = [n for _, n in await told(store)]
    assert EVENTS <= len(kept) <= 2 * EVENTS
    assert kept == list(range(total - len(kept) + 1, total + 1))
    behind = await store.saver.events.read(store.app, old, 1)
    assert [event.sequence for _, event in behind] == kept[:1], "an old cursor goes on with the oldest kept"


async def test_a_batch_longer_than_the_queue_leaves_its_end(store: StoreFixture) -> None:
    total = 5 * EVENTS
    await store.saver.events.append([an_event(store, n) for n in range(1, total + 1)])
    kept = [n for _, n in await told(store)]
    assert EVENTS <= len(kept) <= 2 * EVENTS
    assert kept[-1] == total


async def test_events_and_what_was_recorded_survive_a_restart(store: StoreFixture) -> None:
    await store.saver.events.append([an_event(store, n) for n in (1, 2)])
    ((cursor, _), _) = await store.saver.events.read(store.app, "", 10)
    await store.reopen()
    await store.saver.events.append([an_event(store, n) for n in (2, 3)])
    assert await told(store) == [("s1", n) for n in (1, 2, 3)]
    assert [event.sequence for _, event in await store.saver.events.read(store.app, cursor, 10)] == [2, 3]


async def test_a_deleted_app_has_no_events(store: StoreFixture) -> None:
    await store.saver.events.append([an_event(store, 1)])
    await store.saver.apps.delete(store.app)
    await store.saver.events.append([an_event(store, 2)])
    assert await told(store) == []
    for _ in range(3):
        await store.pass_time(0)
    assert await told(store) == []
