"""What holds for every request, whatever it asks for."""

import asyncio
import re
from collections.abc import AsyncIterator
from urllib.parse import urljoin

import pytest
import structlog

from longline.settings import CenterSettings
from tests.unit.center.conftest import Api


@pytest.fixture
def settings() -> CenterSettings:
    return CenterSettings(max_requests=2, max_body=2048)


class Held:
    """Requests that wait in the store until they are let go; `all_in` once `expected` of them wait."""

    def __init__(self, api: Api, monkeypatch: pytest.MonkeyPatch, expected: int) -> None:
        self._missing = expected
        self.all_in = asyncio.Event()
        self.go_on = asyncio.Event()
        self._find = api.saver.devices.find
        monkeypatch.setattr(api.saver.devices, "find", self.find)

    async def find(self, app: int, names: list[str]) -> object:
        self._missing -= 1
        if not self._missing:
            self.all_in.set()
        await self.go_on.wait()
        return await self._find(app, names)


async def test_one_request_too_many_is_refused_before_its_body_is_read(
    api: Api, news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(api, monkeypatch, expected=2)
    first = [asyncio.create_task(api.http.get(f"{news}/devices/d{n}")) for n in range(2)]
    await held.all_in.wait()
    read = False

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        read = True
        yield b"{}"

    refused = await api.http.post(f"{news}/messages", content=body())
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "overloaded")
    assert 1 <= int(refused.headers["retry-after"]) <= 3
    assert not read
    for probe in ("/healthz", "/readyz", "/metrics"):
        assert (await api.http.get(probe)).status_code == 200
    held.go_on.set()
    for answer in await asyncio.gather(*first):
        assert answer.status_code == 404
    assert (await api.http.get(news)).status_code == 200
    assert api.center.counters.requests_running == 0


async def test_the_limit_of_requests_changes_at_run_time(
    api: Api, news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.center.reconfigure(CenterSettings(max_requests=1))
    held = Held(api, monkeypatch, expected=1)
    first = asyncio.create_task(api.http.get(f"{news}/devices/d1"))
    await held.all_in.wait()
    assert (await api.http.get(news)).status_code == 503
    api.center.reconfigure(CenterSettings(max_requests=2))
    assert (await api.http.get(news)).status_code == 200
    held.go_on.set()
    await first


@pytest.mark.parametrize("sequence", ["%FF", "%C0%AF", "%ED%A0%80"])
async def test_an_address_that_is_not_utf_8_names_nothing(api: Api, news: str, sequence: str) -> None:
    """Nor is it any of those that are not, nor the character that decoders have for what is no text."""
    await api.device(news, "\N{REPLACEMENT CHARACTER}")
    for method, address in (
        ("PUT", f"{news}/devices/{sequence}"),
        ("DELETE", f"{news}/devices/{sequence}"),
        ("GET", f"{news}/devices?tag={sequence}"),
        ("GET", f"{news}/devices?{sequence}=1"),
    ):
        answer = await api.http.request(method, address, content=b"{}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request"), address
    listed = (await api.http.get(f"{news}/devices?prefix=%EF%BF%BD")).json()["devices"]
    assert [each["device"] for each in listed] == ["\N{REPLACEMENT CHARACTER}"]


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_body_over_the_limit_is_cut_off(api: Api, news: str, streamed: bool) -> None:
    chunks = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal chunks
        for _ in range(100):
            chunks += 1
            yield b" " * 1024

    content = body() if streamed else b" " * 4096
    answer = await api.http.post(f"{news}/messages", content=content)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")
    assert answer.headers["connection"] == "close"
    assert chunks <= 3


async def test_a_body_of_exactly_the_limit_is_read(api: Api, news: str) -> None:
    await api.device(news, "d1")
    message = b'{"audience":"all","payload":1}'
    for content in (message.ljust(2048), message.ljust(2049)):
        answer = await api.http.post(f"{news}/messages", content=content)
        assert answer.status_code == (202 if len(content) == 2048 else 413)


async def test_a_body_that_never_ends_is_given_up(
    api: Api, news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("longline.center.requests.reading.BODY_DEADLINE", 0.0)

    async def body() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    answer = await api.http.post(f"{news}/messages", content=body())
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request")


@pytest.mark.parametrize(
    "path",
    [
        "/v1",
        "/v1/apps/",
        "/v2/apps",
        "/v1/apps/news/groups/g1/members",
        "/v1/apps/news/upstream/1",
        "/v1/apps/news/webhook/late",
        "/v1/apps/news/devices/a%2Fb",
        "/v1/dispatch",
        "/v1/config/room/port",
    ],
)
async def test_an_unknown_address_is_not_found(api: Api, news: str, path: str) -> None:
    for method in ("GET", "POST"):
        answer = await api.http.request(method, path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


async def test_a_parameter_that_an_operation_does_not_have_is_refused_and_nothing_is_done(
    api: Api, news: str
) -> None:
    await api.device(news, "d1")
    message = {"audience": {"devices": ["d1"]}, "payload": "x"}
    calls: list[tuple[str, str, object]] = [
        ("POST", f"{news}/messages:batch?validate=true", {"messages": [message]}),
        ("POST", f"{news}/audiences:estimate?tag=a", {"audience": "all"}),
        ("GET", f"{news}/devices/d1?full=1", None),
        ("DELETE", f"{news}/devices/d1?dry_run", None),
        ("POST", f"{news}/devices:batch?limit=1", {"devices": [{"device": "d2"}]}),
        ("GET", f"{news}?limit=1", None),
        ("POST", f"{news}/keys:rotate?disconnect=true", None),
        ("DELETE", f"{news}?dry_run=true", None),
        ("POST", "/v1/apps?pubsub=true", {"app": "other"}),
        ("GET", "/v1/nodes?limit=1", None),
        ("POST", "/v1/config:rollback?version=3", None),
    ]
    for method, path, body in calls:
        answer = await api.http.request(method, path, json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid"), path
        stranger = await api.http.request(method, path, json=body, headers={"authorization": "Bearer no"})
        assert stranger.status_code == 401, path
    device = (await api.http.get(f"{news}/devices/d1")).json()
    assert device["pending"] == 0
    assert (await api.http.get(f"{news}/devices/d2")).status_code == 404
    assert (await api.http.get("/v1/apps/other")).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/v1/apps", "GET, HEAD, POST"),
        ("POST", "/v1/apps/news", "DELETE, GET, HEAD, PATCH"),
        ("DELETE", "/v1/apps/news/messages", "GET, HEAD, POST"),
        ("OPTIONS", "/v1/apps/news/messages", "GET, HEAD, POST"),
        ("POST", "/healthz", "GET, HEAD"),
        ("DELETE", "/docs", "GET, HEAD"),
        ("PUT", "/v1/config/room.linger:rollback", "POST"),
        ("GET", "/v1/config/room.linger:rollback", "POST"),
        ("POST", "/v1/config/room.linger", "DELETE, GET, HEAD, PUT"),
    ],
)
async def test_a_wrong_method_hears_the_right_ones(api: Api, method: str, path: str, allow: str) -> None:
    answer = await api.http.request(method, path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == allow


@pytest.mark.parametrize("path", ["/", "/docs/"])
async def test_who_looks_around_finds_the_documentation(api: Api, path: str) -> None:
    answer = await api.http.get(path)
    assert answer.status_code == 307
    page = await api.http.get(urljoin(f"http://longline.test{path}", answer.headers["location"]))
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")


async def test_no_address_says_that_it_takes_a_method_which_it_does_not_take(api: Api, news: str) -> None:
    """Each method of each address, with names that are there: the document, the router and Allow agree."""
    spec = (await api.http.get("/openapi.json")).json()
    for path, described in spec["paths"].items():
        if path == "/v1/session":  # the console's page begins and ends it, which is not in the document
            continue
        address = re.sub(
            r"{(\w+)}", lambda found: {"app": "news", "name": "room.linger"}.get(found[1], "x"), path
        )
        allowed = {method.upper() for method in described}
        for method in {"GET", "PUT", "POST", "PATCH", "DELETE"} - allowed:
            answer = await api.http.request(method, address)
            assert answer.status_code == 405, (method, path)
            assert set(answer.headers["allow"].split(", ")) - {"HEAD"} == allowed, (method, path)


async def test_a_fault_of_ours_tells_the_caller_nothing_and_the_log_everything(
    api: Api, news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def find(app: int, names: list[str]) -> object:
        raise RuntimeError("the disk is on fire")

    monkeypatch.setattr(api.saver.devices, "find", find)
    with structlog.testing.capture_logs() as logs:
        answer = await api.http.get(f"{news}/devices/d1")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal")
    assert "fire" not in answer.text
    (entry,) = logs
    assert "fire" in str(entry["exc_info"])
    assert api.center.counters.errors["internal"] == 1


async def test_a_mistake_is_counted_each_time_and_logged_once_a_peer(api: Api) -> None:
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            await api.http.get("/nowhere")
    assert [entry["code"] for entry in logs] == ["not_found"]
    assert api.center.counters.errors["not_found"] == 3


async def test_every_answer_is_kept_from_caches_and_sniffers(api: Api, news: str) -> None:
    for path in (news, "/nowhere", "/healthz", "/docs"):
        headers = (await api.http.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in headers


async def test_a_content_length_that_is_no_number_is_refused(api: Api) -> None:
    answer = await api.http.get("/healthz", headers={"Content-Length": "many"})
    assert answer.status_code == 400
