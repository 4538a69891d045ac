"""A page in Chromium is a device: MQTT.js over WebSocket, found by the dispatcher, pushed to, publishing."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from longline import Center, Device
from tests.cluster.cluster import Cluster
from tests.integration.browser.chromium import Page
from tests.integration.live_node import LiveNode
from tests.integration.shapes import Server
from tests.waiting import WITHIN


@pytest_asyncio.fixture
async def center(server: Server) -> AsyncIterator[Center]:
    async with server.center() as center:
        await center.create_app("news", pubsub=True)
        yield center


def dispatcher(server: Server) -> str:
    return server.dispatchers[0].status if isinstance(server, Cluster) else server.url


@pytest.mark.parametrize("protocol", [4, 5])
@pytest.mark.parametrize("transport", ["ws", "wss"])
async def test_a_page_receives_a_push_and_publishes(
    server: Server, center: Center, tmp_path: Path, transport: str, protocol: int
) -> None:
    """It asks the dispatcher first, from an origin of its own: CORS lets it read the answer."""
    listener = Device(
        "127.0.0.1",
        server.mqtt_port,
        app="news",
        device="listener",
        token=(await center.token("news", "listener")).password,
    )
    async with listener, Page(tmp_path) as page:
        await listener.subscribe("page/says")
        token = (await center.token("news", "page")).password
        await page.open(
            app="news",
            device="page",
            token=token,
            protocol=protocol,
            dispatcher=dispatcher(server),
            transport=transport,
        )
        connected = await page.expect("connected")
        assert connected["url"].startswith(f"{transport}://127.0.0.1:")
        assert connected["url"].endswith("/mqtt")
        receipt = await center.send("news", "hello, page", devices=["page"])
        message = await page.expect("message")
        assert message["topic"] == f"push/{receipt.message_id}"
        assert message["payload"] == "hello, page"
        await page.expect("published")
        said = await listener.receive()
        assert (said.topic, said.text) == ("page/says", "seen: hello, page")
        await said.ack()
        ledger = (await center.wait("news", receipt.message_id, within=WITHIN)).ledger
        assert (ledger.acked, ledger.pending) == (1, 0)
        big = "x" * 200_000
        receipt = await center.send("news", big, devices=["page"])
        assert (await page.expect("message"))["payload"] == big
        assert (await center.wait("news", receipt.message_id, within=WITHIN)).ledger.acked == 1


@pytest.mark.parametrize("node", [{"room.ws_origins": "https://app.example.org"}], indirect=True)
async def test_a_page_of_another_origin_is_kept_out(node: LiveNode, tmp_path: Path) -> None:
    async with node.center() as center, Page(tmp_path) as page:
        await center.create_app("news")
        token = (await center.token("news", "page")).password
        url = f"ws://127.0.0.1:{node.ws_port}/mqtt"
        await page.open(app="news", device="page", token=token, url=url)
        await page.expect("closed")
        assert await node.refused() == {"origin_not_allowed": 1}


async def test_a_page_whose_server_goes_is_told_and_comes_back(node: LiveNode, tmp_path: Path) -> None:
    """A kick ends the connection with a Close that the browser takes for one, and MQTT.js connects again."""
    async with node.center() as center, Page(tmp_path) as page:
        await center.create_app("news")
        token = (await center.token("news", "page")).password
        url = f"ws://127.0.0.1:{node.ws_port}/mqtt"
        await page.open(app="news", device="page", token=token, url=url, reconnect=100)
        await page.expect("connected")
        await center.kick("news", "page")
        await page.expect("closed")
        await page.expect("connected")
        receipt = await center.send("news", "again", devices=["page"])
        assert (await page.expect("message"))["payload"] == "again"
        assert (await center.wait("news", receipt.message_id, within=WITHIN)).ledger.acked == 1
