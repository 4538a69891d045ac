"""Whatever a peer sends a node, it is answered, counted and logged once, and nobody else notices."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import jwt
import pytest

from longline import Center, Device
from longline.mqtt.codec import encode
from longline.mqtt.packets import (
    MQTT_3_1_1,
    MQTT_5_0,
    Connack,
    Connect,
    Disconnect,
    Pingreq,
    Pingresp,
    Puback,
    Publish,
    Pubrec,
    Will,
)
from longline.mqtt.reasons import ReasonCode, reason_of_return_code
from tests.integration.live_node import LiveNode, RawClient, refused
from tests.integration.server_process import ServerProcess
from tests.waiting import WITHIN

VERSIONS = pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])


def token(device: str, secret: str, **claims: object) -> str:
    return jwt.encode({"sub": device, **claims}, secret, algorithm="HS256")


class Witness:
    """A device in good order. Whatever happens to others, a push reaches it."""

    def __init__(self, center: Center, device: Device) -> None:
        self._center = center
        self._device = device
        self._sent = 0

    async def is_served(self) -> None:
        self._sent += 1
        text = f"still there {self._sent}"
        await self._center.send("news", text, devices=["witness"])
        async with asyncio.timeout(WITHIN):
            message = await anext(aiter(self._device))
            assert message.text == text
            await message.ack()

    async def never_reconnected(self) -> None:
        found = await self._center.device("news", "witness")
        assert found.online
        assert self._device.statistics.connects == 1


@asynccontextmanager
async def a_witness(center: Center, mqtt_port: int, secret: str) -> AsyncIterator[Witness]:
    device = Device(
        "127.0.0.1", mqtt_port, app="news", device="witness", token=token("witness", secret), keep_alive=600
    )
    async with device:
        await device.wait_connected()
        yield Witness(center, device)


class Attacked:
    """A live node with an app, its secret, and a witness."""

    def __init__(self, node: LiveNode, secret: str, witness: Witness) -> None:
        self.node = node
        self.secret = secret
        self.witness = witness

    async def enter(self, version: int, device: str = "culprit") -> RawClient:
        client = await self.node.connect(version)
        connack = await client.enter(device, "news", token(device, self.secret))
        assert connack.reason == 0
        return client

    async def assert_counted(self, code: str) -> None:
        """That one refusal, and no other; and the witness has not noticed."""
        assert await self.node.refused() == {code: 1}
        await self.witness.is_served()
        await self.witness.never_reconnected()


@pytest.fixture
async def attacked(node: LiveNode) -> AsyncIterator[Attacked]:
    async with node.center() as center:
        secret = (await center.create_app("news", pubsub=True)).device_secret
        async with a_witness(center, node.mqtt_port, secret) as witness:
            yield Attacked(node, secret, witness)


# --- before CONNECT ------------------------------------------------------------------------------------


def utf8(text: str | bytes) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    return struct.pack(">H", len(data)) + data


def connect_bytes(level: int, body: bytes, flags: int = 2, name: str = "MQTT") -> bytes:
    inside = utf8(name) + bytes([level, flags]) + b"\x00\x00" + (b"\x00" if level == 5 else b"") + body
    return b"\x10" + bytes([len(inside)]) + inside


STRANGERS: dict[str, tuple[int, bytes, int | None, str]] = {
    # name: version to read the answer in, bytes, CONNACK's reason, code counted
    "HTTP": (4, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", None, "malformed_packet"),
    "TLS": (4, b"\x16\x03\x01\x02\x00\x01\x00\x01", None, "malformed_packet"),
    "zeros": (4, bytes(64), None, "malformed_packet"),
    "PINGREQ": (4, b"\xc0\x00", None, "protocol_error"),
    "PUBLISH": (4, b"\x30\x04\x00\x01ax", None, "protocol_error"),
    "oversized": (4, b"\x10\xff\xff\x7f", None, "packet_too_large"),
    "endless length": (4, b"\x10\xff\xff\xff\xff\x01", None, "malformed_packet"),
    "3.1 by the other name": (4, connect_bytes(3, utf8("d")), 0x84, "unsupported_protocol_version"),
    "no client id, 3.1": (
        4,
        connect_bytes(3, utf8(""), name="MQIsdp"),
        0x85,
        "client_identifier_not_valid",
    ),
    "6.0": (4, connect_bytes(6, utf8("d")), 0x84, "unsupported_protocol_version"),
    "reserved flag, 3.1.1": (4, connect_bytes(4, utf8("d"), flags=3), None, "malformed_packet"),
    "reserved flag, 5": (5, connect_bytes(5, utf8("d"), flags=3), 0x81, "malformed_packet"),
    "no client id, 3.1.1": (4, connect_bytes(4, b""), None, "malformed_packet"),
    "no client id, 5": (5, connect_bytes(5, b""), 0x81, "malformed_packet"),
    "not UTF-8, 3.1.1": (4, connect_bytes(4, utf8(b"\xff\xfe")), None, "malformed_packet"),
    "not UTF-8, 5": (5, connect_bytes(5, utf8(b"\xff\xfe")), 0x81, "malformed_packet"),
    "something behind it": (5, connect_bytes(5, utf8("d") + b"x"), 0x81, "malformed_packet"),
}


@pytest.mark.parametrize("name", STRANGERS)
async def test_a_stranger_that_speaks_no_good_mqtt_is_answered_and_closed(
    attacked: Attacked, name: str
) -> None:
    version, data, reason, code = STRANGERS[name]
    async with await attacked.node.connect(version) as client:
        client.bytes(data)
        assert await client.rest() == ([] if reason is None else [Connack(False, reason)])
    await attacked.assert_counted(code)


@pytest.mark.parametrize("node", [{"room.connect_timeout": 0.5}], indirect=True)
@pytest.mark.parametrize("said", [0, 1, 10])
async def test_a_connect_that_never_gets_whole_ends_with_its_deadline(attacked: Attacked, said: int) -> None:
    async with await attacked.node.connect() as client:
        for byte in encode(Connect(MQTT_5_0, "slow", username="news"), MQTT_5_0)[:said]:
            client.bytes(bytes([byte]))
        assert await client.rest() == []
    await attacked.assert_counted("connect_timeout")


@pytest.mark.parametrize(
    ("node", "code"),
    [
        ({"room.deny": "127.0.0.0/8"}, "address_denied"),
        ({"room.allow": "192.0.2.0/24"}, "address_not_allowed"),
        ({"room.max_connections_per_address": 1}, "too_many_connections_per_address"),
        ({"room.max_connections": 1}, "too_many_connections"),
        ({"room.connect_rate": 0.001}, "connect_rate"),
        ({"room.connect_rate_per_address": 0.001}, "connect_rate_per_address"),
    ],
    indirect=["node"],
)
async def test_who_may_not_connect_is_closed_before_a_byte_is_read(node: LiveNode, code: str) -> None:
    async with await node.connect() as first, await node.connect() as second:
        assert await second.rest() == []
        denied = code.startswith("address")
        assert await node.refused() == {code: 2 if denied else 1}
        if not denied:  # the first one had room
            assert (await first.enter("d", "nobody", "")).reason == 0x86


@VERSIONS
@pytest.mark.parametrize(
    ("node", "same", "code", "told"),
    [
        ({"room.max_connections_per_app": 1}, False, "too_many_connections_of_app", (0x97, 3)),
        ({"room.flapping_connects": 1}, True, "flapping", (0x8A, 5)),
        ({"room.connect_packet_rate": 0.001}, True, "connect_packet_rate", (0x9F, 3)),
    ],
    indirect=["node"],
)
async def test_who_comes_too_often_or_as_one_too_many_of_its_app_is_told(
    node: LiveNode, version: int, same: bool, code: str, told: tuple[int, int]
) -> None:
    """The second in either case; the first stays as it is."""
    async with node.center() as center:
        secret = (await center.create_app("news")).device_secret
    async with await node.connect(version) as first, await node.connect(version) as second:
        assert (await first.enter("first", "news", token("first", secret))).reason == 0
        device = "first" if same else "second"
        second.send(Connect(version, device, username="news", password=token(device, secret).encode()))
        connack = await second.receive()
        assert isinstance(connack, Connack)
        reason = told[0] if version == MQTT_5_0 else reason_of_return_code(told[1])
        assert connack.reason == reason
        first.send(Pingreq())
        assert await first.receive() == Pingresp()
        assert await node.refused() == {code: 1}


# --- credentials ---------------------------------------------------------------------------------------


@VERSIONS
@pytest.mark.parametrize(
    "kind", ["none", "garbage", "expired", "forged", "another app's", "another device's"]
)
async def test_a_bad_token_is_answered_as_one(attacked: Attacked, version: int, kind: str) -> None:
    """Reason 0x86 in MQTT 5, return code 4 in 3.1.1."""
    async with attacked.node.center() as center:
        other = (await center.create_app("weather")).device_secret
    tokens = {
        "none": "",
        "garbage": "garbage",
        "expired": token("culprit", attacked.secret, exp=1),
        "forged": token("culprit", "a secret that nobody gave to anybody"),
        "another app's": token("culprit", other),
        "another device's": token("witness", attacked.secret),
    }
    async with await attacked.node.connect(version) as client:
        connack = await client.enter("culprit", "news", tokens[kind])
        assert connack.reason == 0x86
        assert await client.rest() == []
    await attacked.assert_counted("bad_token")


@VERSIONS
@pytest.mark.parametrize("app", ["nobody", "No App Has This Name", "x" * 3000])
async def test_an_unknown_app_is_answered_as_bad_credentials(
    attacked: Attacked, version: int, app: str
) -> None:
    async with await attacked.node.connect(version) as client:
        connack = await client.enter("culprit", app, token("culprit", attacked.secret))
        assert connack.reason == 0x86
        assert await client.rest() == []
    await attacked.assert_counted("app_not_found")


@VERSIONS
async def test_a_device_name_that_cannot_be_is_answered_as_one(attacked: Attacked, version: int) -> None:
    async with await attacked.node.connect(version) as client:
        connack = await client.enter("a/b", "news", token("a/b", attacked.secret))
        assert connack.reason == 0x85
        assert await client.rest() == []
    await attacked.assert_counted("bad_device_name")


@VERSIONS
async def test_a_will_for_a_topic_of_the_platform_is_refused(attacked: Attacked, version: int) -> None:
    async with await attacked.node.connect(version) as client:
        client.send(
            Connect(
                version,
                "culprit",
                username="news",
                password=token("culprit", attacked.secret).encode(),
                will=Will("push/a", b"x"),
            )
        )
        assert await client.rest() == [Connack(False, ReasonCode.NOT_AUTHORIZED)]
    await attacked.assert_counted("will_refused")


@pytest.mark.parametrize("qos", [1, 2])
async def test_a_client_of_3_1_1_whose_publication_is_refused_is_answered_and_stays(
    attacked: Attacked, qos: int
) -> None:
    """It has no word for no, and would come back and do the same again: it is kept for its pushes."""
    async with await attacked.enter(MQTT_3_1_1) as client:
        client.send(Publish("push/x", b"x", qos, packet_id=1), Pingreq())
        answer = Pubrec(1) if qos == 2 else Puback(1)
        assert [await client.receive(), await client.receive()] == [answer, Pingresp()]
    await attacked.assert_counted("topic_reserved")


# --- after CONNACK -------------------------------------------------------------------------------------

MALFORMED = (0x81, "malformed_packet")
PROTOCOL = (0x82, "protocol_error")
LARGE = (0x95, "packet_too_large")

CULPRITS: dict[str, tuple[int, bytes, tuple[int, str]]] = {
    "a second CONNECT, 3.1.1": (4, connect_bytes(4, utf8("culprit")), PROTOCOL),
    "a second CONNECT, 5": (5, connect_bytes(5, utf8("culprit")), PROTOCOL),
    "CONNACK": (5, b"\x20\x03\x00\x00\x00", PROTOCOL),
    "SUBACK": (4, b"\x90\x03\x00\x01\x00", PROTOCOL),
    "PINGRESP": (5, b"\xd0\x00", PROTOCOL),
    "AUTH": (5, b"\xf0\x00", PROTOCOL),
    "packet type 0": (5, b"\x00\x00", MALFORMED),
    "an oversized PUBLISH, 3.1.1": (4, b"\x30\xff\xff\xff\x7f", LARGE),
    "an oversized PUBLISH, 5": (5, b"\x30\xff\xff\xff\x7f", LARGE),
    "an endless length": (5, b"\x30\xff\xff\xff\xff\x01", MALFORMED),
    "QoS 3": (5, b"\x36\x06\x00\x01a\x00\x01\x00", MALFORMED),
    "packet identifier 0": (5, b"\x32\x06\x00\x01a\x00\x00\x00", PROTOCOL),
    "a topic with a wildcard": (5, b"\x30\x04\x00\x01#\x00", MALFORMED),
    "no topic": (4, b"\x30\x02\x00\x00", PROTOCOL),
    "a topic that is not UTF-8": (5, b"\x30\x05\x00\x02\xff\xfe\x00", MALFORMED),
    "a topic longer than its packet": (4, b"\x30\x03\x00\x09a", MALFORMED),
    "a filter that is none": (5, b"\x82\x09\x00\x01\x00\x00\x03a#b\x00", MALFORMED),
    "SUBSCRIBE to nothing": (5, b"\x82\x03\x00\x01\x00", PROTOCOL),
    "SUBSCRIBE with other flags": (4, b"\x80\x06\x00\x01\x00\x01a\x00", MALFORMED),
}


@pytest.mark.parametrize("name", CULPRITS)
async def test_a_device_that_breaks_the_protocol_is_told_how_and_closed(
    attacked: Attacked, name: str
) -> None:
    version, data, (reason, code) = CULPRITS[name]
    async with await attacked.enter(version) as client:
        client.bytes(data)
        assert await client.rest() == ([Disconnect(reason)] if version == MQTT_5_0 else [])
    await attacked.assert_counted(code)


@VERSIONS
async def test_what_came_whole_before_a_bad_packet_was_done(attacked: Attacked, version: int) -> None:
    async with await attacked.enter(version) as client:
        client.send(Pingreq())
        assert await client.receive() == Pingresp()
        client.bytes(encode(Publish("a", b"x"), version) + b"\x00\x00")
        await client.rest()
    await attacked.assert_counted("malformed_packet")
    assert (await attacked.node.metrics())["longline_room_messages_in_total"] == 1


@VERSIONS
async def test_a_packet_that_is_too_large_is_not_gathered_to_its_end(
    attacked: Attacked, version: int
) -> None:
    """It is refused at its header, while the device is still sending."""
    async with await attacked.enter(version) as client:
        client.send(Publish("a", b"x" * 2_000_000))
        await client.rest()
    await attacked.assert_counted("packet_too_large")
    assert (await attacked.node.metrics())["longline_room_bytes_in_total"] < 1_000_000


async def test_a_packet_that_ends_in_the_middle_leaves_nothing_behind(attacked: Attacked) -> None:
    client = await attacked.enter(MQTT_5_0)
    client.bytes(encode(Publish("a", b"x" * 1000), MQTT_5_0)[:500])
    await client.close()
    async with attacked.node.center() as center, asyncio.timeout(WITHIN):
        while (await center.device("news", "culprit")).online:
            pass
    await attacked.witness.is_served()
    assert await attacked.node.refused() == {}


# --- counted, logged once, and no more -----------------------------------------------------------------


async def test_the_same_nonsense_a_hundred_times_is_counted_each_time_and_logged_once(tmp_path: Path) -> None:
    """Once for each kind and peer; the log has no line without a meaning, and no traceback."""
    async with ServerProcess(tmp_path / "data") as server, server.center() as center:
        secret = (await center.create_app("news", pubsub=True)).device_secret
        async with a_witness(center, server.mqtt_port, secret) as witness:
            for _ in range(100):
                async with await RawClient.open(server.mqtt_port) as client:
                    client.bytes(b"\x00\x00")
                    assert await client.rest() == []
                async with await RawClient.open(server.mqtt_port) as client:
                    connack = await client.enter("culprit", "news", "garbage")
                    assert connack.reason == 0x86
                await witness.is_served()
            async with await RawClient.open(server.mqtt_port) as client:
                await client.enter("culprit", "news", token("culprit", secret))
                for number in range(1, 101):
                    client.send(Publish("push/x", b"x", 1, packet_id=number))
                    await client.receive()
            await witness.never_reconnected()
            assert await refused(server.url) == {
                "malformed_packet": 100,
                "bad_token": 100,
                "topic_reserved": 100,
            }
        await server.terminate()
        lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    told = [line["code"] for line in lines if line["event"] == "refused"]
    assert sorted(told) == ["bad_token", "malformed_packet", "topic_reserved"]
    said = {line["code"]: line["reason"] for line in lines if line["event"] == "refused"}
    assert said["topic_reserved"].endswith(" (device culprit of app news)")
    assert "culprit" not in said["bad_token"]  # nobody has shown that it was he
    assert {line["peer"] for line in lines if line["event"] == "refused"} == {"127.0.0.1"}
    assert {line["level"] for line in lines} == {"info", "warning"}
    assert not any("exception" in line for line in lines)
    assert secret not in server.log.read_text()
    assert "garbage" not in server.log.read_text()
