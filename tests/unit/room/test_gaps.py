"""A device is told what it has missed, before its first push, until it says that it knows."""

import json

import pytest

from longline.mqtt.packets import MQTT_3_1_1, MQTT_5_0, Connack, Puback, Publish
from longline.mqtt.properties import Properties, PropertyId
from longline.saver.port.inboxes import Arrival, Cursor, Gap, Told
from tests.unit.room.fixture import Peer
from tests.unit.room.running import RunningRoom

GAP = Gap(dropped=3, expired=2, collapsed=1, since=1_800_000_000_000, told=40, noted=(3, 0, 1, 7))
MISSING = Arrival(1, False, 4, 0, gap=GAP, told=40)
SAID = {"dropped": 3, "expired": 2, "collapsed": 1, "since": "2027-01-15T08:00:00.000Z"}

VERSIONS = pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])


async def come(room: RunningRoom, version: int = MQTT_5_0, properties: Properties | None = None) -> Peer:
    peer = room.connect("phone", version, properties=properties)
    await room.settle()
    connack = peer.unread()[0] if peer.connection.attachment is None else None
    assert connack is None
    return peer


@VERSIONS
async def test_what_was_missed_is_said_right_behind_connack_and_before_any_push(version: int) -> None:
    async with RunningRoom() as room:
        room.store.arrivals["phone"] = MISSING
        peer = await come(room, version)
        room.parts.offer(peer, 9)
        await room.settle()
        connack, notice, push = peer.unread()
        assert isinstance(connack, Connack)
        assert isinstance(notice, Publish)
        assert (notice.topic, notice.qos, notice.retain, notice.dup) == ("$link/gap", 1, False, False)
        assert json.loads(notice.payload) == SAID
        assert isinstance(push, Publish)
        assert push.topic.startswith("push/")
        assert push.packet_id != notice.packet_id
        assert room.parts.counters.gaps_told == 1


@pytest.mark.parametrize("reason", [0x00, 0x80])
async def test_the_store_hears_that_a_device_knows_from_its_puback(reason: int) -> None:
    async with RunningRoom() as room:
        room.store.arrivals["phone"] = MISSING
        peer = await come(room)
        notice = peer.unread()[1]
        assert isinstance(notice, Publish)
        assert room.store.told == []
        peer.send(Puback(notice.packet_id, reason))
        await room.settle()
        assert room.store.told == [Told(7, 1, GAP)]
        assert peer.session.window.free() == peer.session.window.size
        assert not peer.over


async def test_who_has_missed_nothing_is_told_nothing() -> None:
    async with RunningRoom() as room:
        peer = room.connect("phone")
        await room.settle()
        assert [type(packet) for packet in peer.unread()] == [Connack]
        assert room.parts.counters.gaps_told == 0


async def test_a_client_that_takes_one_at_a_time_gets_its_pushes_when_it_knows() -> None:
    async with RunningRoom() as room:
        room.store.arrivals["phone"] = MISSING
        peer = await come(room, properties={PropertyId.RECEIVE_MAXIMUM: 1})
        room.parts.offer(peer, 9)
        await room.settle()
        _, notice = peer.unread()
        assert isinstance(notice, Publish)
        assert peer.session.window.behind()
        peer.send(Puback(notice.packet_id))
        await room.settle()
        assert room.store.fetched


async def test_a_notice_that_is_too_large_for_its_client_is_not_sent_and_not_forgotten() -> None:
    async with RunningRoom() as room:
        room.store.arrivals["phone"] = MISSING
        peer = await come(room, properties={PropertyId.MAXIMUM_PACKET_SIZE: 60})
        assert [type(packet) for packet in peer.unread()] == [Connack]
        assert peer.session.told == 0
        assert room.store.told == []


@pytest.mark.parametrize("knows", [False, True])
async def test_a_cursor_says_whether_the_device_knows(knows: bool) -> None:
    async with RunningRoom() as room:
        room.store.arrivals["phone"] = MISSING
        peer = await come(room)
        notice = peer.unread()[1]
        assert isinstance(notice, Publish)
        if knows:
            peer.send(Puback(notice.packet_id))
            await room.settle()
        session = peer.session
        session.window.log_read = 9
        room.departures.add(session)
        await room.departures.finished()
        assert room.store.advanced == [[Cursor(7, 1, 9, session.epoch, 40 if knows else 0)]]
