"""Two rooms on one bus: sessions that are kept move from one to the other, and so does what is under way."""

import asyncio
from collections.abc import AsyncIterator

import jwt
import pytest
import pytest_asyncio

from longline.coordinator.sessions import WillDuty
from longline.mqtt.packets import (
    MQTT_3_1_1,
    MQTT_5_0,
    Connack,
    Connect,
    Disconnect,
    Publish,
    Pubrec,
    Pubrel,
    Will,
)
from longline.mqtt.properties import Properties, PropertyId
from longline.mqtt.reasons import ReasonCode
from longline.telemetry.faults import Faults
from tests.integration.keeping import drained, drained_together, message, publish, subscribe
from tests.integration.live_node import RawClient
from tests.integration.test_two_rooms import SECRET, TwoRooms, two_rooms
from tests.waiting import until

__all__ = ["two_rooms"]

GROUP = "$share/workers/t/+"
VERSIONS = pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])


class Clients:
    """Makes clients of either room."""

    def __init__(self, rooms: TwoRooms) -> None:
        self.rooms = rooms
        self.opened: list[RawClient] = []

    async def connect(
        self,
        room: str,
        device: str,
        version: int = MQTT_5_0,
        *,
        clean: bool = False,
        will: Will | None = None,
    ) -> tuple[RawClient, Connack]:
        client = await RawClient.open(self.rooms.ports[room], version)
        self.opened.append(client)
        token = jwt.encode({"sub": device}, SECRET, algorithm="HS256").encode()
        properties: Properties | None = None
        if version == MQTT_5_0 and not clean:
            properties = {PropertyId.SESSION_EXPIRY_INTERVAL: 1000}
        client.send(Connect(version, device, clean, 600, self.rooms.app.app, token, will, properties))
        answer = await client.receive()
        assert isinstance(answer, Connack)
        assert answer.reason == 0
        return client, answer


@pytest_asyncio.fixture
async def clients(two_rooms: TwoRooms) -> AsyncIterator[Clients]:
    clients = Clients(two_rooms)
    yield clients
    for client in clients.opened:
        await client.close()


@VERSIONS
async def test_a_session_goes_on_at_the_other_room_with_all_that_it_has(
    version: int, clients: Clients
) -> None:
    publisher, _ = await clients.connect("a", "p", clean=True)
    client, _ = await clients.connect("a", "d", version)
    await subscribe(client, "t/#")
    assert await publish(publisher, "t/1", b"1", 2) == 0
    first = await message(client)
    client.send(Pubrec(first.packet_id))
    assert await client.receive() == Pubrel(first.packet_id)
    assert await publish(publisher, "t/2", b"2") == 0
    second = await message(client)
    steps = clients.rooms.rooms["a"].steps
    await until(lambda: not steps.waiting())
    other, connack = await clients.connect("b", "d", version)
    assert connack.session_present
    told = await client.receive()
    assert told is None or told == Disconnect(ReasonCode.SESSION_TAKEN_OVER)
    assert await other.receive() == Pubrel(first.packet_id)
    again = await message(other)
    assert (again.packet_id, again.payload, again.dup) == (second.packet_id, b"2", True)
    assert await publish(publisher, "t/3", b"3") == 0  # it finds its way there
    assert [m.payload for m in await drained(other, 1)] == [b"3"]


async def test_publishers_of_either_room_reach_the_queues_of_both(clients: Clients) -> None:
    subscribers = {}
    for room in ("a", "b"):
        subscribers[room], _ = await clients.connect(room, f"d-{room}")
        await subscribe(subscribers[room], "t/#")
    for room in ("a", "b"):
        publisher, _ = await clients.connect(room, f"p-{room}", clean=True)
        for number in range(20):
            publisher.send(
                Publish(f"t/{room}", b"%d" % number, number % 3, packet_id=number if number % 3 else 0)
            )
        async with asyncio.timeout(60):
            await drained(publisher)
    for client in subscribers.values():
        got = await drained(client, 40)
        for room in ("a", "b"):
            queued = [int(m.payload) for m in got if m.topic == f"t/{room}" and m.qos]
            assert queued == [n for n in range(20) if n % 3]
            assert len([m for m in got if m.topic == f"t/{room}"]) == 20


async def test_messages_find_a_client_that_moves_again_and_again(clients: Clients) -> None:
    """Each once, in order, but for what is marked as a duplicate."""
    publisher, _ = await clients.connect("a", "p", clean=True)
    client, _ = await clients.connect("a", "d")
    await subscribe(client, "t")
    seen: list[int] = []
    for turn in range(12):
        for number in range(5):
            assert await publish(publisher, "t", b"%d" % (5 * turn + number), 1 + number % 2) == 0
        client, connack = await clients.connect("ba"[turn % 2], "d")
        assert connack.session_present
        if turn % 3:
            seen += [int(m.payload) for m in await drained(client)]
    seen += [int(m.payload) for m in await drained(client, 60 - len(seen))]
    assert seen == list(range(60))


async def test_a_will_reaches_who_is_at_the_other_room(clients: Clients) -> None:
    mourner, _ = await clients.connect("b", "mourner", clean=True)
    await subscribe(mourner, "w", qos=1)
    client, _ = await clients.connect("a", "d", clean=True, will=Will("w", b"gone", 1))
    client.abort()
    saver = clients.rooms.saver
    duty = WillDuty(saver.apps, saver.sessions, saver.queues, saver.retained, clients.rooms.bus, Faults())

    async def published() -> bool:
        await duty.round()
        return duty.published == 1

    await until(published)
    got = await message(mourner)
    assert (got.topic, got.payload, got.qos) == ("w", b"gone", 1)


async def test_a_group_s_message_is_completed_at_the_other_room_and_goes_to_no_other_member(
    clients: Clients,
) -> None:
    """Also while others of the group are there [MQTT-4.8.2-4], [MQTT-4.8.2-5]."""
    member, _ = await clients.connect("a", "d")
    await subscribe(member, GROUP)
    publisher, _ = await clients.connect("a", "p", clean=True)
    for n in (1, 2):
        assert await publish(publisher, "t/1", b"%d" % n, 2, n) == 0
    first, second = await message(member), await message(member)
    member.send(Pubrec(first.packet_id))
    assert await member.receive() == Pubrel(first.packet_id)
    other, _ = await clients.connect("b", "e", clean=True)
    await subscribe(other, GROUP)
    member.abort()
    again, connack = await clients.connect("b", "d")
    assert connack.session_present
    assert await again.receive() == Pubrel(first.packet_id)
    told = await message(again)
    assert (told.packet_id, told.payload, told.dup) == (second.packet_id, b"2", True)
    assert await drained(other) == []


async def test_members_of_both_rooms_with_and_without_a_session_share(clients: Clients) -> None:
    """Whoever publishes where: each message comes to one of them, once."""
    members = []
    for number, (room, clean) in enumerate([("a", False), ("b", False), ("a", True), ("b", True)]):
        member, _ = await clients.connect(room, f"d{number}", clean=clean)
        await subscribe(member, GROUP)
        members.append(member)
    for room in ("a", "b"):
        publisher, _ = await clients.connect(room, f"p-{room}", clean=True)
        for n in range(1, 21):
            assert await publish(publisher, "t/1", f"{room}{n}".encode(), 1 + n % 2, n) == 0
    wanted = sorted(f"{room}{n}".encode() for room in ("a", "b") for n in range(1, 21))
    found: list[bytes] = []
    for got in await drained_together(members, len(wanted)):
        assert got
        found += [m.payload for m in got]
    assert sorted(found) == wanted


async def test_what_a_member_leaves_behind_with_qos_1_comes_to_one_at_the_other_room(
    clients: Clients,
) -> None:
    """And not to itself once more, when it is back."""
    member, _ = await clients.connect("a", "d")
    await subscribe(member, GROUP, qos=1)
    publisher, _ = await clients.connect("a", "p", clean=True)
    for n in range(1, 6):
        assert await publish(publisher, "t/1", b"%d" % n, 1, n) == 0
        assert (await message(member)).payload == b"%d" % n
    other, _ = await clients.connect("b", "e")
    await subscribe(other, GROUP, qos=1)
    member.abort()
    assert [(await message(other)).payload for _ in range(5)] == [b"%d" % n for n in range(1, 6)]
    steps = clients.rooms.rooms["a"].steps
    await until(lambda: not steps.waiting())
    again, _ = await clients.connect("a", "d")
    assert await drained(again) == []
