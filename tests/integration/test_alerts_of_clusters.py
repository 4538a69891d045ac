"""Alerts on real members of a cluster, whose store, rooms or network are in trouble: as `test_alerts`."""

import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from longline import Center
from longline.errors import LonglineError
from longline.mqtt.packets import MQTT_5_0, Puback, Publish, Subscribe, Subscription
from longline.testing.proxy import FaultProxy
from tests.integration.alerts import fired, repeated, side_by_side, stay
from tests.integration.live_member import LiveMember, live_member
from tests.integration.live_node import RawClient
from tests.servers.prometheus import Prometheus
from tests.servers.redis_server import RedisServer
from tests.waiting import until

pytestmark = [
    pytest.mark.shape("embedded"),
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="needs Debian's package prometheus"),
]

SMALLER: Final = 200  # times, than the bounds of queues are by default
RECEIPTS: Final = 200_000 // SMALLER  # that may wait for the store
PUSHES: Final = 400  # to each of three devices: together more than may wait
NOT_ISOLATED: Final = {"keeper__session_timeout": 120, "store__timeout": 60}  # s: longer than a test takes
SOME: Final = 16  # that do something at once


@asynccontextmanager
async def entered(member: LiveMember, center: Center, device: str) -> AsyncIterator[RawClient]:
    """A client of a device of the app `news`."""
    async with await RawClient.open(member.mqtt_port, MQTT_5_0) as client:
        await client.enter(device, "news", (await center.token("news", device)).password)
        yield client


async def test_a_store_that_stands_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a member has for the store, and for another member, waits."""
    monkeypatch.setattr("longline.room.room.RECEIPTS", RECEIPTS)
    async with AsyncExitStack() as opened:
        server = opened.enter_context(RedisServer(tmp_path / "redis"))
        here, there = [
            await opened.enter_async_context(
                live_member(
                    tmp_path / name, server.url, node__name=name, room__inflight_window=PUSHES, **NOT_ISOLATED
                )
            )
            for name in ("here", "there")
        ]
        prometheus = await opened.enter_async_context(
            Prometheus(tmp_path / "p", [here.status], smaller=SMALLER)
        )
        center = await opened.enter_async_context(here.center())
        await center.create_app("news", pubsub=True)
        reader = await opened.enter_async_context(entered(there, center, "reader"))
        writer = await opened.enter_async_context(entered(here, center, "writer"))
        reader.send(Subscribe(1, [Subscription("flood")]))
        await reader.receive()

        async def write() -> None:
            writer.send(Publish("flood", b""))

        async with repeated(write):  # until the other room's filter is known
            await reader.receive()
        names = ["d1", "d2", "d3"]
        takers = [await opened.enter_async_context(entered(here, center, name)) for name in names]
        push = {"audience": {"devices": names}, "payload": "x"}
        await center.send_batch("news", [push] * PUSHES)
        taken = [
            [packet.packet_id for _ in range(PUSHES) if isinstance(packet := await taker.receive(), Publish)]
            for taker in takers
        ]
        server.pause()
        opened.callback(server.resume)

        writer.send(*(Publish("flood", b"") for _ in range(12_000)))
        await prometheus.fires("BusWaits")

        async def flood() -> None:
            writer.send(Publish("flood", bytes(250_000)))
            await writer.drain()

        await fired(prometheus, ("RoutesDrop",), flood)
        for taker, packets in zip(takers, taken, strict=True):
            taker.send(*(Puback(packet) for packet in packets))
        await fired(prometheus, ("Pressed", "ReceiptsLost", "ReceiptsWait", "StoreLate"), stay)


async def a_store_that_breaks_its_connections_and_is_gone(tmp_path: Path) -> None:
    """Then it is back, empty."""
    async with AsyncExitStack() as opened:
        server = opened.enter_context(RedisServer(tmp_path / "redis"))
        member = await opened.enter_async_context(
            live_member(tmp_path / "data", server.url, store__timeout=2)
        )
        prometheus = await opened.enter_async_context(Prometheus(tmp_path / "p", [member.status]))

        async def break_them() -> None:
            server.command("CLIENT", "KILL", "TYPE", "normal")

        await fired(prometheus, ("StoreUnsteady",), break_them, every=2)
        await until(lambda: prometheus.query("longline_store_connected == longline_store_servers"))
        server.kill()
        await fired(prometheus, ("StoreDisconnected", "Isolated", "CoordinatorFails"), stay)
        server.start()
        await prometheus.fires("Resyncs")


async def test_a_store_that_goes_between_a_message_and_its_route(tmp_path: Path) -> None:
    """Again and again, for it is a matter of moments."""
    async with AsyncExitStack() as opened:
        server = opened.enter_context(RedisServer(tmp_path / "redis", config={"appendonly": "yes"}))
        member = await opened.enter_async_context(
            live_member(tmp_path / "data", server.url, store__timeout=0.3, keeper__session_timeout=120)
        )
        prometheus = await opened.enter_async_context(Prometheus(tmp_path / "p", [member.status]))
        center = await opened.enter_async_context(member.center())
        await center.create_app("news")
        await opened.enter_async_context(entered(member, center, "d1"))
        outcomes: set[bool] = set()

        async def send() -> None:
            try:
                await center.send("news", "hello", devices=["d1"])
            except LonglineError:
                outcomes.add(False)
            else:
                outcomes.add(True)

        async def lose() -> None:
            server.kill()
            outcomes.clear()
            await until(lambda: False in outcomes)
            server.start()
            await until(lambda: True in outcomes)

        for _ in range(SOME):
            await opened.enter_async_context(repeated(send, 0))
        await fired(prometheus, ("RoutesFail",), lose)


async def a_member_that_is_cut_off(tmp_path: Path) -> None:
    """It goes on seeing the rooms that it saw last, of which others see less."""
    async with AsyncExitStack() as opened:
        server = opened.enter_context(RedisServer(tmp_path / "redis"))
        network = await opened.enter_async_context(FaultProxy("127.0.0.1", server.port))
        near, far = [
            await opened.enter_async_context(
                live_member(tmp_path / name, url, node__name=name, keeper__session_timeout=1)
            )
            for name, url in (("near", server.url), ("far", f"redis://127.0.0.1:{network.port}"))
        ]
        prometheus = await opened.enter_async_context(Prometheus(tmp_path / "p", [near.status, far.status]))
        await until(lambda: prometheus.query("sum(longline_dispatcher_rooms) == 4"), tell=prometheus.tail)
        network.stall()
        opened.callback(network.resume)
        await prometheus.fires("RoomsSeenDiffer")


async def test_rooms_that_are_cut_off(tmp_path: Path) -> None:
    """They send their clients elsewhere; and as they are most of the rooms, the judge takes its time."""
    async with AsyncExitStack() as opened:
        server = opened.enter_context(RedisServer(tmp_path / "redis"))
        network = await opened.enter_async_context(FaultProxy("127.0.0.1", server.port))
        urls = {"near": server.url} | dict.fromkeys(("far", "further"), f"redis://127.0.0.1:{network.port}")
        near, far, further = [
            await opened.enter_async_context(
                live_member(tmp_path / name, url, node__name=name, keeper__session_timeout=1)
            )
            for name, url in urls.items()
        ]
        prometheus = await opened.enter_async_context(
            Prometheus(tmp_path / "p", [near.status, far.status, further.status])
        )
        center = await opened.enter_async_context(near.center())
        await center.create_app("news")
        await opened.enter_async_context(entered(far, center, "d1"))
        network.stall()
        opened.callback(network.resume)
        await fired(prometheus, ("Rebound", "DeathsWithheld", "RoomDied"), stay)


async def test_conditions_of_members(tmp_path: Path) -> None:
    """Those that need little of the processor: side by side."""
    await side_by_side(
        (
            a_store_that_breaks_its_connections_and_is_gone,
            a_member_that_is_cut_off,
        ),
        tmp_path,
    )
