"""The client of the HTTP API, against a server made of prepared answers."""

import asyncio
import base64
import inspect
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from longline import Center, Device, Push, SyncCenter, errors
from longline.sdk.answers import AudienceSize, MessageAccepted

Answerer = Callable[[httpx.Request], httpx.Response]
LEDGER = {"targeted": 2, "pending": 0, "acked": 1, "expired": 0, "collapsed": 0, "dropped": {"kicked": 1}} | {
    "routed": 2,
    "sent": 2,
}


class Server:
    """Answers from a list, the last for ever after, and keeps the requests and the waits between them."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self._answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.waits: list[float] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        await asyncio.sleep(0)

    def center(self, url: str = "http://center.test", key: str = "the-key", *, retries: int = 3) -> Center:
        class Scripted(Center):
            _random = staticmethod(lambda: 0.5)
            _sleep = self.sleep
            _transport = httpx.MockTransport(self.answer)

        return Scripted(url, key, retries=retries)

    def body(self, index: int = 0) -> dict[str, object]:
        return msgspec.json.decode(self.requests[index].content, type=dict[str, object])


def ok(body: object, status: int = 200) -> httpx.Response:
    return httpx.Response(status, content=msgspec.json.encode(body))


def failed(status: int, code: str, **headers: str) -> httpx.Response:
    body = {"error": {"code": code, "message": "the server's words", "details": []}}
    return httpx.Response(status, content=msgspec.json.encode(body), headers=headers)


ACCEPTED = ok({"message_id": "m1", "status": "accepted", "targeted": 2}, 202)
BUSY = failed(503, "overloaded")


async def test_a_push_names_its_audience_its_payload_and_only_the_options_given() -> None:
    server = Server(ACCEPTED)
    async with server.center() as center:
        accepted = await center.send("news", {"title": "Goal"}, devices=["d1", "d2"], ttl=60)
    assert accepted == MessageAccepted(message_id="m1", status="accepted", targeted=2)
    request = server.requests[0]
    assert (request.method, request.url.path) == ("POST", "/v1/apps/news/messages")
    assert request.headers["authorization"] == "Bearer the-key"
    assert request.headers["content-type"] == "application/json"
    assert server.body() == {
        "audience": {"devices": ["d1", "d2"]},
        "payload": {"title": "Goal"},
        "options": {"ttl": 60},
    }


async def test_durations_are_timedeltas_or_seconds_and_the_server_gets_whole_ones() -> None:
    server = Server(ACCEPTED)
    async with server.center() as center:
        await center.send("news", "hello", everyone=True, ttl=timedelta(days=1), spread_over=0.5)
        await center.send("news", "hello", everyone=True, ttl=0)
        with pytest.raises(errors.LonglineError):
            await center.token("news", "d1", expires_in=timedelta(minutes=5))
        await center.kick("news", "d1", ban=timedelta(hours=1))
    assert server.body(0)["options"] == {"ttl": 86_400, "spread_over": 1}
    assert server.body(1)["options"] == {"ttl": 0}
    assert server.body(2) == {"expires_in": 300}
    assert dict(server.requests[3].url.params) == {"ban_seconds": "3600"}


async def test_a_time_to_send_at_travels_with_its_offset() -> None:
    server = Server(ACCEPTED)
    async with server.center() as center:
        await center.send("news", "hello", everyone=True, send_at=datetime(2030, 1, 2, 3, tzinfo=UTC))
    assert server.body()["options"] == {"send_at": "2030-01-02T03:00:00Z"}


async def test_json_that_is_given_as_it_is_written_goes_as_it_is_written() -> None:
    server = Server(ACCEPTED)
    async with server.center() as center:
        await center.send("news", msgspec.Raw(b'{"price": 1.10}'), everyone=True)
    assert b'{"price": 1.10}' in server.requests[0].content


async def test_a_key_is_taken_with_the_newline_of_its_file() -> None:
    server = Server(ok({"app": "news"}))
    async with server.center(key="the-key\n") as center:
        await center.app("news")
    assert server.requests[0].headers["authorization"] == "Bearer the-key"


@pytest.mark.parametrize("key", ["", "\n", "hunter2\nhunter3", "hunter2 hunter3", "hunter2\u00fc", "h" * 513])
def test_what_cannot_be_a_key_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(ValueError, match="a key is") as refusal:
        Server(ACCEPTED).center(key=key)
    assert "hunter" not in str(refusal.value)


@pytest.mark.parametrize(
    "url",
    ["", "center.test", "ftp://center.test", "http://", "http://[::1", "http://anna:hunter2@center.test"],
)
def test_what_cannot_be_the_url_of_the_api_is_refused_and_no_password_repeated(url: str) -> None:
    with pytest.raises(ValueError, match="URL") as refusal:
        Server(ACCEPTED).center(url)
    assert "hunter2" not in str(refusal.value)
    with pytest.raises(ValueError, match="URL") as refusal:
        Device(app="news", device="d1", token="t", dispatchers=[url])
    assert "hunter2" not in str(refusal.value)


def test_no_part_of_a_test_is_in_a_public_signature() -> None:
    for kind in (Center, Device):
        assert not {"random", "sleep", "clock"} & set(inspect.signature(kind).parameters)
    assert "transport" not in inspect.signature(Center).parameters


async def test_an_answer_in_words_of_a_newer_server_is_read() -> None:
    ledger = LEDGER | {"parked": 0}
    answer = {"message_id": "m1", "status": "parked", "created_at": "2030-01-02T03:04:05Z", "ledger": ledger}
    server = Server(ok(answer))
    async with server.center() as center:
        assert str((await center.message("news", "m1")).status) == "parked"


async def test_an_answer_that_cannot_be_unpacked_is_as_if_there_were_none() -> None:
    broken = httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=httpx.ByteStream(b"no gzip"))
    server = Server(broken)
    async with server.center(retries=0) as center:
        with pytest.raises(errors.Unavailable):
            await center.app("news")


STEPS = ("", ".", "..", "a/b")


def _filled(call: Callable[..., object], **named: str) -> object:
    """A call with something for each parameter that it must be given."""
    given: dict[str, object] = {}
    for name, parameter in inspect.signature(call).parameters.items():
        if parameter.default is parameter.empty:
            given[name] = "x" if "str" in str(parameter.annotation) else 1
    return call(**given | named)


async def _made(call: object) -> None:
    if inspect.isasyncgen(call):
        async for _ in call:
            break
    elif inspect.isawaitable(call):
        await call


async def _asked(method: str, **named: str) -> list[httpx.Request]:
    """What a call of a `Center` has asked for, whatever became of it."""
    server = Server(failed(404, "not_found"))
    async with server.center(retries=0) as center:
        try:
            await _made(_filled(getattr(center, method), **named))
        except errors.ValidationFailed:
            assert not server.requests
            return []
        except (errors.LonglineError, ValueError, TypeError, AttributeError):
            pass  # what the server answers, or arguments that are nothing to this call
    return server.requests


def _names_in_paths() -> list[tuple[str, str]]:
    return [
        (method, name)
        for method, call in inspect.getmembers(Center, callable)
        if not method.startswith("_")
        for name, parameter in inspect.signature(call).parameters.items()
        if parameter.default is parameter.empty and parameter.annotation in ("str", str)
    ]


async def test_a_name_that_a_url_takes_for_a_step_asks_for_nothing_else() -> None:
    """`DELETE /v1/apps/news/devices/..` is `DELETE /v1/apps/news`."""
    in_paths = 0
    for method, name in _names_in_paths():
        asked = await _asked(method, **{name: "marked"})
        if any("marked" in request.url.path for request in asked):
            in_paths += 1
            for step in STEPS:
                assert await _asked(method, **{name: step}) == [], f"{method}({name}={step!r})"
    assert in_paths > 60


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (httpx.Response(404, text="<h1>Not Found</h1>"), "404, and not in Longline's words"),
        (httpx.ConnectError("[SSL: WRONG_VERSION_NUMBER] wrong version number"), "http:// and not https://"),
        (httpx.ConnectError("All connection attempts failed"), "All connection attempts failed"),
        (httpx.ReadError(""), "ReadError"),
    ],
)
async def test_a_place_where_there_is_no_such_server_is_told_as_such(
    answer: httpx.Response | Exception, words: str
) -> None:
    async with Server(answer).center(retries=0) as center:
        with pytest.raises(errors.LonglineError, match=words):
            await center.app("news")


async def test_bytes_travel_as_base64_and_everyone_is_spelt_all() -> None:
    server = Server(ACCEPTED)
    async with server.center() as center:
        await center.send("news", b"\x00\xff", everyone=True)
    assert server.body() == {"audience": "all", "payload_base64": base64.b64encode(b"\x00\xff").decode()}


@pytest.mark.parametrize(
    ("given", "audience"),
    [
        ({"aliases": ["ann"]}, {"aliases": ["ann"]}),
        ({"tags": ("red", "blue")}, {"tag": ["red", "blue"]}),
        ({"audience": {"not": {"tag": ["red"]}}}, {"not": {"tag": ["red"]}}),
    ],
)
async def test_an_audience_may_be_said_in_any_way(given: dict[str, Any], audience: object) -> None:
    server = Server(ACCEPTED)
    async with server.center() as center:
        await center.send("news", "hello", **given)
    assert server.body() == {"audience": audience, "payload": "hello"}


async def test_an_audience_is_counted_without_sending() -> None:
    server = Server(ok({"devices": 12, "online": 5}))
    async with server.center() as center:
        assert await center.estimate("news", {"tag": ["red"]}) == AudienceSize(devices=12, online=5)
    assert server.requests[0].url.path == "/v1/apps/news/audiences:estimate"
    assert server.body() == {"audience": {"tag": ["red"]}}


async def test_a_push_without_exactly_one_audience_is_never_sent() -> None:
    server = Server(ACCEPTED)
    async with server.center() as center:
        with pytest.raises(ValueError, match="exactly one"):
            await center.send("news", "hello")
        with pytest.raises(ValueError, match="exactly one"):
            await center.send("news", "hello", devices=["d1"], everyone=True)
        with pytest.raises(ValueError, match="exactly one"):
            await center.send("news", "hello", tags=["red"], aliases=["ann"])
        for name in ("devices", "aliases", "tags"):
            given: dict[str, Any] = {name: "d1"}
            with pytest.raises(ValueError, match="list of names"):
                await center.send("news", "hello", **given)
    assert server.requests == []


async def test_a_push_that_is_tried_again_carries_the_same_idempotency_key() -> None:
    server = Server(BUSY, httpx.ReadTimeout("silence"), ACCEPTED)
    async with server.center() as center:
        await center.send("news", "hello", everyone=True)
        await center.send("news", "hello", everyone=True)
    keys = [request.headers["idempotency-key"] for request in server.requests]
    assert len(keys) == 4
    assert len(set(keys[:3])) == 1
    assert keys[3] != keys[0]


async def test_the_callers_own_idempotency_key_is_used() -> None:
    server = Server(ACCEPTED)
    async with server.center() as center:
        await center.send("news", "hello", everyone=True, idempotency_key="order-7")
    assert server.requests[0].headers["idempotency-key"] == "order-7"


async def test_retries_wait_with_jitter_and_double_and_then_tell_the_error() -> None:
    server = Server(BUSY)
    async with server.center(retries=3) as center:
        with pytest.raises(errors.Overloaded, match="the server's words"):
            await center.app("news")
    assert len(server.requests) == 4
    assert server.waits == pytest.approx([0.05, 0.1, 0.2])


async def test_the_wait_the_server_asks_for_is_kept_and_jitter_comes_on_top() -> None:
    server = Server(failed(429, "rate_limited", **{"Retry-After": "7"}), ACCEPTED)
    async with server.center() as center:
        await center.send("news", "hello", everyone=True)
    assert server.waits == pytest.approx([7.05])


async def test_a_server_that_asks_for_a_long_wait_is_reported_at_once() -> None:
    server = Server(failed(429, "rate_limited", **{"Retry-After": "3600"}))
    async with server.center() as center:
        with pytest.raises(errors.RateLimited) as refusal:
            await center.send("news", "hello", everyone=True)
    assert refusal.value.retry_after == 3600
    assert server.waits == []


@pytest.mark.parametrize("answer", [BUSY, httpx.ConnectError("refused")])
async def test_what_may_not_be_done_twice_is_tried_once(answer: httpx.Response | Exception) -> None:
    server = Server(answer)
    async with server.center() as center:
        for call in (
            center.create_app("news"),
            center.rotate_keys("news"),
            center.delete_app("news"),
            center.patch_device("news", "d1", {"tags": ["a"]}),
            center.kick("news", "d1"),
            center.cancel("news", "m1"),
        ):
            with pytest.raises((errors.Overloaded, errors.Unavailable)):
                await call
    assert len(server.requests) == 6
    assert server.waits == []


async def test_a_lasting_failure_spends_the_budget_and_then_each_call_is_tried_once() -> None:
    server = Server(BUSY)
    async with server.center(retries=3) as center:
        for _ in range(10):
            with pytest.raises(errors.Overloaded):
                await center.app("news")
    assert len(server.requests) == 10 + 10  # ten calls, and the ten retries that a full budget holds


def every_error() -> list[type[errors.LonglineError]]:
    found = [errors.LonglineError]
    for kind in found:  # which grows as it goes
        found += [sub for sub in kind.__subclasses__() if sub.__module__ == errors.__name__]
    return found


@pytest.mark.parametrize("kind", every_error())
async def test_every_code_of_the_api_is_raised_as_its_class(kind: type[errors.LonglineError]) -> None:
    server = Server(failed(kind.status, kind.code))
    async with server.center(retries=0) as center:
        with pytest.raises(kind) as raised:
            await center.app("news")
    assert type(raised.value) is kind


def test_errors_that_a_server_in_this_process_has_made_of_the_trees_are_not_the_sdks() -> None:
    """A node and a `Center` may share a process, and then also its classes."""
    script = (
        "import longline.center.errors.responses\n"
        "from longline.sdk.http import ErrorBody, error_of\n"
        "print(type(error_of(ErrorBody(code='method_not_allowed'))).__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "MethodNotAllowed\n"


async def test_details_name_the_fields() -> None:
    body = {
        "error": {"code": "invalid", "message": "no", "details": [{"field": "ttl", "message": "too long"}]}
    }
    server = Server(ok(body, 422))
    async with server.center() as center:
        with pytest.raises(errors.ValidationFailed) as raised:
            await center.send("news", "hello", everyone=True, ttl=1)
    assert raised.value.details == (("ttl", "too long"),)
    assert str(raised.value) == "no (ttl: too long)"


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (502, b"<html>Bad Gateway</html>", errors.Unavailable),
        (404, b"", errors.NotFound),
        (429, b'{"error": {"code": "quota_of_a_newer_server", "message": "x"}}', errors.RateLimited),
        (418, b"{}", errors.LonglineError),
    ],
)
async def test_an_answer_without_a_code_we_know_is_told_by_its_status(
    status: int, body: bytes, kind: type[errors.LonglineError]
) -> None:
    server = Server(httpx.Response(status, content=body))
    async with server.center(retries=0) as center:
        with pytest.raises(kind) as raised:
            await center.app("news")
    assert type(raised.value) is kind


async def test_an_answer_that_is_not_what_the_api_promises_is_an_error_of_ours() -> None:
    server = Server(httpx.Response(200, content=b'{"unexpected": true}'))
    async with server.center() as center:
        with pytest.raises(errors.LonglineError, match="not what the API promises"):
            await center.app("news")


async def test_lists_follow_their_cursors_to_the_end() -> None:
    server = Server(
        ok({"devices": [{"device": "d1", "online": True}, {"device": "d2"}], "next_cursor": "c2"}),
        ok({"devices": [{"device": "d3"}], "next_cursor": None}),
    )
    async with server.center() as center:
        found = [device.device async for device in center.devices("news", tag="beta", online=True)]
    assert found == ["d1", "d2", "d3"]
    assert dict(server.requests[0].url.params) == {"tag": "beta", "online": "true"}
    assert dict(server.requests[1].url.params) == {"tag": "beta", "online": "true", "cursor": "c2"}


async def test_names_are_escaped_in_addresses() -> None:
    server = Server(ok({"device": "a?b c"}))
    async with server.center() as center:
        await center.device("my app", "a?b c")
    assert server.requests[0].url.raw_path == b"/v1/apps/my%20app/devices/a%3Fb%20c"


async def test_a_batch_tells_each_push_its_own_outcome_in_order() -> None:
    server = Server(
        ok({"results": [{"message_id": "m1"}, {"error": {"code": "no_target", "message": "nobody"}}]}, 202)
    )
    async with server.center() as center:
        results = await center.send_batch(
            "news", [Push(payload="a", devices=["d1"]), Push(payload="b", devices=["ghost"])]
        )
    assert results[0] == MessageAccepted(message_id="m1")
    assert isinstance(results[1], errors.NoTarget)
    assert server.requests[0].headers["idempotency-key"]


async def test_waiting_follows_the_ledger_until_nothing_is_pending() -> None:
    def status(pending: int) -> httpx.Response:
        ledger = LEDGER | {"pending": pending}
        return ok({"message_id": "m1", "status": "x", "created_at": "2030-01-02T03:04:05Z", "ledger": ledger})

    server = Server(status(2), status(1), status(0))
    async with server.center() as center:
        settled = await center.wait("news", "m1", within=60)
    assert settled.ledger.pending == 0
    assert settled.ledger.dropped == {"kicked": 1}
    assert settled.created_at.isoformat() == "2030-01-02T03:04:05+00:00"
    assert len(server.requests) == 3
    assert server.waits == sorted(server.waits)


async def test_waiting_for_a_message_that_stays_pending_gives_up() -> None:
    ledger = LEDGER | {"pending": 1}
    server = Server(
        ok({"message_id": "m1", "status": "x", "created_at": "2030-01-02T03:04:05Z", "ledger": ledger})
    )
    async with server.center() as center:
        with pytest.raises(TimeoutError):
            await center.wait("news", "m1", within=0)


def test_the_guide_names_methods_that_there_are() -> None:
    guide = (Path(__file__).parents[3] / "docs" / "sdk.md").read_text("utf-8")
    _, _, table = guide.partition("| to | call |\n")
    names = re.findall(r"`(\w+)`", table.partition("\n\n")[0])
    assert len(names) > 15
    for kind in (Center, SyncCenter):
        assert [name for name in names if not callable(getattr(kind, name, None))] == []
