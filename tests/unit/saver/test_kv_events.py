"""The lanes of an app's events in a cluster's store: one order, whatever the clocks of its servers say."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import pytest

from longline.model.events import UPSTREAM, Event, EventBounds
from longline.saver.bounds import SaverBounds
from longline.saver.kv.engine import RedisSaver
from longline.saver.kv.event_lanes import EventLanes
from longline.saver.kv.event_reading import PAGE
from longline.saver.kv.events import SLICE
from longline.saver.kv.partitions import Partitions
from longline.settings import StoreSettings
from longline.store.redis import LANES, Store
from tests.contract.store_fixture import START, an_app
from tests.servers.shared import shared

PARTITIONS = 16
AHEAD = 3_600_000_000  # µs that the clock of a server may be ahead of others


@dataclass
class Lanes:
    """An app whose events are in lanes, as many as there may be."""

    store: Store
    saver: RedisSaver
    app: int
    lanes: EventLanes
    sequence: int = 0

    def events(self, *lanes: int, payload: bytes = b"x") -> list[Event]:
        """One in each of these lanes, numbered in their order."""
        self.sequence += len(lanes)
        return [
            Event(self.app, UPSTREAM, self.device(lane), START, b"{}", "~r", n, payload=payload)
            for n, lane in enumerate(lanes, self.sequence - len(lanes) + 1)
        ]

    def device(self, lane: int) -> str:
        names = (f"d{n}" for n in range(1000))
        return next(name for name in names if self.lanes.of(self.app, name) == lane)

    async def append(self, *lanes: int, payload: bytes = b"x") -> list[int]:
        """Appends one after the other; their sequences."""
        events = self.events(*lanes, payload=payload)
        for event in events:
            await self.saver.events.append([event])
        return [event.sequence for event in events]

    async def read(self, after: str = "", limit: int = 100) -> tuple[list[int], str]:
        """Sequences of a page, and the cursor behind it."""
        page = await self.saver.events.read(self.app, after, limit)
        return [event.sequence for _, event in page.events], page.events[-1][0] if page.events else after

    async def call(self, lane: int, command: str, *words: str | int) -> object:
        partition = self.lanes.home(self.app, lane)
        return await self.store.call(
            b"p%d" % partition, command, b"{p%d}ua:%d" % (partition, self.app), *words
        )

    async def put_ahead(self, lane: int, by: int = AHEAD) -> None:
        """As if the server of this lane had a clock that is ahead."""
        await self.call(lane, "HINCRBY", "last", by)


@pytest.fixture
async def lanes() -> AsyncIterator[Lanes]:
    with shared("redis") as server:
        store = await Store.open(StoreSettings(url=server.url, partitions=PARTITIONS, event_lanes=LANES))
        saver = await RedisSaver.open(store, bounds=SaverBounds(events=EventBounds(8000, 64 * 1024 * 1024)))
        app = (await saver.apps.create(an_app("news"))).number
        yield Lanes(store, saver, app, EventLanes(Partitions(store)))
        await store.close()


def test_each_lane_of_an_app_has_a_partition_and_apps_begin_elsewhere(lanes: Lanes) -> None:
    for app in range(PARTITIONS):
        homes = lanes.lanes.homes(app)
        assert len(set(homes)) == LANES == lanes.lanes.count
        assert [lanes.lanes.kept_in(app, home) for home in homes] == list(range(LANES))
    firsts = {lanes.lanes.home(app, 0) for app in range(PARTITIONS)}
    assert len(firsts) == PARTITIONS


@pytest.mark.parametrize("partitions", range(1, 40))
async def test_no_partition_keeps_two_lanes_of_an_app(lanes: Lanes, partitions: int) -> None:
    parts = Partitions(lanes.store)
    parts.count = partitions
    lanes.store.event_lanes = count = min(partitions, LANES)
    few = EventLanes(parts)
    for app in range(partitions):
        assert len(set(few.homes(app))) == count


async def test_what_comes_to_a_slow_clock_after_a_reader_was_there_is_behind_its_cursor(
    lanes: Lanes,
) -> None:
    """A lane that was told of numbers of one whose clock is ahead goes on above them."""
    before = await lanes.append(0, 1, 2)
    await lanes.put_ahead(1)
    far = await lanes.append(1)
    told, cursor = await lanes.read()
    assert told == before + far
    later = await lanes.append(0, 2, 3, 1, 0)
    assert sorted((await lanes.read(cursor))[0]) == later
    assert sorted((await lanes.read())[0]) == before + far + later


async def test_what_comes_to_a_slow_clock_before_a_reader_was_there_is_read_first(lanes: Lanes) -> None:
    await lanes.append(0, 1)
    await lanes.put_ahead(1)
    far = await lanes.append(1)
    slow = await lanes.append(0, 2, 0)
    told, _ = await lanes.read()
    assert told == [1, 2, *slow, *far]


async def test_the_end_of_a_queue_is_before_what_comes_to_any_lane(lanes: Lanes) -> None:
    await lanes.append(1)
    await lanes.put_ahead(1)
    end = await lanes.saver.events.end(lanes.app)
    assert (await lanes.read(end))[0] == []
    later = await lanes.append(0, 1, 2)
    assert sorted((await lanes.read(end))[0]) == later


async def test_a_queue_in_which_nothing_is_to_be_read_has_one_end(lanes: Lanes) -> None:
    """So that whatever comes, to whichever lane, moves it."""
    (before,) = await lanes.saver.events.ends([lanes.app])
    assert before == ""
    _, cursor = await lanes.append(0, 1), (await lanes.read())[1]
    await lanes.put_ahead(1)
    assert (await lanes.read(cursor))[0] == []
    (before,) = await lanes.saver.events.ends([lanes.app])
    await lanes.append(0)
    (after,) = await lanes.saver.events.ends([lanes.app])
    assert int(after) > int(before)


async def test_whoever_reads_changes_nothing_by_a_cursor_of_its_own_making(lanes: Lanes) -> None:
    told = await lanes.append(0, 1)
    for cursor in ("999999999999999999", "1", "0"):
        await lanes.read(cursor)
    told += await lanes.append(0, 1, 2)
    assert (await lanes.read())[0] == told


@pytest.mark.parametrize("limit", [1, 7, 64, 500])
async def test_pages_are_full_however_uneven_the_lanes_are(lanes: Lanes, limit: int) -> None:
    chance = random.Random(limit)
    order = [chance.choices(range(LANES), [500, 50, 5, 1, 1, 1, 1, 0])[0] for _ in range(700)]
    for start in range(0, len(order), SLICE):
        await lanes.saver.events.append(lanes.events(*order[start : start + SLICE]))
    found: list[int] = []
    cursor = ""
    while page := await lanes.read(cursor, limit):
        told, cursor = page
        found += told
        if len(told) < limit:
            break
    assert sorted(found) == list(range(1, 701))
    whole = await lanes.read("", 1000)
    assert whole == (found, cursor)


async def test_large_pages_end_after_so_many_bytes_wherever_they_are(lanes: Lanes) -> None:
    payload = b"x" * (PAGE // 10)
    for place in range(30):
        await lanes.append(place % 2 * 5, payload=payload)
    first, cursor = await lanes.read()
    assert len(first) == 10
    assert (await lanes.read(cursor))[0] == list(range(11, 21))


async def test_readers_and_writers_of_stores_whose_clocks_jump_see_one_order(lanes: Lanes) -> None:
    """Lanes are put ahead of each other at random while many write and read: nobody misses anything."""
    chance = random.Random(7)
    done = asyncio.Event()
    rounds = 40

    async def write(lane: int) -> None:
        for n in range(1, rounds + 1):
            name = lanes.device(lane)
            event = Event(lanes.app, UPSTREAM, name, START, b"{}", f"~{lane}", n)
            await lanes.saver.events.append([event])
            if chance.random() < 0.2:
                await lanes.put_ahead(lane, chance.randrange(1, 1_000_000))

    async def follow(limit: int) -> Sequence[tuple[str, Event]]:
        found: list[tuple[str, Event]] = []
        while True:
            over = done.is_set()
            after = found[-1][0] if found else ""
            page = await lanes.saver.events.read(lanes.app, after, limit)
            found += page.events
            assert not page.gap
            if over and not page.events:
                return found

    readers = [asyncio.create_task(follow(limit)) for limit in (2, 50)]
    await asyncio.gather(*(write(lane) for lane in range(LANES)))
    done.set()
    one, other = [await reader for reader in readers]
    assert len(one) == LANES * rounds
    assert one == other
    for lane in range(LANES):
        assert [event.sequence for _, event in one if event.source == f"~{lane}"] == [*range(1, rounds + 1)]
