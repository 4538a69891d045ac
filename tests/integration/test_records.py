"""What app servers ask afterwards: which messages there were, and what became of them. On every shape."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Literal

import jwt
import pytest

from longline import Center, Device
from longline.sdk.answers import Audience, MessageStatus
from tests.integration.shapes import Server
from tests.waiting import eventually, until

WITHIN = 30.0  # s

HowFar = Literal["accepted", "delivering", "done"]


@pytest.fixture
async def center(server: Server) -> AsyncIterator[Center]:
    async with server.center() as center:
        yield center


@pytest.fixture
async def secret(center: Center) -> str:
    """Of the app "news", in which three devices are registered."""
    secret = (await center.create_app("news")).device_secret
    for name in ("d1", "d2", "d3"):
        await center.put_device("news", name)
    return secret


def is_over(moment: datetime) -> bool:
    return datetime.now(UTC) > moment


def device(server: Server, secret: str, name: str) -> Device:
    token = jwt.encode({"sub": name}, secret, algorithm="HS256")
    return Device("127.0.0.1", server.mqtt_port, app="news", device=name, token=token)


async def test_messages_are_listed_the_latest_first_through_any_center(server: Server, secret: str) -> None:
    """Each is sent and asked for through a client of its own. Those of two centers in one millisecond have no
    order, so the next is sent when the one before has been accepted and a millisecond is over."""
    ids: list[str] = []
    audiences: list[Audience] = [
        {"devices": ["d1"]},
        {"devices": ["d1", "d2", "d3", "gone"]},
        "all",
        {"tag_not": ["none"]},
    ]
    for n in range(12):
        async with server.center() as center:
            accepted = await center.send("news", "hi", audience=audiences[n % 4], label=f"of {n % 3}")
            ids.append(accepted.message_id)
            over = (await center.message("news", ids[-1])).created_at + timedelta(milliseconds=1)
            await until(partial(is_over, over))
    async with server.center() as center:
        listed: list[MessageStatus] = []
        for size in (1, 5, None):
            listed = [found async for found in center.messages("news", page_size=size)]
            assert [found.message_id for found in listed] == ids[::-1]
        assert [found.ledger.targeted for found in listed] == [3, 3, 4, 1] * 3
        for found in listed:
            assert found == await center.message("news", found.message_id)
        of_one = [found.message_id async for found in center.messages("news", label="of 1", page_size=2)]
        assert of_one == ids[10::-3]
        some = [found async for found in center.messages("news", since=listed[8].created_at)]
        assert [found.message_id for found in some] == ids[:2:-1]
        rest = [found async for found in center.messages("news", until=listed[8].created_at)]
        assert [found.message_id for found in rest] == ids[2::-1]


async def test_messages_are_listed_by_how_far_they_are(server: Server, center: Center, secret: str) -> None:
    """What a device has taken is done, what waits for another is not."""
    async with device(server, secret, "d1") as connected:
        await connected.wait_connected()
        taken = (await center.send("news", "to d1", devices=["d1"], label="goals")).message_id
        waits = (await center.send("news", "to d2", devices=["d2"], label="goals")).message_id
        half = (await center.send("news", "to both", devices=["d1", "d2"])).message_id
        for _ in range(2):
            message = await asyncio.wait_for(connected.receive(), WITHIN)
            await message.ack()

        async def listed(status: HowFar, label: str | None = None) -> list[str]:
            found = center.messages("news", status=status, label=label)
            return [each.message_id async for each in found]

        await eventually(lambda: listed("done"), [taken], WITHIN)
        await eventually(lambda: listed("delivering"), [half], WITHIN)
        assert await listed("accepted") == [waits]
        assert await listed("accepted", "goals") == [waits]
        assert await listed("delivering", "goals") == []


async def test_a_device_shows_what_waits_for_it_and_what_became_of_the_rest(
    server: Server, center: Center, secret: str
) -> None:
    """Also of messages to everyone; through any center."""
    ids = [
        (await center.send("news", "1", devices=["d1"], label="goals")).message_id,
        (await center.send("news", "2", devices=["d1", "d2", "d3"])).message_id,
        (await center.send("news", "3", everyone=True)).message_id,
    ]
    gone = (await center.send("news", "4", devices=["d1", "d2"])).message_id
    await center.cancel("news", gone)

    async def states(name: str) -> dict[str, str]:
        async with server.center() as other:
            return {each.message_id: each.state async for each in other.device_messages("news", name)}

    async def waiting(name: str) -> set[str]:
        async with server.center() as other:
            rows = other.device_messages("news", name, state="pending", page_size=1)
            return {each.message_id async for each in rows}

    assert await states("d1") == {gone: "dropped", **dict.fromkeys(ids, "pending")}
    assert await waiting("d1") == set(ids)
    assert await waiting("d3") == set(ids[1:])
    async with device(server, secret, "d1") as connected:
        await connected.wait_connected()
        for _ in ids:
            message = await asyncio.wait_for(connected.receive(), WITHIN)
            await message.ack()
        await eventually(lambda: waiting("d1"), set(), WITHIN)
    assert await states("d1") == {gone: "dropped", **dict.fromkeys(ids, "acked")}
    assert await waiting("d2") == set(ids[1:])
    rows = {each.message_id: each async for each in center.device_messages("news", "d1")}
    assert rows[gone].reason == "cancelled"
    assert (rows[ids[0]].label, rows[ids[0]].settled_at is not None) == ("goals", True)
