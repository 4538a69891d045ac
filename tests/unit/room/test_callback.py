"""The service that decides on CONNECTs: asked within bounds, and done without when it does not answer."""

import asyncio
import json
from collections.abc import Callable

import httpx
import pytest
import structlog

from longline.errors import Overloaded
from longline.room.life.authority_counters import AuthorityCounters
from longline.room.life.callback import AuthorityAway, ConnectCallback, ConnectQuestion, Decision
from longline.settings import AuthoritySettings
from longline.settings.secret import Secret
from longline.testing.clock import settle

PASSWORD = "what nobody may read"
DEFAULT = AuthoritySettings(failures=3, timeout=30)


def question(device: str = "phone", address: str = "192.0.2.1") -> ConnectQuestion:
    return ConnectQuestion("news", device, "news", address, "tcp", "MQTT 5.0", PASSWORD)


class Service:
    def __init__(self, settings: AuthoritySettings = DEFAULT) -> None:
        self.now = 0.0
        self.at_once = self.most = 0
        self.requests: list[httpx.Request] = []
        self.answer: Callable[[], httpx.Response] = lambda: httpx.Response(200, json={"result": "allow"})
        self.hold: asyncio.Event | None = None
        self.counters = AuthorityCounters()
        self.callback = ConnectCallback(
            "https://decides.example.org/connect",
            settings,
            self.counters,
            transport=httpx.MockTransport(self._handle),
            clock=lambda: self.now,
        )

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            if self.hold is not None:
                await self.hold.wait()
        finally:
            self.at_once -= 1
        said = self.answer()
        return httpx.Response(said.status_code, headers=said.headers, stream=httpx.ByteStream(said.content))


async def test_it_is_told_who_wants_to_come_in() -> None:
    service = Service(AuthoritySettings(key=Secret("a-key-of-ours")))
    assert await service.callback.ask(question()) == Decision(True)
    (request,) = service.requests
    assert request.method == "POST"
    assert request.headers["authorization"] == "Bearer a-key-of-ours"
    assert json.loads(request.content) == {
        "app": "news",
        "device": "phone",
        "username": "news",
        "address": "192.0.2.1",
        "transport": "tcp",
        "protocol": "MQTT 5.0",
        "password": PASSWORD,
    }
    await service.callback.close()


@pytest.mark.parametrize(
    ("response", "decision"),
    [
        (httpx.Response(204), Decision(True)),
        (httpx.Response(200), Decision(True)),
        (
            httpx.Response(200, json={"result": "allow", "device": "d9", "more": 1}),
            Decision(True, device="d9"),
        ),
        (httpx.Response(200, json={"result": "token"}), Decision(True, by_token=True)),
        (httpx.Response(200, json={"result": "deny"}), Decision(False)),
        (httpx.Response(401), Decision(False)),
        (httpx.Response(403, text="no"), Decision(False)),
    ],
)
async def test_it_allows_denies_or_leaves_it_to_the_token(
    response: httpx.Response, decision: Decision
) -> None:
    service = Service()
    service.answer = lambda: response
    assert await service.callback.ask(question()) == decision


NO_ANSWERS = [
    httpx.Response(500),
    httpx.Response(302, headers={"Location": "https://elsewhere.example.org/"}),
    httpx.Response(404),
    httpx.Response(200, json={"result": "perhaps"}),
    httpx.Response(200, json=[]),
    httpx.Response(200, content=b"[" * 100_000),
    httpx.Response(200, content=b"\xff"),
    httpx.Response(200, content=b" " * 20_000),
]


@pytest.mark.parametrize("response", NO_ANSWERS)
@pytest.mark.parametrize("when_away", ["refuse", "token"])
async def test_what_is_no_answer_is_as_if_it_were_away(response: httpx.Response, when_away: str) -> None:
    """And no redirect is followed: the question has a password in it."""
    service = Service(AuthoritySettings(when_away=when_away))  # type: ignore[arg-type]
    service.answer = lambda: response
    if when_away == "token":
        assert await service.callback.ask(question()) == Decision(True, by_token=True)
    else:
        with pytest.raises(AuthorityAway):
            await service.callback.ask(question())
    assert len(service.requests) == 1
    assert service.callback.remembered(question()) is None  # nobody has answered


async def test_what_cannot_be_reached_or_does_not_answer_in_time_is_away() -> None:
    def unreachable() -> httpx.Response:
        raise httpx.ConnectError("refused")

    service = Service()
    service.answer = unreachable
    with pytest.raises(AuthorityAway):
        await service.callback.ask(question())
    slow = Service(AuthoritySettings(timeout=0.05))
    slow.hold = asyncio.Event()
    with pytest.raises(AuthorityAway):
        await slow.callback.ask(question())
    assert slow.counters.calls == {"failed": 1}


async def test_an_answer_is_remembered_for_the_same_question_and_for_its_time() -> None:
    service = Service(AuthoritySettings(allowed_for=60, denied_for=10))
    assert service.callback.remembered(question()) is None
    await service.callback.ask(question())
    service.now = 59.0
    assert service.callback.remembered(question()) == Decision(True)
    assert service.callback.remembered(question("tablet")) is None
    assert service.callback.remembered(question(address="192.0.2.2")) is None
    service.now = 60.0
    assert service.callback.remembered(question()) is None
    service.answer = lambda: httpx.Response(403)
    await service.callback.ask(question())
    service.now = 69.0
    assert service.callback.remembered(question()) == Decision(False)
    service.now = 70.0
    assert service.callback.remembered(question()) is None


async def test_no_answer_is_remembered_where_none_is_to_be_and_no_more_than_a_setting_says() -> None:
    service = Service(AuthoritySettings(allowed_for=0))
    await service.callback.ask(question())
    assert service.callback.remembered(question()) is None
    small = Service(AuthoritySettings(answers=2))
    for name in ("one", "two", "three"):
        await small.callback.ask(question(name))
    found = [small.callback.remembered(question(name)) for name in ("one", "two", "three")]
    assert found == [None, Decision(True), Decision(True)]


async def test_the_same_question_is_asked_once_for_all_who_ask_it_together() -> None:
    service = Service()
    service.hold = asyncio.Event()
    asking = [asyncio.create_task(service.callback.ask(question())) for _ in range(5)]
    await settle()
    asking[0].cancel()
    service.hold.set()
    assert await asyncio.gather(*asking[1:]) == [Decision(True)] * 4
    assert len(service.requests) == 1


async def test_so_many_are_asked_at_once_and_the_others_have_their_time_for_a_place() -> None:
    service = Service(AuthoritySettings(concurrency=2, timeout=0.1, failures=100))
    service.hold = asyncio.Event()
    asking = [asyncio.create_task(service.callback.ask(question(f"d{number}"))) for number in range(9)]
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert {type(answer) for answer in answers} <= {AuthorityAway, Overloaded}
    assert service.most == 2
    assert sum(service.counters.calls.values()) == 9


async def test_after_some_failures_nobody_asks_for_a_while() -> None:
    service = Service()
    service.answer = lambda: httpx.Response(503)
    for number in range(5):
        with pytest.raises(AuthorityAway):
            await service.callback.ask(question(f"d{number}"))
    assert len(service.requests) == 3
    assert service.counters.breaker_opened == 1
    assert service.counters.calls == {"failed": 3, "left_alone": 2}
    service.now = 1.0
    service.answer = lambda: httpx.Response(204)
    assert await service.callback.ask(question()) == Decision(True)
    assert await service.callback.ask(question("tablet")) == Decision(True)


async def test_nothing_of_a_question_or_an_answer_is_in_the_log() -> None:
    def unreachable() -> httpx.Response:
        raise httpx.ConnectError(f"https://user:{PASSWORD}@decides.example.org/")

    with structlog.testing.capture_logs() as lines:
        service = Service()
        for answer in (unreachable, lambda: httpx.Response(200, text=PASSWORD)):
            service.answer = answer
            with pytest.raises(AuthorityAway) as caught:
                await service.callback.ask(question())
            assert PASSWORD not in str(caught.value)
    assert [line["event"] for line in lines] == ["callback_failed"] * 2
    assert PASSWORD not in repr(lines)
    assert PASSWORD not in repr(question())
