"""What is desired is read for who has not seen it, sent when there is room, and noted when acknowledged."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from longline.errors import Unavailable
from longline.mqtt.packets import MQTT_3_1_1, MQTT_5_0, Puback, Publish
from longline.mqtt.properties import PropertyId
from longline.mqtt.reasons import ReasonCode
from longline.room.platform.shadows import DesiredStates
from longline.room.session.session import UNKNOWN
from longline.saver.port.inboxes import GUEST
from longline.saver.port.shadows import Changed, Shadow, ShadowChange, ShadowSeen
from tests.unit.room.fixture import Peer, RoomFixture
from tests.waiting import until

WANTED = Shadow(b'{"on":true}', b"{}", 5, 4)


class OneDesired:
    """A store in which all devices have one shadow."""

    def __init__(self) -> None:
        self.shadow: Shadow | None = WANTED
        self.reads: list[list[int]] = []
        self.noted: list[ShadowSeen] = []
        self.failures = 0

    async def find(self, app: int, ordinals: Sequence[int]) -> list[Shadow | None]:
        if self.failures:
            self.failures -= 1
            raise Unavailable
        self.reads.append(list(ordinals))
        return [self.shadow for _ in ordinals]

    async def change(self, batch: Sequence[ShadowChange]) -> list[Changed]:
        raise AssertionError

    async def seen(self, batch: Sequence[ShadowSeen]) -> None:
        self.noted += batch


class Telling:
    """A room whose devices are told what is desired of them."""

    def __init__(self) -> None:
        self.room = RoomFixture()
        self.store = OneDesired()
        self.states = DesiredStates(
            self.store, self.room.counters, self.room.faults, self.room.pace, self._no_time
        )

    async def _no_time(self, seconds: float) -> None:
        await asyncio.sleep(0)

    async def told(self, peer: Peer) -> Publish:
        """What a device is sent next."""
        arrived: list[Publish] = []

        def look() -> bool:
            arrived.extend(packet for packet in peer.receive() if isinstance(packet, Publish))
            return bool(arrived)

        await until(look)
        (packet,) = arrived
        return packet

    async def read(self, times: int) -> None:
        """Returns when the store was read so often, and what came of that is done."""
        await until(lambda: len(self.store.reads) >= times and not self.states.waiting())


@pytest.fixture
async def telling() -> AsyncIterator[Telling]:
    async with running() as telling:
        yield telling


@asynccontextmanager
async def running() -> AsyncIterator[Telling]:
    telling = Telling()
    tasks = [
        asyncio.create_task(telling.states.run(), name="run"),
        asyncio.create_task(telling.states.run_seen(), name="run-seen"),
    ]
    try:
        yield telling
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])
async def test_who_has_not_seen_it_is_sent_the_whole_of_it(telling: Telling, version: int) -> None:
    """Once: also when it is asked for again before it is acknowledged."""
    peer = telling.room.client("lamp", version)
    telling.states.arrived(peer.session, True)
    packet = await telling.told(peer)
    assert (packet.topic, packet.payload, packet.qos, packet.retain, packet.dup) == (
        "shadow/desired",
        WANTED.desired,
        1,
        False,
        False,
    )
    if version == MQTT_5_0:
        assert packet.properties == {
            PropertyId.CONTENT_TYPE: "application/json",
            PropertyId.USER_PROPERTY: [("version", "5")],
        }
    telling.states.ask(peer.session)
    await telling.read(2)
    assert peer.receive() == []
    assert telling.store.noted == []
    peer.send(Puback(packet.packet_id))
    await until(lambda: telling.store.noted)
    assert telling.store.noted == [ShadowSeen(peer.session.tenant.app, peer.session.ordinal, 4)]
    assert peer.session.window.free() == 16


async def test_who_has_seen_it_is_not_read_for(telling: Telling) -> None:
    """Nor is a guest; and who is asked for all the same, and has seen it, is sent nothing."""
    peer, guest = telling.room.client("lamp"), telling.room.client("guest")
    guest.session.ordinal = GUEST
    telling.states.arrived(peer.session, False)
    telling.states.arrived(guest.session, True)
    assert telling.states.waiting() == 0
    telling.store.shadow = Shadow(WANTED.desired, b"{}", 5, 4, 4)
    telling.states.ask(peer.session)
    await telling.read(1)
    telling.store.shadow = None
    telling.states.ask(peer.session)
    await telling.read(2)
    assert peer.receive() == []


async def test_a_refusal_is_no_acknowledgement(telling: Telling) -> None:
    peer = telling.room.client("lamp")
    telling.states.ask(peer.session)
    packet = await telling.told(peer)
    peer.send(Puback(packet.packet_id, ReasonCode.QUOTA_EXCEEDED))
    telling.states.ask(peer.session)
    await telling.told(peer)
    assert telling.store.noted == []


async def test_who_has_no_room_is_told_the_latest_when_there_is(telling: Telling) -> None:
    peer = telling.room.client("lamp", window=1)
    taken = peer.session.window.identify(None)
    telling.states.ask(peer.session)
    await telling.read(1)
    assert peer.receive() == []
    telling.store.shadow = Shadow(b'{"on":false}', b"{}", 6, 6)
    peer.send(Puback(taken))
    telling.states.tick()
    assert (await telling.told(peer)).payload == b'{"on":false}'


async def test_news_of_who_is_just_connecting_is_not_lost(telling: Telling) -> None:
    """The command may overtake the answer that says who the device is."""
    peer = telling.room.client("lamp", ordinal=UNKNOWN)
    telling.states.ask(peer.session)
    telling.states.tick()
    assert telling.states.waiting() == 0
    peer.session.ordinal = 3
    telling.states.arrived(peer.session, False)
    await telling.told(peer)
    assert telling.store.reads == [[3]]


async def test_what_is_too_large_for_a_client_is_counted(telling: Telling) -> None:
    peer = telling.room.client("lamp", properties={PropertyId.MAXIMUM_PACKET_SIZE: 20})
    telling.states.ask(peer.session)
    await telling.read(1)
    assert peer.receive() == []
    assert telling.room.counters.shadows_too_large == 1


async def test_a_store_that_does_not_answer_is_asked_again(telling: Telling) -> None:
    telling.store.failures = 3
    peer = telling.room.client("lamp")
    telling.states.ask(peer.session)
    await telling.told(peer)


async def test_who_has_gone_is_forgotten(telling: Telling) -> None:
    peer = telling.room.client("lamp")
    telling.states.ask(peer.session)
    await telling.told(peer)
    peer.wire.abort()
    assert peer.over
    telling.states.tick()
    again = telling.room.client("lamp")
    telling.states.arrived(again.session, True)
    assert (await telling.told(again)).payload == WANTED.desired
