"""`GET /v1/dispatch` as ASGI: what it answers, what it refuses, and what it leaves to others."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio
from starlette.types import Receive, Scope, Send

from longline.dispatcher.api import MAX_QUERY, DispatcherApi
from longline.dispatcher.ranking import TRANSPORTS
from longline.settings import DispatcherSettings
from tests.unit.dispatcher.rooms import Post, a_room

ASKED = "/v1/dispatch?app=news&device=phone"


class Others:
    """What stands behind the dispatcher; `heard` are the requests that came through."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.heard.append(f"{scope['type']} {scope.get('path', '')}")
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 418, "headers": []})
            await send({"type": "http.response.body", "body": b"others"})


@pytest.fixture
def post() -> Post:
    return Post([a_room(1), a_room(2), a_room(3), a_room(4)], DispatcherSettings(endpoints=2))


@pytest.fixture
def others() -> Others:
    return Others()


@pytest_asyncio.fixture
async def client(post: Post, others: Others) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(DispatcherApi(post.dispatcher, others))
    async with httpx.AsyncClient(transport=transport, base_url="http://dispatcher") as client:
        yield client


async def test_an_answer_has_endpoints_and_hints_and_is_kept_by_no_cache(client: httpx.AsyncClient) -> None:
    answer = await client.get(ASKED)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert len(body["endpoints"]) == 2
    for endpoint in body["endpoints"]:
        assert endpoint["host"].startswith("10.0.0.")
        assert endpoint == {"host": endpoint["host"], "port": 1883, "transport": "tcp", "weight": 1.0}
    assert body["expires_in"] == 300
    assert body["heartbeat"] == {"keep_alive": 240}
    assert body["backoff"] == {"after_ms": 0, "initial_ms": 500, "max_ms": 60_000}


async def test_the_query_is_what_the_dispatcher_is_asked(client: httpx.AsyncClient, post: Post) -> None:
    post.dispatcher.see([a_room(1, region="north"), a_room(2, region="south", networks=("red",))])
    names = {"app": "news", "device": "a:b@c", "transport": "ws"}
    for where, host in (({"region": "north"}, "10.0.0.1"), ({"network": "red"}, "10.0.0.2")):
        first = (await client.get("/v1/dispatch", params={**names, **where})).json()["endpoints"][0]
        assert (first["host"], first["port"], first["transport"]) == (host, 8083, "ws")


@pytest.mark.parametrize(
    ("transport", "path"), [("tcp", None), ("tls", None), ("ws", "/mqtt"), ("wss", "/mqtt")]
)
async def test_an_endpoint_of_websocket_has_a_path(
    client: httpx.AsyncClient, post: Post, transport: str, path: str | None
) -> None:
    addresses = {scheme: f"10.0.0.1:{number}" for number, scheme in enumerate(TRANSPORTS.values(), 1)}
    post.dispatcher.see([msgspec.structs.replace(a_room(1), addresses=addresses)])
    answer = await client.get(ASKED, params={"app": "news", "device": "phone", "transport": transport})
    assert answer.status_code == 200
    (endpoint,) = answer.json()["endpoints"]
    assert endpoint["transport"] == transport
    assert endpoint["port"] == 1 + list(TRANSPORTS).index(transport)
    assert endpoint.get("path") == path
    assert ("path" in endpoint) == (path is not None)


ORIGIN = {"Origin": "https://app.example.org"}


@pytest.mark.parametrize("url", [ASKED, "/v1/dispatch"])
async def test_any_page_may_read_the_answer_good_or_bad(client: httpx.AsyncClient, url: str) -> None:
    answer = await client.get(url, headers=ORIGIN)
    assert answer.status_code == (200 if url == ASKED else 422)
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-expose-headers"] == "retry-after"
    assert "access-control-allow-credentials" not in answer.headers


async def test_a_browser_that_asks_first_is_told_what_it_may(
    client: httpx.AsyncClient, others: Others
) -> None:
    asking = {**ORIGIN, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "x-a"}
    answer = await client.options(ASKED, headers=asking)
    assert answer.status_code == 204
    assert answer.content == b""
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-allow-methods"] == "GET, HEAD"
    assert answer.headers["access-control-allow-headers"] == "*"
    assert others.heard == []


async def test_nothing_else_is_told_to_pages(client: httpx.AsyncClient) -> None:
    asking = {**ORIGIN, "Access-Control-Request-Method": "GET"}
    for method, path in (("GET", "/v1/apps"), ("OPTIONS", "/v1/apps"), ("GET", "/v1/dispatch/")):
        answer = await client.request(method, path, headers=asking)
        assert answer.status_code == 418
        assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_head_is_answered_like_get(client: httpx.AsyncClient, others: Others) -> None:
    answer = await client.head(ASKED)
    assert answer.status_code == 200
    assert int(answer.headers["content-length"]) > 0
    assert others.heard == []


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_other_methods_are_refused(client: httpx.AsyncClient, method: str) -> None:
    answer = await client.request(method, ASKED)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD"
    assert answer.json()["error"]["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("", ["app", "device"]),
        ("app=news", ["device"]),
        ("app=news&device=", ["device"]),
        ("app=No+Name&device=phone", ["app"]),
        (f"app=news&device={'d' * 300}", ["device"]),
        ("app=news&device=%00", ["device"]),
        ("app=news&device=phone&transport=udp", ["transport"]),
        ("app=news&device=phone&transport=", ["transport"]),
        ("app=news&device=phone&colour=red", ["colour"]),
        ("app=news&app=sport&device=phone", ["app", "app"]),
        (f"app=news&device=phone&region={'r' * 65}&network={'n' * 65}", ["network", "region"]),
    ],
)
async def test_each_field_that_is_not_right_is_named(
    client: httpx.AsyncClient, query: str, fields: list[str]
) -> None:
    answer = await client.get(f"/v1/dispatch?{query}")
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["code"] == "invalid"
    assert [detail["field"] for detail in error["details"]] == fields
    assert all(detail["message"] for detail in error["details"])


@pytest.mark.parametrize(
    "query",
    [
        b"app=news&device=" + b"x" * MAX_QUERY,
        b"app=news&device=\xff",
        b"app=news&device=%ff",
        b"&".join(b"a%d=1" % number for number in range(17)),
    ],
)
async def test_what_cannot_be_read_as_a_query_is_a_bad_request(post: Post, query: bytes) -> None:
    status, body = await ask(DispatcherApi(post.dispatcher, Others()), query)
    assert status == 400
    assert b'"code":"bad_request"' in body


async def test_without_a_room_it_says_when_to_ask_again(client: httpx.AsyncClient, post: Post) -> None:
    answer = await client.get(f"{ASKED}&transport=wss")
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "unavailable"
    assert answer.headers["retry-after"] == "3"
    assert post.dispatcher.statistics()["without_room"] == 1


@pytest.mark.parametrize("path", ["/", "/v1/apps", "/v1/dispatch/", "/v1/dispatch/x", "/readyz"])
async def test_every_other_path_is_somebody_elses(
    client: httpx.AsyncClient, others: Others, path: str
) -> None:
    assert (await client.get(path)).status_code == 418
    assert others.heard == [f"http {path}"]


async def test_what_is_not_http_is_somebody_elses(post: Post, others: Others) -> None:
    async def receive() -> Any:
        raise AssertionError("nothing is read")

    async def send(message: Any) -> None:
        raise AssertionError("nothing is said")

    await DispatcherApi(post.dispatcher, others)({"type": "lifespan"}, receive, send)
    assert others.heard == ["lifespan "]


async def ask(api: DispatcherApi, query: bytes) -> tuple[int, bytes]:
    """Asks with a query that no client would send."""
    said: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        said.append(message)

    await api({"type": "http", "method": "GET", "path": "/v1/dispatch", "query_string": query}, receive, send)
    return said[0]["status"], said[1]["body"]
