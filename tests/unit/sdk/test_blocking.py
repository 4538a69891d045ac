"""`SyncCenter` is `Center` without asyncio: made of its source, and as good as it."""

import inspect
import threading
from datetime import timedelta

import httpx
import msgspec
import pytest
from tools.blocking import differing

from longline import Center, Push, SyncCenter, errors


class Server:
    """Answers from a list, the last for ever after, and keeps the requests and the waits between them."""

    def __init__(self, *answers: httpx.Response) -> None:
        self._answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.waits: list[float] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    def center(self) -> SyncCenter:
        class Scripted(SyncCenter):
            _random = staticmethod(lambda: 0.5)
            _sleep = staticmethod(self.waits.append)
            _transport = httpx.MockTransport(self.answer)

        return Scripted("http://center.test", "the-key")


def ok(body: object, status: int = 200) -> httpx.Response:
    return httpx.Response(status, content=msgspec.json.encode(body))


def test_what_is_there_is_what_the_source_makes() -> None:
    """Else `python -m tools.blocking` was forgotten, or somebody has edited what it made."""
    assert differing() == []


def test_both_have_the_same_methods_with_the_same_parameters() -> None:
    """But for what is awaited, and what is iterated with `async for`."""

    def told(kind: type[object]) -> dict[str, list[str]]:
        return {
            name: [str(parameter) for parameter in inspect.signature(method).parameters.values()]
            for name, method in inspect.getmembers(kind, inspect.isfunction)
            if not name.startswith("_")
        }

    assert told(SyncCenter) == told(Center)
    assert not [
        name
        for name, method in inspect.getmembers(SyncCenter, inspect.isfunction)
        if inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method)
    ]


def test_a_push_is_tried_again_with_its_key() -> None:
    busy = httpx.Response(503, content=b'{"error": {"code": "overloaded", "message": ""}}')
    server = Server(busy, ok({"message_id": "m1"}, 202))
    with server.center() as center:
        accepted = center.send("news", "hello", devices=["d1"], ttl=timedelta(minutes=1))
    assert accepted.message_id == "m1"
    keys = {request.headers["idempotency-key"] for request in server.requests}
    assert (len(server.requests), len(keys), server.waits) == (2, 1, [0.05])


def test_lists_are_iterated_page_by_page() -> None:
    server = Server(ok({"apps": [{"app": "a"}], "next_cursor": "c"}), ok({"apps": [{"app": "b"}]}))
    with server.center() as center:
        assert [app.app for app in center.apps()] == ["a", "b"]
    assert server.requests[1].url.params["cursor"] == "c"


def test_what_the_server_refuses_is_raised() -> None:
    refused = httpx.Response(404, content=b'{"error": {"code": "no_target", "message": "nobody"}}')
    with Server(refused).center() as center, pytest.raises(errors.NoTarget):
        center.send_batch("news", [Push(payload="x", everyone=True)])


def test_waiting_ends_in_time() -> None:
    ledger = {"targeted": 1, "pending": 1, "acked": 0, "expired": 0, "collapsed": 0, "dropped": {}}
    pending = {"message_id": "m1", "status": "delivering", "created_at": "2026-01-01T00:00:00Z"}
    server = Server(ok(pending | {"ledger": ledger | {"routed": 1, "sent": 1}}))
    with server.center() as center, pytest.raises(TimeoutError):
        center.wait("news", "m1", within=0.01)


def test_threads_share_one() -> None:
    """As the workers of Flask and Django do."""
    server = Server(ok({"apps": [{"app": "a"}]}))
    found: list[str] = []
    with server.center() as center:
        threads = [
            threading.Thread(target=lambda: found.extend(app.app for app in center.apps())) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == ["a"] * 8
