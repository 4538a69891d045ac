"""The API on a real port of the loopback."""

import asyncio
import signal
from collections.abc import AsyncIterator

import httpx
import pytest

from longline.center.api import application
from longline.center.server import HttpServer
from longline.settings import CenterSettings
from longline.telemetry.faults import Faults
from tests.unit.center.conftest import Api


@pytest.fixture
def settings() -> CenterSettings:
    return CenterSettings(max_body=100_000)


@pytest.fixture
async def url(api: Api) -> AsyncIterator[str]:
    server = HttpServer(application(api.center), "127.0.0.1", 0, faults=Faults(), grace=1.0)
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


async def test_a_taken_port_is_an_error_and_not_the_end_of_the_process(api: Api, url: str) -> None:
    port = int(url.rpartition(":")[2])
    with pytest.raises(OSError, match="in use"):
        await HttpServer(application(api.center), "127.0.0.1", port, faults=Faults(), grace=1.0).start()


async def test_stopping_lets_a_request_end(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    news = await api.app("news")
    server = HttpServer(application(api.center), "127.0.0.1", 0, faults=Faults(), grace=5.0)
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
