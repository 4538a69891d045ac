"""Server-sent events: what a stream says, and what ends it."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from starlette.types import ASGIApp, Message, Scope

from longline.center.api import application
from longline.center.events import stream, waiting
from longline.errors import Unavailable
from longline.settings import CenterSettings
from tests.unit.center.conftest import ADMIN, Api
from tests.unit.center.events.test_upstream import happen
from tests.waiting import until


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "LOOK_EVERY", 0.001)
    monkeypatch.setattr(stream, "HEARTBEAT", 0.01)
    monkeypatch.setattr(stream, "LOOK_AGAIN", 0.01)


@pytest.fixture
def settings() -> CenterSettings:
    return CenterSettings(event_streams=2)


class Stream:
    """One request for a stream, and what has come of it so far."""

    def __init__(
        self, api: Api, *, key: str = ADMIN, path: str = "/v1/apps/news/upstream", **headers: str
    ) -> None:
        self.status = 0
        self.text = ""
        self.over = False
        self._gone = asyncio.Event()
        self._asked = False
        fields = {"authorization": f"Bearer {key}", "accept": "text/event-stream", **headers}
        scope: Scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "query_string": b"",
            "client": ("192.0.2.1", 1),
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()],
        }
        self.task = asyncio.create_task(self._run(application(api.center), scope))

    async def _run(self, app: ASGIApp, scope: Scope) -> None:
        await app(scope, self._receive, self._send)

    async def _receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b""}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        self.text += message["body"].decode()
        self.over = not message.get("more_body", False)

    @property
    def ids(self) -> list[str]:
        return [line[4:] for line in self.text.splitlines() if line.startswith("id: ")]

    async def leave(self) -> None:
        self._gone.set()
        await self.task


@pytest_asyncio.fixture
async def opened(api: Api, news: str) -> AsyncIterator[Stream]:
    stream = Stream(api)
    yield stream
    await stream.leave()


async def test_events_have_their_cursors_and_types(api: Api, opened: Stream) -> None:
    await happen(api, 1)
    await until(lambda: opened.ids)
    assert opened.status == 200
    assert f'id: {opened.ids[0]}\nevent: presence\ndata: {{"cursor":"{opened.ids[0]}",' in opened.text
    assert opened.text.startswith("retry: 1000\n\n")


async def test_a_quiet_stream_says_that_it_lives(opened: Stream) -> None:
    await until(lambda: opened.text.count("\n:\n\n") > 2)
    assert not opened.ids


async def test_a_reader_that_comes_back_goes_on_where_it_was(api: Api, news: str, opened: Stream) -> None:
    await happen(api, 1, 2, 3)
    await until(lambda: len(opened.ids) == 3)
    again = Stream(api, last_event_id=opened.ids[1])
    await until(lambda: again.ids)
    assert again.ids == opened.ids[2:]
    await again.leave()


async def test_what_is_no_cursor_is_refused_before_the_stream_begins(api: Api, news: str) -> None:
    stream = Stream(api, last_event_id="x y")
    await stream.task
    assert stream.status == 400
    assert "bad_request" in stream.text


@pytest.mark.parametrize("event_limit", [3])
async def test_a_gap_is_told(api: Api, news: str, opened: Stream) -> None:
    await happen(api, 1)
    await until(lambda: opened.ids)
    first = opened.ids[0]
    await happen(api, *range(2, 8))
    again = Stream(api, last_event_id=first)
    await until(lambda: again.ids)
    assert again.text.index("event: gap\ndata: {}\n\n") < again.text.index("id: ")
    await again.leave()


async def test_an_app_has_only_so_many_streams(api: Api, opened: Stream) -> None:
    second = Stream(api)
    await until(lambda: api.center.counters.event_streams == 2)
    third = Stream(api)
    await third.task
    assert third.status == 429
    await second.leave()
    assert api.center.counters.event_streams == 1
    fourth = Stream(api)
    await until(lambda: fourth.status == 200)
    await fourth.leave()


async def test_a_stream_ends_with_its_app(api: Api, opened: Stream) -> None:
    await until(lambda: opened.status)
    await api.http.delete("/v1/apps/news")
    await until(lambda: opened.over)
    assert '"code":"app_not_found"' in opened.text


async def test_a_stream_ends_with_its_key(api: Api, news: str) -> None:
    made = (await api.http.post(f"{news}/keys:rotate", json={"server_key": True})).json()
    stream = Stream(api, key=made["server_key"])
    await until(lambda: stream.status == 200)
    await api.http.post(f"{news}/keys:rotate", json={"server_key": True})
    api.now += 3_600_000
    await until(lambda: stream.over)
    assert '"code":"unauthorized"' in stream.text


async def test_a_stream_ends_when_the_process_is_about_to(api: Api, opened: Stream) -> None:
    await until(lambda: opened.status)
    api.ready = False
    await until(lambda: opened.over)


async def test_a_store_that_fails_ends_the_stream_with_a_word(
    api: Api, opened: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    await until(lambda: opened.status)

    async def failing(app: int, after: str, limit: int) -> None:
        raise Unavailable("the store is away")

    monkeypatch.setattr(api.saver.events, "read", failing)
    await until(lambda: opened.over)
    assert '"code":"unavailable"' in opened.text


async def test_who_goes_away_leaves_nothing_behind(api: Api, news: str) -> None:
    stream = Stream(api)
    await until(lambda: api.center.counters.event_streams == 1)
    await stream.leave()
    assert (api.center.counters.event_streams, api.center.counters.events_waiting) == (0, 0)
