"""How often clients may come, and how many of an app."""

import pytest

from longline.mqtt.packets import MQTT_3_1_1, MQTT_5_0
from longline.mqtt.reasons import ReasonCode
from longline.settings import RoomSettings
from tests.unit.room.fixture import Peer
from tests.unit.room.running import RunningRoom

VERSIONS = pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])


def told(peer: Peer) -> int:
    """The reason, or the return code, of the CONNACK."""
    return peer.wire.writes[-1][3]


def settings(**bounds: float) -> RoomSettings:
    return RoomSettings(ack_delay=0, linger=0, **bounds)  # type: ignore[arg-type]


@VERSIONS
async def test_connects_beyond_the_rate_are_refused_until_time_has_passed(version: int) -> None:
    async with RunningRoom(settings(connect_packet_rate=2)) as room:
        peers = [room.connect(f"d{number}", version) for number in range(3)]
        await room.settle()
        refused = ReasonCode.CONNECTION_RATE_EXCEEDED if version == MQTT_5_0 else 3
        assert [told(peer) for peer in peers] == [0, 0, refused]
        assert room.parts.counters.refused == {"connect_packet_rate": 1}
        assert "arrive" in room.store.calls
        room.parts.time += 1
        await room.client("d3", version)


@VERSIONS
async def test_an_app_has_as_many_connections_as_it_may_and_others_have_theirs(version: int) -> None:
    async with RunningRoom(settings(max_connections_per_app=2)) as room:
        peers = [room.connect(f"d{number}", version) for number in range(3)]  # all in one portion
        await room.settle()
        refused = ReasonCode.QUOTA_EXCEEDED if version == MQTT_5_0 else 3
        assert [told(peer) for peer in peers] == [0, 0, refused]
        assert room.parts.counters.refused == {"too_many_connections_of_app": 1}
        again = room.connect("d1", version)  # takes over from itself
        await room.settle()
        assert told(again) == 0
        assert peers[1].over
        peers[0].wire.abort()
        await room.settle()
        await room.client("d3", version)


@VERSIONS
async def test_who_comes_too_often_is_banned_for_a_while_and_keeps_its_connection(version: int) -> None:
    bounds = settings(flapping_connects=3, flapping_window=60, flapping_ban=300)
    async with RunningRoom(bounds) as room:
        for _ in range(2):
            await room.client("phone", version)
        last = await room.client("phone", version)
        refused = ReasonCode.BANNED if version == MQTT_5_0 else 5
        for seconds in (0, 299):  # trying again does not make it longer
            room.parts.time += seconds
            peer = room.connect("phone", version)
            await room.settle()
            assert told(peer) == refused
        assert not last.over
        assert room.parts.counters.refused == {"flapping": 2}
        await room.client("tablet", version)
        room.parts.time += 1
        await room.client("phone", version)


async def test_who_comes_as_often_in_a_longer_time_is_not_banned() -> None:
    async with RunningRoom(settings(flapping_connects=3, flapping_window=60)) as room:
        for _ in range(20):
            await room.client("phone")
            room.parts.time += 20.5


async def test_nobody_can_have_anothers_device_banned() -> None:
    """What counts is a good token."""
    async with RunningRoom(settings(flapping_connects=3)) as room:
        for _ in range(10):
            room.connect("phone", password=b"garbage")
        await room.settle()
        await room.client("phone")
