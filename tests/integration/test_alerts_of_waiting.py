"""Alerts of what waits: for a store that stands still, a room that does not read, a database that somebody
holds, and a loop that is late. Else as `test_alerts`.
"""

import asyncio
import random
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import httpx
import pytest

from longline.mqtt.packets import MQTT_5_0, Connect
from longline.testing.proxy import FaultProxy
from tests.integration.alerts import fired, repeated, side_by_side, stay
from tests.integration.live_member import live_member
from tests.integration.live_node import LiveNode, RawClient
from tests.integration.test_alerts_of_clusters import NOT_ISOLATED, SMALLER, entered
from tests.servers.prometheus import FIRES_WITHIN, Prometheus
from tests.servers.redis_server import RedisServer
from tests.waiting import stand_still, until

pytestmark = [
    pytest.mark.shape("embedded"),
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="needs Debian's package prometheus"),
]

CALLS: Final = 50_000 // SMALLER  # that may wait for the store
PARTITIONS: Final = 4  # of the store of a live member, each of which a list asks
PIECE: Final = 300  # messages, of which the store has one piece at a time
SENDERS: Final = 4  # of pieces
ITEMS: Final = 100_000 // SMALLER  # that may wait for the database
BATCHES: Final = 5  # of devices
HOLD: Final = """
import sqlite3, sys
held = sqlite3.connect(sys.argv[1], isolation_level=None)
held.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""
WAITS: Final = 3.0  # s, which are more than a client should wait
LISTENERS: Final = 100  # devices: some slices of a broadcast
TURN: Final = 0.03  # s, which are more than a turn of the loop should take


async def asked(http: httpx.AsyncClient, method: str, path: str, body: object = None) -> None:
    """What becomes of it, nobody wants to know."""
    with suppress(httpx.TransportError):
        await http.request(method, path, json=body)


def caller(url: str, key: str) -> httpx.AsyncClient:
    """Of very many requests at once."""
    headers = {"Authorization": f"Bearer {key}"}
    limits = httpx.Limits(max_connections=None)
    return httpx.AsyncClient(base_url=url, headers=headers, limits=limits, timeout=60, trust_env=False)


async def clients_that_wait_for_a_store(tmp_path: Path) -> None:
    """They are given up one after the other, each when it has waited for as long as it may."""
    async with AsyncExitStack() as opened:
        server = opened.enter_context(RedisServer(tmp_path / "redis"))
        member = await opened.enter_async_context(
            live_member(tmp_path / "data", server.url, room__connect_patience=WAITS, **NOT_ISOLATED)
        )
        prometheus = await opened.enter_async_context(Prometheus(tmp_path / "p", [member.status]))
        async with member.center() as center:
            await center.create_app("news")
            token = (await center.token("news", "d1")).password
        server.pause()
        opened.callback(server.resume)
        clients: list[RawClient] = []

        async def come() -> None:
            client = await RawClient.open(member.mqtt_port)
            clients.append(client)
            client.send(Connect(MQTT_5_0, f"d{len(clients)}", True, 600, "news", token.encode()))

        await fired(prometheus, ("ConnectsWait",), come, every=0.05)
        for client in clients:
            client.abort()


async def many_that_wait_for_a_store(tmp_path: Path) -> None:
    """Large requests for their turn; and calls of lists, since other requests share calls with each other."""
    async with AsyncExitStack() as opened:
        server = opened.enter_context(RedisServer(tmp_path / "redis"))
        member = await opened.enter_async_context(
            live_member(tmp_path / "data", server.url, store__queue=CALLS, **NOT_ISOLATED)
        )
        prometheus = await opened.enter_async_context(
            Prometheus(tmp_path / "p", [member.status], smaller=SMALLER)
        )
        async with member.center() as center:
            await center.create_app("news")
        http = await opened.enter_async_context(caller(member.url, member.admin_key))
        messages = [{"audience": {"devices": ["d1"]}, "payload": "x"}] * PIECE

        async def send() -> None:
            await asked(http, "POST", "/v1/apps/news/messages:batch", {"messages": messages})

        async def look() -> None:
            await asked(http, "GET", "/v1/apps/news/messages")

        for _ in range(SENDERS):
            await opened.enter_async_context(repeated(send))
        waiting = "longline_center_turns_waiting > 0"
        await until(lambda: prometheus.query(waiting), FIRES_WITHIN, tell=prometheus.tail)
        server.pause()
        opened.callback(server.resume)
        for _ in range(CALLS // PARTITIONS):  # together they have less than may wait: none is refused
            await opened.enter_async_context(repeated(look))
        await fired(prometheus, ("StoreWaits", "TurnsWait"), stay)


async def a_room_that_does_not_read(tmp_path: Path) -> None:
    """What is for its devices drops out of its queue, the oldest first."""
    small = {"bus__queue": 8, "bus__patience": 0, **NOT_ISOLATED}
    async with AsyncExitStack() as opened:
        server = opened.enter_context(RedisServer(tmp_path / "redis"))
        network = await opened.enter_async_context(FaultProxy("127.0.0.1", server.port))
        near, far = [
            await opened.enter_async_context(live_member(tmp_path / name, url, node__name=name, **small))
            for name, url in (("near", server.url), ("far", f"redis://127.0.0.1:{network.port}"))
        ]
        prometheus = await opened.enter_async_context(Prometheus(tmp_path / "p", [near.status]))
        center = await opened.enter_async_context(near.center())
        await center.create_app("news")
        await opened.enter_async_context(entered(far, center, "d1"))
        network.stall()
        opened.callback(network.resume)

        async def send() -> None:
            await center.send("news", "hello", devices=["d1"])

        await fired(prometheus, ("BusDrops",), send)


@asynccontextmanager
async def held(database: Path) -> AsyncIterator[None]:
    """Another process, such as a copy that somebody makes, has it meanwhile."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HOLD, str(database)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert await process.stdout.readline() == b"held\n"
    try:
        yield
    finally:
        process.stdin.close()
        await process.wait()


async def a_database_that_another_holds(tmp_path: Path) -> None:
    async with AsyncExitStack() as opened:
        node = await opened.enter_async_context(LiveNode(tmp_path / "data", {"saver.queue": ITEMS}))
        address = f"127.0.0.1:{node.http_port}"
        prometheus = await opened.enter_async_context(Prometheus(tmp_path / "p", [address], smaller=SMALLER))
        async with node.center() as center:
            await center.create_app("news")
        http = await opened.enter_async_context(caller(node.url, node.admin_key))
        devices = [{"device": f"d{number}"} for number in range(ITEMS // BATCHES)]

        async def register() -> None:
            await asked(http, "POST", "/v1/apps/news/devices:batch", {"devices": devices})

        # What waits for ten seconds is refused, and what comes behind it at once.
        await until(lambda: prometheus.query("longline_saver_write_queue"), tell=prometheus.tail)
        await opened.enter_async_context(held(tmp_path / "data" / "longline.db"))
        for _ in range(BATCHES - 1):  # together less than may wait: none is refused
            await opened.enter_async_context(repeated(register, 0))
        await prometheus.fires("DiskSlow")


async def test_what_waits(tmp_path: Path) -> None:
    """Nearly all of it does nothing meanwhile: side by side."""
    await side_by_side(
        (
            clients_that_wait_for_a_store,
            many_that_wait_for_a_store,
            a_room_that_does_not_read,
            a_database_that_another_holds,
        ),
        tmp_path,
    )


async def test_broadcasts_on_a_loop_that_is_late(tmp_path: Path) -> None:
    async with AsyncExitStack() as opened:
        node = await opened.enter_async_context(LiveNode(tmp_path / "data"))
        address = f"127.0.0.1:{node.http_port}"
        prometheus = await opened.enter_async_context(Prometheus(tmp_path / "p", [address]))
        center = await opened.enter_async_context(node.center())
        await center.create_app("news")
        for number in range(LISTENERS):
            client = await opened.enter_async_context(await node.connect())
            await client.enter(f"d{number}", "news", (await center.token("news", f"d{number}")).password)

        async def send() -> None:
            await center.send("news", "hello", everyone=True, qos=0)

        async def hold_up() -> None:
            if chance.random() < 0.5:
                stand_still(TURN)

        # In half of all turns, also of those with a slice in them: the node answers Prometheus in time.
        chance = random.Random(1)
        async with repeated(hold_up, 0):
            await fired(prometheus, ("BroadcastsSlow",), send)
