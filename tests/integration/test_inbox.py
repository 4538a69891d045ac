"""Inboxes that overflow, and what their devices are told of it, as users see it."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest
import pytest_asyncio

from longline import Center, Device, Push
from longline.sdk.missed import Missed
from longline.settings.sections.saver import SaverSettings
from tests.integration.clients.real import KINDS, RealClient, missing
from tests.integration.shapes import Server
from tests.waiting import WITHIN, until

BOUND = SaverSettings().inbox_messages
TOO_MANY = 3
TOGETHER = 1000  # in a batch


@pytest_asyncio.fixture
async def center(server: Server) -> AsyncIterator[Center]:
    async with server.center() as center:
        await center.create_app("news", pubsub=True)
        yield center


async def device(server: Server, center: Center, told: list[Missed], protocol: Literal[4, 5] = 5) -> Device:
    token = (await center.token("news", "d1")).password
    return Device(
        "127.0.0.1",
        server.mqtt_port,
        app="news",
        device="d1",
        token=token,
        protocol=protocol,
        on_gap=told.append,
    )


async def miss(center: Center) -> None:
    """The device misses two messages that expire, and one that is collapsed, in favour of "new"."""
    await center.put_device("news", "d1")
    for audience in ({"devices": ["d1"]}, {"everyone": True}):
        sent = await center.send("news", "short", ttl=1, **audience)
        await center.wait("news", sent.message_id, within=WITHIN)
    for text in ("old", "new"):
        await center.send("news", text, devices=["d1"], collapse_key="k")


@pytest.mark.parametrize("protocol", [4, 5])
async def test_a_device_is_told_once_what_it_has_missed(
    protocol: Literal[4, 5], server: Server, center: Center
) -> None:
    began = datetime.now(UTC)
    await miss(center)
    told: list[Missed] = []
    async with await device(server, center, told, protocol) as first:
        message = await first.receive()
        await message.ack()
        assert message.text == "new"
        [missed] = told  # before the message
        assert (missed.dropped, missed.expired, missed.collapsed) == (0, 2, 1)
        assert began - timedelta(seconds=5) < missed.since <= datetime.now(UTC)
    again: list[Missed] = []

    async def untold() -> bool:
        """Comes again, and gets a message; whether nothing was said before it."""
        again.clear()
        await center.send("news", "next", devices=["d1"])
        async with await device(server, center, again, protocol) as second:
            await (await second.receive()).ack()
        return not again

    await until(untold)


@pytest.mark.parametrize("kind", KINDS)
async def test_real_clients_are_told_too(kind: str, server: Server, center: Center) -> None:
    lacking = missing(kind)
    if lacking is not None:
        pytest.skip(lacking)
    if kind == "mosquitto_sub":
        pytest.skip("prints only what it has subscribed to")
    await miss(center)
    token = (await center.token("news", "d1")).password
    async with RealClient(kind, server.mqtt_port, app="news", device="d1", token=token) as client:
        await client.ready()
        gap, push = await client.receive(2)
        assert (gap.topic, gap.qos) == ("$link/gap", 1)
        said = json.loads(gap.payload)
        assert (said["dropped"], said["expired"], said["collapsed"]) == (0, 2, 1)
        assert datetime.fromisoformat(said["since"]) <= datetime.now(UTC)
        assert push.payload == b"new"


async def test_an_inbox_that_overflows_keeps_the_newest_and_the_ledger_says_what_went(
    server: Server, center: Center
) -> None:
    await center.put_device("news", "d1")
    first = await center.send("news", "first", devices=["d1"])
    urgent = await center.send("news", "urgent", devices=["d1"], priority="high")
    texts = [str(number) for number in range(BOUND + TOO_MANY - 2)]
    for begin in range(0, len(texts), TOGETHER):
        pushes = [Push(payload=text, devices=["d1"]) for text in texts[begin : begin + TOGETHER]]
        await center.send_batch("news", pushes)
    gone = (await center.message("news", first.message_id)).ledger
    assert (gone.targeted, gone.pending, gone.dropped) == (1, 0, {"inbox_full": 1})
    assert (await center.message("news", urgent.message_id)).ledger.pending == 1
    told: list[Missed] = []
    got = []
    async with await device(server, center, told) as phone:
        async with asyncio.timeout(120):
            async for message in phone:
                got.append(message.text)
                if message.text == texts[-1]:
                    await message.ack()
                    break
    assert [(missed.dropped, missed.expired, missed.collapsed) for missed in told] == [(TOO_MANY, 0, 0)]
    assert got == ["urgent", *texts[TOO_MANY - 1 :]]


async def test_what_has_high_priority_overtakes_what_waits_and_starves_nothing(
    server: Server, center: Center
) -> None:
    """Order holds within a priority, over messages to devices and to all."""
    await center.put_device("news", "d1")
    usual, urgent = [f"usual {number}" for number in range(200)], [f"urgent {number}" for number in range(80)]
    for number, text in enumerate(usual):
        await center.send("news", text, **({"everyone": True} if number % 20 == 0 else {"devices": ["d1"]}))
    for number, text in enumerate(urgent):
        audience = {"everyone": True} if number % 20 == 0 else {"devices": ["d1"]}
        await center.send("news", text, priority="high", **audience)
    token = (await center.token("news", "d1")).password
    got: list[str] = []
    async with Device(
        "127.0.0.1", server.mqtt_port, app="news", device="d1", token=token, receive_maximum=8
    ) as phone:
        while len(got) < len(usual) + len(urgent):
            message = await phone.receive()
            await message.ack()
            got.append(message.text)
        await center.send("news", "last", devices=["d1"])
        message = await phone.receive()
        await message.ack()
        assert message.text == "last"
    assert [text for text in got if text in set(usual)] == usual
    assert [text for text in got if text in set(urgent)] == urgent
    assert got[0] == urgent[0]
    assert got.index(urgent[-1]) < got.index(usual[60])
    assert got.index(usual[0]) < got.index(urgent[20])
