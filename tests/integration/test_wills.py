"""Wills, end to end: published once, never early, and by whoever is left."""

import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from longline.mqtt.packets import MQTT_3_1_1, MQTT_5_0, Connack, Connect, Disconnect, Publish, Will
from longline.mqtt.properties import Properties, PropertyId
from longline.mqtt.reasons import ReasonCode
from tests.integration.keeping import APP, Keeping, drained, drained_together, message, subscribe
from tests.integration.live_node import RawClient
from tests.integration.server_process import ServerProcess
from tests.integration.shapes import Server

VERSIONS = pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])


@pytest_asyncio.fixture
async def keeping(server: Server) -> AsyncIterator[Keeping]:
    async with server.center() as center:
        await center.create_app(APP, pubsub=True)
        async with Keeping(server, center) as keeping:
            yield keeping


def a_will(payload: bytes = b"gone", qos: int = 1, retain: bool = False, **properties: object) -> Will:
    told: Properties = {getattr(PropertyId, name.upper()): value for name, value in properties.items()}  # type: ignore[misc]
    return Will("will", payload, qos, retain, told or None)


async def a_mourner(keeping: Keeping, name: str = "mourner") -> RawClient:
    client = await keeping.client(name, clean=True, expiry=0)
    await subscribe(client, "will")
    return client


@VERSIONS
@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_a_will_is_published_when_its_connection_breaks(
    version: int, qos: int, keeping: Keeping
) -> None:
    """[MQTT-3.1.2-8]"""
    mourner = await a_mourner(keeping)
    client = await keeping.client("d", version, clean=True, expiry=0, will=a_will(qos=qos))
    client.abort()
    got = await message(mourner)
    assert (got.topic, got.payload, got.qos, got.retain) == ("will", b"gone", qos, False)


@VERSIONS
async def test_a_client_that_says_good_bye_leaves_none(version: int, keeping: Keeping) -> None:
    """[MQTT-3.1.2-10], [MQTT-3.14.4-3]; but with reason 0x04 it does."""
    mourner = await a_mourner(keeping)
    for number in range(5):
        client = await keeping.client("d", version, clean=True, expiry=0, will=a_will(b"%d" % number))
        client.send(Disconnect())
        assert await client.receive() is None
    if version == MQTT_5_0:
        client = await keeping.client("d", clean=True, expiry=0, will=a_will(b"with"))
        client.send(Disconnect(ReasonCode.DISCONNECT_WITH_WILL_MESSAGE))
        assert (await message(mourner)).payload == b"with"
    client = await keeping.client("e", version, clean=True, expiry=0, will=a_will(b"last"))
    client.abort()
    assert (await message(mourner)).payload == b"last"  # so the others' would have come before it


async def test_a_will_waits_for_its_delay_and_is_dropped_when_the_client_is_back(keeping: Keeping) -> None:
    """[MQTT-3.1.3-9]"""
    mourner = await a_mourner(keeping)
    client = await keeping.client("d", will=a_will(b"late", will_delay_interval=2))
    began = time.monotonic()
    client.abort()
    assert (await message(mourner)).payload == b"late"
    assert time.monotonic() - began >= 2
    client = await keeping.client("d", will=a_will(b"never", will_delay_interval=2))
    client.abort()
    client = await keeping.client("d")
    client.send(Disconnect())
    other = await keeping.client("e", will=a_will(b"other", will_delay_interval=3))
    other.abort()
    assert (await message(mourner)).payload == b"other"


async def test_the_end_of_a_session_does_not_wait_for_the_delay(keeping: Keeping) -> None:
    """Section 3.1.3.2.2: whichever comes first."""
    mourner = await a_mourner(keeping)
    client = await keeping.client("d", expiry=1, will=a_will(will_delay_interval=1000))
    client.abort()
    assert (await message(mourner)).payload == b"gone"
    client = await keeping.client("d", expiry=500, will=a_will(b"clean", will_delay_interval=1000))
    client.abort()
    await keeping.client("d", clean=True)
    assert (await message(mourner)).payload == b"clean"


async def test_who_takes_over_has_the_will_without_delay_published(keeping: Keeping) -> None:
    """[MQTT-3.1.4-3]"""
    mourner = await a_mourner(keeping)
    await keeping.client("d", will=a_will())
    await keeping.client("d")
    assert (await message(mourner)).payload == b"gone"


async def test_a_will_has_all_that_was_said_of_it(keeping: Keeping) -> None:
    mourner = await a_mourner(keeping)
    client = await keeping.client(
        "d",
        clean=True,
        expiry=0,
        will=a_will(
            content_type="text/x",
            response_topic="r",
            correlation_data=b"c",
            payload_format_indicator=1,
            user_property=[("k", "v"), ("k", "w")],
            message_expiry_interval=60,
        ),
    )
    client.abort()
    got = await message(mourner)
    assert got.properties is not None
    left = got.properties.pop(PropertyId.MESSAGE_EXPIRY_INTERVAL)
    assert isinstance(left, int)
    assert 50 < left <= 60
    assert got.properties == {
        PropertyId.CONTENT_TYPE: "text/x",
        PropertyId.RESPONSE_TOPIC: "r",
        PropertyId.CORRELATION_DATA: b"c",
        PropertyId.PAYLOAD_FORMAT_INDICATOR: 1,
        PropertyId.USER_PROPERTY: [("k", "v"), ("k", "w")],
    }


async def test_a_will_is_retained_where_it_asks_for_that_and_waits_for_who_is_away(keeping: Keeping) -> None:
    """[MQTT-3.1.2-14], [MQTT-3.1.2-15]"""
    await keeping.away("away", "will", qos=2)
    mourner = await a_mourner(keeping)
    client = await keeping.client("d", clean=True, expiry=0, will=a_will(qos=2, retain=True))
    client.abort()
    assert (await message(mourner)).retain is False
    later = await a_mourner(keeping, "later")
    got = await message(later)
    assert (got.payload, got.retain) == (b"gone", True)
    away = await keeping.client("away")
    assert [(m.payload, m.qos) for m in await drained(away, 1)] == [(b"gone", 2)]


async def test_a_will_that_could_not_be_published_lets_nobody_in(keeping: Keeping) -> None:
    for topic, reason in (("push/x", 0x87), ("$SYS/x", 0x87), ("a" + "/a" * 100, 0x90)):
        client = await RawClient.open(keeping.server.mqtt_port)
        keeping.opened.append(client)
        token = (await keeping.center.token(APP, "d")).password
        client.send(Connect(MQTT_5_0, "d", True, 60, APP, token.encode(), Will(topic, b"x")))
        answer = await client.receive()
        assert isinstance(answer, Connack)
        assert answer.reason == reason, topic


async def test_wills_of_a_room_that_is_killed_are_published_once(keeping: Keeping) -> None:
    """Not before the grace in which clients may come back; and those of who did are not."""
    await keeping.away("away", "will", qos=2)
    port = keeping.server.mqtt_port
    clients = [
        await keeping.client(f"d{n}", clean=True, expiry=0, will=a_will(b"%d" % n, 1 + n % 2), port=port)
        for n in range(10)
    ]
    keeping.port = port
    await keeping.restart()
    for client in clients:
        await client.close()
    away = await keeping.client("away")
    payloads = [m.payload for m in await drained(away, 10)]
    assert sorted(payloads, key=int) == [b"%d" % n for n in range(10)]
    assert await drained(away) == []


async def test_a_node_that_stops_in_order_leaves_sessions_and_wills_as_they_should_be(
    keeping: Keeping,
) -> None:
    """The end of connections by the node is no good-bye of theirs: each will comes, and comes once."""
    server = keeping.server
    if not isinstance(server, ServerProcess):
        pytest.skip("a node by itself")
    await keeping.away("away", "will", qos=2)
    client = await keeping.client("d", expiry=1000, will=a_will(b"with", 2))
    await subscribe(client, "a")
    await keeping.client("e", clean=True, expiry=0, will=a_will(b"clean", 1))
    left = await keeping.client("f", clean=True, expiry=0, will=a_will(b"left", 1))
    left.send(Disconnect())
    assert await left.receive() is None
    assert await server.terminate() == 0
    await server.start()
    _, connack = await keeping.connect("d")
    assert connack.session_present
    away = await keeping.client("away")
    payloads = [m.payload for m in await drained(away, 2)]
    assert sorted(payloads) == [b"clean", b"with"]
    assert await drained(away) == []


async def test_a_will_is_nobodys_business_in_another_app(keeping: Keeping) -> None:
    await keeping.center.create_app("other", pubsub=True)
    token = (await keeping.center.token("other", "spy")).password
    spy = await RawClient.open(keeping.server.mqtt_port)
    keeping.opened.append(spy)
    spy.send(Connect(MQTT_5_0, "spy", True, 60, "other", token.encode()))
    await spy.receive()
    await subscribe(spy, "#")
    mourner = await a_mourner(keeping)
    client = await keeping.client("d", clean=True, expiry=0, will=a_will())
    client.abort()
    assert isinstance(await message(mourner), Publish)
    assert await drained(spy) == []


@pytest.mark.parametrize("qos", [0, 1])
async def test_a_will_goes_to_one_member_of_a_group(qos: int, keeping: Keeping) -> None:
    members = [await keeping.client(f"m{n}", clean=True, expiry=0) for n in range(4)]
    for member in members:
        await subscribe(member, "$share/g/will")
    mourner = await a_mourner(keeping)
    for number in range(3):
        client = await keeping.client("d", clean=True, expiry=0, will=a_will(b"%d" % number, qos))
        client.abort()
        assert (await message(mourner)).payload == b"%d" % number
    got = [packet.payload for some in await drained_together(members, 3) for packet in some]
    assert sorted(got) == [b"0", b"1", b"2"]
