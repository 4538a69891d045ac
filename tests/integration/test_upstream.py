"""What devices send to their app servers, end to end: stored before it is acknowledged, read in order."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest
import pytest_asyncio
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties as PahoProperties

from longline import Center, Device
from longline.mqtt.packets import (
    MQTT_3_1_1,
    MQTT_5_0,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
)
from longline.mqtt.properties import PropertyId
from longline.mqtt.reasons import ReasonCode
from tests.integration.keeping import Keeping, publish
from tests.integration.live_node import RawClient
from tests.integration.shapes import Server
from tests.waiting import WITHIN, until

VERSIONS = pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])
MESSAGE = "01890a5d-ac96-774b-bcce-b302099a8057"

Told = dict[str, Any]


@pytest_asyncio.fixture
async def center(server: Server) -> AsyncIterator[Center]:
    async with server.center() as center:
        await center.create_app("news")
        yield center


class Stream:
    """An app server that reads on from where it was."""

    def __init__(self, server: Server, app: str = "news") -> None:
        self.url = f"{server.url}/v1/apps/{app}/upstream"
        self.headers = {"Authorization": f"Bearer {server.admin_key}"}
        self.cursor: str | None = None
        self.events: list[Told] = []

    async def read(self) -> list[Told]:
        """All but presence that there is by now, with what was read before."""
        async with httpx.AsyncClient(headers=self.headers) as http:
            while True:
                params = {} if self.cursor is None else {"cursor": self.cursor}
                answer = await http.get(self.url, params={**params, "limit": "500"})
                assert answer.status_code == 200, answer.text
                page = answer.json()
                self.cursor = page["next_cursor"]
                self.events += [event for event in page["events"] if event["type"] in ("upstream", "receipt")]
                if not page["events"]:
                    return self.events

    async def wait(self, count: int) -> list[Told]:
        await until(lambda: self.has(count), tell=lambda: len(self.events))
        return self.events

    async def has(self, count: int) -> bool:
        return len(await self.read()) >= count


async def entered(server: Server, center: Center, device: str, version: int = MQTT_5_0) -> RawClient:
    token = (await center.token("news", device)).password
    client = await RawClient.open(server.mqtt_port, version)
    assert (await client.enter(device, "news", token)).reason == 0
    return client


def said(event: Mapping[str, Any]) -> tuple[str, str, str, str]:
    return event["type"], event["device"], event["topic"], event["payload"]


@VERSIONS
async def test_what_is_acknowledged_is_stored(server: Server, center: Center, version: int) -> None:
    stream = Stream(server)
    async with await entered(server, center, "sensor", version) as sensor:
        sensor.send(Publish("up/alarm/1", b"hot", 1, packet_id=7))
        assert await sensor.receive() == Puback(7)
        (event,) = await stream.read()
        assert said(event) == ("upstream", "sensor", "up/alarm/1", "hot")
        sensor.send(Publish("up/alarm/2", b"\xff\x00", 2, packet_id=8))
        assert await sensor.receive() == Pubrec(8)
        _, event = await stream.read()
        assert (event["topic"], event["payload_base64"], "payload" in event) == ("up/alarm/2", "/wA=", False)
        sensor.send(Pubrel(8), Publish("up/alarm/3", b"", 0))
        assert await sensor.receive() == Pubcomp(8)
        *_, event = await stream.wait(3)
        assert said(event) == ("upstream", "sensor", "up/alarm/3", "")


@VERSIONS
async def test_a_receipt_of_the_application_is_an_event_of_its_message(
    server: Server, center: Center, version: int
) -> None:
    stream = Stream(server)
    async with await entered(server, center, "phone", version) as phone:
        phone.send(Publish(f"event/{MESSAGE}/shown", b"", 1, packet_id=1))
        phone.send(Publish(f"event/{MESSAGE}/opened", b'{"after": 3}', 1, packet_id=2))
        assert [await phone.receive() for _ in range(2)] == [Puback(1), Puback(2)]
        phone.send(Publish("event/none/shown", b"", 1, packet_id=3))
        refused = ReasonCode.TOPIC_NAME_INVALID if version == MQTT_5_0 else 0
        assert await phone.receive() == Puback(3, refused)
    events = await stream.read()
    assert [(event["type"], event["message_id"], event["name"]) for event in events] == [
        ("receipt", MESSAGE, "shown"),
        ("receipt", MESSAGE, "opened"),
    ]
    assert ["payload" in event for event in events] == [False, True]


async def test_order_holds_for_each_device_whatever_the_qos(server: Server, center: Center) -> None:
    stream = Stream(server)
    names = ["d1", "d2", "d3"]
    count = 300

    async def sends(name: str) -> None:
        async with await entered(server, center, name) as client:
            for first in range(1, count + 1, 10):
                numbers = range(first, first + 10)
                client.send(*(Publish("up/n", b"%d" % n, n % 2 + 1, packet_id=n) for n in numbers))
                answers = [await client.receive() for _ in numbers]
                assert answers == [Pubrec(n) if n % 2 else Puback(n) for n in numbers]
                client.send(*(Pubrel(n) for n in numbers if n % 2))
                assert [await client.receive() for _ in range(5)] == [Pubcomp(n) for n in numbers if n % 2]

    async with asyncio.TaskGroup() as tasks:
        for name in names:
            tasks.create_task(sends(name))
    await stream.wait(3 * count)
    for name in names:
        numbers = [int(event["payload"]) for event in stream.events if event["device"] == name]
        assert numbers == [*range(1, count + 1)]


async def test_the_properties_of_mqtt_5_are_told(server: Server, center: Center) -> None:
    stream = Stream(server)
    async with await entered(server, center, "sensor") as sensor:
        sensor.send(
            Publish(
                "up/x",
                b"{}",
                1,
                packet_id=1,
                properties={
                    PropertyId.CONTENT_TYPE: "application/json",
                    PropertyId.USER_PROPERTY: [("a", "1"), ("b", "2"), ("a", "3")],
                    PropertyId.RESPONSE_TOPIC: "answers/1",
                    PropertyId.CORRELATION_DATA: b"\x01\x02",
                },
            )
        )
        assert await sensor.receive() == Puback(1)
    (event,) = await stream.read()
    assert event["content_type"] == "application/json"
    assert event["user_properties"] == [["a", "1"], ["b", "2"], ["a", "3"]]
    assert event["reply_to"]


async def test_paho_sends_upstream_over_both_versions(server: Server, center: Center) -> None:
    stream = Stream(server)
    for protocol in (MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5):
        token = (await center.token("news", "paho")).password
        await asyncio.to_thread(send_with_paho, server.mqtt_port, token, protocol)
    events = await stream.read()
    assert [said(event) for event in events] == [
        ("upstream", "paho", f"up/paho/{qos}", str(qos)) for qos in (1, 2, 1, 2)
    ]
    assert "reply_to" in events[-1]


def send_with_paho(port: int, token: str, protocol: MQTTProtocolVersion) -> None:
    client = Client(CallbackAPIVersion.VERSION2, "paho", protocol=protocol)
    client.username_pw_set("news", token)
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        for qos in (1, 2):
            properties = None
            if protocol == MQTTProtocolVersion.MQTTv5:
                properties = PahoProperties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
                properties.ResponseTopic = "answers"
            client.publish(f"up/paho/{qos}", str(qos), qos, properties=properties).wait_for_publish(WITHIN)
    finally:
        client.disconnect()
        client.loop_stop()


async def test_apps_know_nothing_of_each_other(server: Server, center: Center) -> None:
    await center.create_app("weather")
    async with await entered(server, center, "sensor") as sensor:
        sensor.send(Publish("up/x", b"x", 1, packet_id=1))
        assert await sensor.receive() == Puback(1)
    assert await Stream(server, "weather").read() == []


# --- server-sent events --------------------------------------------------------------------------------


class Listener:
    """Reads a stream of server-sent events, as the HTML standard says."""

    def __init__(self, server: Server, last: str | None = None, **query: str) -> None:
        headers = {"Authorization": f"Bearer {server.admin_key}", "Accept": "text/event-stream"}
        if last is not None:
            headers["Last-Event-ID"] = last
        self._http = httpx.AsyncClient(headers=headers, timeout=WITHIN)
        self._asked = self._http.stream("GET", f"{server.url}/v1/apps/news/upstream", params=query)
        self.last = last

    async def __aenter__(self) -> "Listener":
        answer = await self._asked.__aenter__()
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/event-stream"
        self._lines = answer.aiter_lines()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._asked.__aexit__(None, None, None)
        await self._http.aclose()

    async def next(self) -> tuple[str, Told]:
        """The next of what devices sent: its type and what it says."""
        while True:
            fields: dict[str, str] = {}
            async for line in self._lines:
                if not line and "data" in fields:
                    break
                name, _, value = line.partition(": ")
                fields[name] = value
            assert "data" in fields, "the stream has ended"
            self.last = fields.get("id", self.last)
            if fields["event"] in ("upstream", "receipt"):
                return fields["event"], json.loads(fields["data"])


async def test_a_stream_tells_events_as_they_come_and_goes_on_where_it_was(
    server: Server, center: Center
) -> None:
    async with await entered(server, center, "sensor") as sensor:

        async def send(*texts: str) -> None:
            for text in texts:
                sensor.send(Publish("up/x", text.encode(), 1, packet_id=1))
                assert await sensor.receive() == Puback(1)

        await send("before")
        async with Listener(server) as listener:
            kind, event = await listener.next()
            assert (kind, event["payload"], event["cursor"]) == ("upstream", "before", listener.last)
            await send("one", "two")
            assert [(await listener.next())[1]["payload"] for _ in range(2)] == ["one", "two"]
        await send("three")
        async with Listener(server, listener.last) as listener:
            assert (await listener.next())[1]["payload"] == "three"
            await send("four")
            assert (await listener.next())[1]["payload"] == "four"


# --- the SDK and the command ---------------------------------------------------------------------------


async def test_a_device_of_the_sdk_sends_and_a_center_reads(server: Server, center: Center) -> None:
    token = (await center.token("news", "phone")).password
    async with Device("127.0.0.1", server.mqtt_port, app="news", device="phone", token=token) as phone:
        await phone.send("text", "grün")
        await phone.send("bytes", b"\xff\x00")
        await phone.send("json", {"t": 20})
        pushed = await center.send("news", "hello", devices=["phone"])
        async for message in phone:
            await phone.report(message, "opened")
            break
    events = [
        event
        async for event in center.upstream("news", follow=False)
        if event.type in ("upstream", "receipt")
    ]
    assert [(event.topic, event.data) for event in events[:3]] == [
        ("up/text", "grün".encode()),
        ("up/bytes", b"\xff\x00"),
        ("up/json", b'{"t":20}'),
    ]
    assert (events[3].type, events[3].message_id, events[3].name) == ("receipt", pushed.message_id, "opened")
    rest = [
        event async for event in center.upstream("news", after=events[1].cursor, follow=False, page_size=1)
    ]
    assert [event.topic for event in rest if event.type == "upstream"] == ["up/json"]


async def test_a_center_follows_what_comes(server: Server, center: Center) -> None:
    async with await entered(server, center, "sensor") as sensor:
        sensor.send(Publish("up/n", b"1", 1, packet_id=1))
        seen: list[str | None] = []
        async for event in center.upstream("news"):
            if event.type != "upstream":
                continue
            seen.append(event.payload)
            if len(seen) == 3:
                break
            sensor.send(Publish("up/n", b"%d" % (len(seen) + 1), 1, packet_id=1 + len(seen)))
    assert seen == ["1", "2", "3"]


async def test_the_command_prints_events_as_they_come(server: Server, center: Center) -> None:
    async with await entered(server, center, "sensor") as sensor:
        sensor.send(Publish("up/n", b"one", 1, packet_id=1))
        assert await sensor.receive() == Puback(1)
        arguments = ["upstream", "news", "--follow", "--type", "upstream", "--count", "2"]
        access = ["--url", server.url, "--key", server.admin_key]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "longline", *arguments, *access), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        async with asyncio.timeout(WITHIN):
            first = (await process.stdout.readline()).decode().rstrip("\n").split("\t")
            sensor.send(Publish("up/n", b"two", 1, packet_id=2))
            second = (await process.stdout.readline()).decode().rstrip("\n").split("\t")
            assert await process.wait() == 0
    assert first[1:] == ["sensor", "up/n", "one"]
    assert second[1:] == ["sensor", "up/n", "two"]


# --- what is killed ------------------------------------------------------------------------------------


@pytest.mark.parametrize("qos", [1, 2])
async def test_nothing_is_lost_by_a_kill_and_with_qos_2_nothing_comes_twice(
    server: Server, center: Center, qos: int
) -> None:
    """Devices send again what was not acknowledged, as the standard wants it, and say so."""
    stream = Stream(server)
    number = 0
    async with Keeping(server, center) as keeping:
        client = await keeping.client("d")
        for turn in range(4):
            for _ in range(10 + 7 * turn):
                number += 1
                assert await publish(client, "up/n", b"%d" % number, qos, number) == 0
            under_way = [
                Publish("up/n", b"%d" % (number + n), qos, packet_id=number + n) for n in range(1, 9)
            ]
            number += len(under_way)
            client.send(*under_way)
            if turn % 2:
                await client.drain()
                assert (await client.receive()) is not None  # some of them are stored
            await keeping.restart()
            await client.close()
            client = await keeping.client("d")
            for packet in under_way:
                await publish(client, "up/n", packet.payload, qos, packet.packet_id, dup=True)
    await stream.wait(number)
    stored = [int(event["payload"]) for event in stream.events]
    if qos == 2:
        assert stored == [*range(1, number + 1)]
        return
    assert set(stored) == set(range(1, number + 1))
    assert len({event["id"] for event in stream.events}) == len(stored)
    again = [event for event in stream.events if event.get("repeated")]
    assert len(stored) - number <= len(again)
