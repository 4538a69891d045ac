"""What apps do, as the figures of a node tell it by app."""

import asyncio
from pathlib import Path

from longline import Device
from longline.sdk.figures import AppLoad
from tests.integration.live_node import LiveNode
from tests.waiting import until

DONE = ("connections", "connects", "accepted", "sent", "acked", "upstream", "requests")


async def test_what_an_app_does_is_told_by_app(tmp_path: Path) -> None:
    async with LiveNode(tmp_path / "data") as node, node.center() as center:
        await center.create_app("news")
        await center.create_app("idle")
        token = await center.token("news", "phone")
        seen: list[AppLoad] = []

        async def told() -> bool:
            loads = (await center.figures()).by_app()
            assert [load.app for load in loads if load.app != "idle"] in ([], ["news"])
            seen.extend(load for load in loads if load.app == "news")
            return all(any(getattr(load, name) > 0 for load in seen) for name in DONE)

        device = Device("127.0.0.1", node.mqtt_port, app="news", device="phone", token=token.password)

        async def listen() -> None:
            async for _ in device:  # which acknowledges the one before
                pass

        async with device, asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(listen())
            await device.wait_connected()
            await center.send("news", {"hello": 1}, devices=["phone"])
            await device.publish("up/report", b"well")
            await until(told, tell=lambda: seen)
            listening.cancel()
        assert {load.connections for load in seen} <= {0, 1}
        assert {load.errors for load in seen} == {0}
        assert max(load.request_seconds or 0.0 for load in seen) > 0
