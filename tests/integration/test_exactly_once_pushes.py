"""Pushes with QoS 2, end to end: once for whoever comes back to its session, wherever that is."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from longline import Center, Device
from longline.mqtt.packets import MQTT_3_1_1, MQTT_5_0, Packet, Pubcomp, Publish, Pubrec, Pubrel
from tests.cluster.cluster import Cluster
from tests.integration.keeping import APP, Keeping
from tests.integration.live_node import RawClient
from tests.integration.shapes import Server
from tests.waiting import WITHIN, until

VERSIONS = pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])
PROTOCOLS = pytest.mark.parametrize("protocol", [MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5])


@pytest_asyncio.fixture
async def center(server: Server) -> AsyncIterator[Center]:
    async with server.center() as center:
        await center.create_app(APP)
        yield center


@pytest_asyncio.fixture
async def keeping(server: Server, center: Center) -> AsyncIterator[Keeping]:
    async with Keeping(server, center) as keeping:
        yield keeping


async def push(center: Center, *texts: str, device: str = "phone") -> list[str]:
    return [
        (await center.send(APP, text, devices=[device], qos=2, ttl=timedelta(hours=1))).message_id
        for text in texts
    ]


async def published(client: RawClient) -> Publish:
    packet = await client.receive()
    assert isinstance(packet, Publish), packet
    assert packet.qos == 2
    return packet


async def acked(center: Center, message_id: str) -> None:
    async def is_acked() -> bool:
        ledger = (await center.message(APP, message_id)).ledger
        assert ledger.targeted == ledger.pending + ledger.acked == 1
        return ledger.acked == 1

    await until(is_acked)


@VERSIONS
async def test_pubrec_is_the_receipt(center: Center, keeping: Keeping, version: int) -> None:
    phone = await keeping.client("phone", version)
    (message_id,) = await push(center, "one")
    packet = await published(phone)
    assert (packet.topic, packet.payload, packet.dup) == (f"push/{message_id}", b"one", False)
    phone.send(Pubrec(packet.packet_id))
    assert await phone.receive() == Pubrel(packet.packet_id)
    await acked(center, message_id)
    phone.send(Pubcomp(packet.packet_id))


@VERSIONS
async def test_what_is_under_way_goes_on_where_it_was_also_after_a_kill(
    center: Center, keeping: Keeping, version: int
) -> None:
    """One that was not answered comes again under its identifier, one that was is only released."""
    phone = await keeping.client("phone", version)
    taken, sent = await push(center, "taken", "sent")
    first, second = await published(phone), await published(phone)
    phone.send(Pubrec(first.packet_id))
    assert await phone.receive() == Pubrel(first.packet_id)
    await keeping.restart()
    phone, connack = await keeping.connect("phone", version)
    assert connack.session_present
    got = [await phone.receive() for _ in range(2)]
    assert got[0] == Pubrel(first.packet_id)
    again = got[1]
    assert isinstance(again, Publish)
    assert (again.topic, again.packet_id, again.dup) == (second.topic, second.packet_id, True)
    phone.send(Pubcomp(first.packet_id), Pubrec(second.packet_id))
    assert await phone.receive() == Pubrel(second.packet_id)
    phone.send(Pubcomp(second.packet_id))
    await acked(center, taken)
    await acked(center, sent)


async def test_without_a_session_the_id_tells_that_it_comes_again(center: Center, keeping: Keeping) -> None:
    phone = await keeping.client("phone", clean=True, expiry=0)
    (message_id,) = await push(center, "one")
    assert (await published(phone)).topic == f"push/{message_id}"
    await phone.close()
    phone = await keeping.client("phone", clean=True, expiry=0)
    packet = await published(phone)
    assert (packet.topic, packet.dup) == (f"push/{message_id}", False)


async def test_every_kind_of_audience_and_a_schedule_can_ask_for_it(center: Center, keeping: Keeping) -> None:
    await center.put_device(APP, "phone", tags=["beta"], aliases=["ann"])
    phone = await keeping.client("phone")
    soon = datetime.now(UTC) + timedelta(seconds=1)
    ways: list[dict[str, Any]] = [
        {"devices": ["phone"]},
        {"aliases": ["ann"]},
        {"tags": ["beta"]},
        {"everyone": True},
        {"devices": ["phone"], "online_only": True},
        {"devices": ["phone"], "send_at": soon},
    ]
    for number, way in enumerate(ways):
        await center.send(APP, f"{number}", qos=2, **way)
        packet = await published(phone)
        assert packet.payload == b"%d" % number
        phone.send(Pubrec(packet.packet_id))
        assert await phone.receive() == Pubrel(packet.packet_id)
        phone.send(Pubcomp(packet.packet_id))


@PROTOCOLS
async def test_paho_gets_each_once(server: Server, center: Center, protocol: MQTTProtocolVersion) -> None:
    await center.put_device(APP, "paho")
    token = (await center.token(APP, "paho")).password
    clean = {} if protocol == MQTTProtocolVersion.MQTTv5 else {"clean_session": False}
    client = Client(CallbackAPIVersion.VERSION2, "paho", protocol=protocol, **clean)  # type: ignore[arg-type]
    client.username_pw_set(APP, token)
    got: list[bytes] = []

    def took(client: Client, told: object, message: MQTTMessage) -> None:
        assert message.qos == 2
        got.append(bytes(message.payload))

    client.on_message = took
    await asyncio.to_thread(client.connect, "127.0.0.1", server.mqtt_port)
    client.loop_start()
    try:
        ids = await push(center, *(f"{n}" for n in range(50)), device="paho")
        await until(lambda: len(got) >= 50)
        assert got == [b"%d" % n for n in range(50)]
        for message_id in ids:
            await acked(center, message_id)
    finally:
        client.disconnect()
        client.loop_stop()


async def test_our_own_device_takes_them(server: Server, center: Center) -> None:
    token = (await center.token(APP, "ours")).password
    async with Device("127.0.0.1", server.mqtt_port, app=APP, device="ours", token=token) as device:
        await device.wait_connected()
        ids = await push(center, "a", "b", device="ours")
        for text in ("a", "b"):
            message = await device.receive()
            assert (message.text, message.qos) == (text, 2)
            await message.ack()
        for message_id in ids:
            await acked(center, message_id)


class Receiver:
    """A client as the standard has it, which outlives its connections."""

    def __init__(self) -> None:
        self.held: set[int] = set()
        self.taken: list[str] = []

    def takes(self, packet: Packet) -> Packet | None:
        if isinstance(packet, Publish) and packet.qos == 2:
            if packet.packet_id not in self.held:
                self.held.add(packet.packet_id)
                self.taken.append(packet.topic.removeprefix("push/"))
            return Pubrec(packet.packet_id)
        if isinstance(packet, Pubrel):
            self.held.discard(packet.packet_id)
            return Pubcomp(packet.packet_id)
        return None


@pytest.mark.timeout(600)
async def test_rooms_are_killed_and_each_push_is_taken_once_and_in_order(
    server: Server, center: Center, keeping: Keeping
) -> None:
    """The client comes back to another room, where there is one, at whatever step it was."""
    chance, receiver, sent = random.Random(7), Receiver(), list[str]()
    ports = server.room_ports if isinstance(server, Cluster) else [server.mqtt_port]
    await center.put_device(APP, "phone")
    for round in range(4):
        phone, _ = await keeping.connect("phone", port=ports[round % len(ports)])
        for n in range(10):
            sent += await push(center, f"{round}/{n}")
        with suppress(TimeoutError):
            async with asyncio.timeout(WITHIN):
                for _ in range(chance.randrange(4, 25)):
                    packet = await phone.receive()
                    assert packet is not None
                    answer = receiver.takes(packet)
                    if answer is not None:
                        phone.send(answer)
        if round % 2:
            await keeping.restart()
        else:
            await phone.close()  # with whatever is on its way
    phone, _ = await keeping.connect("phone", port=ports[0])

    async def all_acked() -> bool:
        return all([(await center.message(APP, one)).ledger.acked for one in sent])

    async def take() -> None:
        while (packet := await phone.receive()) is not None:
            answer = receiver.takes(packet)
            if answer is not None:
                phone.send(answer)

    taking = asyncio.create_task(take())
    try:
        await until(all_acked, tell=lambda: (len(receiver.taken), len(sent)))
        await until(lambda: not receiver.held)
    finally:
        taking.cancel()
    assert receiver.taken == sent
