"""What a session that is kept publishes with QoS 2: nobody has it before the store has, and nobody twice."""

import asyncio

import pytest

from longline.errors import TopicTooCostly, Unavailable
from longline.mqtt.packets import (
    Pingreq,
    Pingresp,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Subscription,
)
from longline.mqtt.properties import Properties, PropertyId, get_int
from longline.mqtt.reasons import ReasonCode
from tests.unit.room.fixture import APP, Peer
from tests.unit.room.test_kept_sessions import NOBODY, VERSIONS, KeepingRoom, messages

GROUP = "$share/g/a"


class WithholdingRoom(KeepingRoom):
    """One in which the store can be kept from answering publications."""

    def hold(self) -> asyncio.Event:
        held = self.kept.holds["publish"] = asyncio.Event()
        return held

    async def listener(self, device: str, filter: str = "a", qos: int = 2) -> Peer:
        """A subscriber whose session ends with its connection."""
        peer = await self.client(device, clean=True, expiry=0)
        peer.send(Subscribe(1, [Subscription(filter, qos)]))
        assert Suback(1, [qos]) in await self.received(peer)
        return peer

    async def payloads(self, peer: Peer) -> list[bytes]:
        return [message.payload for message in messages(await self.received(peer))]


def publication(payload: bytes = b"x", id: int = 7, *, dup: bool = False, topic: str = "a") -> Publish:
    return Publish(topic, payload, 2, dup=dup, packet_id=id)


@VERSIONS
async def test_what_a_client_repeats_after_a_takeover_comes_once(version: int) -> None:
    async with WithholdingRoom() as room:
        listeners = [
            await room.listener("o"),
            await room.listener("q", qos=0),
            await room.listener("m", GROUP),
        ]
        first = await room.client("p", version)
        held = room.hold()
        first.send(publication())
        assert [await room.payloads(peer) for peer in listeners] == [[], [], []]
        second = await room.client("p", version)
        second.send(publication(dup=True))
        assert messages(await room.received(second)) == []
        held.set()
        assert [await room.payloads(peer) for peer in listeners] == [[b"x"], [b"x"], [b"x"]]
        assert Pubrec(7) in await room.received(second)
        assert not any(isinstance(packet, Pubrec) for packet in await room.received(first))
        assert room.room.parts.counters.deposits_refused == 1


async def test_what_was_committed_before_a_takeover_is_distributed_and_not_again() -> None:
    async with WithholdingRoom() as room:
        listener = await room.listener("o")
        first = await room.client("p")
        first.send(publication())
        assert await room.payloads(listener) == [b"x"]
        second = await room.client("p")
        second.send(publication(dup=True))
        assert await room.received(second) == [Pubrec(7)]
        assert await room.payloads(listener) == []


async def test_it_is_distributed_once_however_often_the_store_is_asked() -> None:
    """An answer that is lost says nothing of what was committed."""
    async with WithholdingRoom() as room:
        listener = await room.listener("o")
        peer = await room.client("p")
        store = room.kept
        publish = store._publish
        answers: list[object] = []

        def lost_once(item: object) -> object:
            answers.append(publish(item))  # type: ignore[arg-type]
            if len(answers) == 1:
                raise Unavailable
            return answers[-1]

        store._publish = lost_once  # type: ignore[method-assign, assignment]
        peer.send(publication())
        await room.room.until(lambda: len(answers) == 2)
        assert await room.payloads(listener) == [b"x"]
        assert await room.received(peer) == [Pubrec(7)]


async def test_what_another_room_was_first_to_commit_is_not_distributed_here() -> None:
    async with WithholdingRoom() as room:
        listener = await room.listener("o")
        peer = await room.client("p")
        [stored] = [kept for kept in room.kept.there.values() if kept.device == "p"]
        stored.received[7] = "an earlier one"
        peer.send(publication(dup=True))
        assert await room.received(peer) == [Pubrec(7)]
        assert await room.payloads(listener) == []


@pytest.mark.parametrize("code", [TopicTooCostly.code, "store_error"])
async def test_what_the_store_refuses_is_with_nobody(code: str) -> None:
    async with WithholdingRoom() as room:
        listeners = [await room.listener("o"), await room.listener("m", GROUP)]
        peer = await room.client("p")
        room.kept.declines = {"a": code}
        answer = await room.publish(peer, "a", qos=2, id=7)
        assert answer.reason >= 0x80
        assert [await room.payloads(listener) for listener in listeners] == [[], []]
        room.kept.declines = {}
        assert await room.publish(peer, "a", qos=2, id=7) == Pubrec(7)
        assert [await room.payloads(listener) for listener in listeners] == [[b"x"], [b"x"]]


async def test_publications_keep_their_order_and_what_is_behind_them_does_not_wait() -> None:
    async with WithholdingRoom() as room:
        listener = await room.listener("o")
        peer = await room.client("p")
        held = room.hold()
        peer.send(*(publication(b"%d" % n, n) for n in range(1, 6)), Publish("a", b"at once", 0), Pingreq())
        assert await room.received(peer) == [Pingresp()]
        assert await room.payloads(listener) == [b"at once"]
        held.set()
        assert await room.payloads(listener) == [b"%d" % n for n in range(1, 6)]
        assert await room.received(peer) == [Pubrec(n) for n in range(1, 6)]
        peer.send(*(Pubrel(n) for n in range(1, 6)))
        assert await room.received(peer) == [Pubcomp(n) for n in range(1, 6)]


async def test_sessions_that_end_with_their_connection_do_not_wait_for_the_store() -> None:
    async with WithholdingRoom() as room:
        await room.subscriber("d", "a")
        listener = await room.listener("o")
        peer = await room.client("p", clean=True, expiry=0)
        held = room.hold()
        peer.send(publication())
        assert await room.payloads(listener) == [b"x"]
        held.set()
        assert await room.received(peer) == [Pubrec(7)]


async def test_members_of_groups_have_turns_whether_their_sessions_are_kept_or_not() -> None:
    async with WithholdingRoom() as room:
        members = [await room.listener("m", GROUP), await room.subscriber("k", GROUP)]
        members.append(await room.listener("n", GROUP))
        peer = await room.client("p")
        held = room.hold()
        peer.send(*(publication(b"%d" % n, n) for n in range(1, 10)))
        await room.room.settle()
        held.set()
        got = [await room.payloads(member) for member in members]
        assert sorted(payload for some in got for payload in some) == [b"%d" % n for n in range(1, 10)]
        assert [len(some) for some in got] == [3, 3, 3]
        assert await room.received(peer) == [Pubrec(n) for n in range(1, 10)]


async def test_another_member_gets_what_was_for_one_that_has_gone() -> None:
    async with WithholdingRoom() as room:
        members = [await room.listener("m", GROUP), await room.listener("n", GROUP)]
        peer = await room.client("p")
        held = room.hold()
        peer.send(publication())
        await room.room.settle()
        await room.lose(members[0])
        held.set()
        assert await room.payloads(members[1]) == [b"x"]
        assert await room.received(peer) == [Pubrec(7)]


async def test_where_all_members_have_gone_the_publisher_is_told() -> None:
    async with WithholdingRoom() as room:
        member = await room.listener("m", GROUP)
        peer = await room.client("p")
        held = room.hold()
        peer.send(publication())
        await room.room.settle()
        await room.lose(member)
        held.set()
        [answer] = [packet for packet in await room.received(peer) if isinstance(packet, Pubrec)]
        assert answer.reason in (0, ReasonCode.QUOTA_EXCEEDED)


async def test_the_time_that_it_waits_for_the_store_counts() -> None:
    """[MQTT-3.3.2-6]"""
    async with WithholdingRoom() as room:
        listener = await room.listener("o")
        peer = await room.client("p")
        held = room.hold()
        for id, seconds in ((1, 3), (2, 100)):
            told: Properties = {PropertyId.MESSAGE_EXPIRY_INTERVAL: seconds}
            peer.send(Publish("a", b"%d" % id, 2, packet_id=id, properties=told))
        await room.room.settle()
        room.room.parts.wall += 5000
        held.set()
        got = messages(await room.received(listener))
        assert [m.payload for m in got] == [b"2"]
        assert get_int(got[0].properties, PropertyId.MESSAGE_EXPIRY_INTERVAL) in (94, 95)
        assert [packet.packet_id for packet in peer.unread() if isinstance(packet, Pubrec)] == [1, 2]


async def test_it_is_retained_when_it_is_committed_and_its_answer_waits_for_both() -> None:
    async with WithholdingRoom() as room:
        parts = room.room.parts
        room.room.run(parts.retainer.run())
        retained = parts.saver.retained_messages
        first = await room.client("p")
        held = room.hold()
        first.send(Publish("a", b"x", 2, retain=True, packet_id=7))
        await room.room.settle()
        assert retained == {}
        second = await room.client("p")
        held.set()
        await room.room.settle()
        assert retained == {}  # it was refused
        keeps = parts.saver.hold("keep_retained")
        second.send(Publish("a", b"x", 2, retain=True, dup=True, packet_id=7))
        assert await room.received(second) == []
        keeps.set()
        assert await room.received(second) == [Pubrec(7, NOBODY)]
        assert retained[APP, "a"].payload == b"x"
