"""The connections that devices had, end to end: in every shape, and whyever they end."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest_asyncio

from longline import Center, Device
from longline.mqtt.packets import Disconnect
from longline.mqtt.reasons import ReasonCode
from longline.version import VERSION
from tests.integration.live_node import RawClient
from tests.integration.shapes import Server
from tests.waiting import until


@pytest_asyncio.fixture
async def center(server: Server) -> AsyncIterator[Center]:
    async with server.center() as center:
        await center.create_app("news")
        yield center


@pytest_asyncio.fixture
async def enter(server: Server, center: Center) -> AsyncIterator[Callable[[str], Awaitable[RawClient]]]:
    """Has a device connect."""
    async with AsyncExitStack() as opened:

        async def entering(name: str) -> RawClient:
            token = await center.token("news", name)
            client = await opened.enter_async_context(await RawClient.open(server.mqtt_port))
            assert (await client.enter(name, "news", token.password)).reason == ReasonCode.SUCCESS
            return client

        yield entering


async def reasons(center: Center, name: str) -> list[str | None]:
    """Why its connections ended, the latest first."""
    return [each.reason async for each in center.connections("news", name)]


async def test_the_connections_of_a_device_are_kept_with_why_they_ended(
    center: Center, enter: Callable[[str], Awaitable[RawClient]]
) -> None:
    first = await enter("phone")
    assert await reasons(center, "phone") == [None]
    first.send(Disconnect())
    assert await first.rest() == []
    await until(lambda: _is(center, "phone", ["disconnected"]))

    broken = await enter("phone")
    await broken.close()
    await until(lambda: _is(center, "phone", ["connection_lost", "disconnected"]))

    taken_over = await enter("phone")
    kicked = await enter("phone")
    assert await taken_over.rest() != []
    expected = [None, "taken_over", "connection_lost", "disconnected"]
    await until(lambda: _is(center, "phone", expected))

    await center.kick("news", "phone")
    assert await kicked.rest() != []
    await until(lambda: _is(center, "phone", ["kicked", *expected[1:]]))

    found = [each async for each in center.connections("news", "phone", page_size=1)]
    assert [each.reason for each in found] == ["kicked", *expected[1:]]
    assert [each.epoch for each in found] == sorted((each.epoch for each in found), reverse=True)
    for each in found:
        assert each.ended_at is not None
        assert each.ended_at >= each.connected_at
        assert (each.address, each.protocol, each.client) == ("127.0.0.1", "MQTT 5.0", None)
        assert each.room


async def _is(center: Center, name: str, expected: list[str | None]) -> bool:
    return await reasons(center, name) == expected


async def test_a_client_of_the_sdk_is_told_apart_by_its_program(server: Server, center: Center) -> None:
    token = await center.token("news", "tablet")
    device = Device("127.0.0.1", server.mqtt_port, app="news", device="tablet", token=token.password)
    await center.put_device("news", "tablet")
    async with device:
        await until(lambda: _is(center, "tablet", [None]))
        (found,) = [each async for each in center.connections("news", "tablet")]
        assert found.client is not None
        assert (found.client.name, found.client.version) == ("longline", VERSION)
    await until(lambda: _is(center, "tablet", ["disconnected"]))
