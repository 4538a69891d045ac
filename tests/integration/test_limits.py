"""Limits of apps as users see them, whatever the shape."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from longline import Center, Device, Push
from longline.errors import MessageRateExceeded, QuotaExceeded, TooManyDevices
from longline.model.limits import AppLimits
from longline.mqtt.packets import MQTT_3_1_1, MQTT_5_0, Connack, Connect
from longline.mqtt.properties import Properties, PropertyId
from longline.sdk.answers import MessageAccepted
from tests.integration.live_node import RawClient
from tests.integration.shapes import Server
from tests.integration.test_commands import longline
from tests.waiting import WITHIN, eventually, until

RATE = 5
LOOKS = 16  # after which every center was asked, most likely
CENTERS = 3  # in any shape, at most
ROOMS = 4


@pytest_asyncio.fixture
async def center(server: Server) -> AsyncIterator[Center]:
    async with server.center() as center:
        await center.create_app("news", pubsub=True)
        yield center


async def limited(server: Server, center: Center, **limits: int) -> None:
    """Gives the app limits of its own, and returns when every center goes by them."""
    wanted = (await center.put_limits("news", AppLimits(**limits))).in_force

    async def known() -> bool:
        for _ in range(LOOKS):
            async with server.center() as any_center:
                if (await any_center.limits("news")).in_force != wanted:
                    return False
        return True

    await until(known)


async def connect(
    server: Server, center: Center, device: str, version: int = MQTT_5_0, *, keep: bool = False
) -> tuple[RawClient, int]:
    """A device's CONNECT, and the reason of its answer."""
    token = (await center.token("news", device)).password
    client = await RawClient.open(server.mqtt_port, version)
    properties: Properties | None = None
    if keep and version == MQTT_5_0:
        properties = {PropertyId.SESSION_EXPIRY_INTERVAL: 600}
    client.send(
        Connect(
            version,
            device,
            keep_alive=600,
            username="news",
            password=token.encode(),
            clean_start=not keep,
            properties=properties,
        )
    )
    connack = await client.receive()
    assert isinstance(connack, Connack)
    return client, connack.reason


# --- messages ---


async def test_an_app_sends_as_many_messages_as_it_may(server: Server, center: Center) -> None:
    """Through every center together: its rate, a second's worth, and what they did not know of each other."""
    await center.put_device("news", "d1")
    await limited(server, center, messages_per_second=RATE)
    begun = time.monotonic()
    accepted = refused = 0

    async def send_all() -> None:
        nonlocal accepted, refused
        async with Center(server.url, server.admin_key, retries=0) as sender:
            while refused < 10 or time.monotonic() - begun < 3.0:
                try:
                    await sender.send("news", "hello", devices=["d1"])
                    accepted += 1
                except MessageRateExceeded:
                    refused += 1

    await asyncio.gather(*(send_all() for _ in range(4)))
    elapsed = time.monotonic() - begun
    assert RATE < accepted <= RATE * (elapsed + CENTERS)
    await eventually(lambda: pending(center, "d1"), accepted)


async def pending(center: Center, device: str) -> int:
    return (await center.device("news", device)).pending or 0


async def test_the_sdk_comes_back_when_it_is_told_to(server: Server, center: Center) -> None:
    await center.put_device("news", "d1")
    await limited(server, center, messages_per_second=2)
    begun = time.monotonic()
    sent = [await center.send("news", str(n), devices=["d1"]) for n in range(6)]
    assert len({accepted.message_id for accepted in sent}) == 6
    assert time.monotonic() - begun > 1.0


async def test_what_is_due_at_the_same_moment_waits_for_its_turn_and_is_not_lost(
    server: Server, center: Center
) -> None:
    await center.put_device("news", "d1")
    await limited(server, center, messages_per_second=4)
    due = datetime.now(UTC) + timedelta(seconds=3)
    promised = [await center.send("news", str(n), devices=["d1"], send_at=due) for n in range(12)]

    async def sent() -> bool:
        found = [await center.message("news", one.message_id) for one in promised]
        return all(one.status != "scheduled" for one in found)

    await until(sent)
    took = (datetime.now(UTC) - due).total_seconds()
    assert took > 1.0  # four at once, and four a second
    assert await pending(center, "d1") == 12


async def test_a_batch_beyond_the_rate_is_refused_whole(server: Server, center: Center) -> None:
    await center.put_device("news", "d1")
    await limited(server, center, messages_per_second=10)
    async with Center(server.url, server.admin_key, retries=0) as sender:
        messages = [Push(payload=str(n), devices=["d1"]) for n in range(8)]

        async def refused() -> bool:
            try:
                results = await sender.send_batch("news", messages)
            except MessageRateExceeded:
                return True
            assert all(isinstance(result, MessageAccepted) for result in results)
            return False

        await until(refused)
    assert await pending(center, "d1") % 8 == 0


# --- deliveries ---


async def test_a_message_to_all_is_spread_over_the_time_that_its_app_may_take(
    server: Server, center: Center
) -> None:
    count, rate = 60, 20
    await limited(server, center, deliveries_per_second=rate)
    arrived: list[float] = []

    async def first(device: Device) -> None:
        message = await device.receive()
        arrived.append(time.monotonic())
        await message.ack()

    async with AsyncExitStack() as stack:
        devices = []
        for n in range(count):
            token = (await center.token("news", f"d{n}")).password
            device = Device("127.0.0.1", server.mqtt_port, app="news", device=f"d{n}", token=token)
            devices.append(await stack.enter_async_context(device))
        await eventually(lambda: online(center, [f"d{n}" for n in range(count)]), count)
        began = time.monotonic()
        sent = await center.send("news", "hello", everyone=True)
        async with asyncio.timeout(WITHIN):
            await asyncio.gather(*map(first, devices))
        status = await center.wait("news", sent.message_id, within=WITHIN)
    assert status.ledger.acked == count
    assert max(arrived) - began > (count / 2) / rate  # and never faster, however busy the machine is


# --- devices, connections, sessions ---


async def test_a_device_too_many_is_refused_and_those_that_are_there_come_in(
    server: Server, center: Center
) -> None:
    await limited(server, center, devices=3)
    await center.put_device("news", "a")
    first, reason = await connect(server, center, "b")
    assert reason == 0
    await center.put_device("news", "c")

    async def full() -> bool:
        """Whether a further one is refused; processes may each let one in that the others do not know of."""
        try:
            await center.put_device("news", "other")
        except TooManyDevices:
            return True
        await center.delete_device("news", "other")
        return False

    await until(full)
    for version, expected in ((MQTT_5_0, 0x97), (MQTT_3_1_1, 0x88)):  # return code 3
        client, reason = await connect(server, center, "d", version)
        assert reason == expected
        await client.close()
    again, reason = await connect(server, center, "a")
    assert reason == 0
    await center.delete_device("news", "c")

    async def let_in() -> bool:
        client, reason = await connect(server, center, "d")
        await client.close()
        return reason == 0

    await until(let_in)
    await first.close()
    await again.close()


async def test_connections_of_an_app_are_counted_in_all_rooms(server: Server, center: Center) -> None:
    await limited(server, center, connections=4)
    async with AsyncExitStack() as stack:

        async def come(device: str) -> int:
            client, reason = await connect(server, center, device)
            stack.push_async_callback(client.close)
            return reason

        count = 0
        while await come(f"d{count}") == 0:
            count += 1
        # Rooms may each have let one in that the others did not know of yet.
        assert 4 <= count < 4 + ROOMS
        assert await come("d0") == 0  # who is here already is none more
    await eventually(lambda: online(center, [f"d{n}" for n in range(count)]), 0)

    async def let_in() -> bool:
        client, reason = await connect(server, center, "another")
        await client.close()
        return reason == 0

    await until(let_in)


async def online(center: Center, devices: list[str]) -> int:
    return sum(found.online for found in await center.status("news", devices))


async def test_sessions_that_are_kept_are_bounded(server: Server, center: Center) -> None:
    await limited(server, center, sessions=2)
    reason = count = 0
    while reason == 0:
        client, reason = await connect(server, center, f"d{count}", keep=True)
        await client.close()
        count += reason == 0
    assert reason == 0x97
    assert 2 <= count < 2 + ROOMS
    client, reason = await connect(server, center, "another")  # who asks for none that is kept
    assert reason == 0
    await client.close()
    client, reason = await connect(server, center, "d0", keep=True)  # who has one
    assert reason == 0
    await client.close()


# --- what is stored ---


async def test_an_inbox_and_schedules_are_what_the_app_may_have(server: Server, center: Center) -> None:
    await center.put_device("news", "d1")
    await limited(server, center, inbox_messages=3, schedules=1)
    for n in range(5):
        await center.send("news", str(n), devices=["d1"])
    assert await pending(center, "d1") == 3
    await center.schedule("news", Push(payload="hello", everyone=True), "0 9 * * *")
    with pytest.raises(QuotaExceeded):
        await center.schedule("news", Push(payload="hello", everyone=True), "0 9 * * *")


async def test_limits_are_seen_and_changed_at_the_terminal(server: Server, center: Center) -> None:
    access = {"LONGLINE_URL": server.url, "LONGLINE_KEY": server.admin_key}
    for arguments, own in (
        (("devices=7", "inbox_messages=9"), (7, 9)),
        (("devices=default",), (None, 9)),
        ((), (None, 9)),
    ):
        async with longline("app", "limits", "news", *arguments, "--json", **access) as process:
            out, err = await process.communicate()
        assert process.returncode == 0, err
        found = json.loads(out)
        assert (found["devices"], found["inbox_messages"]) == own
    assert (await center.limits("news")).inbox_messages == 9
    async with longline("app", "limits", "news", "colour=7", **access) as process:
        await process.communicate()
    assert process.returncode == 2
