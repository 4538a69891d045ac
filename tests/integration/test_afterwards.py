"""What app servers ask afterwards, end to end: visits, what became of devices, retirement and statistics."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import httpx
import pytest_asyncio

from longline import Center, Device, DeviceInfo
from longline.errors import DeviceNotFound
from longline.sdk.statistics import AppStatistics
from longline.version import VERSION
from tests.integration.shapes import Server
from tests.waiting import WITHIN, until


@pytest_asyncio.fixture
async def center(server: Server) -> AsyncIterator[Center]:
    async with server.center() as center:
        await center.create_app("news")
        yield center


@pytest_asyncio.fixture
async def http(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {server.admin_key}"}
    async with httpx.AsyncClient(headers=headers, timeout=WITHIN, trust_env=False) as client:
        yield client


async def a_device(server: Server, center: Center, name: str) -> Device:
    token = await center.token("news", name)
    return Device("127.0.0.1", server.mqtt_port, app="news", device=name, token=token.password)


async def changes(server: Server, http: httpx.AsyncClient, device: str) -> list[str]:
    """What became of a device, as its app server reads it."""
    found: list[str] = []
    cursor = ""
    while True:
        params = {"limit": "1000"} | ({"cursor": cursor} if cursor else {})
        page = (await http.get(f"{server.url}/v1/apps/news/upstream", params=params)).json()
        found += [e["state"] for e in page["events"] if e["type"] == "device" and e["device"] == device]
        if not page["events"]:
            return found
        cursor = page["next_cursor"]


async def test_a_device_is_shown_with_its_last_visit(server: Server, center: Center) -> None:
    """Alone and in lists: while it is connected, and when it is gone."""
    await center.put_device("news", "phone")
    shown = await center.device("news", "phone")
    assert (shown.last_seen, shown.address, shown.protocol, shown.client, shown.session) == (None,) * 5
    before = datetime.now(UTC)
    async with await a_device(server, center, "phone"):
        (shown,) = await until(lambda: _visited(center, "phone"))
        assert shown.online
        assert shown.last_seen is not None
        assert shown.last_seen >= before.replace(microsecond=0)
        assert (shown.address, shown.protocol) == ("127.0.0.1", "MQTT 5.0")
        assert shown.client is not None
        assert (shown.client.name, shown.client.version) == ("longline", VERSION)
    await until(lambda: _offline(center, "phone"))
    gone = await center.device("news", "phone")
    assert gone.last_seen is not None
    assert gone.last_seen >= before.replace(microsecond=0)
    (listed,) = [each async for each in center.devices("news") if each.device == "phone"]
    assert (listed.last_seen, listed.address, listed.client) == (gone.last_seen, gone.address, gone.client)


async def _visited(center: Center, name: str) -> list[DeviceInfo]:
    """The device once its visit is stored, which is a little after it is bound."""
    shown = await center.device("news", name)
    return [] if shown.address is None else [shown]


async def _online(center: Center, name: str) -> bool:
    try:
        return (await center.device("news", name)).online
    except DeviceNotFound:  # its first CONNECT registers it
        return False


async def _offline(center: Center, name: str) -> bool:
    return not await _online(center, name)


async def test_what_becomes_of_a_device_is_told_and_what_was_told_before_is_gone(
    server: Server, center: Center, http: httpx.AsyncClient
) -> None:
    await center.put_device("news", "tablet")

    async def told(expected: list[str]) -> bool:
        return await changes(server, http, "tablet") == expected

    await until(lambda: told(["registered"]))
    async with await a_device(server, center, "tablet") as device:
        await device.publish("up/alarm", b"hot")
    await center.delete_device("news", "tablet")
    await until(lambda: told(["deleted"]))
    await center.put_device("news", "tablet")
    await until(lambda: told(["deleted", "registered"]))
    page = (await http.get(f"{server.url}/v1/apps/news/upstream", params={"limit": "1000"})).json()
    assert [e for e in page["events"] if e["device"] == "tablet" and e["type"] == "upstream"] == []


async def test_devices_that_do_not_come_any_more_are_retired_and_those_that_are_there_are_not(
    server: Server, center: Center, http: httpx.AsyncClient
) -> None:
    await center.put_device("news", "lost")
    async with await a_device(server, center, "here"):
        await until(lambda: _online(center, "here"))
        put = await http.put(f"{server.url}/v1/apps/news/limits", json={"retire_after": 3})
        assert put.status_code == 200, put.text

        async def retired() -> bool:
            return await changes(server, http, "lost") == ["retired"]

        await until(retired)
        missing = await http.get(f"{server.url}/v1/apps/news/devices/lost")
        assert missing.status_code == 404
        assert (await center.device("news", "here")).online
        await http.put(f"{server.url}/v1/apps/news/limits", json={"retire_after": None})


async def test_statistics_count_messages_deliveries_receipts_and_devices(
    server: Server, center: Center
) -> None:
    """By hour and by day, at once and exactly."""
    began = datetime.now(UTC)
    async with await a_device(server, center, "reader") as device:
        await until(lambda: _online(center, "reader"))
        sent = [await center.send("news", f"m{n}", devices=["reader"]) for n in range(3)]
        sent.append(await center.send("news", "to all", everyone=True))
        ids: list[str | None] = []

        async def read() -> None:
            async for message in device:
                ids.extend((message.id,))

        reading = asyncio.create_task(read())  # which acknowledges each when it asks for the next
        await until(lambda: len(ids) == len(sent))
        for message_id in ids[:2]:
            await device.publish(f"event/{message_id}/shown", b"")
        await device.publish(f"event/{ids[0]}/opened", b"")

        seen: list[AppStatistics] = []

        async def counted() -> bool:
            seen[:] = [
                await center.statistics("news", by="hour", since=began),
                await center.statistics("news", by="day", since=began),
            ]
            return all(_total(each) == (4, 4, 2, 1, 1, 0) for each in seen)

        await until(counted, tell=lambda: [_total(each) for each in seen])
        assert [each.statistics[-1].devices.active for each in seen] == [1, 1]
        reading.cancel()
    latest = await center.statistics("news")
    assert len(latest.statistics) == 24
    assert all(row.at.minute == 0 for row in latest.statistics)


def _total(found: AppStatistics) -> tuple[int, ...]:
    """Messages, deliveries, shown, opened, devices new and gone."""
    rows = [
        (each.messages, each.deliveries, each.shown, each.opened, each.devices.new, each.devices.gone)
        for each in found.statistics
    ]
    return tuple(map(sum, zip(*rows, strict=True)))
