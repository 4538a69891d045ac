"""Members of groups whose sessions are kept: what they get from their queues, and what becomes of it."""

from longline.errors import TopicTooCostly, Unavailable
from longline.model.commands import ForGroups
from longline.mqtt.packets import (
    Packet,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Subscription,
)
from longline.mqtt.properties import Properties, PropertyId
from longline.mqtt.reasons import ReasonCode
from longline.saver.port.queues import Step
from tests.unit.room.fixture import APP, Peer
from tests.unit.room.test_kept_sessions import KeepingRoom, messages

GROUP = "$share/g/a"


async def passing(room: KeepingRoom, device: str, qos: int = 2) -> Peer:
    """A member whose session ends with its connection."""
    peer = await room.client(device, clean=True, expiry=0)
    peer.send(Subscribe(1, [Subscription(GROUP, qos)]))
    assert Suback(1, [qos]) in await room.received(peer)
    return peer


def payloads(packets: list[Packet]) -> list[bytes]:
    return [packet.payload for packet in messages(packets)]


async def test_a_member_gets_messages_from_its_queue_and_the_publisher_its_answer_after_that() -> None:
    async with KeepingRoom() as room:
        peer = await room.client("d")
        told: Properties = {PropertyId.SUBSCRIPTION_IDENTIFIER: [9]}
        peer.send(Subscribe(1, [Subscription(GROUP, 2)], told))
        await room.received(peer)
        publisher = await room.client("p", clean=True, expiry=0)
        room.kept.faults["publish"] = [Unavailable()]
        publisher.send(Publish("a", b"1", 1, packet_id=1))
        assert await room.received(publisher) == []
        assert await room.received(peer) == []
        await room.room.until(lambda: room.kept.there[APP, 0].queue)
        assert await room.received(publisher) == [Puback(1, 0)]
        (got,) = messages(await room.received(peer))
        assert (got.payload, got.qos, got.properties) == (b"1", 1, told)
        peer.send(Puback(got.packet_id))
        await room.room.settle()
        assert room.kept.there[APP, 0].queue == {}
        kept = peer.connection.session.kept  # type: ignore[union-attr]
        assert kept is not None
        assert kept.given is None
        assert room.room.parts.counters.shared_routed == 1


async def test_with_qos_0_the_store_has_no_part_in_it() -> None:
    async with KeepingRoom() as room:
        peers = [await room.subscriber("d", GROUP), await room.subscriber("e", GROUP, qos=0)]
        publisher = await room.client("p", clean=True, expiry=0)
        room.called()
        publisher.send(*(Publish("a", b"%d" % n, 0) for n in range(4)))
        await room.room.settle()
        assert [len(messages(await room.received(peer))) for peer in peers] == [2, 2]
        assert room.called() == []


async def test_members_with_and_without_a_kept_session_have_turns() -> None:
    async with KeepingRoom() as room:
        one, other = await room.subscriber("d", GROUP), await room.subscriber("e", GROUP)
        peers = [one, other, await passing(room, "f")]
        publisher = await room.client("p", clean=True, expiry=0)
        for n in range(1, 10):
            assert (await room.publish(publisher, "a", b"%d" % n, 1 + n % 2, n)).reason == 0
        got = [payloads(await room.received(peer)) for peer in peers]
        assert sorted(payload for some in got for payload in some) == [b"%d" % n for n in range(1, 10)]
        assert [len(some) for some in got] == [3, 3, 3]


async def test_what_was_begun_with_qos_2_waits_for_the_member_and_goes_to_no_other() -> None:
    async with KeepingRoom() as room:
        peer = await room.subscriber("d", GROUP)
        publisher = await room.client("p", clean=True, expiry=0)
        for n in (1, 2):
            await room.publish(publisher, "a", b"%d" % n, 2, n)
        first, second = messages(await room.received(peer))
        peer.send(Pubrec(first.packet_id))
        assert await room.received(peer) == [Pubrel(first.packet_id)]
        other = await passing(room, "e")
        await room.lose(peer)
        assert messages(await room.received(other)) == []
        again, packets = await room.connect("d")
        assert packets[1] == Pubrel(first.packet_id)
        (message,) = messages(packets)
        assert (message.packet_id, message.payload, message.dup) == (second.packet_id, b"2", True)
        again.send(Pubcomp(first.packet_id), Pubrec(second.packet_id))
        assert await room.received(again) == [Pubrel(second.packet_id)]
        again.send(Pubcomp(second.packet_id))
        await room.room.settle()
        assert (room.kept.there[APP, 0].queue, room.kept.there[APP, 0].released) == ({}, set())


async def test_with_qos_1_others_get_what_a_member_leaves_behind() -> None:
    """Also what was not written to it yet; and it is in its queue no more."""
    async with KeepingRoom() as room:
        told: Properties = {PropertyId.RECEIVE_MAXIMUM: 2}
        peer, _ = await room.connect("d", properties=told)
        peer.send(Subscribe(1, [Subscription(GROUP, 1)]))
        publisher = await room.client("p", clean=True, expiry=0)
        for n in range(1, 6):
            await room.publish(publisher, "a", b"%d" % n, 1, n)
        (first, _) = messages(await room.received(peer))
        peer.send(Puback(first.packet_id))
        await room.room.settle()
        heirs = [await passing(room, "e"), await room.subscriber("f", GROUP)]
        await room.lose(peer)
        got = [payloads(await room.received(heir)) for heir in heirs]
        assert sorted(got[0] + got[1]) == [b"2", b"3", b"4", b"5"]
        assert all(got)
        assert room.kept.there[APP, 0].queue == {}
        assert room.room.parts.counters.shared_dropped == 0


async def test_with_qos_1_it_waits_for_the_member_where_there_is_no_other() -> None:
    async with KeepingRoom() as room:
        peer = await room.subscriber("d", GROUP)
        publisher = await room.client("p", clean=True, expiry=0)
        await room.publish(publisher, "a", b"1", 1)
        assert payloads(await room.received(peer)) == [b"1"]
        await room.lose(peer)
        assert len(room.kept.there[APP, 0].queue) == 1
        assert room.room.parts.counters.shared_dropped == 0
        _, packets = await room.connect("d")
        assert [(m.payload, m.dup) for m in messages(packets)] == [(b"1", True)]


async def test_who_is_taken_over_leaves_nothing_to_others() -> None:
    async with KeepingRoom() as room:
        peer = await room.subscriber("d", GROUP)
        publisher = await room.client("p", clean=True, expiry=0)
        await room.publish(publisher, "a", b"1", 1)
        assert payloads(await room.received(peer)) == [b"1"]
        other = await passing(room, "e")
        _, packets = await room.connect("d")
        assert payloads(packets) == [b"1"]
        assert messages(await room.received(other)) == []


async def test_one_whose_queue_is_full_is_passed_over() -> None:
    async with KeepingRoom() as room:
        full, other = await room.subscriber("d", GROUP), await room.subscriber("e", GROUP)
        room.kept.full.add("d")
        publisher = await room.client("p", clean=True, expiry=0)
        for n in range(1, 5):
            assert (await room.publish(publisher, "a", b"%d" % n, 1, n)).reason == 0
        assert payloads(await room.received(full)) == []
        assert payloads(await room.received(other)) == [b"1", b"2", b"3", b"4"]
        room.kept.full.add("e")
        answer = await room.publish(publisher, "a", b"5", 1, 5)
        assert answer.reason == ReasonCode.QUOTA_EXCEEDED
        assert room.room.parts.counters.shared_dropped == 1
        passes = await passing(room, "f")
        assert (await room.publish(publisher, "a", b"6", 1, 6)).reason == 0
        assert (await room.publish(publisher, "a", b"7", 1, 7)).reason == 0
        assert payloads(await room.received(passes)) == [b"6", b"7"]


async def test_a_member_that_is_in_two_groups_gets_a_copy_for_each() -> None:
    async with KeepingRoom() as room:
        peer = await room.subscriber("d", GROUP, "$share/h/+", "a")
        publisher = await room.client("p", clean=True, expiry=0)
        assert (await room.publish(publisher, "a", b"1", 2)).reason == 0
        assert payloads(await room.received(peer)) == [b"1", b"1", b"1"]


async def test_what_another_room_hands_on_goes_through_the_queue_where_it_says_so() -> None:
    async with KeepingRoom() as room:
        peer = await room.subscriber("d", GROUP)
        shares = room.room.parts.shares
        shares.arrived(APP, Publish("a", b"1", 1), "", ForGroups((GROUP,)), True)
        shares.arrived(APP, Publish("a", b"2", 1), "", ForGroups((GROUP,)), False)
        await room.room.settle()
        (queued,) = room.kept.there[APP, 0].queue.values()
        assert queued.publication.payload == b"1"
        assert sorted(payloads(await room.received(peer))) == [b"1", b"2"]


async def test_what_cannot_be_queued_is_refused_and_given_to_nobody() -> None:
    async with KeepingRoom() as room:
        peer = await room.subscriber("d", GROUP)
        room.kept.declines["a"] = TopicTooCostly.code
        publisher = await room.client("p", clean=True, expiry=0)
        assert (await room.publish(publisher, "a", b"1", 1)).reason == ReasonCode.QUOTA_EXCEEDED
        assert payloads(await room.received(peer)) == []


async def test_a_message_that_a_member_refuses_goes_to_no_other() -> None:
    async with KeepingRoom() as room:
        peer, other = await room.subscriber("d", GROUP), await room.subscriber("e", GROUP)
        publisher = await room.client("p", clean=True, expiry=0)
        await room.publish(publisher, "a", b"1", 1)
        got = [messages(await room.received(p)) for p in (peer, other)]
        refuses, idle = (peer, other) if got[0] else (other, peer)
        (message,) = got[0] or got[1]
        refuses.send(Puback(message.packet_id, 0x83))
        await room.lose(refuses)
        assert messages(await room.received(idle)) == []
        assert room.kept.settled[-1].step == Step.SETTLED
