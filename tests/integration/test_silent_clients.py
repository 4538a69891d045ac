"""Clients that take pushes and acknowledge none, end to end: parked in the end, wherever they connect."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from longline import Center
from longline.mqtt.packets import MQTT_5_0, Packet, Puback, Publish
from tests.cluster.cluster import Cluster
from tests.integration.live_node import RawClient
from tests.integration.shapes import Server
from tests.waiting import WITHIN, until

MANY = 30  # connections; as the servers of these tests are set, a third of that is enough

pytestmark = pytest.mark.timeout(600)


@pytest_asyncio.fixture
async def center(server: Server) -> AsyncIterator[Center]:
    async with server.center() as center:
        await center.create_app("news")
        yield center


async def parked(center: Center) -> bool:
    return (await center.device("news", "phone")).parked


async def connected(center: Center, port: int) -> RawClient:
    token = (await center.token("news", "phone")).password
    found: list[RawClient] = []

    async def is_in() -> bool:
        client = await RawClient.open(port, MQTT_5_0)
        if (await client.enter("phone", "news", token)).reason == 0:
            found.append(client)
            return True
        await client.close()
        return False

    await until(is_in)
    return found[0]


async def was_parked_before_the_push(center: Center, client: RawClient) -> bool:
    """The push comes each time a little later, and once the room has seen enough of this, not at all."""
    push = asyncio.create_task(client.receive())
    await until(lambda: _either(push, center))
    came = push.done() and push.result() is not None
    await client.close()
    await push
    return not came


async def _either(push: asyncio.Task[Packet | None], center: Center) -> bool:
    return push.done() or await parked(center)


async def figure(server: Server, name: str) -> float:
    """The sum over what this process shows."""
    async with httpx.AsyncClient() as http:
        text = (await http.get(f"{server.url}/metrics")).text
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name + " "))


async def test_one_that_never_acknowledges_is_parked_shown_and_freed(server: Server, center: Center) -> None:
    """It goes round all rooms there are. What it was sent is not lost by that."""
    await center.put_device("news", "phone")
    await center.put_device("news", "honest")
    accepted = await center.send("news", "take this", devices=["phone"])
    ports = server.room_ports if isinstance(server, Cluster) else [server.mqtt_port]
    for turn in range(MANY):
        client = await connected(center, ports[turn % len(ports)])
        if await was_parked_before_the_push(center, client):
            break
    shown = await center.device("news", "phone")
    assert shown.parked
    assert shown.parked_since is not None
    assert [each.device async for each in center.devices("news", parked=True)] == ["phone"]
    assert [each.device async for each in center.devices("news", parked=False)] == ["honest"]

    client = await connected(center, ports[0])
    other = await center.send("news", "and this", devices=["phone"])
    if not isinstance(server, Cluster):

        async def is_counted() -> bool:
            return await figure(server, "longline_room_clients_parked") == 1

        await until(is_counted)
    assert (await center.message("news", accepted.message_id)).ledger.pending == 1
    await center.release_device("news", "phone")
    got = [await client.receive() for _ in range(2)]
    for packet in got:
        assert isinstance(packet, Publish)
        client.send(Puback(packet.packet_id))
    assert [packet.payload for packet in got if isinstance(packet, Publish)] == [b"take this", b"and this"]
    for message_id in (accepted.message_id, other.message_id):
        await center.wait("news", message_id, within=WITHIN)
    assert not await parked(center)
    await client.close()
