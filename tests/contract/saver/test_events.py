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


async def read(store: StoreFixture, after: str = "", limit: int = 10) -> list[tuple[str, Event]]:
    return (await store.saver.events.read(store.app, after, limit)).events


async def told(store: StoreFixture, *, app: int | None = None) -> list[tuple[str, int]]:
    """Source and sequence of all events that an app has."""
    page = await store.saver.events.read(store.app if app is None else app, "", 100_000)
    return [(event.source, event.sequence) for _, event in page.events]


async def test_an_event_is_told_as_it_was_recorded(store: StoreFixture) -> None:
    event = an_event(store, 7)
    await store.saver.events.append([event])
    ((cursor, told),) = await read(store)
    assert told == event
    assert cursor != ""


async def test_an_app_without_events_is_told_nothing(store: StoreFixture) -> None:
    assert await read(store) == []
    await store.saver.events.append([])
    assert await read(store) == []


async def test_events_are_read_from_a_cursor_on(store: StoreFixture) -> None:
    await store.saver.events.append([an_event(store, n) for n in range(1, 26)])
    seen: list[int] = []
    cursor = ""
    while page := await read(store, cursor):
        assert len(page) <= 10
        seen += [event.sequence for _, event in page]
        cursor = page[-1][0]
    assert seen == list(range(1, 26))
    assert await read(store, cursor) == []
    await store.saver.events.append([an_event(store, 26)])
    assert [event.sequence for _, event in await read(store, cursor)] == [26]


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
    ((old, _),) = await read(store)
    total = 5 * EVENTS
    for start in range(2, total + 1, 50):
        await store.saver.events.append(
            [an_event(store, n) for n in range(start, min(start + 50, total + 1))]
        )
    kept = [n for _, n in await told(store)]
    assert EVENTS <= len(kept) <= 2 * EVENTS
    assert kept == list(range(total - len(kept) + 1, total + 1))
    behind = await store.saver.events.read(store.app, old, 1)
    assert [event.sequence for _, event in behind.events] == kept[:1], "an old cursor goes on with the oldest"
    assert behind.gap
    on = await store.saver.events.read(store.app, behind.events[0][0], 1)
    assert not on.gap, "nothing behind the oldest kept was removed"


async def test_a_batch_longer_than_the_queue_leaves_its_end(store: StoreFixture) -> None:
    total = 5 * EVENTS
    await store.saver.events.append([an_event(store, n) for n in range(1, total + 1)])
    kept = [n for _, n in await told(store)]
    assert EVENTS <= len(kept) <= 2 * EVENTS
    assert kept[-1] == total


async def test_events_and_what_was_recorded_survive_a_restart(store: StoreFixture) -> None:
    await store.saver.events.append([an_event(store, n) for n in (1, 2)])
    ((cursor, _), _) = await read(store)
    await store.reopen()
    await store.saver.events.append([an_event(store, n) for n in (2, 3)])
    assert await told(store) == [("s1", n) for n in (1, 2, 3)]
    assert [event.sequence for _, event in await read(store, cursor)] == [2, 3]


async def test_a_deleted_app_has_no_events(store: StoreFixture) -> None:
    await store.saver.events.append([an_event(store, 1)])
    await store.saver.apps.delete(store.app)
    await store.saver.events.append([an_event(store, 2)])
    assert await told(store) == []
    for _ in range(3):
        await store.pass_time(0)
    assert await told(store) == []


async def test_a_cursor_of_an_app_that_was_deleted_misses_nothing_of_the_next_of_its_name(
    store: StoreFixture,
) -> None:
    await store.saver.events.append([an_event(store, n) for n in range(1, 10)])
    cursor = (await read(store))[-1][0]
    await store.saver.apps.delete(store.app)
    await store.begin()
    await store.saver.events.append([an_event(store, n) for n in (10, 11)])
    page = await store.saver.events.read(store.app, cursor, 10)
    assert ([event.sequence for _, event in page.events], page.gap) == ([10, 11], True)
    assert not (await store.saver.events.read(store.app, page.events[0][0], 10)).gap


# --- events that tell of states ------------------------------------------------------------------------


def a_state(store: StoreFixture, sequence: int, device: str, state: str = "online") -> Event:
    return msgspec.structs.replace(an_event(store, sequence), device=device, state=state)


async def test_a_device_that_comes_and_goes_all_the_time_pushes_out_no_other(store: StoreFixture) -> None:
    others = [a_state(store, n, f"d{n}") for n in range(1, EVENTS // 2)]
    await store.saver.events.append(others)
    first = (await read(store))[0][0]
    last = (await read(store, limit=1000))[-1][0]
    n = len(others)
    for _ in range(10):
        flaps = [a_state(store, n + i, "flapping", "offline" if i % 2 else "online") for i in range(EVENTS)]
        await store.saver.events.append(flaps)
        n += EVENTS
    await store.saver.events.append([a_state(store, n, "d7", "offline")])
    page = await store.saver.events.read(store.app, first, 1000)
    events = [event for _, event in page.events]
    assert len(events) <= EVENTS
    latest = {event.device: event.state for event in events}
    assert latest == {
        **{event.device: "online" for event in others[1:]},
        "flapping": "offline",
        "d7": "offline",
    }
    sequences = [event.sequence for event in events]
    assert sequences == sorted(sequences)
    assert page.gap, "some of the flapping device's"
    assert (await store.saver.events.read(store.app, last, 1000)).gap
    assert not (await store.saver.events.read(store.app, page.events[-1][0], 1000)).gap


async def test_where_each_device_has_one_event_the_oldest_go(store: StoreFixture) -> None:
    await store.saver.events.append([a_state(store, n, f"d{n}") for n in range(1, 2 * EVENTS + 1)])
    assert [n for _, n in await told(store)] == list(range(EVENTS + 1, 2 * EVENTS + 1))
    again = range(2 * EVENTS + 1, 3 * EVENTS + 1)
    await store.saver.events.append([a_state(store, n, f"d{n - 2 * EVENTS}") for n in again])
    assert [n for _, n in await told(store)] == [*again]


async def test_events_that_tell_of_no_state_do_not_stand_for_each_other(store: StoreFixture) -> None:
    events = [msgspec.structs.replace(an_event(store, n), device="d") for n in range(1, EVENTS + 3)]
    await store.saver.events.append(events)
    assert [n for _, n in await told(store)] == list(range(3, EVENTS + 3))
