"""Retained messages for sessions that are kept: what was sent and not acknowledged comes again."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from longline.mqtt.packets import (
    MQTT_3_1_1,
    MQTT_5_0,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Subscribe,
    Subscription,
)
from longline.mqtt.properties import PropertyId
from tests.integration.keeping import APP, Keeping, subscribe
from tests.integration.live_node import RawClient
from tests.integration.shapes import Server

VERSIONS = pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])
QOS = pytest.mark.parametrize("qos", [1, 2])


@pytest_asyncio.fixture
async def keeping(server: Server) -> AsyncIterator[Keeping]:
    async with server.center() as center:
        await center.create_app(APP, pubsub=True)
        async with Keeping(server, center) as keeping:
            yield keeping


async def retain(keeping: Keeping, *topics: str, qos: int = 2) -> None:
    publisher = await keeping.client("publisher", clean=True, expiry=0)
    for number, topic in enumerate(topics, 1):
        publisher.send(Publish(topic, topic.encode(), qos, retain=True, packet_id=number))
        answer = await publisher.receive()
        if qos == 2:
            assert isinstance(answer, Pubrec)
            publisher.send(Pubrel(number))
            answer = await publisher.receive()
        assert isinstance(answer, (Puback, Pubcomp))
    await publisher.close()


async def finished(client: RawClient, packet: Publish) -> None:
    """Takes a message, with all that belongs to it."""
    if packet.qos == 1:
        client.send(Puback(packet.packet_id))
    else:
        client.send(Pubrec(packet.packet_id))
        assert await client.receive() == Pubrel(packet.packet_id)
        client.send(Pubcomp(packet.packet_id))


@QOS
@VERSIONS
async def test_what_was_not_acknowledged_comes_again_after_a_kill(
    keeping: Keeping, version: int, qos: int
) -> None:
    await retain(keeping, "t")
    client = await keeping.client("reader", version)
    await subscribe(client, "t", qos=qos)
    first = await client.receive()
    assert isinstance(first, Publish)
    assert (first.topic, first.qos, first.retain, first.dup) == ("t", qos, True, False)
    await keeping.restart()
    client, connack = await keeping.connect("reader", version)
    assert connack.session_present
    again = await client.receive()
    assert isinstance(again, Publish)
    assert (again.payload, again.retain, again.dup) == (b"t", True, True)
    assert again.packet_id == first.packet_id
    await finished(client, again)


@QOS
async def test_as_many_as_there_are_come_once_each_as_they_are_acknowledged(
    keeping: Keeping, qos: int
) -> None:
    """More than may be on their way at once, each with its subscription's identifier."""
    topics = [f"t/{n:03}" for n in range(150)]
    await retain(keeping, *topics, qos=1)
    client = await keeping.client("reader")
    identifier = {PropertyId.SUBSCRIPTION_IDENTIFIER: [7]}
    client.send(Subscribe(1, [Subscription("t/#", qos)], identifier))  # type: ignore[arg-type]
    await client.receive()
    got: list[str] = []
    while len(got) < len(topics):
        packet = await client.receive()
        if isinstance(packet, Pubrel):
            client.send(Pubcomp(packet.packet_id))
            continue
        assert isinstance(packet, Publish)
        assert packet.retain
        assert packet.properties is not None
        assert packet.properties[PropertyId.SUBSCRIPTION_IDENTIFIER] == [7]
        got.append(packet.topic)
        client.send(Puback(packet.packet_id) if packet.qos == 1 else Pubrec(packet.packet_id))
    assert got == topics
