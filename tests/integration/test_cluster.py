"""What only several processes can get wrong: devices that change rooms, news that has to go round."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx
import jwt
import pytest
import pytest_asyncio

from longline import Center, Device
from longline.errors import TakenOver, Unauthorized
from tests.cluster.cluster import Cluster
from tests.waiting import WITHIN, eventually, until

pytestmark = [pytest.mark.shape("cluster"), pytest.mark.timeout(900)]


class RunningApp:
    """An app on a cluster, and devices of it in rooms of one's choice."""

    def __init__(self, cluster: Cluster, centers: list[Center], secret: str, server_key: str) -> None:
        self.cluster = cluster
        self.centers = centers
        self.secret = secret
        self.server_key = server_key
        self.stack = AsyncExitStack()

    async def device(self, name: str, room: int, **options: object) -> Device:
        """A connected device."""
        token = jwt.encode({"sub": name}, self.secret, algorithm="HS256")
        port = self.cluster.room_ports[room]
        device = Device("127.0.0.1", port, app="news", device=name, token=token)
        await self.stack.enter_async_context(device)
        async with asyncio.timeout(WITHIN):
            await device.wait_connected()
        return device


@pytest_asyncio.fixture
async def running(server: Cluster) -> AsyncIterator[RunningApp]:
    async with AsyncExitStack() as stack:
        centers = [
            await stack.enter_async_context(Center(process.status, server.admin_key))
            for process in server.centers
        ]
        keys = await centers[0].create_app("news", pubsub=True)
        assert keys.server_key is not None
        running = RunningApp(server, centers, keys.device_secret, keys.server_key)
        await stack.enter_async_context(running.stack)
        yield running


async def next_text(device: Device) -> str:
    async with asyncio.timeout(WITHIN):
        message = await anext(aiter(device))
        await message.ack()
    return message.text


async def presence(running: RunningApp) -> list[dict[str, object]]:
    """Every presence event of the app so far."""
    async with httpx.AsyncClient(base_url=running.cluster.url, trust_env=False) as client:
        answer = await client.get(
            "/v1/apps/news/upstream", headers={"Authorization": f"Bearer {running.cluster.admin_key}"}
        )
        events: list[dict[str, object]] = answer.raise_for_status().json()["events"]
    return [event for event in events if event["type"] == "presence"]


async def test_a_push_finds_a_device_in_whatever_room_through_whatever_center(running: RunningApp) -> None:
    devices = [await running.device(f"d{room}", room) for room in range(4)]
    for number, center in enumerate(running.centers):
        for room in range(4):
            await center.send("news", f"{number}-{room}", devices=[f"d{room}"])
    for room, device in enumerate(devices):
        assert [await next_text(device) for _ in running.centers] == [f"0-{room}", f"1-{room}"]


async def test_a_broadcast_reaches_every_room_and_who_was_away(running: RunningApp) -> None:
    devices = [await running.device(f"d{room}", room) for room in range(4)]
    await running.centers[0].put_device("news", "away")
    receipt = await running.centers[1].send("news", "to all", everyone=True)
    assert [await next_text(device) for device in devices] == ["to all"] * 4
    assert await next_text(await running.device("away", 2)) == "to all"
    ledger = (await running.centers[0].wait("news", receipt.message_id, within=WITHIN)).ledger
    assert (ledger.targeted, ledger.acked) == (5, 5)


async def test_a_device_that_connects_elsewhere_takes_its_session_along(running: RunningApp) -> None:
    first = await running.device("phone", 0)
    receipt = await running.centers[0].send("news", "one", devices=["phone"])
    assert await next_text(first) == "one"
    await running.centers[0].wait("news", receipt.message_id, within=WITHIN)
    second = await running.device("phone", 3)
    with pytest.raises(TakenOver):
        await next_text(first)
    await running.centers[1].send("news", "two", devices=["phone"])
    assert await next_text(second) == "two"
    states: list[object] = []
    async with asyncio.timeout(WITHIN):
        while len(states) < 2:
            states = [event["state"] for event in await presence(running)]
    assert states == ["online", "moved"], "a takeover is one transition"


async def test_what_was_sent_and_not_acknowledged_follows_the_device(running: RunningApp) -> None:
    first = await running.device("phone", 0)
    for number in range(5):
        await running.centers[0].send("news", f"m{number}", devices=["phone"])
    async with asyncio.timeout(WITHIN):
        unacknowledged = await anext(aiter(first))
    assert unacknowledged.text == "m0"
    second = await running.device("phone", 1)
    assert [await next_text(second) for _ in range(5)] == [f"m{number}" for number in range(5)]


async def test_a_kick_finds_the_device_whoever_is_asked(running: RunningApp) -> None:
    device = await running.device("phone", 2)
    before = device.statistics.connects
    await running.centers[1].kick("news", "phone")
    await until(lambda: device.statistics.connects > before)


async def knows(center: Center) -> bool:
    """Whether a center goes by this key: of a new one it may hear a quarter of a second later than others."""
    try:
        await center.app("news")
    except Unauthorized:
        return False
    return True


async def test_a_rotated_key_stops_working_at_every_center(running: RunningApp) -> None:
    async with AsyncExitStack() as stack:
        asking = [
            await stack.enter_async_context(Center(process.status, running.server_key))
            for process in running.cluster.centers
        ]
        for center in asking:
            await until(lambda: knows(center))  # noqa: B023
        await running.centers[0].rotate_keys("news")
        for center in asking:
            await eventually(lambda: knows(center), False)  # noqa: B023


async def test_topics_reach_subscribers_in_other_rooms(running: RunningApp) -> None:
    publisher = await running.device("publisher", 0)
    here, there = await running.device("here", 0), await running.device("there", 3)
    await here.subscribe("weather/+")
    await there.subscribe("weather/#")
    async with asyncio.timeout(WITHIN):
        while True:  # the news of a subscription takes a moment to go round
            await publisher.publish("weather/probe", b"probe", qos=1)
            if await heard(there):
                break
    await publisher.publish("weather/today", b"rain", qos=1)
    for device in (here, there):
        text = "probe"
        while text == "probe":
            text = await next_text(device)
        assert text == "rain"


async def heard(device: Device) -> bool:
    """Whether something comes within a moment."""
    try:
        async with asyncio.timeout(0.5):
            message = await anext(aiter(device))
            await message.ack()
    except TimeoutError:
        return False
    return True


async def test_every_dispatcher_sends_a_client_to_the_same_room(running: RunningApp) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        for number in range(20):
            answers = [
                (
                    await client.get(
                        f"{process.status}/v1/dispatch", params={"app": "news", "device": f"d{number}"}
                    )
                )
                .raise_for_status()
                .json()
                for process in running.cluster.dispatchers
            ]
            first, other = ([endpoint["port"] for endpoint in answer["endpoints"]] for answer in answers)
            assert first[0] == other[0]
            assert set(first) <= set(running.cluster.room_ports)


async def test_members_are_the_same_at_every_center(running: RunningApp) -> None:
    roles = []
    for process in running.cluster.centers:
        async with httpx.AsyncClient(base_url=process.status, trust_env=False) as client:
            answer = await client.get(
                "/v1/nodes", headers={"Authorization": f"Bearer {running.cluster.admin_key}"}
            )
        roles.append(sorted(role for node in answer.json()["nodes"] for role in node["roles"]))
    expected = ["center"] * 2 + ["coordinator"] * 2 + ["dispatcher"] * 2 + ["room"] * 4
    assert roles == [expected, expected]
