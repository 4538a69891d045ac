"""What must hold when requests are repeated, overlap, are given up, or a part fails."""

import asyncio
from collections.abc import Sequence

import httpx
import pytest

from longline.errors import Unavailable
from longline.model.commands import Command
from longline.model.devices import JsonObject
from longline.saver.port.messages import IdempotencyConflict, Outcome, Submission
from tests.unit.center.conftest import Api

MESSAGE: JsonObject = {"audience": {"devices": ["d1"]}, "payload": "hi"}


class SlowStore:
    """Lets a test decide when `enqueue` returns."""

    def __init__(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked = asyncio.Event()
        self.go_on = asyncio.Event()
        self._enqueue = api.saver.messages.enqueue
        monkeypatch.setattr(api.saver.messages, "enqueue", self.enqueue)

    async def enqueue(self, batch: Sequence[Submission]) -> list[Outcome | IdempotencyConflict]:
        self.asked.set()
        await self.go_on.wait()
        return await self._enqueue(batch)


async def send(api: Api, path: str, key: str, message: JsonObject = MESSAGE) -> httpx.Response:
    return await api.http.post(f"{path}/messages", json=message, headers={"Idempotency-Key": key})


async def test_a_repeated_key_gives_the_first_answer_and_sends_nothing(api: Api, news: str) -> None:
    await api.device(news, "d1")
    await api.connect("news", "d1")
    first = await send(api, news, "k1")
    assert len(await api.commands()) == 1
    api.now += 1000
    again = await send(api, news, "k1")
    assert (again.status_code, again.json()) == (202, first.json())
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert await api.commands() == []


async def test_a_repeated_batch_gives_the_first_answer_with_its_errors(api: Api, news: str) -> None:
    await api.device(news, "d1")
    to_nobody = {**MESSAGE, "audience": {"devices": ["ghost"]}}
    body = {"messages": [MESSAGE, {"payload": 1}, to_nobody, MESSAGE]}
    answers = [
        await api.http.post(f"{news}/messages:batch", json=body, headers={"Idempotency-Key": "k"})
        for _ in range(2)
    ]
    assert answers[0].json() == answers[1].json()
    assert [next(iter(result)) for result in answers[0].json()["results"]] == [
        "message_id",
        "error",
        "error",
        "message_id",
    ]
    assert answers[1].headers["idempotent-replayed"] == "true"


async def test_an_order_to_a_device_that_is_not_there_yet_can_be_repeated_until_it_is(
    api: Api, news: str
) -> None:
    for _ in range(2):
        early = await send(api, news, "k1")
        assert (early.status_code, early.json()["error"]["code"]) == (404, "no_target")
        assert "idempotent-replayed" not in early.headers
    await api.device(news, "d1")
    assert (await send(api, news, "k1")).status_code == 202
    again = await send(api, news, "k1")
    assert (again.status_code, again.headers["idempotent-replayed"]) == (202, "true")


async def test_a_key_with_another_body_or_call_is_a_mismatch(api: Api, news: str) -> None:
    await api.device(news, "d1")
    await send(api, news, "k1")
    other = await send(api, news, "k1", {**MESSAGE, "payload": "bye"})
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_mismatch")
    batch = await api.http.post(
        f"{news}/messages:batch", json={"messages": [MESSAGE]}, headers={"Idempotency-Key": "k1"}
    )
    assert batch.json()["error"]["code"] == "idempotency_mismatch"


async def test_keys_of_two_apps_have_nothing_to_do_with_each_other(api: Api, news: str) -> None:
    sport = await api.app("sport")
    for path in (news, sport):
        await api.device(path, "d1")
    answers = [await send(api, path, "k1") for path in (news, sport)]
    assert answers[0].json()["message_id"] != answers[1].json()["message_id"]


async def test_a_key_is_refused_while_its_first_request_is_under_way(
    api: Api, news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.device(news, "d1")
    store = SlowStore(api, monkeypatch)
    first = asyncio.create_task(send(api, news, "k1"))
    await store.asked.wait()
    second = await send(api, news, "k1")
    assert (second.status_code, second.json()["error"]["code"]) == (409, "idempotency_in_flight")
    assert second.headers["retry-after"] == "1"
    store.go_on.set()
    assert (await first).status_code == 202
    assert (await send(api, news, "k1")).headers["idempotent-replayed"] == "true"


async def test_a_request_that_is_given_up_is_routed_all_the_same(
    api: Api, news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.device(news, "d1")
    await api.connect("news", "d1")
    store = SlowStore(api, monkeypatch)
    request = asyncio.create_task(send(api, news, "k1"))
    await store.asked.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    store.go_on.set()
    await api.center.close()
    assert len(await api.commands()) == 1
    assert api.center.counters.sends_running == 0


@pytest.mark.parametrize("key", ["", "a b", "ü", "k" * 256])
async def test_an_idempotency_key_is_visible_ascii(api: Api, news: str, key: str) -> None:
    answer = await api.http.post(
        f"{news}/messages", json=MESSAGE, headers={b"Idempotency-Key": key.encode("latin-1")}
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request")


async def test_a_store_that_fails_is_said_to_be_unavailable(
    api: Api, news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def enqueue(batch: Sequence[Submission]) -> list[Outcome | IdempotencyConflict]:
        raise Unavailable("the store is closed")

    monkeypatch.setattr(api.saver.messages, "enqueue", enqueue)
    answer = await send(api, news, "k1")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
    assert "retry-after" in answer.headers
    again = await send(api, news, "k1")
    assert again.json()["error"]["code"] == "unavailable", "a failed request gives its key back"


async def test_a_bus_that_fails_does_not_take_back_what_is_stored(
    api: Api, news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.device(news, "d1")
    await api.connect("news", "d1")

    async def lost(node: str, commands: Sequence[Command]) -> None:
        raise Unavailable("no bus")

    monkeypatch.setattr(api.bus, "send", lost)
    answer = await send(api, news, "k1")
    assert answer.status_code == 202
    assert api.center.counters.routes_failed == 1
    assert (await api.ledger(news, answer.json()["message_id"]))["pending"] == 1


async def test_a_full_queue_holds_back_the_answer(
    api: Api, news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.device(news, "d1")
    await api.connect("news", "d1")
    while api.bus.waiting("room-1") < 1000:
        batch = [MESSAGE] * min(500, 1000 - api.bus.waiting("room-1"))
        await api.http.post(f"{news}/messages:batch", json={"messages": batch})
    waiting = asyncio.Event()
    put = api.bus.send

    async def put_or_wait(node: str, commands: Sequence[Command]) -> None:
        waiting.set()
        await put(node, commands)

    monkeypatch.setattr(api.bus, "send", put_or_wait)
    held = asyncio.create_task(send(api, news, "k1"))
    await waiting.wait()
    assert api.center.counters.sends_running == 1
    assert not held.done()
    assert len(await api.commands()) == 1000
    assert (await held).status_code == 202
    assert len(await api.commands()) == 1


async def test_messages_are_counted(api: Api, news: str) -> None:
    await api.device(news, "d1")
    await send(api, news, "k1")
    await send(api, news, "k1")
    await send(api, news, "k2", {**MESSAGE, "audience": {"devices": ["ghost"]}})
    counters = api.center.counters
    assert (counters.messages_accepted, counters.messages_refused, counters.replayed) == (1, 1, 1)
    assert counters.errors["no_target"] == 1
    assert counters.answers["202"] == 2
