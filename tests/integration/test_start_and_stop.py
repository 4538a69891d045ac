"""A node that starts or stops leaves nothing half open."""

import asyncio
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from longline.errors import SettingsError
from longline.mqtt.packets import MQTT_3_1_1, MQTT_5_0, Disconnect
from tests.integration.live_node import LiveNode, RawClient
from tests.integration.test_bad_input import token
from tests.servers.ports import free_ports
from tests.waiting import WITHIN, eventually


async def test_a_node_that_stops_says_so_to_devices_and_closes_whoever_is_there(tmp_path: Path) -> None:
    """Also strangers that have said nothing: they have no session, and must not hold up the end."""
    async with LiveNode(tmp_path / "data", {"node.shutdown_grace": 60}) as node, asyncio.timeout(WITHIN):
        async with node.center() as center:
            secret = (await center.create_app("news")).device_secret
        clients: list[RawClient] = []
        for version in (MQTT_3_1_1, MQTT_5_0):
            client = await node.connect(version)
            assert (await client.enter(f"d{version}", "news", token(f"d{version}", secret))).reason == 0
            clients.append(client)
        stranger = await node.connect()
        stranger.bytes(b"\x10")

        async def connections() -> float:
            return (await node.metrics())["longline_room_connections"]

        await eventually(connections, 3)
        await node.embedded.stop()
        assert await clients[0].rest() == []
        assert await clients[1].rest() == [Disconnect(0x8B)]
        assert await stranger.rest() == []
        for client in (*clients, stranger):
            await client.close()
    async with LiveNode(tmp_path / "data") as again, again.center() as center:
        assert [app.app async for app in center.apps()] == ["news"]


CLOSED = """
import os, sys
for number in (0, 1, 2):
    os.close(number)
os.execv(sys.executable, [sys.executable, "-m", "longline", *sys.argv[1:]])
"""


async def test_a_node_whose_standard_files_are_closed_gives_their_numbers_to_nothing_else(
    tmp_path: Path,
) -> None:
    """What is written to standard error would land in a socket, and libuv aborts when it closes that."""
    http_port, mqtt_port = free_ports(2)
    node = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CLOSED, "serve", "--data", str(tmp_path / "data")),
        *("--center.port", str(http_port), "--room.port", str(mqtt_port)),
        *("--room.ws_port", "0", "--node.loop", "auto"),
    )
    try:
        async with httpx.AsyncClient() as http:

            async def ready() -> int:
                with suppress(httpx.TransportError):
                    return (await http.get(f"http://127.0.0.1:{http_port}/readyz")).status_code
                assert node.returncode is None
                return 0

            await eventually(ready, 200)
        for number in (0, 1, 2):
            assert os.readlink(f"/proc/{node.pid}/fd/{number}") == os.devnull
        node.terminate()
        async with asyncio.timeout(WITHIN):
            assert await node.wait() == 0
    finally:
        if node.returncode is None:
            node.kill()
            await node.wait()


@pytest.mark.parametrize("taken", ["room.port", "center.port"])
async def test_a_node_that_cannot_have_its_port_leaves_nothing_open(tmp_path: Path, taken: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        node = LiveNode(tmp_path / "data", {taken: other.getsockname()[1]})
        tasks = asyncio.all_tasks()
        with pytest.raises(SettingsError, match="in use"):
            await node.embedded.start()
        assert asyncio.all_tasks() == tasks
    async with LiveNode(tmp_path / "data"):  # the store is not held by what failed
        pass
