"""The API on a real port of the loopback."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from itertools import pairwise

import httpx
import pytest
import structlog
from starlette.types import Receive, Scope, Send

from longline.center.api import application
from longline.center.http.connection import BEGUN_AT_ONCE, HttpConnections
from longline.center.http.server import HttpServer
from longline.settings import CenterSettings
from longline.telemetry.faults import Faults
from tests.unit.center.conftest import Api
from tests.waiting import until


@pytest.fixture
def settings() -> CenterSettings:
    return CenterSettings(max_body=100_000)


class Reports(list[tuple[str, str]]):
    """What peers did wrong, and who they were."""

    def __call__(self, code: str, peer: str, message: str) -> None:
        self.append((code, peer))


@pytest.fixture
def reports() -> Reports:
    return Reports()


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def connections(reports: Reports, faults: Faults) -> HttpConnections:
    return HttpConnections(8, reports, faults)


@pytest.fixture
async def url(api: Api, connections: HttpConnections) -> AsyncIterator[str]:
    server = HttpServer(
        application(api.center), "127.0.0.1", 0, connections=connections, faults=Faults(), grace=1.0
    )
    host, port = await server.start()
    yield f"http://{host}:{port}"
    await server.stop()


async def test_the_api_is_there_and_a_connection_is_kept(url: str) -> None:
    async with httpx.AsyncClient(base_url=url) as client:
        for _ in range(2):
            answer = await client.get("/healthz")
            assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
            assert "server" not in answer.headers
        pool = client._transport
        assert isinstance(pool, httpx.AsyncHTTPTransport)
        assert len(pool._pool.connections) == 1


async def test_the_signals_of_the_process_stay_with_the_node(url: str) -> None:
    async with httpx.AsyncClient(base_url=url) as client:
        await client.get("/healthz")
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


async def test_a_huge_body_is_cut_off_and_the_connection_closed(url: str) -> None:
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"POST /v1/apps HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer the-admin-key\r\n"
        b"Content-Length: 1000000000000\r\n\r\n"
    )
    answer = await reader.read()  # to the end, which the server makes
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"body_too_large" in answer
    writer.close()


async def test_what_is_not_http_does_not_disturb_others(url: str) -> None:
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00")
    assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
    writer.close()
    async with httpx.AsyncClient(base_url=url) as client:
        assert (await client.get("/healthz")).status_code == 200


async def test_a_taken_port_is_an_error_and_not_the_end_of_the_process(
    api: Api, url: str, connections: HttpConnections
) -> None:
    port = int(url.rpartition(":")[2])
    with pytest.raises(OSError, match="in use"):
        await HttpServer(
            application(api.center), "127.0.0.1", port, connections=connections, faults=Faults(), grace=1.0
        ).start()


async def test_stopping_lets_a_request_end(
    api: Api, connections: HttpConnections, monkeypatch: pytest.MonkeyPatch
) -> None:
    news = await api.app("news")
    server = HttpServer(
        application(api.center), "127.0.0.1", 0, connections=connections, faults=Faults(), grace=5.0
    )
    host, port = await server.start()
    asked, go_on = asyncio.Event(), asyncio.Event()
    find = api.saver.devices.find

    async def find_slowly(app: int, names: list[str]) -> object:
        asked.set()
        await go_on.wait()
        return await find(app, names)

    monkeypatch.setattr(api.saver.devices, "find", find_slowly)
    headers = {"Authorization": f"Bearer {api.keys['news']}"}
    async with httpx.AsyncClient(base_url=f"http://{host}:{port}", headers=headers) as client:
        request = asyncio.create_task(client.get(f"{news}/devices/d1"))
        await asked.wait()
        stopping = asyncio.create_task(server.stop())
        go_on.set()
        assert (await request).status_code == 404
        await stopping
        with pytest.raises(httpx.ConnectError):
            await client.get("/healthz")


# --- what peers may have us keep -----------------------------------------------------------------------


class Raw:
    """A connection byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        with suppress(ConnectionError, RuntimeError):  # uvloop raises that when it is closed
            self.writer.write(data)
            await self.writer.drain()

    async def rest(self) -> bytes:
        """All that comes until the server closes."""
        found = b""
        with suppress(ConnectionError):
            while data := await self.reader.read(65536):
                found += data
        self.writer.close()
        return found

    async def answer(self) -> bytes:
        """The head of one answer, and its body."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
        return head + await self.reader.readexactly(length)


async def dial(url: str) -> Raw:
    host, port = url.removeprefix("http://").split(":")
    return Raw(*await asyncio.open_connection(host, int(port)))


def a_poll(path: str, key: str) -> bytes:
    return f"GET {path}/upstream?wait=60 HTTP/1.1\r\nAuthorization: Bearer {key}\r\n\r\n".encode()


HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    "head",
    [
        b"GET /healthz HTTP/1.1\r\nX-A: " + b"a" * 100_000,
        b"GET /healthz HTTP/1.1\r\n" + b"X-A: a\r\n" * 200,
        b"GET /healthz?" + b"a" * 100_000,
        b"GET /healthz HTTP/1.1\r\n" + b"a" * 100_000,
    ],
    ids=["one large", "many small", "the address", "a name"],
)
async def test_a_head_without_end_is_refused_before_it_is_kept(
    url: str, reports: Reports, connections: HttpConnections, head: bytes
) -> None:
    raw = await dial(url)
    for at in range(0, len(head), 10_000):  # as slowly as it likes
        await raw.send(head[at : at + 10_000])
        await asyncio.sleep(0)
    answer = await raw.rest()
    if len(head) < 10_000:  # else it may be lost in the reset that ends what is still on its way
        assert answer.startswith(b"HTTP/1.1 431 ")
        assert b'"head_too_large"' in answer
    assert reports == [("head_too_large", "127.0.0.1")]
    assert connections.counters.refused == {"head_too_large": 1}


async def test_trailers_are_bounded_like_a_head(api: Api, url: str, connections: HttpConnections) -> None:
    news = await api.app("news")
    raw = await dial(url)
    await raw.send(
        f"POST {news}/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.keys['news']}\r\n"
        "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\nX-Trailer: ".encode()
    )
    for _ in range(20):
        await raw.send(b"a" * 10_000)
    await raw.rest()
    assert connections.counters.refused == {"head_too_large": 1}
    await until(lambda: api.center.counters.requests_running == 0)


async def test_a_head_that_takes_too_long_is_not_waited_for(
    url: str, connections: HttpConnections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("longline.center.http.connection.HEAD_WITHIN", 0.05)
    silent, slow = await dial(url), await dial(url)

    async def trickle() -> None:
        with suppress(ConnectionError):
            await slow.send(b"GET /healthz HTTP/1.1\r\n")
            while not slow.reader.at_eof():
                await slow.send(b"A: b\r\n")
                await asyncio.sleep(0.02)

    trickling = asyncio.create_task(trickle())
    assert await silent.rest() == b""
    assert await slow.rest() in (b"", b"HTTP/1.1 431 ")
    trickling.cancel()
    await until(lambda: connections.counters.connections == 0)
    assert connections.counters.refused["idle"] == 2


async def test_a_connection_that_asks_for_nothing_more_is_closed(
    url: str, connections: HttpConnections
) -> None:
    connections.keep_alive = 0.05
    raw = await dial(url)
    await raw.send(HEALTH)
    assert b"200 OK" in await raw.rest()
    assert connections.counters.refused == {"idle": 1}


async def test_a_body_that_nobody_wants_does_not_keep_its_connection(
    url: str, connections: HttpConnections
) -> None:
    """The answer is there; what still trickles in puts the end off no further."""
    connections.keep_alive = 0.05
    raw = await dial(url)
    await raw.send(b"POST /v1/apps HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n\r\n")

    async def trickle() -> None:
        with suppress(ConnectionError):
            while True:
                await raw.send(b" ")
                await asyncio.sleep(0.01)

    trickling = asyncio.create_task(trickle())
    assert b" 401 " in await raw.rest()
    trickling.cancel()


async def test_who_does_not_read_its_answers_is_closed(
    api: Api, url: str, connections: HttpConnections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("longline.center.http.connection.READ_WITHIN", 0.05)
    raw = await dial(url)
    raw.writer.transport.pause_reading()  # type: ignore[attr-defined]
    with suppress(ConnectionError):
        while not connections.counters.refused.get("not_read"):
            await raw.send(b"GET /docs.js HTTP/1.1\r\nHost: x\r\n\r\n")
            await asyncio.sleep(0)
    await until(lambda: connections.counters.connections == 0)
    await until(lambda: api.center.counters.requests_running == 0)
    raw.writer.transport.abort()


async def test_requests_that_wait_for_the_one_before_them_are_few(
    api: Api, url: str, connections: HttpConnections, monkeypatch: pytest.MonkeyPatch
) -> None:
    news = await api.app("news")
    raw = await dial(url)
    poll = a_poll(news, api.keys["news"])
    await raw.send(poll + HEALTH * 50)
    await raw.rest()
    assert connections.counters.refused == {"bad_request": 1}
    await until(lambda: api.center.counters.requests_running == 0)


async def test_many_requests_on_one_connection_are_answered_in_order(url: str) -> None:
    raw = await dial(url)
    for _ in range(3):
        await raw.send(HEALTH * 10)
        for _ in range(10):
            assert b'{"status":"ok"}' in await raw.answer()
    raw.writer.close()


async def test_of_requests_that_come_together_a_few_begin_in_each_turn_of_the_loop(
    connections: HttpConnections,
) -> None:
    begun: list[int] = []
    for number in range(3 * BEGUN_AT_ONCE):
        connections.begin(partial(begun.append, number))
    seen = [0, len(begun)]
    while seen[-1] < 4 * BEGUN_AT_ONCE:
        if len(seen) == 3:  # who comes later is behind them
            for number in range(3 * BEGUN_AT_ONCE, 4 * BEGUN_AT_ONCE):
                connections.begin(partial(begun.append, number))
        await asyncio.sleep(0)
        seen.append(len(begun))
    assert max(after - before for before, after in pairwise(seen)) == BEGUN_AT_ONCE
    assert begun == list(range(4 * BEGUN_AT_ONCE))


async def test_very_many_requests_that_come_together_are_all_answered(
    api: Api, reports: Reports, faults: Faults
) -> None:
    connections = HttpConnections(500, reports, faults)
    server = HttpServer(
        application(api.center), "127.0.0.1", 0, connections=connections, faults=faults, grace=1.0
    )
    host, port = await server.start()
    streams = [await asyncio.open_connection(host, port) for _ in range(5 * BEGUN_AT_ONCE)]
    for _, writer in streams:
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    for reader, writer in streams:
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()
    await server.stop()


async def test_idle_connections_make_room_for_others(url: str, connections: HttpConnections) -> None:
    """As many as one likes: they do not use up the files that others need."""
    idle = [await dial(url) for _ in range(30)]
    async with httpx.AsyncClient(base_url=url) as client:
        assert (await client.get("/healthz")).status_code == 200
    assert connections.counters.connections <= 8
    assert connections.counters.displaced >= 22
    for raw in idle:
        raw.writer.close()


async def test_a_connection_with_a_request_under_way_makes_room_for_nobody(
    api: Api, url: str, connections: HttpConnections, reports: Reports
) -> None:
    news = await api.app("news")
    polls = [await dial(url) for _ in range(8)]
    poll = a_poll(news, api.keys["news"])
    for raw in polls:
        await raw.send(poll)
    await until(lambda: api.center.counters.events_waiting >= 7)
    late = await dial(url)
    assert await late.rest() == b""
    assert ("too_many_connections", "127.0.0.1") in reports
    for raw in polls:
        raw.writer.close()
    await until(lambda: connections.counters.connections == 0)


async def test_what_uvicorn_has_to_say_is_said_once(
    api: Api, url: str, reports: Reports, caplog: pytest.LogCaptureFixture
) -> None:
    """A peer that talks nonsense all day writes no log of its own, and is named."""
    for _ in range(20):
        raw = await dial(url)
        await raw.send(b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00\r\n")
        await raw.rest()
        raw = await dial(url)
        await raw.send(b"GET /healthz HTTP/1.1\r\nConnection: upgrade, close\r\nUpgrade: websocket\r\n\r\n")
        assert b"200 OK" in await raw.answer()
        raw.writer.close()
    assert [record.name for record in caplog.records] == []
    assert set(reports) == {("bad_request", "127.0.0.1")}


async def test_an_answer_that_breaks_half_way_is_a_fault_that_is_logged_once(
    connections: HttpConnections, faults: Faults, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
        raise RuntimeError("half way")

    server = HttpServer(broken, "127.0.0.1", 0, connections=connections, faults=Faults(), grace=1.0)
    host, port = await server.start()
    with structlog.testing.capture_logs() as logs:
        for _ in range(5):
            raw = await dial(f"http://{host}:{port}")
            await raw.send(HEALTH)
            await raw.rest()
    await server.stop()
    assert faults.counts == {"center.http": 5}
    assert len(logs) == 1
    assert caplog.records == []
