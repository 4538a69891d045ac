"""Who is online, as app servers read it, across the death of a node."""

from contextlib import AsyncExitStack
from pathlib import Path

import httpx

from longline import Device
from tests.integration.server_process import ServerProcess
from tests.waiting import until

Told = dict[str, list[str]]


async def told(server: ServerProcess) -> Told:
    """The states of each device, in order."""
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {server.admin_key}"}) as http:
        answer = await http.get(f"{server.url}/v1/apps/news/upstream?limit=100")
    states: Told = {}
    for event in answer.json()["events"]:
        if event["type"] != "presence":
            continue
        states.setdefault(event["device"], []).append(event["state"])
    return states


async def test_a_killed_node_leaves_nobody_online_who_does_not_come_back(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(ServerProcess(tmp_path / "data"))
        lives = {}
        for name in ("stays-away", "comes-back", "says-goodbye"):
            lives[name] = await stack.enter_async_context(AsyncExitStack())
        async with server.center() as center:
            await center.create_app("news")
            for name, life in lives.items():
                token = (await center.token("news", name)).password
                device = Device("127.0.0.1", server.mqtt_port, app="news", device=name, token=token)
                await life.enter_async_context(device)
                await device.wait_connected()

        async def are_told(expected: Told) -> bool:
            return await told(server) == expected

        await until(lambda: are_told({name: ["online"] for name in lives}))
        await lives["says-goodbye"].aclose()
        await server.kill()
        await lives["stays-away"].aclose()
        await server.start()
        gone = ["online", "offline"]
        await until(
            lambda: are_told({"stays-away": gone, "says-goodbye": gone, "comes-back": [*gone, "online"]})
        )
