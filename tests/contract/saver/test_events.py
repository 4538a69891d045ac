"""Events for app servers: each once, in order, from a queue that is bounded."""

import asyncio

import msgspec

from longline.model.events import Event
from tests.contract.engines import EVENTS
from tests.contract.scene import Scene, an_app


def an_event(scene: Scene, sequence: int, *, source: str = "s1", app: int | None = None) -> Event:
    data = msgspec.json.encode({"state": "online", "n": sequence, "who": "grün"})
    return Event(
        scene.app if app is None else app, "presence", f"d{sequence}", scene.now, data, source, sequence
    )


async def told(scene: Scene, *, app: int | None = None) -> list[tuple[str, int]]:
    """Source and sequence of all events that an app has."""
    events = await scene.saver.events.read(scene.app if app is None else app, "", 100_000)
    return [(event.source, event.sequence) for _, event in events]


async def test_an_event_is_told_as_it_was_recorded(scene: Scene) -> None:
    event = an_event(scene, 7)
    await scene.saver.events.append([event])
    ((cursor, told),) = await scene.saver.events.read(scene.app, "", 10)
    assert told == event
    assert cursor != ""


async def test_an_app_without_events_is_told_nothing(scene: Scene) -> None:
    assert await scene.saver.events.read(scene.app, "", 10) == []
    await scene.saver.events.append([])
    assert await scene.saver.events.read(scene.app, "", 10) == []


async def test_events_are_read_from_a_cursor_on(scene: Scene) -> None:
    await scene.saver.events.append([an_event(scene, n) for n in range(1, 26)])
    seen: list[int] = []
    cursor = ""
    while page := await scene.saver.events.read(scene.app, cursor, 10):
        assert len(page) <= 10
        seen += [event.sequence for _, event in page]
        cursor = page[-1][0]
    assert seen == list(range(1, 26))
    assert await scene.saver.events.read(scene.app, cursor, 10) == []
    await scene.saver.events.append([an_event(scene, 26)])
    assert [event.sequence for _, event in await scene.saver.events.read(scene.app, cursor, 10)] == [26]


async def test_an_event_recorded_twice_is_told_once(scene: Scene) -> None:
    batch = [an_event(scene, n) for n in range(1, 4)]
    await scene.saver.events.append(batch)
    await scene.saver.events.append([*batch, an_event(scene, 4)])
    await scene.saver.events.append([an_event(scene, 5), an_event(scene, 5)])
    await scene.saver.events.append(batch[:1])
    assert await told(scene) == [("s1", n) for n in range(1, 6)]


async def test_sequences_may_leave_some_out(scene: Scene) -> None:
    await scene.saver.events.append([an_event(scene, n) for n in (3, 10, 4, 11)])
    assert await told(scene) == [("s1", 3), ("s1", 10), ("s1", 11)]


async def test_events_of_two_sources_have_nothing_to_do_with_each_other(scene: Scene) -> None:
    await scene.saver.events.append([an_event(scene, 10), an_event(scene, 1, source="s2")])
    await scene.saver.events.append([an_event(scene, 2, source="s2"), an_event(scene, 11)])
    events = await told(scene)
    assert [n for source, n in events if source == "s1"] == [10, 11]
    assert [n for source, n in events if source == "s2"] == [1, 2]


async def test_one_source_speaks_of_several_apps(scene: Scene) -> None:
    other = (await scene.saver.apps.create(an_app("weather"))).number
    batch = [an_event(scene, n, app=other if n % 2 else scene.app) for n in range(1, 9)]
    for _ in range(2):
        await scene.saver.events.append(batch)
    assert await told(scene) == [("s1", n) for n in (2, 4, 6, 8)]
    assert await told(scene, app=other) == [("s1", n) for n in (1, 3, 5, 7)]


async def test_events_that_two_record_at_once_are_told_once(scene: Scene) -> None:
    """A coordinator that lost its office may still be at work when the next one begins."""
    batch = [an_event(scene, n) for n in range(1, 30)]
    await asyncio.gather(*(scene.saver.events.append(batch) for _ in range(5)))
    assert await told(scene) == [("s1", n) for n in range(1, 30)]


async def test_of_a_full_queue_the_oldest_go(scene: Scene) -> None:
    await scene.saver.events.append([an_event(scene, 1)])
    ((old, _),) = await scene.saver.events.read(scene.app, "", 1)
    total = 5 * EVENTS
    for start in range(2, total + 1, 50):
        await scene.saver.events.append(
            [an_event(scene, n) for n in range(start, min(start + 50, total + 1))]
        )
    kept = [n for _, n in await told(scene)]
    assert EVENTS <= len(kept) <= 2 * EVENTS
    assert kept == list(range(total - len(kept) + 1, total + 1))
    behind = await scene.saver.events.read(scene.app, old, 1)
    assert [event.sequence for _, event in behind] == kept[:1], "an old cursor goes on with the oldest kept"


async def test_a_batch_longer_than_the_queue_leaves_its_end(scene: Scene) -> None:
    total = 5 * EVENTS
    await scene.saver.events.append([an_event(scene, n) for n in range(1, total + 1)])
    kept = [n for _, n in await told(scene)]
    assert EVENTS <= len(kept) <= 2 * EVENTS
    assert kept[-1] == total


async def test_events_and_what_was_recorded_survive_a_restart(scene: Scene) -> None:
    await scene.saver.events.append([an_event(scene, n) for n in (1, 2)])
    ((cursor, _), _) = await scene.saver.events.read(scene.app, "", 10)
    await scene.reopen()
    await scene.saver.events.append([an_event(scene, n) for n in (2, 3)])
    assert await told(scene) == [("s1", n) for n in (1, 2, 3)]
    assert [event.sequence for _, event in await scene.saver.events.read(scene.app, cursor, 10)] == [2, 3]


async def test_a_deleted_app_has_no_events(scene: Scene) -> None:
    await scene.saver.events.append([an_event(scene, 1)])
    await scene.saver.apps.delete(scene.app)
    await scene.saver.events.append([an_event(scene, 2)])
    assert await told(scene) == []
    for _ in range(3):
        await scene.pass_time(0)
    assert await told(scene) == []
