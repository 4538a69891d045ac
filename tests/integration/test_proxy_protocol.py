"""The PROXY protocol, from outside, on every listener: whom the room takes its clients for."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from longline.mqtt.packets import Connack, Connect
from tests.certificates import Authority
from tests.integration.live_node import LiveNode, RawClient
from tests.integration.web_client import WebClient
from tests.servers.ports import free_ports
from tests.waiting import until

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
LINE = b"PROXY TCP4 203.0.113.7 127.0.0.1 56324 1883\r\n"
BINARY = (
    SIGNATURE
    + b"\x21\x21\x00\x2b"
    + bytes.fromhex("20010db8" + "00" * 11 + "07")
    + bytes(15)
    + (b"\x01" + b"\x12\x34\x07\x5b" + b"\x04\x00\x04mqtt")
)
LOCAL = SIGNATURE + b"\x20\x00\x00\x00"
WAYS = ("tcp", "tls", "ws", "wss")


@dataclass
class Site:
    """A node behind a proxy on this host, on all four transports."""

    node: LiveNode
    ports: dict[str, int]
    trusted: ssl.SSLContext

    async def connect(self, way: str, said: bytes) -> RawClient | WebClient:
        """A connection over which this was said before anything else."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.ports[way])
        writer.write(said)
        try:
            if way in ("tls", "wss"):
                await writer.start_tls(self.trusted, server_hostname="localhost")
            if way in ("tcp", "tls"):
                return RawClient(reader, writer, 5)
            client = WebClient(reader, writer, f"ws://127.0.0.1:{self.ports[way]}/mqtt", 5)
            assert (await client.ask()).status_code == 101
        except BaseException:
            writer.transport.abort()
            raise
        return client

    async def taken_for(self, way: str, said: bytes) -> str:
        """The address in the log of a client that names an app that is not there."""
        with capture_logs() as logs:
            client = await self.connect(way, said)
            async with client:
                client.send(Connect(5, "phone", username="nobody", password=b"x"))
                connack = await client.receive()
                assert isinstance(connack, Connack)
                assert connack.reason == 0x86
        (line,) = [line for line in logs if line["event"] == "refused"]
        assert line["code"] == "app_not_found"
        return str(line["peer"])


@pytest_asyncio.fixture
async def site(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    authority = Authority(tmp_path / "certificates")
    pair = authority.server()
    tls_port, wss_port = free_ports(2)
    settings = {
        "room.proxy_from": "127.0.0.1",
        "room.tls_port": tls_port,
        "room.wss_port": wss_port,
        "room.tls_cert": str(pair.certificate),
        "room.tls_key": str(pair.key),
        **getattr(request, "param", {}),
    }
    async with LiveNode(tmp_path / "data", settings) as node:
        ports = {"tcp": node.mqtt_port, "tls": tls_port, "ws": node.ws_port, "wss": wss_port}
        yield Site(node, ports, ssl.create_default_context(cafile=authority.ca))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("said", "peer"), [(LINE, "203.0.113.7"), (BINARY, "2001:db8::7"), (LOCAL, "127.0.0.1")]
)
async def test_the_address_in_the_header_is_the_clients_on_every_listener(
    site: Site, way: str, said: bytes, peer: str
) -> None:
    assert await site.taken_for(way, said) == peer


@pytest.mark.parametrize("way", WAYS)
async def test_who_comes_from_a_proxy_without_a_header_is_closed(site: Site, way: str) -> None:
    with suppress(ConnectionError, ssl.SSLError):
        client = await site.connect(way, b"")
        async with client:
            client.send(Connect(5, "phone", username="nobody", password=b"x"))
            assert await client.receive() is None
    assert await site.node.refused() == {"proxy_header": 1}


@pytest.mark.parametrize("site", [{"room.connect_timeout": 1}], indirect=True)
async def test_a_header_that_never_comes_whole_ends_with_its_deadline(site: Site) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.ports["tcp"])
    for byte in LINE[:-1]:
        writer.write(bytes([byte]))
        await writer.drain()
    with suppress(ConnectionError):
        assert await reader.read() == b""
    writer.close()
    assert await site.node.refused() == {"proxy_header": 1}
    assert (await site.node.metrics())["longline_room_headers_awaited"] == 0


@pytest.mark.parametrize("site", [{"room.deny": "203.0.113.0/24"}], indirect=True)
async def test_lists_go_by_the_address_in_the_header(site: Site) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.ports["tcp"])
    writer.write(LINE)
    with suppress(ConnectionError):
        assert await reader.read() == b""
    writer.close()
    assert await site.node.refused() == {"address_denied": 1}
    assert await site.taken_for("tcp", BINARY) == "2001:db8::7"


@pytest.mark.parametrize("site", [{"room.max_connections_per_address": 1}], indirect=True)
async def test_counts_go_by_the_address_in_the_header(site: Site) -> None:
    async with await site.connect("tcp", LINE), await site.connect("ws", LINE.replace(b".7 ", b".8 ")):
        reader, writer = await asyncio.open_connection("127.0.0.1", site.ports["tls"])
        writer.write(LINE)
        with suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
        assert await site.node.refused() == {"too_many_connections_per_address": 1}

    async def gone() -> bool:
        return (await site.node.metrics())["longline_room_connections"] == 0

    await until(gone)
    assert await site.taken_for("tls", LINE) == "203.0.113.7"


@pytest.mark.parametrize("site", [{"room.proxy_from": "192.0.2.0/24"}], indirect=True)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("said", [LINE, BINARY])
async def test_nobody_elses_header_is_believed(site: Site, way: str, said: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.ports[way])
    writer.write(said)
    with suppress(ConnectionError):
        answer = await reader.read()
        assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ") or answer[:1] == b"\x15"
    writer.close()
    figures = await site.node.metrics()
    failed = sum(n for name, n in figures.items() if name.startswith("longline_room_tls_failed_total"))
    assert sum((await site.node.refused()).values()) + failed == 1
    assert await site.taken_for(way, b"") == "127.0.0.1"
