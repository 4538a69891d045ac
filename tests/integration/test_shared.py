"""Shared subscriptions, end to end: balanced over the members of all rooms, nothing lost when some leave."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

import pytest
import pytest_asyncio
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from longline import Center
from longline.mqtt.packets import (
    MQTT_3_1_1,
    Disconnect,
    Pingreq,
    Pingresp,
    Puback,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Subscription,
    Unsubscribe,
)
from longline.mqtt.reasons import ReasonCode
from tests.integration.keeping import APP, Keeping, acknowledge, drained, message, publish, subscribe
from tests.integration.live_node import RawClient
from tests.integration.shapes import Server
from tests.waiting import WITHIN, until

GROUP = "$share/workers/jobs/+"
WINDOW = 32  # publications without an answer
TRIES = 40  # connections until some are at different rooms


@pytest_asyncio.fixture
async def center(server: Server) -> AsyncIterator[Center]:
    async with server.center() as center:
        await center.create_app(APP, pubsub=True)
        yield center


class Member:
    """A device that reads what comes, and acknowledges it unless it is told not to."""

    def __init__(self, client: RawClient, device: str) -> None:
        self.client = client
        self.device = device
        self.room: str | None = None
        self.got: list[bytes] = []
        self.acknowledges = True
        self.quiet = asyncio.Event()  # a PINGRESP has come
        self._answers: asyncio.Queue[object] = asyncio.Queue()
        self._reading = asyncio.create_task(self._read(), name=f"test.{device}")

    async def _read(self) -> None:
        while (packet := await self._next()) is not None:
            if isinstance(packet, Publish):
                self.got.append(packet.payload)
                if packet.qos == 1 and self.acknowledges:
                    self.client.send(Puback(packet.packet_id))
                elif packet.qos == 2:
                    self.client.send(Pubrec(packet.packet_id))
            elif isinstance(packet, Pingresp):
                self.quiet.set()
            elif not isinstance(packet, Pubrel):
                self._answers.put_nowait(packet)

    async def _next(self) -> object:
        """The next packet, however long it takes."""
        while True:
            try:
                return await self.client.receive()
            except TimeoutError:
                continue

    async def subscribe(self, filter: str = GROUP, qos: int = 1) -> None:
        self.client.send(Subscribe(1, [Subscription(filter, qos)]))
        async with asyncio.timeout(WITHIN):
            suback = await self._answers.get()
        assert isinstance(suback, Suback), suback
        assert suback.reasons == [qos]

    async def unsubscribe(self, filter: str = GROUP) -> None:
        self.client.send(Unsubscribe(2, [filter]))
        async with asyncio.timeout(WITHIN):
            await self._answers.get()

    async def leave(self) -> None:
        """Has what was sent to it acknowledged, and then goes."""
        await self.unsubscribe()
        self.quiet.clear()
        self.client.send(Pingreq())
        async with asyncio.timeout(WITHIN):
            await self.quiet.wait()
        await self.stop_reading()  # so that all of what it has got is acknowledged
        self.client.send(Disconnect())
        await self.client.close()

    async def stop_reading(self) -> None:
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def close(self) -> None:
        await self.stop_reading()
        await self.client.close()


class Devices:
    """Makes clients of one app, each at whatever room the server's address leads to."""

    def __init__(self, server: Server, center: Center) -> None:
        self._server = server
        self._center = center
        self._stack = AsyncExitStack()
        self._count = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def raw(self, name: str = "device") -> tuple[str, RawClient]:
        """A client under a name of its own."""
        self._count += 1
        device = f"{name}-{self._count}"
        token = (await self._center.token("news", device)).password
        client = await RawClient.open(self._server.mqtt_port)
        assert (await client.enter(device, "news", token)).reason == 0
        return device, client

    async def member(self, filter: str = GROUP, qos: int = 1, *, acknowledges: bool = True) -> Member:
        device, client = await self.raw("member")
        member = Member(client, device)
        member.acknowledges = acknowledges
        self._stack.push_async_callback(member.close)
        member.room = (await self._center.device("news", device)).room
        await member.subscribe(filter, qos)
        return member

    async def members(self, rooms: Sequence[int], filter: str = GROUP) -> list[Member]:
        """So many members in each of so many rooms; in one room, where there is only one."""
        wanted = list(rooms)
        found: dict[str | None, list[Member]] = {}
        for _ in range(TRIES):
            device, client = await self.raw("candidate")
            room = (await self._center.device("news", device)).room
            here = found.get(room)
            most = wanted[len(found)] if here is None and len(found) < len(wanted) else 0
            if here is None and most:
                here = found[room] = []
            place = list(found).index(room) if here is not None else -1
            if here is None or len(here) >= wanted[place]:
                await client.close()
                continue
            member = Member(client, device)
            self._stack.push_async_callback(member.close)
            member.room = room
            await member.subscribe(filter)
            here.append(member)
            if sum(map(len, found.values())) == sum(wanted):
                break
        else:  # one room has them all
            [only] = found.values()
            while len(only) < sum(wanted):
                only.append(await self.member(filter))
        return [member for some in found.values() for member in some]

    async def publisher(self) -> "Publishing":
        _, client = await self.raw("publisher")
        self._stack.push_async_callback(client.close)
        return Publishing(client)


class Publishing:
    """A client that publishes with QoS 1 and knows what was acknowledged."""

    def __init__(self, client: RawClient) -> None:
        self.client = client
        self.acknowledged: set[bytes] = set()
        self._under_way: dict[int, bytes] = {}
        self._next = 0

    async def publish(self, payloads: Sequence[bytes], topic: str = "jobs/1") -> None:
        for payload in payloads:
            while len(self._under_way) >= WINDOW:
                await self._answer()
            self._next = self._next % 60_000 + 1
            self._under_way[self._next] = payload
            self.client.send(Publish(topic, payload, 1, packet_id=self._next))
        while self._under_way:
            await self._answer()

    async def _answer(self) -> None:
        packet = await self.client.receive()
        assert isinstance(packet, Puback), packet
        assert packet.reason == ReasonCode.SUCCESS
        self.acknowledged.add(self._under_way.pop(packet.packet_id))


@pytest_asyncio.fixture
async def devices(server: Server, center: Center) -> AsyncIterator[Devices]:
    async with Devices(server, center) as devices:
        yield devices


def numbers(count: int, first: int = 0) -> list[bytes]:
    return [b"%d" % n for n in range(first, first + count)]


def got(members: Sequence[Member]) -> Counter[bytes]:
    return Counter(payload for member in members for payload in member.got)


async def all_there(members: Sequence[Member], wanted: Sequence[bytes]) -> None:
    """Waits until all of it has come to somebody."""
    await until(lambda: not set(wanted) - set(got(members)), tell=lambda: len(got(members)))


async def test_three_members_in_two_rooms_get_a_third_each_and_nothing_twice(devices: Devices) -> None:
    members = await devices.members([2, 1])
    publishers = [await devices.publisher() for _ in range(2)]
    halves = [numbers(1500), numbers(1500, 1500)]
    await asyncio.gather(
        *(publisher.publish(half) for publisher, half in zip(publishers, halves, strict=True))
    )
    every = numbers(3000)
    await all_there(members, every)
    assert got(members) == Counter(every)
    for member in members:
        assert len(member.got) == pytest.approx(1000, rel=0.1), [len(member.got) for member in members]


async def test_two_groups_and_a_subscriber_of_its_own_each_get_one(devices: Devices) -> None:
    first = await devices.members([1, 1])
    second = await devices.members([1, 1], "$share/others/#")
    alone = await devices.member("jobs/1")
    both = await devices.member("$share/workers/jobs/#")
    await both.subscribe("jobs/+")
    publisher = await devices.publisher()
    every = numbers(200)
    await publisher.publish(every)
    for group in (first, second, [alone]):
        await all_there(group, every)
        assert got(group) == Counter(every)
    await until(lambda: len(both.got) >= 400)
    assert Counter(both.got) == Counter(every + every)


async def test_what_a_member_has_not_acknowledged_goes_to_another_when_its_socket_is_cut(
    devices: Devices,
) -> None:
    members = await devices.members([1, 1])
    deaf = members[0]
    deaf.acknowledges = False
    publisher = await devices.publisher()
    every = numbers(100)
    await publisher.publish(every)
    await until(lambda: len(deaf.got) >= 10)  # of fifty, as many as it may have unacknowledged
    assert len(got(members[1:])) <= 60
    deaf.client.abort()
    await all_there(members[1:], every)
    assert got(members[1:]) == Counter(every)


async def test_nothing_is_missed_or_doubled_while_members_come_and_go(devices: Devices) -> None:
    """They leave when they have acknowledged what they have; so each message is with exactly one."""
    stays = await devices.members([1, 1])
    everybody = [*stays]
    publisher = await devices.publisher()
    every = numbers(3000)
    publishing = asyncio.create_task(publisher.publish(every))
    while not publishing.done():
        passing = [await devices.member() for _ in range(2)]
        everybody += passing
        for member in passing:
            await member.leave()
    await publishing
    assert publisher.acknowledged == set(every)
    await all_there(everybody, every)
    assert got(everybody) == Counter(every)
    assert len(everybody) > len(stays)


async def deaf_for_a_while(member: Member, publishing: asyncio.Task[None]) -> set[bytes]:
    """What a member has got that acknowledges nothing and is cut off."""
    await until(lambda: publishing.done() or len(member.got) >= 5)
    member.client.abort()
    return set(member.got)


async def test_nothing_is_missed_while_members_are_cut_off(devices: Devices) -> None:
    """What they had not acknowledged comes to others."""
    stays = await devices.members([1, 1])
    lost: set[bytes] = set()
    publisher = await devices.publisher()
    deaf = await devices.member(acknowledges=False)  # one at least is there from the first message on
    every = numbers(2000)
    publishing = asyncio.create_task(publisher.publish(every))
    lost |= await deaf_for_a_while(deaf, publishing)
    while not publishing.done():
        lost |= await deaf_for_a_while(await devices.member(acknowledges=False), publishing)
    await publishing
    await all_there(stays, every)
    assert set(got(stays)) == set(every)
    assert max(got(stays).values()) == 1
    assert lost


async def test_a_client_of_3_1_1_is_in_no_group_and_publishes_to_them(
    server: Server, center: Center, devices: Devices
) -> None:
    member = await devices.member()
    token = (await center.token("news", "old")).password
    async with await RawClient.open(server.mqtt_port, MQTT_3_1_1) as old:
        assert (await old.enter("old", "news", token)).reason == 0
        old.send(Subscribe(1, [Subscription(GROUP, 1)]))
        assert await old.receive() == Suback(1, [1])
        old.send(*(Publish("jobs/1", b"%d" % n, 1, packet_id=n) for n in range(1, 11)))
        assert [await old.receive() for _ in range(10)] == [Puback(n) for n in range(1, 11)]
        await until(lambda: len(member.got) == 10)
        old.send(Pingreq())
        assert await old.receive() == Pingresp()


class Worker:
    """paho-mqtt as a member; what it has got may be read from the test's loop."""

    def __init__(self, port: int, device: str, token: str) -> None:
        self.got: list[bytes] = []
        self._subscribed = asyncio.Event()
        self._port = port
        loop = asyncio.get_running_loop()
        client = self._client = Client(
            CallbackAPIVersion.VERSION2, client_id=device, protocol=MQTTProtocolVersion.MQTTv5
        )
        client.username_pw_set("news", token)

        def connected(*args: Any) -> None:
            client.subscribe(GROUP, 1)

        def subscribed(*args: Any) -> None:
            loop.call_soon_threadsafe(self._subscribed.set)

        client.on_connect = connected
        client.on_subscribe = subscribed
        client.on_message = self._take

    def _take(self, client: object, data: object, message: Any) -> None:
        self.got.append(message.payload)

    async def __aenter__(self) -> Self:
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        async with asyncio.timeout(WITHIN):
            await self._subscribed.wait()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)


async def test_members_that_we_did_not_write_share_fairly(
    server: Server, center: Center, devices: Devices
) -> None:
    async with AsyncExitStack() as stack:
        workers = []
        for n in range(3):
            token = (await center.token("news", f"paho-{n}")).password
            worker = Worker(server.mqtt_port, f"paho-{n}", token)
            workers.append(await stack.enter_async_context(worker))
        publisher = await devices.publisher()
        every = numbers(900)
        await publisher.publish(every)
        await until(lambda: sum(len(worker.got) for worker in workers) >= len(every))
        assert Counter(payload for worker in workers for payload in worker.got) == Counter(every)
        assert all(len(worker.got) == pytest.approx(300, rel=0.1) for worker in workers)


@pytest_asyncio.fixture
async def keeping(server: Server, center: Center) -> AsyncIterator[Keeping]:
    async with Keeping(server, center) as keeping:
        yield keeping


@pytest.mark.parametrize("qos", [1, 2])
async def test_what_a_member_was_given_comes_to_it_after_its_room_was_killed(
    qos: int, keeping: Keeping
) -> None:
    """Its session is kept, and the publisher had its answer: nothing is lost; with QoS 2, nor doubled."""
    member = await keeping.client("d")
    await subscribe(member, GROUP, qos=qos)
    publisher = await keeping.client("p", clean=True, expiry=0, port=keeping.port)
    every = numbers(30)
    for n, payload in enumerate(every, 1):
        assert await publish(publisher, "jobs/1", payload, qos, n) == 0
    taken: set[bytes] = set()
    first = await message(member)
    if qos == 1:
        acknowledge(member, first)
    else:
        member.send(Pubrec(first.packet_id))
        while not isinstance(await member.receive(), Pubrel):
            pass
    taken.add(first.payload)
    await keeping.restart()
    await member.close()
    again, connack = await keeping.connect("d")
    assert connack.session_present

    def all_there(found: list[Publish]) -> bool:
        return taken.union(m.payload for m in found) == set(every)

    got = [m.payload for m in await drained(again, enough=all_there)]
    if qos == 2:
        assert first.payload not in got  # it has been released
        assert len(got) == len(set(got))
    assert taken | set(got) == set(every)


async def test_a_member_goes_on_where_it_was_and_others_get_nothing_of_that(keeping: Keeping) -> None:
    publisher = await keeping.client("p", clean=True, expiry=0)
    member = await keeping.client("d")
    await subscribe(member, GROUP)
    for n in range(1, 4):
        assert await publish(publisher, "jobs/1", b"%d" % n, 2, n) == 0
    sent = [await message(member) for _ in range(3)]
    other = await keeping.client("e", clean=True, expiry=0)
    await subscribe(other, GROUP)
    member.abort()
    again = await keeping.client("d")
    got = await drained(again, 3)
    assert [(m.packet_id, m.payload) for m in got] == [(m.packet_id, m.payload) for m in sent]
    assert await drained(other) == []
