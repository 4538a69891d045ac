"""WebSocket, from outside: spoken by the package `websockets`, by our own SDK, and by peers that do harm."""

import asyncio
import os
import time
from collections.abc import AsyncIterator

import httpx
import jwt
import pytest
import pytest_asyncio

from longline import Center, Device
from longline.mqtt.codec import encode
from longline.mqtt.packets import (
    MQTT_3_1_1,
    MQTT_5_0,
    Connack,
    Connect,
    Disconnect,
    Pingreq,
    Pingresp,
    Puback,
    Publish,
    Suback,
    Subscribe,
    Subscription,
)
from tests.cluster.cluster import Cluster
from tests.integration.live_node import LiveNode
from tests.integration.shapes import Server
from tests.integration.test_bad_input import Witness, a_witness
from tests.integration.web_client import WebClient
from tests.waiting import WITHIN, until

VERSIONS = pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])


def token(device: str, secret: str) -> str:
    return jwt.encode({"sub": device}, secret, algorithm="HS256")


class Site:
    """A node with an app, and a device in good order that must notice nothing."""

    def __init__(self, node: LiveNode, secret: str, witness: Witness) -> None:
        self.node = node
        self.secret = secret
        self.witness = witness

    def connect(self, version: int, device: str = "page") -> Connect:
        password = token(device, self.secret).encode()
        return Connect(version, device, username="news", password=password)

    async def enter(self, version: int = MQTT_5_0, device: str = "page") -> WebClient:
        client = await WebClient.open(self.node.ws_port, version)
        client.send(self.connect(version, device))
        connack = await client.receive()
        assert isinstance(connack, Connack)
        assert connack.reason == 0
        return client

    async def counted(self, *codes: str) -> None:
        """These refusals, once each, and no other; and the witness has not noticed."""
        assert await self.node.refused() == dict.fromkeys(codes, 1)
        await self.witness.is_served()
        await self.witness.never_reconnected()
        await until(self._all_gone)

    async def _all_gone(self) -> bool:
        return (await self.node.metrics())["longline_room_connections"] == 1


@pytest_asyncio.fixture
async def site(node: LiveNode) -> AsyncIterator[Site]:
    async with node.center() as center:
        secret = (await center.create_app("news", pubsub=True)).device_secret
        async with a_witness(center, node.mqtt_port, secret) as witness:
            yield Site(node, secret, witness)


# --- in good order ------------------------------------------------------------------------------------


@VERSIONS
async def test_a_client_does_all_that_it_does_over_tcp(site: Site, version: int) -> None:
    async with await site.enter(version) as client:
        client.send(Subscribe(1, [Subscription("a/#", 1)]))
        assert await client.receive() == Suback(1, [1])
        client.send(Publish("a/b", b"x" * 70_000, 1, packet_id=2), Pingreq())
        received = [await client.receive() for _ in range(3)]  # its own message where it comes
        (publish,) = [packet for packet in received if isinstance(packet, Publish)]
        assert publish.payload == b"x" * 70_000
        assert [packet for packet in received if packet is not publish] == [Puback(2), Pingresp()]
        client.ping(b"there?")
        client.send(Pingreq())
        assert await client.receive() == Pingresp()
        assert client.pongs == [b"there?"]
        client.send(Disconnect())
        assert await client.closed_with() == 1000
    await site.counted()


@pytest.mark.parametrize("fragments", [1, 2, 7, 400])
async def test_a_packet_may_come_in_fragments(site: Site, fragments: int) -> None:
    async with await site.enter() as client:
        client.send(Subscribe(1, [Subscription("a", 0)]))
        await client.receive()
        client.stream(encode(Publish("a", os.urandom(1000), 1, packet_id=1), MQTT_5_0), fragments=fragments)
        received = [await client.receive(), await client.receive()]
        (publish,) = [packet for packet in received if isinstance(packet, Publish)]
        assert len(publish.payload) == 1000
        assert Puback(1) in received
    await site.counted()


@pytest.mark.parametrize("code", [1000, 1001, 4000])
async def test_a_close_is_answered_and_is_no_disconnect(site: Site, code: int) -> None:
    async with await site.enter() as client:
        client.close(code, "bye")
        assert await client.closed_with() == code
    await site.counted()


async def test_a_push_reaches_a_page_and_its_receipt_the_ledger(site: Site) -> None:
    async with await site.enter() as client, site.node.center() as center:
        receipt = await center.send("news", "hello", devices=["page"])
        push = await client.receive()
        assert isinstance(push, Publish)
        assert push.topic == f"push/{receipt.message_id}"
        client.send(Puback(push.packet_id))
        assert (await center.wait("news", receipt.message_id, within=WITHIN)).ledger.acked == 1


# --- the opening handshake ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("subprotocols", "status", "chosen"),
    [
        (["mqtt"], 101, "mqtt"),
        (["mqttv3.1"], 101, "mqttv3.1"),
        (["chat", "mqtt"], 101, "mqtt"),
        ([], 101, None),
        (["chat"], 400, None),
    ],
)
async def test_the_subprotocol(site: Site, subprotocols: list[str], status: int, chosen: str | None) -> None:
    async with await WebClient.reach(site.node.ws_port) as client:
        response = await client.ask(subprotocols)
        assert response.status_code == status
        assert response.headers.get("Sec-WebSocket-Protocol") == chosen
        assert "Sec-WebSocket-Extensions" not in response.headers, "no compression"
    await site.counted(*(["upgrade_malformed"] if status == 400 else []))


async def test_another_path_is_not_found_and_another_version_told_ours(site: Site) -> None:
    async with await WebClient.reach(site.node.ws_port, "/other") as client:
        assert (await client.ask()).status_code == 404
    async with await WebClient.reach(site.node.ws_port) as client:
        response = await client.ask(Sec_WebSocket_Version="12")
        assert response.status_code == 426
        assert response.headers["Sec-WebSocket-Version"] == "13"
    await site.counted("upgrade_not_found", "upgrade_required")


async def test_a_browser_that_opens_the_address_is_told_what_it_is(site: Site) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{site.node.ws_port}", trust_env=False) as http:
        lost = await http.get("/")
        assert (lost.status_code, "/mqtt" in lost.text) == (404, True)
        found = await http.get("/mqtt")
        assert (found.status_code, "MQTT" in found.text) == (426, True)
    await site.counted("upgrade_not_found", "upgrade_required")


@pytest.mark.parametrize("node", [{"room.ws_origins": "https://app.example.org"}], indirect=True)
async def test_only_pages_of_the_origins_named_may_connect(site: Site) -> None:
    for origin, status in (
        ("https://app.example.org", 101),
        ("https://evil.example", 403),
        ("null", 403),
        (None, 101),
    ):
        async with await WebClient.reach(site.node.ws_port) as client:
            assert (await client.ask(origin=origin)).status_code == status, origin
    assert await site.node.refused() == {"origin_not_allowed": 2}


# --- hostile ------------------------------------------------------------------------------------------

KEY = b"\0\0\0\0"
HOSTILE: dict[str, tuple[bytes, int, int, str]] = {
    # bytes after CONNACK, the code of the Close, the reason in DISCONNECT, what is counted
    "a frame of 2^62 bytes": (b"\x82\xff\x40" + bytes(7) + KEY, 1009, 0x95, "websocket_too_big"),
    "a frame of 2^63 bytes": (b"\x82\xff\x80" + bytes(7) + KEY, 1002, 0x82, "websocket_protocol_error"),
    "unmasked": (b"\x82\x02\xc0\x00", 1002, 0x82, "websocket_protocol_error"),
    "text": (b"\x81\x82" + KEY + b"{}", 1003, 0x82, "websocket_text"),
    "a reserved bit": (b"\xc2\x80" + KEY, 1002, 0x82, "websocket_protocol_error"),
    "a reserved opcode": (b"\x83\x80" + KEY, 1002, 0x82, "websocket_protocol_error"),
    "a long Ping": (b"\x89\xfe\x00\x7e" + KEY + bytes(126), 1002, 0x82, "websocket_protocol_error"),
    "a Ping in fragments": (b"\x09\x80" + KEY, 1002, 0x82, "websocket_protocol_error"),
    "a Close with bad UTF-8": (b"\x88\x83" + KEY + b"\x03\xe8\xff", 1007, 0x82, "websocket_invalid_data"),
    "endless empty fragments": (
        b"\x02\x80" + KEY + (b"\x00\x80" + KEY) * 20_000,
        1008,
        0x82,
        "websocket_empty_frames",
    ),
    "endless Pings": ((b"\x89\x80" + KEY) * 20_000, 1008, 0x82, "websocket_empty_frames"),
}


@VERSIONS
@pytest.mark.parametrize("name", HOSTILE)
async def test_a_peer_that_breaks_the_protocol_is_told_and_closed(
    site: Site, name: str, version: int
) -> None:
    raw, code, reason, counted = HOSTILE[name]
    async with await site.enter(version) as client:
        client.raw(raw)
        if version == MQTT_5_0:
            last = await client.receive()
            assert isinstance(last, Disconnect)
            assert last.reason == reason
        assert await client.closed_with() == code
    await site.counted(counted)


@pytest.mark.parametrize("node", [{"room.connect_timeout": 1}], indirect=True)
async def test_who_never_finishes_the_upgrade_is_closed_in_time(site: Site) -> None:
    async with (
        await WebClient.reach(site.node.ws_port) as silent,
        await WebClient.reach(site.node.ws_port) as slow,
        await WebClient.open(site.node.ws_port) as upgraded,
    ):
        slow.raw(b"GET /mqtt HTTP/1.1\r\nHost: a\r\nX: ")
        assert await silent.closed_with() is None
        assert await upgraded.closed_with() == 1000
        assert await slow.closed_with() is None
        assert slow.response is not None
        assert slow.response.status_code == 408
    assert await site.node.refused() == {"connect_timeout": 3, "upgrade_timeout": 1}
    await site.witness.is_served()


async def test_a_request_without_end_is_refused_at_its_limit(site: Site) -> None:
    async with await WebClient.reach(site.node.ws_port) as client:
        client.raw(b"GET /mqtt HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 100_000)
        await client.closed_with()
        assert client.response is not None
        assert client.response.status_code == 431
    await site.counted("upgrade_too_large")


async def test_tiny_frames_without_end_keep_nobody_waiting(site: Site) -> None:
    """A megabyte of frames with one byte each, while another device's PINGREQ is answered."""
    flood = b"\x82\x81" + KEY
    pings = b"".join(flood + bytes([byte]) for byte in encode(Pingreq(), MQTT_5_0))
    other = await site.node.connect()
    assert (await other.enter("other", "news", token("other", site.secret))).reason == 0
    async with await site.enter() as client:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(client.written(pings * 75_000))
            longest = 0.0
            for _ in range(20):
                began = time.perf_counter()
                other.send(Pingreq())
                assert await other.receive() == Pingresp()
                longest = max(longest, time.perf_counter() - began)
        for _ in range(75_000):
            assert await client.receive() == Pingresp()
    await other.close()
    print(f"the longest answer to a PINGREQ took {longest * 1000:.1f} ms")
    await site.counted()


# --- the SDK, in whatever shape -----------------------------------------------------------------------


def dispatcher(server: Server) -> str:
    return server.dispatchers[0].status if isinstance(server, Cluster) else server.url


@pytest_asyncio.fixture
async def center(server: Server) -> AsyncIterator[Center]:
    async with server.center() as center:
        await center.create_app("news", pubsub=True)
        yield center


@pytest.mark.parametrize("protocol", [4, 5])
async def test_a_device_of_the_sdk_is_served_over_websocket(
    server: Server, center: Center, protocol: int
) -> None:
    password = (await center.token("news", "d1")).password
    device = Device(
        f"ws://127.0.0.1:{server.ws_port}/mqtt",
        app="news",
        device="d1",
        token=password,
        protocol=5 if protocol == 5 else 4,
    )
    async with device, asyncio.timeout(WITHIN):
        await device.wait_connected()
        big = "x" * 200_000
        receipts = [await center.send("news", text, devices=["d1"]) for text in ("hello", big)]
        for text in ("hello", big):
            message = await device.receive()
            assert message.text == text
            await message.ack()
        for receipt in receipts:
            assert (await center.wait("news", receipt.message_id, within=WITHIN)).ledger.acked == 1
        await device.subscribe("temperature")
        await device.publish("temperature", b"21" * 30_000)
        assert (await device.receive()).payload == b"21" * 30_000


async def test_a_device_finds_its_room_through_a_dispatcher(server: Server, center: Center) -> None:
    password = (await center.token("news", "d1")).password
    device = Device(dispatchers=[dispatcher(server)], transport="ws", app="news", device="d1", token=password)
    async with device, asyncio.timeout(WITHIN):
        await device.wait_connected()
        receipt = await center.send("news", "hello", devices=["d1"])
        message = await device.receive()
        await message.ack()
        assert (await center.wait("news", receipt.message_id, within=WITHIN)).ledger.acked == 1


async def test_browsers_may_ask_the_dispatcher_and_nothing_else(server: Server) -> None:
    asking = {"Origin": "https://app.example.org"}
    before = {**asking, "Access-Control-Request-Method": "GET"}
    async with httpx.AsyncClient(base_url=dispatcher(server), trust_env=False) as http:
        answer = await http.get("/v1/dispatch?app=news&device=d1&transport=ws", headers=asking)
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.json()["endpoints"][0]["path"] == "/mqtt"
        first = await http.options("/v1/dispatch", headers=before)
        assert (first.status_code, first.headers["access-control-allow-origin"]) == (204, "*")
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as http:
        for method, path in (
            ("GET", "/v1/apps"),
            ("OPTIONS", "/v1/apps"),
            ("OPTIONS", "/v1/apps/news/messages"),
            ("GET", "/openapi.json"),
            ("GET", "/healthz"),
            ("GET", "/"),
        ):
            answer = await http.request(method, path, headers=before)
            told = [name for name in answer.headers if name.startswith("access-control")]
            assert told == [], (method, path)
