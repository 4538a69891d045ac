"""Retained messages, end to end: kept by whichever room takes them, and given by every other."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Collection
from types import TracebackType
from typing import Any, Self

import pytest
import pytest_asyncio
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties as PahoProperties
from paho.mqtt.subscribeoptions import SubscribeOptions

from longline import Center
from longline.mqtt.packets import (
    MQTT_3_1_1,
    MQTT_5_0,
    Pingreq,
    Pingresp,
    Puback,
    Publish,
    Suback,
    Subscribe,
    Subscription,
)
from longline.mqtt.properties import Properties, PropertyId, get_int
from longline.mqtt.reasons import ReasonCode
from tests.cluster.cluster import Cluster
from tests.integration.keeping import acknowledge, drained
from tests.integration.live_node import LiveNode, RawClient
from tests.integration.server_process import ServerProcess
from tests.integration.shapes import Server
from tests.waiting import WITHIN, until

ROUNDS = int(os.environ.get("LONGLINE_ROUNDS", "5"))  # of killing
VERSIONS = pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])


@pytest_asyncio.fixture
async def center(server: Server) -> AsyncIterator[Center]:
    async with server.center() as center:
        await center.create_app("news", pubsub=True)
        yield center


class Paho:
    """paho-mqtt as a device, for a test's loop."""

    def __init__(self, port: int, device: str, token: str, version: int) -> None:
        self.messages: asyncio.Queue[MQTTMessage] = asyncio.Queue()
        self.subacks: asyncio.Queue[None] = asyncio.Queue()
        self._connected = asyncio.Event()
        self._five = version == MQTT_5_0
        self._port = port
        loop = asyncio.get_running_loop()

        def told(tell: Callable[..., object]) -> Callable[..., None]:
            def call(*args: Any) -> None:
                loop.call_soon_threadsafe(tell, args)

            return call

        self._client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=device,
            protocol=MQTTProtocolVersion.MQTTv5 if self._five else MQTTProtocolVersion.MQTTv311,
        )
        self._client.username_pw_set("news", token)
        self._client.on_connect = told(lambda args: self._connected.set())
        self._client.on_subscribe = told(lambda args: self.subacks.put_nowait(None))
        self._client.on_message = told(lambda args: self.messages.put_nowait(args[2]))

    async def __aenter__(self) -> Self:
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        async with asyncio.timeout(WITHIN):
            await self._connected.wait()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)

    async def publish(self, topic: str, payload: bytes, qos: int = 1, *, expiry: int | None = None) -> None:
        """Publishes with RETAIN; returns when the server has answered."""
        properties = None
        if expiry is not None:
            make: Callable[[int], Any] = PahoProperties  # its constructor comes without types
            properties = make(PacketTypes.PUBLISH)
            properties.MessageExpiryInterval = expiry
        sent = self._client.publish(topic, payload, qos, retain=True, properties=properties)
        await asyncio.to_thread(sent.wait_for_publish, WITHIN)
        assert sent.is_published()

    async def subscribe(
        self, filter: str, qos: int = 1, *, handling: int = 0, as_published: bool = False
    ) -> None:
        """Returns when the server has answered."""
        if self._five:
            options = SubscribeOptions(qos, retainAsPublished=as_published, retainHandling=handling)
            self._client.subscribe(filter, options=options)
        else:
            self._client.subscribe(filter, qos)
        async with asyncio.timeout(WITHIN):
            await self.subacks.get()

    async def receive(self, count: int) -> list[MQTTMessage]:
        async with asyncio.timeout(WITHIN):
            return [await self.messages.get() for _ in range(count)]


class Devices:
    """Makes clients of one app, each at whatever room the server's address leads to; `port` is the last's."""

    def __init__(self, server: Server, center: Center) -> None:
        self._server = server
        self._center = center
        self.port = 0

    async def paho(self, device: str, version: int) -> Paho:
        token = (await self._center.token("news", device)).password
        return Paho(self._server.mqtt_port, device, token, version)

    async def raw(self, device: str, version: int = MQTT_5_0) -> RawClient:
        token = (await self._center.token("news", device)).password
        self.port = self._server.mqtt_port
        client = await RawClient.open(self.port, version)
        assert (await client.enter(device, "news", token)).reason == 0
        return client

    async def found(self, filter: str, wanted: Collection[str], version: int = MQTT_5_0) -> list[Publish]:
        """What a new client gets for a subscription, in the order in which it came."""
        async with await self.raw("finder", version) as client:
            return await found(client, filter, wanted)


async def found(client: RawClient, filter: str, wanted: Collection[str]) -> list[Publish]:
    """What a client gets for a subscription: what there is of the topics wanted, however long that takes, and
    nothing more once everything is acknowledged."""
    client.send(Subscribe(1, [Subscription(filter, 1)]))
    packet = await client.receive()
    assert isinstance(packet, Suback), packet
    assert packet.reasons == [1]
    return await drained(client, enough=lambda found: {message.topic for message in found} >= {*wanted})


@pytest.fixture
def devices(server: Server, center: Center) -> Devices:
    return Devices(server, center)


# --- clients that we did not write ---


@VERSIONS
async def test_what_one_client_retains_every_other_gets_wherever_it_is(
    version: int, devices: Devices
) -> None:
    """The last of each topic, with its QoS at most, and the flag; an empty one ends it."""
    other = MQTT_3_1_1 if version == MQTT_5_0 else MQTT_5_0
    async with await devices.paho("publisher", version) as publisher:
        for n in range(30):
            await publisher.publish(f"home/{n}/state", b"old", n % 3)
        for n in range(30):
            await publisher.publish(f"home/{n}/state", b"%d" % n, n % 3)
        await publisher.publish("home/0/state", b"", 1)
        await publisher.publish("home/1/state", b"", 1)
        await publisher.publish("end", b"of it", 1)
    expected = {(f"home/{n}/state", b"%d" % n, min(1, n % 3), True) for n in range(2, 30)}
    for reader in range(4):
        protocol = version if reader % 2 else other
        async with await devices.paho(f"reader-{reader}", protocol) as subscriber:
            await subscriber.subscribe("home/+/state")
            got = await subscriber.receive(28)
            assert {(m.topic, m.payload, m.qos, m.retain) for m in got} == expected
            await subscriber.subscribe("home/7/#", 0)
            [one] = await subscriber.receive(1)
            assert (one.topic, one.payload, one.qos, one.retain) == ("home/7/state", b"7", 0, True)
            await subscriber.subscribe("end")
            [last] = await subscriber.receive(1)  # which comes behind whatever else there was
            assert last.topic == "end"


@VERSIONS
async def test_who_is_subscribed_gets_what_is_published_without_the_flag(
    version: int, devices: Devices
) -> None:
    async with (
        await devices.paho("subscriber", version) as subscriber,
        await devices.paho("publisher", version) as publisher,
    ):
        await subscriber.subscribe("a/#")
        await publisher.publish("a/b", b"1")
        [message] = await subscriber.receive(1)
        assert (message.payload, message.retain) == (b"1", False)
        if version == MQTT_5_0:
            await subscriber.subscribe("a/#", as_published=True, handling=2)
            await publisher.publish("a/b", b"2")
            [message] = await subscriber.receive(1)
            assert (message.payload, message.retain) == (b"2", True)
        await subscriber.subscribe("a/#")
        [message] = await subscriber.receive(1)
        assert (message.payload, message.retain) == (b"2" if version == MQTT_5_0 else b"1", True)


async def test_retain_handling_is_what_a_client_asks_for(devices: Devices) -> None:
    async with (
        await devices.paho("publisher", MQTT_5_0) as publisher,
        await devices.paho("subscriber", MQTT_5_0) as subscriber,
    ):
        await publisher.publish("a", b"1")
        await subscriber.subscribe("a", handling=1)
        assert [m.payload for m in await subscriber.receive(1)] == [b"1"]
        await subscriber.subscribe("a", handling=1)
        await subscriber.subscribe("a", handling=2)
        await subscriber.subscribe("a", handling=0)
        assert [m.payload for m in await subscriber.receive(1)] == [b"1"]
        await publisher.publish("a", b"2")
        assert [(m.payload, m.retain) for m in await subscriber.receive(1)] == [(b"2", False)]


# --- packet by packet ---


@VERSIONS
async def test_what_is_retained_comes_behind_the_suback_with_all_that_was_said_of_it(
    version: int, devices: Devices
) -> None:
    given: Properties = {PropertyId.CONTENT_TYPE: "text/x", PropertyId.USER_PROPERTY: [("k", "v")]}
    async with await devices.raw("publisher") as publisher:
        publisher.send(Publish("a/b", b"x", 1, True, packet_id=1, properties=given))
        assert isinstance(await publisher.receive(), Puback)
    [message] = await devices.found("#", ["a/b"], version)
    assert (message.topic, message.payload, message.qos, message.retain) == ("a/b", b"x", 1, True)
    assert message.properties == (given if version == MQTT_5_0 else None)


async def test_topics_of_the_platform_are_not_retained_and_hidden(devices: Devices) -> None:
    async with await devices.raw("publisher") as publisher:
        refused = ["$SYS/x", "$share/g/x", "push/x", "group/g"]
        handed_over = ["up/x", "event/01a227f9-d0b5-721c-b071-8178d276decb/shown"]
        for number, topic in enumerate([*refused, *handed_over], 1):
            publisher.send(Publish(topic, b"x", 1, True, packet_id=number))
            answer = await publisher.receive()
            assert isinstance(answer, Puback)
            reason = ReasonCode.NOT_AUTHORIZED if topic in refused else ReasonCode.SUCCESS
            assert (answer.packet_id, answer.reason) == (number, reason)
        publisher.send(Publish("a", b"x", 1, True, packet_id=9))
        await publisher.receive()
    assert [message.topic for message in await devices.found("#", ["a"])] == ["a"]


async def test_a_message_is_over_when_its_time_is(devices: Devices) -> None:
    """[MQTT-3.3.2-5], [MQTT-3.3.2-6]: what is left of it is told, and then it is gone."""
    began = time.monotonic()
    async with await devices.raw("publisher") as publisher:
        for topic, seconds in (("a/short", 3), ("a/long", 1000)):
            publisher.send(
                Publish(
                    topic,
                    b"x",
                    1,
                    True,
                    packet_id=1,
                    properties={PropertyId.MESSAGE_EXPIRY_INTERVAL: seconds},
                )
            )
            assert isinstance(await publisher.receive(), Puback)

    async def only_the_long_one() -> bool:
        messages = {message.topic: message for message in await devices.found("a/+", ["a/long"])}
        left = get_int(messages["a/long"].properties, PropertyId.MESSAGE_EXPIRY_INTERVAL)
        assert left is not None
        assert left <= 1000 - int(time.monotonic() - began) + 1
        return "a/short" not in messages

    await until(only_the_long_one)
    assert time.monotonic() - began >= 3


async def test_what_is_published_right_behind_a_subscription_is_not_overtaken(devices: Devices) -> None:
    """[MQTT-4.6.0-5]: the retained message first, if it comes at all, whatever room each of them is at."""
    async with await devices.raw("publisher") as publisher:
        for number in range(1, 41):
            topic = f"t/{number}"
            publisher.send(Publish(topic, b"old", 1, True, packet_id=number))
            assert isinstance(await publisher.receive(), Puback)
            async with await devices.raw(f"s{number % 7}") as subscriber:
                subscriber.send(Subscribe(1, [Subscription("t/#" if number % 2 else topic, 1)]))
                assert isinstance(await subscriber.receive(), Suback)
                publisher.send(Publish(topic, b"new", 1, False, packet_id=number))
                assert isinstance(await publisher.receive(), Puback)
                came = await drained(subscriber, enough=_has(topic))
                got = [m.payload for m in came if m.topic == topic]
                assert got[:1] == [b"old"], got
                assert got[1:] in ([b"new"], []), got  # between rooms, a filter may be news still


def _has(topic: str) -> Callable[[list[Publish]], bool]:
    return lambda found: any(message.topic == topic for message in found)


async def test_a_client_that_acknowledges_slowly_gets_all_of_very_much(devices: Devices) -> None:
    count = 3000
    async with await devices.raw("publisher") as publisher:
        for start in range(0, count, 50):
            numbers = range(start, start + 50)
            publisher.send(*(Publish(f"t/{n:04}", b"%d" % n, 1, True, packet_id=1 + n) for n in numbers))
            for _ in numbers:
                assert isinstance(await publisher.receive(), Puback)
    async with await devices.raw("subscriber") as subscriber, await devices.raw("other") as other:
        subscriber.send(Subscribe(1, [Subscription("#", 1)]))
        assert isinstance(await subscriber.receive(), Suback)
        topics: list[str] = []
        while len(topics) < count:
            packet = await subscriber.receive()
            assert isinstance(packet, Publish)
            assert packet.retain
            topics.append(packet.topic)
            acknowledge(subscriber, packet)
            if len(topics) % 500 == 0:
                other.send(Pingreq())
                assert await other.receive() == Pingresp()
        assert topics == [f"t/{n:04}" for n in range(count)]
        other.send(Publish("t/end", b"", 1, packet_id=1))
        assert isinstance(await other.receive(), Puback)
        last = await subscriber.receive()
        assert isinstance(last, Publish)
        assert (last.topic, last.retain) == ("t/end", False)


@pytest.mark.parametrize("node", [{"saver.retained_messages": 3}], indirect=True)
async def test_an_app_that_has_as_many_as_it_may_is_told_so(node: LiveNode) -> None:
    async with node.center() as center:
        await center.create_app("news", pubsub=True)
        token = (await center.token("news", "d1")).password
        async with await node.connect() as client:
            connack = await client.enter("d1", "news", token)
            assert connack.properties is not None
            assert connack.properties.get(PropertyId.RETAIN_AVAILABLE, 1) == 1
            reasons = []
            for number in range(1, 6):
                client.send(Publish(f"t/{number}", b"x", 1, True, packet_id=number))
                answer = await client.receive()
                assert isinstance(answer, Puback)
                reasons.append(answer.reason)
            nobody, full = ReasonCode.NO_MATCHING_SUBSCRIBERS, ReasonCode.QUOTA_EXCEEDED
            assert reasons == [nobody, nobody, nobody, full, full]
            kept = ["t/1", "t/2", "t/3"]
            assert [message.topic for message in await found(client, "#", kept)] == kept
        assert (await node.refused())["retained_quota_exceeded"] == 2
        figures = await node.metrics()
        assert figures["longline_saver_retained_messages"] == 3
        assert figures["longline_room_retained_kept_total"] == 3
        assert figures["longline_room_retained_refused_total"] == 2
        assert figures["longline_room_retained_sent_total"] == 3


# --- what is killed ---


async def killed_and_started(server: Server, port: int) -> None:
    """A node, or the room of a cluster with a port."""
    if isinstance(server, Cluster):
        room = server.rooms[server.room_ports.index(port)]
        await room.kill()
        room.start()
        await room.ready()
    else:
        assert isinstance(server, ServerProcess)
        await server.kill()
        await server.start()


@pytest.mark.timeout(600)
async def test_what_was_acknowledged_is_there_after_a_kill(server: Server, devices: Devices) -> None:
    """Each topic has what was acknowledged last, or what was sent after it."""
    topics = [f"t/{n}" for n in range(20)]
    acknowledged = dict.fromkeys(topics, 0)
    sent = dict.fromkeys(topics, 0)
    lost = 0
    for number in range(ROUNDS):
        publisher = await devices.raw("publisher")
        await publish_for_a_while(publisher, topics, acknowledged, sent, 200 + 150 * number)
        await killed_and_started(server, devices.port)
        await rest(publisher, topics, acknowledged)
        await publisher.close()

        there = [topic for topic in topics if acknowledged[topic]]
        messages = {message.topic: int(message.payload) for message in await devices.found("t/#", there)}
        for topic in topics:
            lost += not acknowledged[topic] <= messages.get(topic, 0) <= sent[topic]
    print(f"{sum(acknowledged.values())} acknowledged, {lost} lost in {ROUNDS} kills")
    assert lost == 0


async def publish_for_a_while(
    publisher: RawClient, topics: list[str], acknowledged: dict[str, int], sent: dict[str, int], count: int
) -> None:
    """Publishes, and leaves the last ones without having read their answers."""
    for n in range(count):
        index = n % len(topics)
        topic = topics[index]
        sent[topic] += 1
        publisher.send(Publish(topic, b"%d" % sent[topic], 1, True, packet_id=index + 1))
        if n >= len(topics) - 1:
            await take_answer(publisher, topics, acknowledged)


async def take_answer(publisher: RawClient, topics: list[str], acknowledged: dict[str, int]) -> bool:
    answer = await publisher.receive()
    if not isinstance(answer, Puback):
        return False
    assert answer.reason in (0, ReasonCode.NO_MATCHING_SUBSCRIBERS)
    acknowledged[topics[answer.packet_id - 1]] += 1
    return True


async def rest(publisher: RawClient, topics: list[str], acknowledged: dict[str, int]) -> None:
    """Reads what was answered before the end."""
    while await take_answer(publisher, topics, acknowledged):
        pass
