"""Sessions that outlive their connections, end to end: whatever room a client comes back to."""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties as PahoProperties

from longline.mqtt.packets import (
    MQTT_3_1_1,
    MQTT_5_0,
    Disconnect,
    Packet,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Unsuback,
    Unsubscribe,
)
from longline.mqtt.properties import Properties, PropertyId, get_int
from longline.mqtt.reasons import ReasonCode
from tests.integration.keeping import (
    APP,
    Keeping,
    acknowledge,
    drained,
    drained_together,
    message,
    publish,
    subscribe,
)
from tests.integration.live_node import LiveNode, RawClient
from tests.integration.shapes import Server
from tests.waiting import WITHIN, until

VERSIONS = pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])
QOS = pytest.mark.parametrize("qos", [1, 2])
ROUNDS = int(os.environ.get("LONGLINE_ROUNDS", "5"))  # of killing


@pytest_asyncio.fixture
async def keeping(server: Server) -> AsyncIterator[Keeping]:
    async with server.center() as center:
        await center.create_app(APP, pubsub=True)
        async with Keeping(server, center) as keeping:
            yield keeping


async def nobody_gets(publisher: RawClient, topic: str) -> None:
    """Its room may know for a second or two more of filters that there were in others."""

    async def so() -> bool:
        return await publish(publisher, topic, b"x") == ReasonCode.NO_MATCHING_SUBSCRIBERS

    await until(so)


# --- coming back ---


@VERSIONS
async def test_a_session_is_present_when_its_client_comes_back(version: int, keeping: Keeping) -> None:
    """[MQTT-3.2.2-2], [MQTT-3.2.2-3]; Clean Start ends it [MQTT-3.1.2-4]"""
    for clean, present in ((False, False), (False, True), (True, False), (False, version == MQTT_5_0)):
        client, connack = await keeping.connect("d", version, clean=clean)
        assert connack.session_present is present, clean
        client.abort()
    client, connack = await keeping.connect("d", version, clean=True, expiry=0)
    client.abort()
    _, connack = await keeping.connect("d", version)
    assert not connack.session_present


@VERSIONS
@QOS
async def test_what_is_published_while_a_client_is_away_waits_for_it(
    version: int, qos: int, keeping: Keeping
) -> None:
    """In order, each once, at the lower QoS of the two; QoS 0 does not wait."""
    await keeping.away("d", "a/#", qos=qos, version=version)
    publisher = await keeping.client("p", clean=True, expiry=0)
    for number in range(30):
        reason = await publish(publisher, f"a/{number}", b"%d" % number, 1 + number % 2, 1 + number)
        assert reason == 0
    publisher.send(Publish("a/0", b"0", 0))
    client, connack = await keeping.connect("d", version)
    assert connack.session_present
    messages = await drained(client, 30)
    assert [int(m.payload) for m in messages] == list(range(30))
    assert [m.qos for m in messages] == [min(qos, 1 + n % 2) for n in range(30)]
    assert not any(m.dup or m.retain for m in messages)
    assert await drained(client) == []
    assert await publish(publisher, "a/0", b"there") == 0  # and goes on
    assert [m.payload for m in await drained(client, 1)] == [b"there"]


@VERSIONS
async def test_a_clean_session_gets_nothing_of_what_was_kept(version: int, keeping: Keeping) -> None:
    await keeping.away("d", "a/#", version=version)
    publisher = await keeping.client("p", clean=True, expiry=0)
    await publish(publisher, "a/1", b"1")
    client = await keeping.client("d", version, clean=True, expiry=0)
    assert await drained(client) == []
    await nobody_gets(publisher, "a/1")


async def test_what_a_session_has_unsubscribed_from_is_not_kept_for_it(keeping: Keeping) -> None:
    client = await keeping.client("d")
    await subscribe(client, "a/#", "b")
    client.send(Unsubscribe(2, ["a/#", "c"]))
    assert await client.receive() == Unsuback(2, [0, ReasonCode.NO_SUBSCRIPTION_EXISTED])
    client.abort()
    publisher = await keeping.client("p", clean=True, expiry=0)
    await nobody_gets(publisher, "a/1")
    assert await publish(publisher, "b", b"2") == 0
    client = await keeping.client("d")
    assert [m.topic for m in await drained(client, 1)] == ["b"]


async def test_a_message_counts_its_time_down_while_it_waits(keeping: Keeping) -> None:
    """[MQTT-3.3.2-5], [MQTT-3.3.2-6]"""
    await keeping.away("d", "a/#")
    publisher = await keeping.client("p", clean=True, expiry=0)
    for number, seconds in ((1, 1), (2, 1000)):
        expiry: Properties = {PropertyId.MESSAGE_EXPIRY_INTERVAL: seconds}
        publisher.send(Publish(f"a/{number}", b"x", 1, packet_id=number, properties=expiry))
        assert await publisher.receive() == Puback(number)

    async def only_the_long_one() -> bool:
        client = await keeping.client("d")
        first = await message(client)
        client.abort()
        left = get_int(first.properties, PropertyId.MESSAGE_EXPIRY_INTERVAL)
        return first.topic == "a/2" and left is not None and left < 1000

    await until(only_the_long_one)


# --- exactly once ---


async def test_what_is_under_way_with_qos_2_is_gone_on_with_where_it_was(keeping: Keeping) -> None:
    """[MQTT-4.4.0-1]: before PUBREC the same PUBLISH, marked; after it PUBREL, and never the message."""
    await keeping.away("d", "a", qos=2)
    publisher = await keeping.client("p", clean=True, expiry=0)
    await publish(publisher, "a", b"x", 2)
    client = await keeping.client("d")
    first = await message(client)
    assert (first.qos, first.dup, first.payload) == (2, False, b"x")
    client.abort()
    client = await keeping.client("d")
    again = await message(client)
    assert (again.packet_id, again.dup, again.payload) == (first.packet_id, True, b"x")
    client.send(Pubrec(again.packet_id))
    assert await client.receive() == Pubrel(again.packet_id)
    client.abort()
    client = await keeping.client("d")
    assert await client.receive() == Pubrel(again.packet_id)
    client.send(Pubcomp(again.packet_id))
    assert await drained(client) == []
    client.abort()
    client = await keeping.client("d")
    assert await drained(client) == []


@VERSIONS
async def test_what_a_client_publishes_with_qos_2_is_taken_once_whichever_connection_brings_it(
    version: int, keeping: Keeping
) -> None:
    """[MQTT-4.3.3-10]"""
    await keeping.away("d", "a", qos=2)
    client = await keeping.client("p", version)
    for number in range(3):
        client.send(Publish("a", b"x", 2, packet_id=7, dup=number > 0))
        assert await client.receive() == Pubrec(7)
        client.abort()
        client = await keeping.client("p", version)
    client.send(Pubrel(7))
    assert await client.receive() == Pubcomp(7)
    await publish(client, "a", b"y", 2, 7)  # the identifier stands for another message now
    subscriber = await keeping.client("d")
    assert [m.payload for m in await drained(subscriber, 2)] == [b"x", b"y"]


# --- its end ---


async def test_a_session_ends_when_its_time_is_over_or_its_client_says_so(keeping: Keeping) -> None:
    """[MQTT-3.1.2-23]; section 3.14.2.2.2"""
    client = await keeping.client("d", expiry=1)
    await subscribe(client, "a")
    client.abort()

    async def over() -> bool:
        await asyncio.sleep(1.2)
        client, connack = await keeping.connect("d", expiry=1)
        await subscribe(client, "a")
        client.abort()
        return not connack.session_present

    await until(over)
    for told, present in ((None, True), (0, False), (500, True)):
        client = await keeping.client("e", expiry=1000)
        properties: Properties | None = None
        if told is not None:
            properties = {PropertyId.SESSION_EXPIRY_INTERVAL: told}
        client.send(Disconnect(0, properties))
        assert await client.receive() is None
        client, connack = await keeping.connect("e", expiry=1000)
        assert connack.session_present is present, told
        client.send(Disconnect())
        assert await client.receive() is None


@pytest.mark.parametrize("node", [{"sessions.max_expiry": 60}], indirect=True)
async def test_who_asks_for_more_than_is_kept_is_told_so(node: LiveNode) -> None:
    async with node.center() as center, Keeping(node, center) as keeping:  # type: ignore[arg-type]
        await center.create_app(APP, pubsub=True)
        for asked, told in ((10, None), (60, None), (61, 60), (4_294_967_295, 60)):
            client, connack = await keeping.connect("d", expiry=asked, port=node.mqtt_port)
            assert get_int(connack.properties, PropertyId.SESSION_EXPIRY_INTERVAL) == told
            await client.close()


@VERSIONS
async def test_another_connection_goes_on_with_the_session_and_ends_this_one(
    version: int, keeping: Keeping
) -> None:
    """[MQTT-3.1.4-3]"""
    first = await keeping.client("d", version)
    await subscribe(first, "a")
    second, connack = await keeping.connect("d", version)
    assert connack.session_present
    told = await first.receive()
    assert told is None or told == Disconnect(ReasonCode.SESSION_TAKEN_OVER)
    publisher = await keeping.client("p", clean=True, expiry=0)
    assert await publish(publisher, "a", b"x") == 0
    assert [m.payload for m in await drained(second, 1)] == [b"x"]


# --- bounds ---


@pytest.mark.parametrize("node", [{"sessions.queue_messages": 3}], indirect=True)
async def test_a_full_queue_takes_no_more_and_the_publisher_is_told_when_nobody_has_it(
    node: LiveNode,
) -> None:
    async with node.center() as center, Keeping(node, center) as keeping:  # type: ignore[arg-type]
        await center.create_app(APP, pubsub=True)
        await keeping.away("d", "a")
        publisher = await keeping.client("p", clean=True, expiry=0)
        reasons = [await publish(publisher, "a", b"%d" % n) for n in range(5)]
        assert reasons == [0, 0, 0, ReasonCode.QUOTA_EXCEEDED, ReasonCode.QUOTA_EXCEEDED]
        client = await keeping.client("d")
        assert [m.payload for m in await drained(client, 3)] == [b"0", b"1", b"2"]
        figures = await node.metrics()
        assert figures["longline_room_queues_full_total"] == 2
        assert figures["longline_room_deposits_total"] == 3


async def test_a_client_is_sent_no_more_than_it_takes_at_once(keeping: Keeping) -> None:
    """[MQTT-3.3.4-9], and all of it in the end."""
    await keeping.away("d", "a")
    publisher = await keeping.client("p", clean=True, expiry=0)
    for number in range(20):
        await publish(publisher, "a", b"%d" % number)
    client, _ = await keeping.connect("d", properties={PropertyId.RECEIVE_MAXIMUM: 2})
    waiting = [await message(client), await message(client)]
    client.send(Disconnect())  # nothing else is there before it
    assert await client.receive() is None
    client, _ = await keeping.connect("d", properties={PropertyId.RECEIVE_MAXIMUM: 2})
    again = [await message(client), await message(client)]
    assert [(m.packet_id, m.dup) for m in again] == [(m.packet_id, True) for m in waiting]
    for packet in again:
        acknowledge(client, packet)
    assert [int(m.payload) for m in await drained(client, 18)] == list(range(2, 20))


# --- clients that we did not write ---


class PahoSession:
    """paho-mqtt with a session that is kept."""

    def __init__(self, keeping: Keeping, device: str, token: str, version: int) -> None:
        self.messages: asyncio.Queue[bytes] = asyncio.Queue()
        self.subscribed = asyncio.Event()
        self.present: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._port = keeping.server.mqtt_port
        self._five = version == MQTT_5_0
        loop = asyncio.get_running_loop()
        five: dict[str, Any] = {} if self._five else {"clean_session": False}
        self.client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=device,
            protocol=MQTTProtocolVersion.MQTTv5 if self._five else MQTTProtocolVersion.MQTTv311,
            **five,
        )
        self.client.username_pw_set(APP, token)

        def connected(client: Client, data: object, flags: Any, *_: object) -> None:
            loop.call_soon_threadsafe(self.present.set_result, bool(flags.session_present))

        def received(client: Client, data: object, got: Any) -> None:
            loop.call_soon_threadsafe(self.messages.put_nowait, got.payload)

        def subscribed(*_: object) -> None:
            loop.call_soon_threadsafe(self.subscribed.set)

        self.client.on_connect = connected
        self.client.on_message = received
        self.client.on_subscribe = subscribed

    async def __aenter__(self) -> "PahoSession":
        if self._five:
            properties: Any = PahoProperties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = 1000
            self.client.connect("127.0.0.1", self._port, clean_start=False, properties=properties)
        else:
            self.client.connect("127.0.0.1", self._port)
        self.client.loop_start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.client.disconnect()
        await asyncio.to_thread(self.client.loop_stop)


@VERSIONS
async def test_paho_finds_what_was_published_while_it_was_away(version: int, keeping: Keeping) -> None:
    token = (await keeping.center.token(APP, "paho")).password
    publisher = await keeping.client("p", clean=True, expiry=0)
    async with asyncio.timeout(WITHIN):
        async with PahoSession(keeping, "paho", token, version) as paho:
            assert not await paho.present
            paho.client.subscribe("a/#", 2)
            await paho.subscribed.wait()
        for number in range(40):
            await publish(publisher, f"a/{number}", b"%d" % number, 1 + number % 2, 1 + number)
        async with PahoSession(keeping, "paho", token, version) as paho:
            assert await paho.present
            # It gives QoS 2 to the application when they are released.
            got = [int(await paho.messages.get()) for _ in range(40)]
            assert [n for n in got if not n % 2] == list(range(0, 40, 2))
            assert sorted(got) == list(range(40))


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "not kept"])
async def test_who_is_subscribed_gets_what_anybody_publishes_next(kept: bool, server: Server) -> None:
    """At another room, too, which has heard of nobody in this app until then."""
    async with server.center() as center:
        for number in range(10):
            app = f"{APP}{number}"
            await center.create_app(app, pubsub=True)
            async with Keeping(server, center, app) as keeping:
                publisher = await keeping.client("p", clean=True, expiry=0)
                subscriber = await keeping.client("d", clean=not kept, expiry=1000 if kept else 0)
                await subscribe(subscriber, "a")
                assert await publish(publisher, "a", b"%d" % number) == 0
                assert (await message(subscriber)).payload == b"%d" % number


# --- what is killed ---


class Taking:
    """What a client takes that follows the standard: one of QoS 2 once, by its packet identifier."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self._unreleased: set[int] = set()

    def take(self, packet: Packet | None) -> None:
        if isinstance(packet, Publish):
            if packet.qos == 1 or packet.packet_id not in self._unreleased:
                self.numbers.append(int(packet.payload))
            if packet.qos == 2:
                self._unreleased.add(packet.packet_id)
        elif isinstance(packet, Pubrel):
            self._unreleased.discard(packet.packet_id)


@QOS
async def test_nothing_that_was_acknowledged_is_lost_by_a_kill(qos: int, keeping: Keeping) -> None:
    """And with QoS 2 nothing comes twice, though both ends send again what was under way."""
    await keeping.away("d", "a", qos=qos)
    taking = Taking()
    number = 0
    publisher = await keeping.client("p")
    for turn in range(ROUNDS):
        more = turn % 5  # whose answers a kill may lose: all of it has to fit into the queue
        for _ in range(12 + 5 * more):
            number += 1
            await publish(publisher, "a", b"%d" % number, qos, number)
        client = await keeping.client("d", port=keeping.port)
        for _ in range(10 + more):  # some of them, and of these the last are not settled by the kill
            packet = await client.receive()
            taking.take(packet)
            acknowledge(client, packet)
        under_way = [Publish("a", b"%d" % (number + n), qos, packet_id=number + n) for n in range(1, 5)]
        number += len(under_way)
        publisher.send(*under_way)
        await keeping.restart()
        await client.close()
        await publisher.close()
        publisher = await keeping.client("p")
        for packet in under_way:
            packet.dup = True
            await publish(publisher, "a", packet.payload, qos, packet.packet_id, dup=True)
    client = await keeping.client("d")
    await drained(client, take=taking.take, enough=lambda _: len(set(taking.numbers)) == number)
    if qos == 1:
        assert set(taking.numbers) == set(range(1, number + 1))
    else:
        assert sorted(taking.numbers) == list(range(1, number + 1))


async def test_a_session_is_there_after_a_kill_and_its_filters_are_in_force(keeping: Keeping) -> None:
    client = await keeping.client("d")
    await subscribe(client, "a", qos=1)
    await keeping.restart()
    await client.close()
    client, connack = await keeping.connect("d")
    assert connack.session_present
    publisher = await keeping.client("p", clean=True, expiry=0)
    assert await publish(publisher, "a", b"x") == 0
    found: set[bytes] = set()

    async def both() -> bool:
        # With QoS 0 a message passes by until the publisher's room has heard of the filters.
        publisher.send(Publish("a", b"y", 0))
        found.update(m.payload for m in await drained(client))
        return found == {b"x", b"y"}

    await until(both)


async def test_a_member_of_a_group_is_one_again_when_its_session_goes_on(keeping: Keeping) -> None:
    """While it is away others get what comes, and what it had not acknowledged with QoS 1."""
    group = "$share/g/jobs"
    one, other = await keeping.client("one"), await keeping.client("other")
    await subscribe(one, group)
    await subscribe(other, group)
    publisher = await keeping.client("p", clean=True, expiry=0)
    for number in range(8):
        assert await publish(publisher, "jobs", b"%d" % number) == 0
    mine, theirs = await drained_together([one, other], 8)
    assert sorted(m.payload for m in (*mine, *theirs)) == [b"%d" % n for n in range(8)]
    assert 2 <= len(mine) <= 6
    for number in range(8):
        assert await publish(publisher, "jobs", b"more %d" % number) == 0
    one.abort()
    got = [m.payload for m in await drained(other, 8)]
    assert sorted(got) == [b"more %d" % n for n in range(8)]
    one, connack = await keeping.connect("one")
    assert connack.session_present
    for number in range(8):
        assert await publish(publisher, "jobs", b"again %d" % number) == 0
    mine, theirs = await drained_together([one, other], 8)
    assert sorted(m.payload for m in (*mine, *theirs)) == [b"again %d" % n for n in range(8)]
    assert 2 <= len(mine) <= 6
