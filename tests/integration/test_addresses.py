"""Where a node listens, and what it tells clients of it."""

import asyncio
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from tests.integration.live_node import LiveNode
from tests.waiting import WITHIN


async def told(node: LiveNode, url: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        return await client.get("/v1/dispatch", params={"app": "news", "device": "d1"})


async def test_on_every_address_of_both_families_api_and_room_are_reached_by_both(tmp_path: Path) -> None:
    settings = {"room.host": "::", "center.host": "::"}
    async with LiveNode(tmp_path / "data", settings) as node, asyncio.timeout(WITHIN):
        for host in ("127.0.0.1", "::1"):
            for port in (node.mqtt_port, node.http_port):
                _, writer = await asyncio.open_connection(host, port)
                writer.close()
                await writer.wait_closed()


async def test_a_device_finds_a_room_on_an_address_of_ipv6_by_asking_the_dispatcher(tmp_path: Path) -> None:
    settings = {"room.host": "::1", "center.host": "::1"}
    async with LiveNode(tmp_path / "data", settings) as node, asyncio.timeout(WITHIN):
        url = f"http://[::1]:{node.http_port}"
        [endpoint] = (await told(node, url)).json()["endpoints"]
        assert (endpoint["host"], endpoint["port"]) == ("::1", node.mqtt_port)
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            headers = {"Authorization": f"Bearer {node.admin_key}"}
            [member] = (await client.get("/v1/nodes", headers=headers)).json()["nodes"]
        assert member["addresses"] == {
            "mqtt": f"[::1]:{node.mqtt_port}",
            "ws": f"[::1]:{node.ws_port}",
            "http": url,
        }


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
async def test_no_client_is_ever_told_to_connect_to_every_address(tmp_path: Path, host: str) -> None:
    with capture_logs() as logs:
        node = LiveNode(tmp_path / "data", {"room.host": host})
        await node.embedded.start()
    try:
        assert [line["log_level"] for line in logs if line["event"] == "address_guessed"] == ["warning"]
        answer = await told(node, node.url)
        if answer.status_code == 503:
            return  # this host has no way to others: there is nothing to tell
        [endpoint] = answer.json()["endpoints"]
        assert endpoint["host"] not in ("0.0.0.0", "::")
        # It is one of this host's own, so it can be reached from here too.
        _, writer = await asyncio.open_connection(endpoint["host"], endpoint["port"])
        writer.close()
        await writer.wait_closed()
    finally:
        await node.embedded.stop()
