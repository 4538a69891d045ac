"""Calls: a push with a response topic, an answer by way of the store, and no trace of who has gone."""

import asyncio

import httpx
import pytest

from longline.center.devices import waiting_calls
from longline.errors import Unavailable
from longline.model.commands import Unicast
from longline.saver.port.calls import CallResult, DeviceCall
from longline.settings import CenterSettings
from tests.unit.center.conftest import START, Api
from tests.waiting import until

QUICK = 0.001  # s


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting_calls, "LOOK_EVERY", QUICK)
    monkeypatch.setattr(waiting_calls, "LOOK_LATER", QUICK)


class Lock:
    """A device that is connected, and those who call it."""

    def __init__(self, api: Api, path: str) -> None:
        self.api = api
        self.path = f"{path}/devices/lock"
        self.pushes: list[Unicast] = []

    async def call(self, payload: object = "open", seconds: int = 60) -> httpx.Response:
        body = {"payload": payload, "timeout": seconds}
        return await self.api.http.post(f"{self.path}:call", json=body)

    def calling(self, payload: object = "open", seconds: int = 60) -> "asyncio.Task[httpx.Response]":
        return asyncio.create_task(self.call(payload, seconds))

    async def arrived(self) -> Unicast:
        """The next push on its way to the device's room."""
        if not self.pushes:
            await until(lambda: self.api.bus.waiting("room-1"))
            self.pushes += [each for each in await self.api.commands() if isinstance(each, Unicast)]
        return self.pushes.pop(0)

    async def answer(self, push: Unicast, payload: bytes) -> bool:
        answer = CallResult(push.app, push.message.id, push.targets[0].ordinal, payload, START + 5)
        (wanted,) = await self.api.saver.replies.answer([answer])
        return wanted


@pytest.fixture
async def lock(api: Api, news: str) -> Lock:
    assert (await api.http.put(f"{news}/devices/lock", json={})).status_code == 201
    await api.connect("news", "lock")
    return Lock(api, news)


async def test_a_call_is_a_push_for_who_is_connected(lock: Lock) -> None:
    """It says that it is a call, overtakes what waits, and is over when nobody waits any more."""
    asked = lock.calling({"n": 1}, 7)
    push = await lock.arrived()
    message = push.message
    assert (message.call, message.online_only, message.priority) == (True, True, "high")
    assert (message.payload, message.content_type) == (b'{"n":1}', "application/json")
    assert message.expires_at - message.created_at == 7000
    assert await lock.answer(push, b"done")
    answer = await asked
    assert (answer.status_code, answer.json()) == (
        200,
        {"at": "2027-01-15T08:00:00.005Z", "payload": "done"},
    )
    assert not await lock.answer(push, b"done")  # nobody waits any more


async def test_answers_find_their_callers(lock: Lock) -> None:
    asked = [lock.calling(f"n{n}") for n in range(5)]
    for push in reversed([await lock.arrived() for _ in asked]):
        await lock.answer(push, push.message.payload + b"!")
    answers = await asyncio.gather(*asked)
    assert [answer.json()["payload"] for answer in answers] == [f"n{n}!" for n in range(5)]
    assert lock.api.center.counters.calls_waiting == 0


async def test_a_caller_who_goes_away_waits_no_more(lock: Lock) -> None:
    """And his call is not there for anybody."""
    asked = lock.calling()
    push = await lock.arrived()
    await until(lambda: lock.api.center.counters.calls_waiting == 1)
    asked.cancel()
    await until(lambda: lock.api.center.counters.calls_waiting == 0)
    assert not await lock.answer(push, b"done")
    waiting = lock.api.center.sharing.waiting
    assert waiting.held("app news") == waiting.held("admin") == 0


async def test_a_store_that_fails_for_a_while_costs_no_answer(
    lock: Lock, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = lock.api.saver.replies.answers
    failures = [Unavailable(), Unavailable()]

    async def fail_at_first(calls: list[DeviceCall]) -> list[CallResult | None]:
        if failures:
            raise failures.pop()
        return await answers(calls)

    monkeypatch.setattr(lock.api.saver.replies, "answers", fail_at_first)
    asked = lock.calling()
    await lock.answer(await lock.arrived(), b"done")
    assert (await asked).json()["payload"] == "done"
    assert failures == []


@pytest.mark.parametrize("settings", [CenterSettings(max_requests=4)])
async def test_calls_that_wait_are_bounded(lock: Lock) -> None:
    """As requests that wait for events are: who has most of the places makes room, or is refused."""
    asked = [lock.calling(f"n{n}") for n in range(2)]
    pushes = [await lock.arrived() for _ in asked]
    await until(lambda: lock.api.center.counters.calls_waiting == 2)
    refused = await lock.call("one too many")
    assert refused.status_code in (429, 503)
    for push in pushes:
        await lock.answer(push, b"done")
    assert [(await task).status_code for task in asked] == [200, 200]


async def test_waiting_ends_when_the_process_does(lock: Lock) -> None:
    asked = lock.calling()
    await lock.arrived()
    await until(lambda: lock.api.center.counters.calls_waiting == 1)
    lock.api.ready = False
    assert (await asked).status_code == 503
