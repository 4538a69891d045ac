"""Reading events: each once, from a cursor on, at once or as soon as there are some."""

import asyncio
import time
from collections.abc import Iterable

import httpx
import msgspec
import pytest

from longline.center.events import waiting
from longline.errors import Unavailable
from longline.model.devices import JsonObject
from longline.model.events import Event
from longline.saver.port.events import EventPage
from longline.settings import CenterSettings
from tests.unit.center.conftest import START, Api
from tests.waiting import WITHIN, until

QUICK = 0.001  # s


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "LOOK_EVERY", QUICK)


async def happen(api: Api, *sequences: int, app: int = 1) -> None:
    await api.saver.events.append(
        [
            Event(
                app,
                "presence",
                f"d{n}",
                START + n,
                msgspec.json.encode({"state": "online", "epoch": n, "sequence": n, "room": "room-1"}),
                "s",
                n,
            )
            for n in sequences
        ]
    )


async def read(api: Api, path: str, cursor: str | None = None, **query: int) -> JsonObject:
    parameters: dict[str, str | int] = {**query} if cursor is None else {**query, "cursor": cursor}
    answer = await api.http.get(f"{path}/upstream", params=parameters)
    assert answer.status_code == 200, answer.text
    body: JsonObject = answer.json()
    return body


def sequences(body: JsonObject) -> list[int]:
    events = body["events"]
    assert isinstance(events, list)
    return [event["sequence"] for event in events]


def cursor_of(body: JsonObject) -> str:
    cursor = body["next_cursor"]
    assert isinstance(cursor, str)
    return cursor


async def test_an_event_says_what_happened_to_whom_and_when(api: Api, news: str) -> None:
    await happen(api, 7)
    body = await read(api, news)
    assert body == {
        "events": [
            {
                "cursor": body["next_cursor"],
                "type": "presence",
                "device": "d7",
                "at": "2027-01-15T08:00:00.007Z",
                "state": "online",
                "epoch": 7,
                "sequence": 7,
                "room": "room-1",
            }
        ],
        "next_cursor": body["next_cursor"],
        "gap": False,
    }


async def test_events_are_read_page_by_page_and_on_as_they_come(api: Api, news: str) -> None:
    await happen(api, *range(1, 26))
    seen: list[int] = []
    body = await read(api, news, limit=10)
    while page := sequences(body):
        assert (len(page) <= 10, body["gap"]) == (True, False)
        seen += page
        body = await read(api, news, cursor_of(body), limit=10)
    assert seen == list(range(1, 26))
    await happen(api, 26)
    assert sequences(await read(api, news, cursor_of(body))) == [26]


async def test_every_event_has_a_cursor_to_go_on_from(api: Api, news: str) -> None:
    await happen(api, 1, 2, 3)
    events = (await read(api, news))["events"]
    assert isinstance(events, list)
    for index, event in enumerate(events):
        behind = await read(api, news, event["cursor"])
        assert (sequences(behind), behind["gap"]) == ([2, 3][index:], False)


async def test_an_app_in_which_nothing_happened_has_no_cursor_yet(api: Api, news: str) -> None:
    assert await read(api, news) == {"events": [], "next_cursor": None, "gap": False}


@pytest.mark.parametrize("event_limit", [5])
async def test_a_cursor_whose_events_are_gone_goes_on_with_the_oldest_and_says_so(
    api: Api, news: str
) -> None:
    await happen(api, 1, 2)
    body = await read(api, news)
    await happen(api, *range(3, 8))
    late = await read(api, news, cursor_of(body))
    assert (sequences(late), late["gap"]) == ([3, 4, 5, 6, 7], False), "of what was not read, nothing is gone"
    await happen(api, *range(8, 11))
    later = await read(api, news, cursor_of(body))
    assert (sequences(later), later["gap"]) == ([6, 7, 8, 9, 10], True)
    on = await read(api, news, cursor_of(late))
    assert (sequences(on), on["gap"]) == ([8, 9, 10], False)


async def test_what_was_left_out_before_it_was_recorded_is_a_gap_too(api: Api, news: str) -> None:
    """Too many came and went for whoever carries what is told of them: see `Transition.missed`."""
    await happen(api, 1)
    cursor = cursor_of(await read(api, news))
    await api.saver.events.append(
        [Event(1, "presence", "d1", START, b'{"sequence":9}', "s", 9, "offline", missed=True)]
    )
    late = await read(api, news, cursor)
    assert (sequences(late), late["gap"]) == ([9], True)
    await happen(api, 10)
    assert (await read(api, news, cursor_of(late)))["gap"] is False


async def test_a_request_waits_for_what_happens_next(api: Api, news: str) -> None:
    first = await read(api, news)
    for n in (1, 2):
        cursor = first["next_cursor"]
        asked = asyncio.create_task(read(api, news, cursor if isinstance(cursor, str) else None, wait=60))
        await until_waiting(api, 1)
        await happen(api, n)
        first = await asked
        assert sequences(first) == [n]
    assert api.center.counters.events_waiting == 0


async def test_a_request_that_finds_something_does_not_wait(api: Api, news: str) -> None:
    await happen(api, 1)
    assert sequences(await read(api, news, wait=60)) == [1]


async def test_waiting_ends_without_events_when_its_time_is_over(api: Api, news: str) -> None:
    await happen(api, 1)
    cursor = cursor_of(await read(api, news))
    began = time.monotonic()
    body = await read(api, news, cursor, wait=1)
    assert time.monotonic() - began >= 0.9
    assert (sequences(body), cursor_of(body)) == ([], cursor)


async def test_who_waits_is_told_of_what_nobody_foresaw_and_who_comes_next_looks_anew(
    api: Api, news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await happen(api, 1)
    cursor = cursor_of(await read(api, news))
    look = api.saver.events.read
    calls = 0

    async def planted(app: int, after: str, limit: int) -> EventPage:
        nonlocal calls
        calls += 1
        if calls == 2:  # the first is the request's own
            raise ZeroDivisionError
        return await look(app, after, limit)

    monkeypatch.setattr(api.saver.events, "read", planted)
    answer = await api.http.get(f"{news}/upstream", params={"cursor": cursor, "wait": 60})
    assert answer.status_code == 500
    waiting = asyncio.create_task(read(api, news, cursor, wait=60), name="waits")
    await until_waiting(api, 1)
    await happen(api, 2)
    assert sequences(await waiting) == [2]


async def until_waiting(api: Api, requests: int) -> None:
    await until(lambda: api.center.counters.events_waiting == requests)


async def ended(tasks: Iterable[asyncio.Task[JsonObject]]) -> list[list[int]]:
    async with asyncio.timeout(WITHIN):
        return [sequences(body) for body in await asyncio.gather(*tasks)]


async def test_however_many_wait_the_store_is_asked_for_all_of_them_together(
    api: Api, news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sport = await api.app("sport")
    looks: list[int] = []
    events = api.saver.events.read

    async def counted(app: int, after: str, limit: int) -> EventPage:
        looks.append(app)
        return await events(app, after, limit)

    waiting = [asyncio.create_task(read(api, path, wait=60)) for path in [news] * 20 + [sport] * 20]
    await until_waiting(api, 40)
    monkeypatch.setattr(api.saver.events, "read", counted)
    await until(lambda: len(looks) >= 20)
    assert abs(looks.count(1) - looks.count(2)) <= 2, "one look for each app in turn"
    await happen(api, 1)
    assert await ended(waiting[:20]) == [[1]] * 20
    assert api.center.counters.events_waiting == 20
    await happen(api, 2, app=2)
    assert await ended(waiting[20:]) == [[2]] * 20
    await until(lambda: all(task.get_name() != "center.events" for task in asyncio.all_tasks()))


async def test_a_failing_store_is_told_to_who_waits(
    api: Api, news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.create_task(api.http.get(f"{news}/upstream?wait=60"))
    await until_waiting(api, 1)

    async def broken(app: int, after: str, limit: int) -> EventPage:
        raise Unavailable("the store is gone")

    monkeypatch.setattr(api.saver.events, "read", broken)
    answer = await asked
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
    assert api.center.counters.events_waiting == 0


async def test_a_node_that_stops_lets_nobody_wait(api: Api, news: str) -> None:
    asked = asyncio.create_task(read(api, news, wait=60))
    await until_waiting(api, 1)
    api.ready = False
    assert await ended([asked]) == [[]]
    assert sequences(await read(api, news, wait=60)) == []


async def test_who_gives_up_is_not_waited_for(api: Api, news: str) -> None:
    asked = asyncio.create_task(read(api, news, wait=60))
    await until_waiting(api, 1)
    asked.cancel()
    await until_waiting(api, 0)


class TestABound:
    @pytest.fixture
    def settings(self) -> CenterSettings:
        return CenterSettings(max_requests=4)

    async def test_no_more_than_half_of_the_requests_may_wait(self, api: Api, news: str) -> None:
        waiting = [asyncio.create_task(read(api, news, wait=60)) for _ in range(2)]
        await until_waiting(api, 2)
        refused = await api.http.get(f"{news}/upstream?wait=60")
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "overloaded")
        assert "retry-after" in refused.headers
        assert sequences(await read(api, news)) == []
        await happen(api, 1)
        assert await ended(waiting) == [[1], [1]]


@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        ("wait=61", 422, "wait"),
        ("wait=-1", 422, "wait"),
        ("wait=soon", 422, "wait"),
        ("limit=0", 422, "limit"),
        ("after=1", 422, "after"),
        ("cursor=", 400, "cursor"),
        ("cursor=YQ", 400, "cursor"),
        ("cursor=WzFd", 400, "cursor"),
    ],
)
async def test_a_query_that_cannot_be_is_refused(
    api: Api, news: str, query: str, status: int, field: str
) -> None:
    answer: httpx.Response = await api.http.get(f"{news}/upstream?{query}")
    assert answer.status_code == status
    assert [detail["field"] for detail in answer.json()["error"]["details"]] == [field]
