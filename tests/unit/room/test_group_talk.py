"""What members say in groups with QoS 2, where another connection has their session by then."""

from typing import cast

from longline.delivery.pipeline import Pipeline
from longline.mqtt.packets import Pingreq, Pingresp, Publish
from longline.room.platform.handlers import Platform
from longline.room.platform.talk import GroupTalk
from longline.saver.app_cache import AppCache
from longline.testing.clock import settle
from tests.unit.room.fixture import APP
from tests.unit.room.test_kept_sessions import KeepingRoom


class NothingIsSaid:
    """A pipeline into which nothing may go, and apps that nobody may ask for."""


async def test_it_is_not_said_and_not_answered() -> None:
    """With MQTT 3.1.1 a PUBREC would be a yes; its client repeats it to that connection."""
    async with KeepingRoom() as room:
        parts = room.room.parts
        talk = GroupTalk(
            cast(Pipeline, NothingIsSaid()),
            cast(AppCache, NothingIsSaid()),
            room.kept,
            parts.counters,
            parts.turn,
            parts.faults,
            parts.pace,
            limit=10,
            limit_bytes=10_000,
        )
        room.room.run(talk.run())
        parts.services.platform = Platform({"group/{group}": talk})
        peer = await room.client("d")
        room.kept.there[APP, 0].epoch += 1
        peer.send(Publish("group/team", b"x", 2, packet_id=1), Pingreq())
        await settle()
        assert await room.received(peer) == [Pingresp()]
        assert talk.waiting() == 0
        assert parts.counters.talk_refused == 1
