"""One app, one network, one key cannot have all of a process: the others are answered all the same."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import httpx
import pytest

from longline.center.api import application
from longline.model.apps import App
from longline.saver.port.messages import IdempotencyConflict, Outcome, Submission
from longline.settings import CenterSettings
from tests.unit.center.conftest import ADMIN, Api
from tests.waiting import until


@pytest.fixture
def settings() -> CenterSettings:
    return CenterSettings(max_requests=100, max_body=4096, bodies_bytes=1024 * 1024)


class Caller:
    """Somebody with a key at an address, who may ask for much."""

    def __init__(self, api: Api, key: str, address: str) -> None:
        self._api = api
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(application(api.center), client=(address, 1)),
            base_url="http://longline.test",
            headers={"Authorization": f"Bearer {key}"},
        )
        self.tasks: list[asyncio.Task[httpx.Response]] = []

    def poll(self, path: str, cursor: str = "") -> None:
        """Waits for events."""
        asked = f"{path}/upstream?wait=60" + (f"&cursor={cursor}" if cursor else "")
        self.tasks.append(asyncio.create_task(self.http.get(asked)))

    def begin_body(self, path: str, size: int | None = None) -> None:
        """Sends a body that does not end; `size` is what it says to have."""

        async def body() -> AsyncIterator[bytes]:
            yield b"{"
            await asyncio.Event().wait()

        headers = {} if size is None else {"Content-Length": str(size)}
        request = self.http.post(f"{path}/messages", content=body(), headers=headers)
        self.tasks.append(asyncio.create_task(request))

    async def refused(self) -> list[int]:
        """The statuses of what was answered by now, when all has been asked."""
        for _ in range(50):
            await asyncio.sleep(0)
        return [task.result().status_code for task in self.tasks if task.done()]

    @property
    def answered(self) -> int:
        return sum(task.done() for task in self.tasks)

    async def go(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.http.aclose()


async def test_one_key_with_500_long_polls_and_500_bodies_leaves_the_others_their_turn(
    api: Api, news: str
) -> None:
    api.center.reconfigure(CenterSettings(max_requests=1000))
    other = await api.app("other")
    await api.device(other, "d1")
    greedy = Caller(api, api.keys["news"], "10.0.0.1")
    assert (await greedy.http.get(news)).status_code == 200
    for _ in range(500):
        greedy.poll(news)
        greedy.begin_body(news)
    await until(lambda: api.center.counters.events_waiting > 250)
    statuses = await greedy.refused()
    assert set(statuses) == {429}, "it is told that it is too much of its own"

    calm = Caller(api, api.keys["other"], "10.0.0.1")
    message = {"audience": {"devices": ["d1"]}, "payload": 1}
    assert (await calm.http.post(f"{other}/messages", json=message)).status_code == 202
    known = (await calm.http.get(f"{other}/upstream")).json()["next_cursor"]
    calm.poll(other, known)
    calm.begin_body(other)
    assert await calm.refused() == []
    assert (await api.http.get("/v1/apps")).status_code == 200
    assert (await api.http.patch(news, json={"name": "News"})).status_code == 200
    late = greedy.http.get(news)
    refusal = await late
    assert (refusal.status_code, refusal.json()["error"]["code"]) == (429, "rate_limited")
    assert int(refusal.headers["retry-after"]) >= 1
    await greedy.go()
    await calm.go()
    assert api.center.counters.requests_running == 0
    sharing = api.center.sharing
    assert (sharing.requests.total, sharing.bodies.total, sharing.waiting.total) == (0, 0, 0)


async def test_the_admin_is_answered_when_many_apps_have_taken_all_there_is(api: Api) -> None:
    callers = []
    for n in range(8):
        path = await api.app(f"app-{n}")
        caller = Caller(api, api.keys[f"app-{n}"], f"10.0.0.{n}")
        callers.append(caller)
        assert (await caller.http.get(path)).status_code == 200
        for _ in range(100):
            caller.begin_body(path)
        await caller.refused()
    held = [api.center.sharing.requests.held(f"app app-{n}") for n in range(8)]
    assert max(held) - min(held) <= 2, "who was there first made room for the others"
    assert (await api.http.get("/v1/apps")).status_code == 200
    statuses = {each for caller in callers for each in await caller.refused()}
    assert statuses == {429, 503}
    for caller in callers:
        await caller.go()
    sharing = api.center.sharing
    assert (sharing.requests.total, sharing.bodies.total, sharing.idle) == (0, 0, {})


async def test_a_long_poll_of_who_has_most_of_them_makes_room_for_another(api: Api) -> None:
    """It is answered early, without events, as it would be at the end of its time."""
    callers, waiting = [], api.center.sharing.waiting
    for n in range(6):
        path = await api.app(f"app-{n}")
        caller = Caller(api, api.keys[f"app-{n}"], f"10.0.0.{n}")
        callers.append(caller)
        assert (await caller.http.get(path)).status_code == 200
        for _ in range(60):
            caller.poll(path)
        await until(lambda: waiting.held(f"app app-{n}") + caller.answered == 60)  # noqa: B023
    held = [waiting.held(f"app app-{n}") for n in range(6)]
    assert max(held) - min(held) <= 2
    early = [task.result() for task in callers[0].tasks if task.done()]
    assert {answer.status_code for answer in early} == {200, 429}
    assert {len(answer.json()["events"]) for answer in early if answer.status_code == 200} == {0}
    for caller in callers:
        await caller.go()
    assert (waiting.total, api.center.counters.events_waiting) == (0, 0)


async def test_a_request_that_works_gives_way_to_nobody(
    api: Api, news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is being stored is stored, and answered."""
    other = await api.app("other")
    await api.device(news, "d1")
    api.center.reconfigure(CenterSettings(max_requests=4))
    entered, go_on = asyncio.Event(), asyncio.Event()
    enqueue = api.saver.messages.enqueue

    async def slowly(batch: Sequence[Submission]) -> list[Outcome | IdempotencyConflict]:
        entered.set()
        await go_on.wait()
        return await enqueue(batch)

    monkeypatch.setattr(api.saver.messages, "enqueue", slowly)
    greedy, calm = Caller(api, api.keys["news"], "10.0.0.1"), Caller(api, api.keys["other"], "10.0.0.2")
    assert (await calm.http.get(other)).status_code == 200
    message = {"audience": {"devices": ["d1"]}, "payload": 1}
    for _ in range(8):
        greedy.tasks.append(asyncio.create_task(greedy.http.post(f"{news}/messages", json=message)))
    await entered.wait()
    await greedy.refused()
    assert (await calm.http.get(other)).status_code == 503
    go_on.set()
    answers = [answer.status_code for answer in await asyncio.gather(*greedy.tasks)]
    assert answers.count(202) == 4
    await greedy.go()
    await calm.go()


async def test_bodies_are_counted_before_they_are_read(api: Api, news: str) -> None:
    """1 MiB for all of 4 KiB each: what they say to have counts, whatever has come of it."""
    other = await api.app("other")
    greedy = Caller(api, api.keys["news"], "10.0.0.1")
    assert (await greedy.http.get(news)).status_code == 200
    api.center.reconfigure(CenterSettings(max_body=4096, bodies_bytes=1024 * 1024))
    for _ in range(300):
        greedy.begin_body(news, 4096)
    statuses = await greedy.refused()
    assert set(statuses) == {429}
    assert api.center.sharing.bodies.total == (300 - len(statuses)) * 4096 <= 1024 * 1024
    refusal = greedy.tasks[-1].result()
    assert refusal.headers["connection"] == "close", "what is on its way is not wanted"
    calm = Caller(api, api.keys["other"], "10.0.0.2")
    assert (await calm.http.get(other)).status_code == 200
    calm.begin_body(other, 4096)
    assert await calm.refused() == []
    await greedy.go()
    await calm.go()
    assert api.center.sharing.bodies.total == 0


async def test_callers_without_a_good_key_share_what_their_network_has(
    api: Api, news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the store is slow to say whether their apps exist."""
    go_on = asyncio.Event()
    find = api.saver.apps.find

    async def slowly(name: str) -> App | None:
        if name != "news":  # which is asked for again when it was not for a while
            await go_on.wait()
        return await find(name)

    known = Caller(api, api.keys["news"], "2001:db8:1::1")
    assert (await known.http.get(news)).status_code == 200
    monkeypatch.setattr(api.saver.apps, "find", slowly)
    callers = [Caller(api, f"llk_app-{n}.x", f"2001:db8::{n:x}") for n in range(1, 100)]
    for n, caller in enumerate(callers):
        for _ in range(20):
            caller.tasks.append(asyncio.create_task(caller.http.get(f"/v1/apps/app-{n}")))
    await callers[-1].refused()
    assert not api.center.sharing.requests.full()
    assert (await known.http.get(news)).status_code == 200
    assert (await api.http.get("/v1/nodes")).status_code == 200
    go_on.set()
    statuses = {task.result().status_code for caller in callers for task in caller.tasks if task.done()}
    assert statuses <= {401, 429}
    for caller in (*callers, known):
        await caller.go()


async def test_a_key_that_was_guessed_does_not_have_the_store_asked_each_time(
    api: Api, news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    find = api.saver.apps.find

    async def counted(name: str) -> App | None:
        asked.append(name)
        return await find(name)

    now = 0.0
    monkeypatch.setattr(api.center.keys, "_clock", lambda: now)
    monkeypatch.setattr(api.saver.apps, "find", counted)
    stranger = Caller(api, "llk_ghost.x", "10.0.0.7")
    statuses = {(await stranger.http.get(news)).status_code for _ in range(100)}
    assert (statuses, asked) == ({401}, ["ghost"])
    now = 1.0
    await stranger.http.get(news)
    assert asked == ["ghost", "ghost"], "it may be there by now"
    codes = []
    for n in range(100):  # another name each time
        stranger.http.headers["Authorization"] = f"Bearer llk_ghost-{n}.x"
        codes.append((await stranger.http.get(news)).json()["error"]["code"])
    assert codes[-1] == "rate_limited"
    assert len(asked) <= 22
    calm = Caller(api, api.keys["news"], "10.0.0.8")
    assert (await calm.http.get(news)).status_code == 200
    await stranger.go()
    await calm.go()


async def test_one_look_serves_all_that_come_with_a_key_at_once(
    api: Api, news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that has just started: many requests of an app that it has not seen yet."""
    asked: list[str] = []
    find = api.saver.apps.find

    async def counted(name: str) -> App | None:
        asked.append(name)
        return await find(name)

    monkeypatch.setattr(api.saver.apps, "find", counted)
    caller = Caller(api, api.keys["news"], "10.0.0.1")
    answers = await asyncio.gather(*(caller.http.get(news) for _ in range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert asked == ["news"]
    await caller.go()


async def test_an_app_that_was_deleted_is_a_stranger_too(
    api: Api, news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.center.keys, "_clock", lambda: 0.0)
    former = Caller(api, api.keys["news"], "10.0.0.7")
    assert (await former.http.get(news)).status_code == 200
    assert (await api.http.delete(news)).status_code == 204
    asked = 0
    find = api.saver.apps.find

    async def counted(name: str) -> App | None:
        nonlocal asked
        asked += 1
        return await find(name)

    monkeypatch.setattr(api.saver.apps, "find", counted)
    assert {(await former.http.get(news)).status_code for _ in range(50)} == {401}
    assert asked <= 2
    await former.go()


async def test_the_pools_change_with_their_settings(api: Api, news: str) -> None:
    api.center.reconfigure(CenterSettings(max_requests=32, max_body=4096, bodies_bytes=1024 * 1024))
    greedy = Caller(api, ADMIN, "10.0.0.1")
    for _ in range(40):
        greedy.begin_body(news)
    statuses = await greedy.refused()
    assert 5 <= len(statuses) <= 20
    await greedy.go()
