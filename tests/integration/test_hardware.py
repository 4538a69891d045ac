"""Smart hardware, end to end: shadows, and commands with their answers."""

import asyncio
import contextlib
import queue
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Literal

import httpx
import msgspec
import pytest
import pytest_asyncio
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from longline import Center, Device, errors
from longline.mqtt.packets import MQTT_3_1_1, MQTT_5_0, Puback, Publish
from longline.mqtt.properties import PropertyId
from longline.mqtt.reasons import ReasonCode
from tests.integration.live_node import RawClient
from tests.integration.shapes import Server
from tests.waiting import WITHIN, until

VERSIONS = pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])
PROTOCOLS = pytest.mark.parametrize("protocol", [MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5])
DESIRED, REPORTED = "shadow/desired", "shadow/reported"


@pytest_asyncio.fixture
async def center(server: Server) -> AsyncIterator[Center]:
    async with server.center() as center:
        await center.create_app("news")
        yield center


class Hardware:
    """The HTTP side of a device, as an app server without our SDK has it."""

    def __init__(self, server: Server, device: str) -> None:
        self.url = f"{server.url}/v1/apps/news/devices/{device}"
        self.http = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {server.admin_key}"}, timeout=WITHIN, trust_env=False
        )

    async def __aenter__(self) -> "Hardware":
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.http.aclose()

    async def shadow(self) -> dict[str, Any]:
        answer = await self.http.get(f"{self.url}/shadow")
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        assert answer.headers["etag"] == f'"{told["version"]}"'
        return told

    async def call(self, payload: Any, seconds: int = 30) -> httpx.Response:
        return await self.http.post(f"{self.url}:call", json={"payload": payload, "timeout": seconds})

    async def patch(self, body: Mapping[str, Any], version: int | None = None) -> httpx.Response:
        headers = {} if version is None else {"If-Match": f'"{version}"'}
        return await self.http.patch(f"{self.url}/shadow", json=body, headers=headers)


async def entered(server: Server, center: Center, device: str, version: int = MQTT_5_0) -> RawClient:
    token = (await center.token("news", device)).password
    client = await RawClient.open(server.mqtt_port, version)
    assert (await client.enter(device, "news", token)).reason == 0
    return client


async def desired(client: RawClient) -> Any:
    """What the client is told next, which it acknowledges."""
    packet = await client.receive()
    assert isinstance(packet, Publish), packet
    assert (packet.topic, packet.qos, packet.retain) == (DESIRED, 1, False)
    client.send(Puback(packet.packet_id))
    return msgspec.json.decode(packet.payload)


async def test_a_shadow_is_merged_and_its_version_compared(server: Server, center: Center) -> None:
    """RFC 7396 in both documents; who was behind gets 409, and nothing of what he wanted is there."""
    await center.put_device("news", "lamp")
    async with Hardware(server, "lamp") as lamp:
        assert await lamp.shadow() == {"desired": {}, "reported": {}, "version": 0}
        answer = await lamp.patch({"desired": {"light": {"on": True, "colour": "red"}}}, 0)
        assert answer.json() == {
            "desired": {"light": {"on": True, "colour": "red"}},
            "reported": {},
            "version": 1,
        }
        answer = await lamp.patch({"desired": {"light": {"colour": None}}, "reported": {"é": 1}}, 1)
        assert answer.json() == {"desired": {"light": {"on": True}}, "reported": {"é": 1}, "version": 2}
        late = await lamp.patch({"desired": {"light": {"on": False}}}, 1)
        assert (late.status_code, late.json()["error"]["code"]) == (409, "conflict")
        assert (await lamp.patch({"desired": {"light": {"on": True}}})).json()["version"] == 2
        assert (await lamp.patch({"desired": None})).json()["desired"] == {}
        assert await lamp.shadow() == {"desired": {}, "reported": {"é": 1}, "version": 3}


async def test_of_many_changes_at_once_none_is_lost(server: Server, center: Center) -> None:
    """Through whichever process; and of those that act on one version, one is done."""
    await center.put_device("news", "lamp")
    async with Hardware(server, "lamp") as lamp:
        answers = await asyncio.gather(*(lamp.patch({"desired": {f"n{n}": n}}) for n in range(10)))
        done = [n for n, answer in enumerate(answers) if answer.status_code == 200]
        assert {answer.status_code for answer in answers} <= {200, 409}
        shadow = await lamp.shadow()
        assert shadow["desired"] == {f"n{n}": n for n in done}
        assert shadow["version"] == len(done)
        answers = await asyncio.gather(
            *(lamp.patch({"reported": {"winner": n}}, shadow["version"]) for n in range(6))
        )
        (winner,) = [n for n, answer in enumerate(answers) if answer.status_code == 200]
        assert (await lamp.shadow())["reported"] == {"winner": winner}


async def test_what_is_no_shadow_is_refused(server: Server, center: Center) -> None:
    await center.put_device("news", "lamp")
    async with Hardware(server, "lamp") as lamp, Hardware(server, "nobody") as nobody:
        deep: Any = 1
        for _ in range(20):
            deep = {"d": deep}
        cases: list[tuple[dict[str, Any], int, str]] = [
            ({"desired": [1]}, 422, "invalid"),
            ({"wanted": {}}, 422, "invalid"),
            ({"desired": {"x": "x" * 40_000}}, 422, "shadow_too_large"),
            ({"desired": deep}, 422, "invalid"),
        ]
        for body, status, code in cases:
            answer = await lamp.patch(body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), body
        answer = await lamp.http.patch(f"{lamp.url}/shadow", json={}, headers={"If-Match": "now"})
        assert answer.status_code == 400
        assert (await nobody.patch({"desired": {}})).status_code == 404
        assert (await nobody.http.get(f"{nobody.url}/shadow")).status_code == 404
        assert (await lamp.shadow())["version"] == 0


@VERSIONS
async def test_a_device_is_told_what_is_desired_when_it_comes_and_at_each_change(
    server: Server, center: Center, version: int
) -> None:
    """Only the latest of what was changed while it was away, and nothing again that it has acknowledged."""
    await center.put_device("news", "lamp")
    async with Hardware(server, "lamp") as lamp:
        await lamp.patch({"desired": {"on": True}})
        await lamp.patch({"desired": {"level": 3}})
        async with await entered(server, center, "lamp", version) as client:
            assert await desired(client) == {"on": True, "level": 3}
            for level in (4, 5):
                await lamp.patch({"desired": {"level": level}})
                assert await desired(client) == {"on": True, "level": level}
        await until(lambda: seen(server, center, version))
        await lamp.patch({"reported": {"on": True}})
        async with await entered(server, center, "lamp", version) as client:
            await center.send("news", "push", devices=["lamp"])
            packet = await client.receive()
            assert isinstance(packet, Publish)
            assert packet.topic.startswith("push/")


async def seen(server: Server, center: Center, version: int) -> bool:
    """Whether a connection of the lamp brings it nothing but what is sent to it then."""
    async with await entered(server, center, "lamp", version) as client:
        await center.send("news", "look", devices=["lamp"])
        packet = await client.receive()
        assert isinstance(packet, Publish)
        client.send(Puback(packet.packet_id))
        return packet.topic != DESIRED


async def test_what_is_not_acknowledged_comes_again(server: Server, center: Center) -> None:
    await center.put_device("news", "lamp")
    async with Hardware(server, "lamp") as lamp:
        await lamp.patch({"desired": {"on": True}})
        async with await entered(server, center, "lamp") as client:
            packet = await client.receive()
            assert isinstance(packet, Publish)
            assert packet.properties is not None
            assert packet.properties[PropertyId.USER_PROPERTY] == [("version", "1")]
        async with await entered(server, center, "lamp") as client:
            assert await desired(client) == {"on": True}


@VERSIONS
async def test_what_a_device_reports_is_acknowledged_when_it_is_stored(
    server: Server, center: Center, version: int
) -> None:
    """Merged in the order in which it came; what is no JSON object is refused and changes nothing."""
    async with (
        await entered(server, center, "lamp", version) as client,
        Hardware(server, "lamp") as lamp,
    ):
        client.send(Publish(REPORTED, b'{"on": true, "heat": 20}', 1, packet_id=1))
        assert await client.receive() == Puback(1)
        assert await lamp.shadow() == {"desired": {}, "reported": {"on": True, "heat": 20}, "version": 1}
        client.send(*(Publish(REPORTED, b'{"heat": %d}' % heat, 1, packet_id=heat) for heat in range(21, 31)))
        assert [await client.receive() for _ in range(10)] == [Puback(n) for n in range(21, 31)]
        assert (await lamp.shadow()) == {"desired": {}, "reported": {"on": True, "heat": 30}, "version": 11}
        client.send(Publish(REPORTED, b'{"on": null}', 0))
        await until(lambda: reports(lamp, {"heat": 30}))
        for payload, reason in (
            (b"[1]", ReasonCode.PAYLOAD_FORMAT_INVALID),
            (b"{", ReasonCode.PAYLOAD_FORMAT_INVALID),
            (b'{"x":"%b"}' % (b"x" * 40_000), ReasonCode.QUOTA_EXCEEDED),
        ):
            client.send(Publish(REPORTED, payload, 1, packet_id=7))
            assert await client.receive() == Puback(7, reason if version == MQTT_5_0 else 0)
        client.send(Publish(DESIRED, b"{}", 1, packet_id=8))
        assert await client.receive() == Puback(8, ReasonCode.NOT_AUTHORIZED if version == MQTT_5_0 else 0)
        assert (await lamp.shadow())["version"] == 12


async def reports(lamp: Hardware, reported: Mapping[str, Any]) -> bool:
    return bool((await lamp.shadow())["reported"] == reported)


async def test_a_later_device_of_the_name_inherits_no_shadow(server: Server, center: Center) -> None:
    await center.put_device("news", "lamp")
    async with Hardware(server, "lamp") as lamp:
        await lamp.patch({"desired": {"secret": 1}, "reported": {"secret": 2}})
        await center.delete_device("news", "lamp")
        async with await entered(server, center, "lamp") as client:
            await center.send("news", "push", devices=["lamp"])
            packet = await client.receive()
            assert isinstance(packet, Publish)
            assert packet.payload == b"push"
        assert await lamp.shadow() == {"desired": {}, "reported": {}, "version": 0}


@contextlib.contextmanager
def paho(port: int, token: str, protocol: MQTTProtocolVersion) -> Iterator[tuple[Client, queue.Queue[Any]]]:
    """A device with the client library that most hardware has; what it is sent is in the queue."""
    client = Client(CallbackAPIVersion.VERSION2, "lamp", protocol=protocol)
    arrived: queue.Queue[Any] = queue.Queue()

    def on_message(client: Client, userdata: object, message: MQTTMessage) -> None:
        arrived.put(message)

    client.on_message = on_message
    client.username_pw_set("news", token)
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        yield client, arrived
    finally:
        client.disconnect()
        client.loop_stop()


@PROTOCOLS
async def test_paho_has_a_shadow(server: Server, center: Center, protocol: MQTTProtocolVersion) -> None:
    await center.put_device("news", "lamp")
    token = (await center.token("news", "lamp")).password
    async with Hardware(server, "lamp") as lamp:
        await lamp.patch({"desired": {"on": True}})
        with paho(server.mqtt_port, token, protocol) as (client, arrived):
            message = await asyncio.to_thread(arrived.get, True, WITHIN)
            assert (message.topic, message.payload) == (DESIRED, b'{"on":true}')
            info = client.publish(REPORTED, '{"on": true}', 1)
            await asyncio.to_thread(info.wait_for_publish, WITHIN)
            assert (await lamp.shadow())["reported"] == {"on": True}


async def called(client: RawClient) -> Publish:
    """The next command, which the client acknowledges."""
    packet = await client.receive()
    assert isinstance(packet, Publish), packet
    client.send(Puback(packet.packet_id))
    return packet


@VERSIONS
async def test_a_call_brings_the_answer_of_the_device(server: Server, center: Center, version: int) -> None:
    """On `reply/{id of the push}`, which MQTT 5 is told; text as text, anything else in base64."""
    async with (
        await entered(server, center, "lock", version) as client,
        Hardware(server, "lock") as lock,
    ):
        for payload, told in ((b"opened", {"payload": "opened"}), (b"\xff\x00", {"payload_base64": "/wA="})):
            asked = asyncio.create_task(lock.call({"open": True}))
            packet = await called(client)
            assert packet.payload == b'{"open":true}'
            id = packet.topic.removeprefix("push/")
            topic = f"reply/{id}"
            if version == MQTT_5_0:
                assert packet.properties is not None
                assert packet.properties[PropertyId.RESPONSE_TOPIC] == topic
                assert packet.properties[PropertyId.CORRELATION_DATA] == id.encode()
            client.send(Publish(topic, payload, 1, packet_id=1))
            assert await client.receive() == Puback(1)
            answer = await asked
            assert answer.status_code == 200, answer.text
            body = answer.json()
            assert body.pop("at").endswith("Z")
            assert body == told
            status = await center.message("news", id)
            assert (status.ledger.targeted, status.ledger.dropped) == (1, {})


async def test_many_calls_at_once_get_each_its_own_answer(server: Server, center: Center) -> None:
    """Also when the device answers in another order, with QoS 0."""
    async with await entered(server, center, "lock") as client, Hardware(server, "lock") as lock:
        asked = [asyncio.create_task(lock.call(f"n{n}")) for n in range(10)]
        packets = [await called(client) for _ in asked]
        for packet in reversed(packets):
            topic = packet.topic.replace("push/", "reply/")
            client.send(Publish(topic, b"to " + packet.payload, 0))
        answers = [(await task).json()["payload"] for task in asked]
        assert answers == [f"to n{n}" for n in range(10)]


async def test_what_is_not_answered_is_said_so(server: Server, center: Center) -> None:
    """No device, nobody there, silence, another device that answers, and a body that is none."""
    await center.put_device("news", "away")
    async with (
        await entered(server, center, "lock") as client,
        await entered(server, center, "thief") as thief,
        Hardware(server, "lock") as lock,
        Hardware(server, "away") as away,
        Hardware(server, "nobody") as nobody,
    ):
        answer = await nobody.call("x")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "device_not_found")
        answer = await away.call("x")
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "offline")
        for wrong in ({"payload": "x", "timeout": 61}, {"payload": "x", "timeout": 0}, {}, {"payload": ""}):
            assert (await lock.http.post(f"{lock.url}:call", json=wrong)).status_code == 422
        asked = asyncio.create_task(lock.call("x", 1))
        packet = await called(client)
        topic = packet.topic.replace("push/", "reply/")
        thief.send(Publish(topic, b"mine", 1, packet_id=1))
        assert await thief.receive() == Puback(1, ReasonCode.NO_MATCHING_SUBSCRIBERS)
        answer = await asked
        assert (answer.status_code, answer.json()["error"]["code"]) == (504, "no_answer")
        client.send(Publish(topic, b"late", 1, packet_id=1))
        assert await client.receive() == Puback(1, ReasonCode.NO_MATCHING_SUBSCRIBERS)


@PROTOCOLS
async def test_paho_answers_a_call(server: Server, center: Center, protocol: MQTTProtocolVersion) -> None:
    token = (await center.token("news", "lamp")).password
    with paho(server.mqtt_port, token, protocol) as (client, arrived):
        await until(client.is_connected)

        def answers() -> None:
            message = arrived.get(True, WITHIN)
            topic = message.topic.replace("push/", "reply/")
            if protocol == MQTTProtocolVersion.MQTTv5:
                topic = message.properties.ResponseTopic
            client.publish(topic, b"done: " + message.payload, 1)

        async with Hardware(server, "lamp") as lamp:
            _, answer = await asyncio.gather(asyncio.to_thread(answers), lamp.call("blink"))
            assert answer.json()["payload"] == "done: blink"


@pytest.mark.parametrize("protocol", [4, 5])
async def test_the_sdk_has_both_ends(server: Server, center: Center, protocol: Literal[4, 5]) -> None:
    """What the guide shows: a lamp that becomes what is desired of it, and answers."""
    token = (await center.token("news", "lamp")).password

    async def lamp(device: Device) -> None:
        async for message in device:
            if message.topic == DESIRED:
                await device.report_state(message.json(dict))
            elif message.wants_answer or protocol == 4:
                await device.answer(message, {"done": message.json()})

    device = Device("127.0.0.1", server.mqtt_port, app="news", device="lamp", token=token, protocol=protocol)
    async with device:
        await device.wait_connected()
        working = asyncio.create_task(lamp(device))
        shadow = await center.patch_shadow("news", "lamp", desired={"light": {"on": True}}, version=0)
        assert (shadow.desired, shadow.version) == ({"light": {"on": True}}, 1)

        async def is_lit() -> bool:
            return (await center.shadow("news", "lamp")).reported == {"light": {"on": True}}

        await until(is_lit)
        with pytest.raises(errors.Conflict):
            await center.patch_shadow("news", "lamp", desired={"light": None}, version=1)
        answer = await center.call("news", "lamp", {"blink": 3}, within=30)
        assert answer.json() == {"done": {"blink": 3}}
        working.cancel()
    with pytest.raises(errors.DeviceOffline):
        await center.call("news", "lamp", b"x")
    with pytest.raises(errors.DeviceNotFound):
        await center.call("news", "nobody", "x")
