"""Events for app servers: each once, in order, from a queue that is bounded."""

import asyncio

import msgspec
import pytest

from longline.model.events import Event
from tests.contract.engines import OF_DEVICE
from tests.contract.store_fixture import StoreFixture, an_app


def an_event(store: StoreFixture, sequence: int, *, source: str = "s1", app: int | None = None) -> Event:
    """Of one device, whichever app it is of."""
    data = msgspec.json.encode({"state": "online", "n": sequence, "who": "grün"})
    return Event(store.app if app is None else app, "presence", "d", store.now, data, source, sequence)


def of_another(store: StoreFixture, sequence: int) -> Event:
    """Each of a device of its own, all of which share a lane."""
    return msgspec.structs.replace(an_event(store, sequence), device=store.neighbours()(sequence))


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
    await store.saver.events.append([an_event(store, n) for n in range(1, 21)])
    seen: list[int] = []
    cursor = ""
    while page := await read(store, cursor):
        assert len(page) <= 10
        seen += [event.sequence for _, event in page]
        cursor = page[-1][0]
    assert seen == list(range(1, 21))
    assert await read(store, cursor) == []
    await store.saver.events.append([an_event(store, 21)])
    assert [event.sequence for _, event in await read(store, cursor)] == [21]


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
    batch = [an_event(store, n) for n in range(1, 21)]
    await asyncio.gather(*(store.saver.events.append(batch) for _ in range(5)))
    assert await told(store) == [("s1", n) for n in range(1, 21)]


async def test_of_a_full_lane_the_oldest_go(store: StoreFixture) -> None:
    await store.saver.events.append([of_another(store, 1)])
    ((old, _),) = await read(store)
    most = store.lane_events
    total = 5 * most
    for start in range(2, total + 1, 50):
        await store.saver.events.append(
            [of_another(store, n) for n in range(start, min(start + 50, total + 1))]
        )
    kept = [n for _, n in await told(store)]
    assert most <= len(kept) <= 2 * most
    assert kept == list(range(total - len(kept) + 1, total + 1))
    behind = await store.saver.events.read(store.app, old, 1)
    assert [event.sequence for _, event in behind.events] == kept[:1], "an old cursor goes on with the oldest"
    assert behind.gap
    on = await store.saver.events.read(store.app, behind.events[0][0], 1)
    assert not on.gap, "nothing behind the oldest kept was removed"


async def test_a_batch_longer_than_a_lane_leaves_its_end(store: StoreFixture) -> None:
    total = 5 * store.lane_events
    await store.saver.events.append([of_another(store, n) for n in range(1, total + 1)])
    kept = [n for _, n in await told(store)]
    assert store.lane_events <= len(kept) <= 2 * store.lane_events
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


@pytest.mark.tampers  # of devices that nobody registered
async def test_a_device_that_comes_and_goes_all_the_time_pushes_out_no_other(store: StoreFixture) -> None:
    most, name = store.lane_events, store.neighbours()
    others = [a_state(store, n, name(n)) for n in range(1, most // 2)]
    await store.saver.events.append(others)
    first = (await read(store))[0][0]
    last = (await read(store, limit=1000))[-1][0]
    n, flapping = len(others), store.neighbours("flapping")(0)
    for _ in range(10):
        flaps = [a_state(store, n + i, flapping, "offline" if i % 2 else "online") for i in range(most)]
        await store.saver.events.append(flaps)
        n += most
    await store.saver.events.append([a_state(store, n, name(7), "offline")])
    page = await store.saver.events.read(store.app, first, 1000)
    events = [event for _, event in page.events]
    assert len(events) <= most
    latest = {event.device: event.state for event in events}
    assert latest == {
        **{event.device: "online" for event in others[1:]},
        flapping: "online" if most % 2 else "offline",
        name(7): "offline",
    }
    sequences = [event.sequence for event in events]
    assert sequences == sorted(sequences)
    assert page.gap, "some of the flapping device's"
    assert (await store.saver.events.read(store.app, last, 1000)).gap
    assert not (await store.saver.events.read(store.app, page.events[-1][0], 1000)).gap


@pytest.mark.tampers  # of devices that nobody registered
async def test_where_each_device_has_one_event_the_oldest_go(store: StoreFixture) -> None:
    most, name = store.lane_events, store.neighbours()
    await store.saver.events.append([a_state(store, n, name(n)) for n in range(1, 2 * most + 1)])
    assert [n for _, n in await told(store)] == list(range(most + 1, 2 * most + 1))
    again = range(2 * most + 1, 3 * most + 1)
    await store.saver.events.append([a_state(store, n, name(n - 2 * most)) for n in again])
    assert [n for _, n in await told(store)] == [*again]


async def test_events_that_tell_of_no_state_do_not_stand_for_each_other(store: StoreFixture) -> None:
    most, device = store.lane_events, store.neighbours()(0)
    events = [msgspec.structs.replace(an_event(store, n), device=device) for n in range(1, most + 3)]
    await store.saver.events.append(events)
    assert [n for _, n in await told(store)] == list(range(3, most + 3))


# --- what devices have sent ----------------------------------------------------------------------------


def sent(store: StoreFixture, sequence: int, device: str, payload: bytes = b"x") -> Event:
    return msgspec.structs.replace(an_event(store, sequence, source="~r"), device=device, payload=payload)


async def kept_of(store: StoreFixture, device: str) -> list[int]:
    page = await store.saver.events.read(store.app, "", 1000)
    return [event.sequence for _, event in page.events if event.device == device]


async def test_a_device_that_sends_all_the_time_pushes_out_no_other(store: StoreFixture) -> None:
    """Of each device the latest few are the last to go, however much another sends."""
    most, name = store.lane_events, store.neighbours()
    quiet = [sent(store, n, name(n % 5)) for n in range(1, 24)]
    await store.saver.events.append(quiet)
    first = (await read(store))[0][0]
    n, noisy = len(quiet), store.neighbours("noisy")(0)
    for _ in range(10):
        await store.saver.events.append([sent(store, n + i, noisy) for i in range(1, most // 2)])
        n += most // 2
    for device in range(5):
        of_it = [n for n in range(1, 24) if n % 5 == device]
        assert await kept_of(store, name(device)) == of_it[-OF_DEVICE:]
    page = await store.saver.events.read(store.app, first, 1000)
    assert page.gap
    assert len(page.events) == most
    sequences = [event.sequence for _, event in page.events]
    assert sequences == sorted(sequences)
    assert sequences[-1] == n - 1


async def test_of_what_is_large_less_is_kept(store: StoreFixture) -> None:
    size, name = store.lane_bytes // 10, store.neighbours()
    for start in range(1, 31, 5):
        await store.saver.events.append(
            [sent(store, n, name(n), b"x" * size) for n in range(start, start + 5)]
        )
    kept = await told(store)
    assert 5 <= len(kept) <= 10
    assert kept[-1] == ("~r", 30)
    await store.saver.events.append([sent(store, n, name(n)) for n in range(31, 51)])
    assert len(await told(store)) <= store.lane_events
    assert (await told(store))[-20:] == [("~r", n) for n in range(31, 51)]


async def test_one_that_is_larger_than_all_may_be_is_not_kept(store: StoreFixture) -> None:
    name = store.neighbours()
    await store.saver.events.append([sent(store, 1, name(1))])
    ((cursor, _),) = await read(store)
    await store.saver.events.append([sent(store, 2, name(2), b"x" * 2 * store.lane_bytes)])
    page = await store.saver.events.read(store.app, cursor, 10)
    assert (page.events, page.gap) == ([], True)
    await store.saver.events.append([sent(store, 3, name(1))])
    assert await told(store) == [("~r", 3)]


async def test_a_page_of_what_is_large_ends_early_and_has_one_always(store: StoreFixture) -> None:
    pages: list[int] = []
    events = [sent(store, n, f"d{n}", b"x" * 700) for n in range(1, 51)]
    await store.saver.events.append(events)
    cursor = ""
    while page := await read(store, cursor, 50):
        pages.append(len(page))
        cursor = page[-1][0]
    assert sum(pages) == 50
    payload = b"\x00\xff" * 10
    await store.saver.events.append([sent(store, 51, "d", payload)])
    ((_, event),) = await read(store, cursor)
    assert event.payload == payload


async def test_what_a_device_has_is_right_after_it_went_and_came_again(store: StoreFixture) -> None:
    """The numbers that are remembered of a device are those of events that are there."""
    n, most, name = 0, store.lane_events, store.neighbours()
    for device in (1, 2, 1, 3):
        for _ in range(most + 5):
            n += 1
            await store.saver.events.append([sent(store, n, name(device))])
    assert len(await told(store)) == most
    assert await kept_of(store, name(1)) == [n - most - 5 - 2, n - most - 5 - 1, n - most - 5]
    assert len(await kept_of(store, name(2))) == OF_DEVICE
    others = [sent(store, n + i, store.neighbours("e")(i)) for i in range(1, most + 1)]
    await store.saver.events.append(others)
    assert await told(store) == [("~r", n + i) for i in range(1, most + 1)]


async def test_an_event_without_a_source_is_told_once_and_another_like_it_too(store: StoreFixture) -> None:
    """Whatever becomes of the connection, and also where nothing tells the two apart."""
    event = msgspec.structs.replace(sent(store, 0, "d"), source="")
    await store.saver.events.append([event, event])
    await store.saver.events.append([event])
    assert len(await kept_of(store, "d")) == 3


# --- an order for all who read -------------------------------------------------------------------------


async def paged(store: StoreFixture, after: str, limit: int) -> list[tuple[str, Event]]:
    """All there is behind a cursor, page by page."""
    found: list[tuple[str, Event]] = []
    while page := await read(store, after, limit):
        assert len(page) <= limit
        found += page
        after = page[-1][0]
    return found


async def test_of_many_devices_everybody_reads_the_same_in_each_ones_order(store: StoreFixture) -> None:
    """Pages are as long as they may be while there is more, so a batch that is read again is the same."""
    most = OF_DEVICE * store.engine.lanes
    for n in range(1, most + 1):
        await store.saver.events.append([sent(store, n, f"d{n % 9}")])
    events = await paged(store, "", 1000)
    assert [event.sequence for _, event in events] == list(range(1, most + 1))
    for limit in (1, 2, 5):
        assert await paged(store, "", limit) == events
    cursors = [int(cursor) for cursor, _ in events]
    assert cursors == sorted(set(cursors))
    for place in range(len(events)):
        assert await read(store, events[place][0], 2) == events[place + 1 : place + 3]


async def test_who_reads_while_many_write_misses_nothing_and_sees_each_devices_in_order(
    store: StoreFixture,
) -> None:
    """Whatever is behind a cursor that a reader was given is not there any more for it: so nothing may come
    up there later."""
    devices, rounds = 8, 8  # as many as are kept of one lane, wherever they are
    done = asyncio.Event()

    async def write(device: int) -> None:
        for n in range(1, rounds + 1):
            event = sent(store, n, f"d{device}")
            await store.saver.events.append([msgspec.structs.replace(event, source=f"~{device}")])

    async def follow(limit: int) -> list[tuple[str, Event]]:
        found: list[tuple[str, Event]] = []
        while True:
            over = done.is_set()
            page = await read(store, found[-1][0] if found else "", limit)
            found += page
            if over and not page:
                return found

    readers = [asyncio.create_task(follow(limit)) for limit in (1, 3, 100)]
    await asyncio.gather(*(write(device) for device in range(devices)))
    done.set()
    first, *others = [await reader for reader in readers]
    for device in range(devices):
        of_it = [event.sequence for _, event in first if event.device == f"d{device}"]
        assert of_it == list(range(1, rounds + 1))
    assert all(other == first for other in others)


async def test_what_a_reader_was_told_of_in_one_lane_stays_before_what_comes_in_others(
    store: StoreFixture,
) -> None:
    for n in range(1, 13):
        await store.saver.events.append([sent(store, n, f"d{n}")])
        page = await store.saver.events.read(store.app, "", 1000)
        assert await read(store, page.events[-1][0]) == []
    assert [event.sequence for _, event in await paged(store, "", 1000)] == list(range(1, 13))


async def test_a_lane_that_begins_later_is_no_gap(store: StoreFixture) -> None:
    await store.saver.events.append([sent(store, 1, "d1")])
    ((cursor, _),) = await read(store)
    await store.saver.events.append([sent(store, n, f"d{n}") for n in range(2, 13)])
    page = await store.saver.events.read(store.app, cursor, 100)
    assert (len(page.events), page.gap) == (11, False)
