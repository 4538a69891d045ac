"""What only several processes can get wrong: devices that change rooms, news that has to go round."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import httpx
import jwt
import pytest
import pytest_asyncio

from longline import Center, Device
from longline.errors import Unauthorized
from longline.sdk.refusals import TakenOver
from tests.cluster.cluster import Cluster

pytestmark = [pytest.mark.shape("cluster"), pytest.mark.timeout(180)]

WITHIN = 20.0  # s


class Town:
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
async def town(server: Cluster) -> AsyncIterator[Town]:
    async with AsyncExitStack() as stack:
        centers = [
            await stack.enter_async_context(Center(process.status, server.admin_key))
            for process in server.centers
        ]
        keys = await centers[0].create_app("news", pubsub=True)
        assert keys.server_key is not None
        town = Town(server, centers, keys.device_secret, keys.server_key)
        await stack.enter_async_context(town.stack)
        yield town


async def next_text(device: Device) -> str:
    async with asyncio.timeout(WITHIN):
        message = await anext(aiter(device))
        await message.ack()
    return message.text


async def eventually(holds: Callable[[], object]) -> None:
    """Waits until something holds, for `WITHIN` seconds at most."""
    async with asyncio.timeout(WITHIN):
        while True:
            if holds():
                return
            await asyncio.sleep(0.02)


async def presence(town: Town) -> list[dict[str, object]]:
    """Every presence event of the app so far."""
    async with httpx.AsyncClient(base_url=town.cluster.url, trust_env=False) as client:
        answer = await client.get(
            "/v1/apps/news/upstream", headers={"Authorization": f"Bearer {town.cluster.admin_key}"}
        )
        events: list[dict[str, object]] = answer.raise_for_status().json()["events"]
    return [event for event in events if event["type"] == "presence"]


async def test_a_push_finds_a_device_in_whatever_room_through_whatever_center(town: Town) -> None:
    devices = [await town.device(f"d{room}", room) for room in range(4)]
    for number, center in enumerate(town.centers):
        for room in range(4):
            await center.send("news", f"{number}-{room}", devices=[f"d{room}"])
    for room, device in enumerate(devices):
        assert [await next_text(device) for _ in town.centers] == [f"0-{room}", f"1-{room}"]


async def test_a_broadcast_reaches_every_room_and_who_was_away(town: Town) -> None:
    devices = [await town.device(f"d{room}", room) for room in range(4)]
    await town.centers[0].put_device("news", "away")
    receipt = await town.centers[1].send("news", "to all", everyone=True)
    assert [await next_text(device) for device in devices] == ["to all"] * 4
    assert await next_text(await town.device("away", 2)) == "to all"
    ledger = (await town.centers[0].wait("news", receipt.message_id, within=WITHIN)).ledger
    assert (ledger.targeted, ledger.acked) == (5, 5)


async def test_a_device_that_connects_elsewhere_takes_its_session_along(town: Town) -> None:
    first = await town.device("phone", 0)
    receipt = await town.centers[0].send("news", "one", devices=["phone"])
    assert await next_text(first) == "one"
    await town.centers[0].wait("news", receipt.message_id, within=WITHIN)
    second = await town.device("phone", 3)
    with pytest.raises(TakenOver):
        await next_text(first)
    await town.centers[1].send("news", "two", devices=["phone"])
    assert await next_text(second) == "two"
    states: list[object] = []
    async with asyncio.timeout(WITHIN):
        while len(states) < 2:
            states = [event["state"] for event in await presence(town)]
    assert states == ["online", "moved"], "a takeover is one transition"


async def test_what_was_sent_and_not_acknowledged_follows_the_device(town: Town) -> None:
    first = await town.device("phone", 0)
    for number in range(5):
        await town.centers[0].send("news", f"m{number}", devices=["phone"])
    async with asyncio.timeout(WITHIN):
        unacknowledged = await anext(aiter(first))
    assert unacknowledged.text == "m0"
    second = await town.device("phone", 1)
    assert [await next_text(second) for _ in range(5)] == [f"m{number}" for number in range(5)]


async def test_a_kick_finds_the_device_whoever_is_asked(town: Town) -> None:
    device = await town.device("phone", 2)
    before = device.statistics.connects
    await town.centers[1].kick("news", "phone")
    await eventually(lambda: device.statistics.connects > before)


async def test_a_rotated_key_stops_working_at_every_center(town: Town) -> None:
    async with AsyncExitStack() as stack:
        asking = [
            await stack.enter_async_context(Center(process.status, town.server_key))
            for process in town.cluster.centers
        ]
        for center in asking:
            await center.app("news")
        await town.centers[0].rotate_keys("news")
        for center in asking:
            async with asyncio.timeout(WITHIN):
                while True:
                    try:
                        await center.app("news")
                    except Unauthorized:
                        break
                    await asyncio.sleep(0.1)


async def test_topics_reach_subscribers_in_other_rooms(town: Town) -> None:
    publisher = await town.device("publisher", 0)
    here, there = await town.device("here", 0), await town.device("there", 3)
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


async def test_every_dispatcher_sends_a_client_to_the_same_room(town: Town) -> None:
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
                for process in town.cluster.dispatchers
            ]
            first, other = ([endpoint["port"] for endpoint in answer["endpoints"]] for answer in answers)
            assert first[0] == other[0]
            assert set(first) <= set(town.cluster.room_ports)


async def test_members_are_the_same_at_every_center(town: Town) -> None:
    roles = []
    for process in town.cluster.centers:
        async with httpx.AsyncClient(base_url=process.status, trust_env=False) as client:
            answer = await client.get(
                "/v1/nodes", headers={"Authorization": f"Bearer {town.cluster.admin_key}"}
            )
        roles.append(sorted(role for node in answer.json()["nodes"] for role in node["roles"]))
    expected = ["center"] * 2 + ["coordinator"] * 2 + ["dispatcher"] * 2 + ["room"] * 4
    assert roles == [expected, expected]
