"""Answers to what devices have sent, end to end: to the topic that the device named, and nowhere else."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from longline import Center, errors
from longline.delivery.replies import ReplyAddress, reply_address, reply_word
from longline.mqtt.packets import MQTT_3_1_1, MQTT_5_0, Puback, Publish
from longline.mqtt.properties import PropertyId, user_properties
from tests.integration.live_node import RawClient
from tests.integration.shapes import Server
from tests.waiting import until

TOPIC, CORRELATION = "answers/phone", b"\x00\xff7"


@pytest_asyncio.fixture
async def center(server: Server) -> AsyncIterator[Center]:
    async with server.center() as center:
        await center.create_app("news")
        yield center


async def entered(server: Server, center: Center, app: str = "news", version: int = MQTT_5_0) -> RawClient:
    token = (await center.token(app, "phone")).password
    client = await RawClient.open(server.mqtt_port, version)
    assert (await client.enter("phone", app, token)).reason == 0
    return client


async def asks(
    server: Server,
    center: Center,
    client: RawClient,
    app: str = "news",
    correlation: bytes | None = CORRELATION,
) -> str:
    """Sends a message that wants an answer; what the app server is told of it."""
    properties = {PropertyId.RESPONSE_TOPIC: TOPIC}
    if correlation is not None:
        properties[PropertyId.CORRELATION_DATA] = correlation  # type: ignore[assignment]
    client.send(Publish("up/question", b"?", 1, packet_id=1, properties=properties))  # type: ignore[arg-type]
    assert await client.receive() == Puback(1)
    found: list[dict[str, Any]] = []

    async def is_there() -> bool:
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {server.admin_key}"}) as http:
            page = (await http.get(f"{server.url}/v1/apps/{app}/upstream")).json()
        found.extend(event for event in page["events"] if event["type"] == "upstream")
        return bool(found)

    await until(is_there)
    word: str = found[-1]["reply_to"]
    return word


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("correlation", [CORRELATION, b"", None])
async def test_an_answer_comes_where_the_device_wants_it(
    server: Server, center: Center, qos: Any, correlation: bytes | None
) -> None:
    client = await entered(server, center)
    word = await asks(server, center, client, correlation=correlation)
    accepted = await center.send("news", {"answer": 42}, reply=word, qos=qos)
    assert accepted.targeted == 1
    packet = await client.receive()
    assert isinstance(packet, Publish)
    assert (packet.topic, packet.payload, packet.qos) == (TOPIC, b'{"answer":42}', qos)
    assert packet.properties is not None
    assert packet.properties.get(PropertyId.CORRELATION_DATA) == correlation
    assert dict(user_properties(packet.properties))["message-id"] == accepted.message_id
    await client.close()


async def test_an_answer_waits_for_the_device_and_has_a_ledger(server: Server, center: Center) -> None:
    client = await entered(server, center)
    word = await asks(server, center, client)
    await client.close()
    accepted = await center.send("news", "later", reply=word)
    client = await entered(server, center)
    packet = await client.receive()
    assert isinstance(packet, Publish)
    assert (packet.topic, packet.payload) == (TOPIC, b"later")
    assert packet.properties is not None
    assert packet.properties[PropertyId.CORRELATION_DATA] == CORRELATION
    client.send(Puback(packet.packet_id))

    async def is_acked() -> bool:
        return (await center.message("news", accepted.message_id)).ledger.acked == 1

    await until(is_acked)
    await client.close()


async def test_an_answer_reaches_an_older_protocol_without_correlation(
    server: Server, center: Center
) -> None:
    client = await entered(server, center)
    word = await asks(server, center, client)
    await client.close()
    client = await entered(server, center, version=MQTT_3_1_1)
    await center.send("news", "later", reply=word)
    packet = await client.receive()
    assert isinstance(packet, Publish)
    assert (packet.topic, packet.payload) == (TOPIC, b"later")
    await client.close()


async def test_what_is_forged_malformed_or_of_another_app_is_refused(server: Server, center: Center) -> None:
    client = await entered(server, center)
    word = await asks(server, center, client)
    address = reply_address(word)
    await center.create_app("other")
    await center.put_device("other", "phone")
    with pytest.raises(errors.LonglineError) as refused:
        await center.send("other", "x", reply=word)
    assert refused.value.code == "reply_invalid"
    for topic in ("push/x", "$link/moved", "shadow/desired", "a/+", "#", "up/x", "group/g", ""):
        forged = reply_word(ReplyAddress(address.app, address.ordinal, "phone", topic))
        with pytest.raises(errors.LonglineError) as refused:
            await center.send("news", "x", reply=forged)
        assert refused.value.code == "reply_invalid", topic
    for wrong in ("x", "é", "AAAA", word[:-3], word + "A" * 9000):
        with pytest.raises(errors.LonglineError) as refused:
            await center.send("news", "x", reply=wrong)
        assert refused.value.code in ("reply_invalid", "invalid"), wrong
    await client.close()


async def test_a_later_device_of_the_same_name_gets_no_answer(server: Server, center: Center) -> None:
    client = await entered(server, center)
    word = await asks(server, center, client)
    await client.close()
    await center.delete_device("news", "phone")
    with pytest.raises(errors.NoTarget):
        await center.send("news", "x", reply=word)
    await center.put_device("news", "phone")
    with pytest.raises(errors.NoTarget):
        await center.send("news", "x", reply=word)


async def test_a_reply_stands_alone_in_an_audience(server: Server, center: Center) -> None:
    both: Any = {"reply": "x", "devices": ["phone"]}
    with pytest.raises(errors.ValidationFailed):
        await center.send("news", "x", audience=both)
