"""What is retained reaches who subscribes: all of it, at its pace, and never behind what is newer."""

import pytest
import structlog

from longline.errors import Unavailable
from longline.mqtt.packets import (
    MQTT_3_1_1,
    MQTT_5_0,
    Disconnect,
    Packet,
    Puback,
    Publish,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
)
from longline.mqtt.properties import Properties, PropertyId, pack_message_properties
from longline.room.pubsub.fanout import QUEUED
from longline.room.pubsub.replayer import PAGE, RETRY
from longline.room.pubsub.replays import AHEAD, LATE
from longline.room.session.session import Session
from tests.unit.room.fixture import APP, NOW_MS, Peer
from tests.unit.room.retaining import RetainingRoom

VERSIONS = pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])


def texts(packets: list[Packet] | list[Publish]) -> list[str]:
    return [packet.payload.decode() for packet in packets if isinstance(packet, Publish)]


def subscribe(peer: Peer, filter: str, qos: int = 1, handling: int = 0, *, no_local: bool = False) -> None:
    peer.send(Subscribe(1, [Subscription(filter, qos, no_local, retain_handling=handling)]))


# --- what is sent ---


@VERSIONS
async def test_what_is_retained_follows_the_suback_with_the_flag_set(version: int) -> None:
    """[MQTT-3.3.1-9], and [MQTT-3.3.1-6], [MQTT-3.3.1-8] of 3.1.1"""
    async with RetainingRoom() as room:
        room.has("a", b"x")
        room.has("b", b"y")
        peer = room.client("phone", version)
        subscribe(peer, "a")
        suback, message = await room.receive(peer)
        assert suback == Suback(1, [1])
        assert isinstance(message, Publish)
        assert (message.topic, message.payload, message.qos, message.retain) == ("a", b"x", 1, True)
        assert room.parts.counters.retained_sent == 1


@pytest.mark.parametrize(("kept", "granted", "delivered"), [(0, 1, 0), (1, 0, 0), (1, 1, 1), (0, 0, 0)])
async def test_it_comes_with_the_lower_of_the_two_qos(kept: int, granted: int, delivered: int) -> None:
    async with RetainingRoom() as room:
        room.has("a", qos=kept)
        (got,) = await room.published(await room.subscriber("phone", "a", qos=granted))
        assert got.qos == delivered
        assert got.retain


async def test_it_comes_with_qos_2_and_the_identifier_of_its_subscription() -> None:
    """[MQTT-3.3.4-3]: that of the subscription that it is sent for, also where others match."""
    async with RetainingRoom() as room:
        room.has("a", qos=2)
        room.has("b", qos=2)
        peer = room.client("phone")
        one: Properties = {PropertyId.SUBSCRIPTION_IDENTIFIER: [1]}
        two: Properties = {PropertyId.SUBSCRIPTION_IDENTIFIER: [2]}
        peer.send(Subscribe(1, [Subscription("a", 2)], one), Subscribe(2, [Subscription("#", 1)], two))
        got = await room.published(peer)
        seen = [(packet.topic, packet.qos, packet.retain, packet.properties) for packet in got]
        assert sorted(seen, key=str) == [
            ("a", 1, True, two),
            ("a", 2, True, one),
            ("b", 1, True, two),
        ]


async def test_properties_go_on_and_what_is_left_of_its_time() -> None:
    """[MQTT-3.3.2-6]"""
    async with RetainingRoom() as room:
        given: Properties = {PropertyId.CONTENT_TYPE: "text/x", PropertyId.USER_PROPERTY: [("k", "v")]}
        room.has("a", properties=pack_message_properties(given), expires_at=NOW_MS + 60_000)
        room.parts.wall += 20_500
        (got,) = await room.published(await room.subscriber("phone", "a"))
        assert got.properties == {**given, PropertyId.MESSAGE_EXPIRY_INTERVAL: 40}
        (old,) = await room.published(await room.subscriber("other", "a", version=MQTT_3_1_1))
        assert old.properties is None


async def test_its_time_goes_on_while_it_waits_for_the_window() -> None:
    """[MQTT-3.3.2-5]"""
    async with RetainingRoom() as room:
        for topic in "abc":
            room.has(topic, expires_at=NOW_MS + 60_000)
        peer = await room.subscriber("phone", "#", window=1)
        (first,) = await room.published(peer)
        room.parts.wall += 50_000
        peer.send(Puback(first.packet_id))
        (second,) = await room.published(peer)
        assert second.properties == {PropertyId.MESSAGE_EXPIRY_INTERVAL: 10}
        room.parts.wall += 10_000
        peer.send(Puback(second.packet_id))
        assert await room.published(peer) == []
        assert room.parts.counters.messages_dropped_expired == 1


async def test_a_message_that_is_too_large_for_the_client_is_left_out() -> None:
    async with RetainingRoom() as room:
        room.has("a", b"x" * 200)
        room.has("b", b"y")
        peer = room.parts.client("phone", properties={PropertyId.MAXIMUM_PACKET_SIZE: 100})
        subscribe(peer, "#")
        assert texts(await room.receive(peer)) == ["y"]
        assert room.parts.counters.messages_dropped_size == 1


async def test_one_that_cannot_be_read_costs_the_others_nothing() -> None:
    async with RetainingRoom() as room:
        room.has("a")
        room.has("b", properties=b"\xff")
        room.has("c")
        with structlog.testing.capture_logs():
            assert texts(await room.everything(await room.subscriber("phone", "#"))) == ["a", "c"]
        assert room.parts.faults.counts == {"room.retained": 1}


async def test_a_sessions_own_message_is_not_sent_where_it_wants_none_of_its_own() -> None:
    """[MQTT-3.8.3-3]"""
    async with RetainingRoom() as room:
        room.has("a", b"mine", sender="phone")
        room.has("b", b"theirs", sender="other")
        peer = room.client("phone")
        subscribe(peer, "#", no_local=True)
        assert texts(await room.receive(peer)) == ["theirs"]


async def test_it_comes_with_the_prefix_of_the_sessions_app() -> None:
    async with RetainingRoom() as room:
        peer = room.client("phone")
        tenant = room.parts.sessions.enter(APP, "news", True)
        guest = Session(tenant, "guest", 77, 16)
        room.parts.sessions.open(guest)
        guest.window.open(0, False)
        room.parts.sessions.attach(guest, peer.connection, "@news/", peer.connection.attachment)
        room.has("a", b"x")
        room.parts.fanout.subscribe(guest, Subscription("a", 1))
        room.parts.fanout.begin_replay(guest, "a")
        room.parts.fanout.replayed(guest)
        (got,) = await room.published(peer)
        assert got.topic == "@news/a"


# --- when it is sent ---


@pytest.mark.parametrize(("handling", "first", "again"), [(0, 1, 1), (1, 1, 0), (2, 0, 0)])
async def test_retain_handling_says_whether_it_is_sent(handling: int, first: int, again: int) -> None:
    """[MQTT-3.3.1-9], [MQTT-3.3.1-10], [MQTT-3.3.1-11]"""
    async with RetainingRoom() as room:
        room.has("a")
        peer = room.client("phone")
        subscribe(peer, "a", handling=handling)
        assert len(await room.everything(peer)) == first
        subscribe(peer, "a", handling=handling)
        assert len(await room.everything(peer)) == again
        peer.send(Unsubscribe(2, ["a"]))
        subscribe(peer, "a", handling=handling)
        assert len(await room.everything(peer)) == first


async def test_a_3_1_1_client_gets_it_at_each_subscribe() -> None:
    """[MQTT-3.8.4-3] of 3.1.1"""
    async with RetainingRoom() as room:
        room.has("a")
        peer = room.client("phone", MQTT_3_1_1)
        for _ in range(3):
            subscribe(peer, "a")
            assert texts(await room.everything(peer)) == ["a"]


async def test_each_subscription_gets_its_own() -> None:
    async with RetainingRoom() as room:
        room.has("a/b")
        room.has("a/c")
        peer = await room.subscriber("phone", "a/#", "+/b", "none/#", "a/c")
        assert sorted(texts(await room.everything(peer))) == ["a/b", "a/b", "a/c", "a/c"]


async def test_many_subscriptions_of_one_client_are_read_for_together() -> None:
    async with RetainingRoom(max_subscriptions=100) as room:
        for n in range(50):
            room.has(f"t/{n}")
        peer = await room.subscriber("phone", *(f"t/{n}" for n in range(50)))
        assert len(await room.everything(peer)) == 50
        assert len(room.store.found) < 10


async def test_a_subscription_that_is_refused_gets_nothing() -> None:
    async with RetainingRoom() as room:
        room.has("push/x")
        peer = room.client("phone")
        subscribe(peer, "$share/g/a")
        subscribe(peer, "push/#")
        subscribe(peer, "a/b/c/d/e/f/g/h/i/j/k")
        await room.settle()
        assert room.store.found == []


async def test_who_subscribes_anew_meanwhile_begins_anew_with_the_new_qos() -> None:
    async with RetainingRoom() as room:
        for n in range(30):
            room.has(f"t/{n:02}")
        peer = await room.subscriber("phone", "t/+", window=4)
        begun = texts(await room.published(peer))
        assert begun == ["t/00", "t/01", "t/02", "t/03"]
        subscribe(peer, "t/+", qos=0)
        got = await room.published(peer)
        assert texts(got) == [f"t/{n:02}" for n in range(30)]
        assert {packet.qos for packet in got} == {0}


async def test_what_is_still_to_come_has_the_qos_of_a_subscription_that_asks_for_nothing() -> None:
    """Retain handling 2 leaves what is under way alone; but no message comes with more than was granted."""
    async with RetainingRoom(session_queue=4) as room:
        for n in range(30):
            room.has(f"t/{n:02}")
        peer = await room.subscriber("phone", "t/+", window=4)
        before = await room.published(peer)
        subscribe(peer, "t/+", qos=0, handling=2)
        room.parts.turns.settle()
        peer.send(*(Puback(packet.packet_id) for packet in before))
        got = await room.everything(peer)
        assert texts(before + got) == [f"t/{n:02}" for n in range(30)]
        assert {packet.qos for packet in got[8:]} == {0}


async def test_unsubscribing_ends_it() -> None:
    async with RetainingRoom(session_queue=4) as room:
        for n in range(100):
            room.has(f"t/{n:02}")
        peer = await room.subscriber("phone", "t/+", window=4)
        before = await room.published(peer)
        peer.send(Unsubscribe(2, ["t/+"]))
        assert Unsuback(2, [0]) in await room.receive(peer)
        peer.send(*(Puback(packet.packet_id) for packet in before))
        assert len(await room.everything(peer)) <= 4, "what waited for the window already"
        plain = peer.session.plain
        assert plain is None or plain.replays is None


@pytest.mark.parametrize("meanwhile", ["read", "between"])
async def test_a_connection_that_ends_ends_it(meanwhile: str) -> None:
    async with RetainingRoom() as room:
        for n in range(500):
            room.has(f"t/{n:03}")
        hold = room.store.hold("find_retained")
        peer = await room.subscriber("phone", "#", window=4)
        await room.settle()
        if meanwhile == "between":
            hold.set()
            await room.settle()
        reads = len(room.store.found)
        peer.send(Disconnect())
        hold.set()
        await room.settle()
        assert peer.over
        assert len(room.store.found) == reads
        assert room.replayer.waiting() == 0
        other = await room.subscriber("other", "t/000")
        assert texts(await room.everything(other)) == ["t/000"]


# --- how fast it is sent ---


@VERSIONS
async def test_a_slow_client_gets_everything_and_little_of_it_waits(version: int) -> None:
    async with RetainingRoom(session_queue=1000) as room:
        topics = [f"t/{n:04}" for n in range(1000)]
        for topic in topics:
            room.has(topic)
        peer = await room.subscriber("phone", "#", version=version, window=4)
        found: list[str] = []
        most = 0
        while got := await room.published(peer):
            assert len(got) <= 4
            found += texts(got)
            most = max(most, len(peer.session.queue or ()))
            peer.send(*(Puback(packet.packet_id) for packet in got))
        assert found == topics
        assert most <= QUEUED
        assert all(len(page) <= PAGE for page in room.store.found)
        assert peer.session.plain is not None
        assert peer.session.plain.replays is None
        assert room.parts.counters.messages_dropped_slow == 0


async def test_a_short_queue_is_not_overfilled() -> None:
    async with RetainingRoom(session_queue=0) as room:
        topics = [f"t/{n:02}" for n in range(50)]
        for topic in topics:
            room.has(topic)
        peer = await room.subscriber("phone", "#", window=1)
        assert texts(await room.everything(peer)) == topics
        assert room.parts.counters.messages_dropped_slow == 0


async def test_a_client_that_takes_no_bytes_is_read_for_when_it_does_again() -> None:
    async with RetainingRoom(outbox_bytes=4096) as room:
        topics = [f"t/{n:03}" for n in range(300)]
        for topic in topics:
            room.has(topic, topic.encode() * 20)
        peer = room.client("phone")
        peer.wire.slow = True
        subscribe(peer, "#", qos=0)
        await room.settle()
        assert peer.connection.blocked
        reads = len(room.store.found)
        await room.settle()
        assert len(room.store.found) == reads
        assert peer.wire.held < 4096 + PAGE * 140
        found: list[str] = texts(peer.unread())
        while len(found) < len(topics):
            peer.wire.read()
            peer.wire.slow = True
            more = texts(await room.receive(peer))
            assert more
            found += more
        assert found == [topic * 20 for topic in topics]
        assert room.parts.counters.messages_dropped_slow == 0


async def test_others_go_on_while_one_gets_very_much() -> None:
    async with RetainingRoom(session_queue=1000) as room:
        for n in range(2000):
            room.has(f"t/{n:04}")
        room.has("z")
        great = await room.subscriber("great", "#", window=100)
        await room.published(great)
        small = await room.subscriber("small", "z")
        assert texts(await room.everything(small)) == ["z"]


async def test_a_store_that_does_not_answer_is_asked_again() -> None:
    async with RetainingRoom() as room:
        room.has("a")
        room.store.faults["find_retained"] = [Unavailable("no store"), Unavailable("no store")]
        peer = await room.subscriber("phone", "a")
        assert await room.receive(peer) == []
        await room.clock.advance(4 * RETRY.first)
        assert texts(await room.everything(peer)) == ["a"]


async def test_a_find_that_nobody_foresaw_to_fail_costs_the_others_nothing() -> None:
    async with RetainingRoom() as room:
        room.has("a")
        room.store.poison.add("bad")
        with structlog.testing.capture_logs():
            one = await room.subscriber("one", "bad")
            other = await room.subscriber("other", "a")
            assert texts(await room.everything(other)) == ["a"]
        assert await room.receive(one) == []


# --- what comes meanwhile ---


async def test_a_newer_message_is_not_overtaken_by_what_is_retained() -> None:
    """[MQTT-4.6.0-5]"""
    async with RetainingRoom() as room:
        room.has("a", b"old")
        hold = room.store.hold("find_retained")
        peer = await room.subscriber("phone", "a")
        sender = room.client("sender")
        sender.send(Publish("a", b"1", 1, packet_id=1), Publish("a", b"2", 0), Publish("b", b"3"))
        assert await room.receive(peer) == []
        hold.set()
        got = await room.published(peer)
        assert [(packet.payload, packet.retain) for packet in got] == [
            (b"old", True),
            (b"1", False),
            (b"2", False),
        ]


async def test_of_many_topics_the_one_that_is_newer_is_read_ahead_and_left_out_later() -> None:
    async with RetainingRoom(session_queue=1000) as room:
        for n in range(1000):
            room.has(f"t/{n:04}")
        peer = await room.subscriber("phone", "#", window=4)
        found = await room.published(peer)
        sender = room.client("sender")
        sender.send(
            Publish("t/0000", b"new 0", 0),  # was sent already
            Publish("t/0900", b"new 900", 0),
            Publish("t/none", b"new none", 0),
        )
        found += (now := await room.published(peer))
        assert texts(now) == ["new 0", "new 900", "new none"], "the window is full for what has QoS 1"
        peer.send(*(Puback(packet.packet_id) for packet in found if packet.qos))
        found += await room.everything(peer)
        payloads = texts(found)
        assert payloads.count("t/0900") == 1
        assert sorted(payloads) == sorted(
            [f"t/{n:04}" for n in range(1000)] + ["new 0", "new 900", "new none"]
        )


async def test_a_newer_message_with_the_same_qos_stays_behind_its_topics_retained_one() -> None:
    async with RetainingRoom(session_queue=1000) as room:
        for n in range(500):
            room.has(f"t/{n:03}")
        peer = await room.subscriber("phone", "#", window=4)
        found = await room.published(peer)
        sender = room.client("sender")
        for n in (499, 250, 0, 499):
            sender.send(Publish(f"t/{n:03}", b"new %d" % n, 1, packet_id=1))
            await room.settle()
            found += [packet for packet in peer.unread() if isinstance(packet, Publish)]
        peer.send(*(Puback(packet.packet_id) for packet in found))
        found += await room.everything(peer)
        payloads = texts(found)
        assert len(payloads) == 504
        for n in (499, 250, 0):
            assert payloads.index(f"t/{n:03}") < payloads.index(f"new {n}")
            assert payloads.count(f"t/{n:03}") == 1


async def test_a_message_that_is_retained_itself_does_not_come_twice() -> None:
    async with RetainingRoom() as room:
        room.has("a", b"old")
        hold = room.store.hold("find_retained")
        peer = await room.subscriber("phone", "a", "#")
        await room.settle()
        room.client("sender").send(Publish("a", b"new", 1, retain=True, packet_id=1))
        await room.settle()
        assert room.store.retained_messages[APP, "a"].payload == b"new"
        hold.set()
        got = await room.everything(peer)
        assert [(packet.payload, packet.retain) for packet in got] == [(b"new", False)]


async def test_one_that_is_retained_itself_and_comes_from_another_room_does_not_come_twice() -> None:
    async with RetainingRoom() as room:
        hold = room.store.hold("find_retained")
        peer = await room.subscriber("phone", "a")
        publication = room.has("a", b"new")
        tenant = peer.session.tenant
        packet = Publish("a", b"new", 1)
        assert room.parts.fanout.distribute(tenant, packet, lambda reached: None, publication.id)
        assert await room.receive(peer) == []
        hold.set()
        got = await room.everything(peer)
        assert [(packet.payload, packet.retain) for packet in got] == [(b"new", False)]


async def test_a_subscription_made_later_gets_what_was_read_ahead_for_an_earlier_one() -> None:
    async with RetainingRoom(session_queue=1000) as room:
        for n in range(200):
            room.has(f"t/{n:03}")
        peer = await room.subscriber("phone", "#", window=4)
        found = await room.published(peer)
        room.client("sender").send(Publish("t/190", b"new", 0))
        found += await room.published(peer)
        subscribe(peer, "t/190")
        peer.send(*(Puback(packet.packet_id) for packet in found if packet.qos))
        found += await room.everything(peer)
        assert texts(found).count("t/190") == 2
        assert len(found) == 202


async def test_what_is_held_is_bounded_and_goes_its_way_in_order_beyond() -> None:
    async with RetainingRoom(session_queue=5) as room:
        room.has("a", b"old")
        hold = room.store.hold("find_retained")
        peer = await room.subscriber("phone", "a")
        room.client("sender").send(*(Publish("a", b"%d" % n, 0) for n in range(9)))
        assert texts(await room.receive(peer)) == ["0", "1", "2", "3", "4", "5"]
        hold.set()
        assert texts(await room.receive(peer)) == ["old", "6", "7", "8"]


async def test_topics_that_hold_messages_up_are_bounded() -> None:
    async with RetainingRoom(session_queue=1000) as room:
        room.has("t/1", b"old")
        hold = room.store.hold("find_retained")
        peer = await room.subscriber("phone", "#", qos=0)
        room.client("sender").send(*(Publish(f"t/{n}", b"%d" % n, 0) for n in range(2 * AHEAD)))
        assert texts(await room.receive(peer)) == [str(n) for n in range(AHEAD, 2 * AHEAD)]
        hold.set()
        rest = texts(await room.receive(peer))
        assert sorted(rest) == sorted([*(str(n) for n in range(AHEAD)), "old"])
        assert rest.index("old") < rest.index("1")


async def test_nothing_waits_for_a_store_that_fails() -> None:
    async with RetainingRoom() as room:
        room.has("a", b"old")
        room.store.faults["find_retained"] = [Unavailable("no store")]
        hold = room.store.hold("find_retained")
        peer = await room.subscriber("phone", "a")
        sender = room.client("sender")
        sender.send(Publish("a", b"1", 0))
        await room.settle()
        assert peer.unread() == []
        hold.set()
        assert texts(await room.receive(peer)) == ["1"]
        await room.clock.advance(2 * RETRY.first)
        assert texts(await room.receive(peer)) == ["old"]


async def test_nothing_waits_long_for_a_store_that_does_not_answer() -> None:
    async with RetainingRoom() as room:
        hold = room.store.hold("find_retained")
        peer = await room.subscriber("phone", "a")
        sender = room.client("sender")
        sender.send(Publish("a", b"1", 0))
        assert await room.receive(peer) == []
        room.parts.wall += LATE + 1
        sender.send(Publish("a", b"2", 0))
        assert texts(await room.receive(peer)) == ["1", "2"]
        hold.set()
        assert await room.receive(peer) == []


async def test_a_message_whose_time_is_over_by_then_is_not_sent() -> None:
    async with RetainingRoom() as room:
        hold = room.store.hold("find_retained")
        peer = await room.subscriber("phone", "a")
        expiry: Properties = {PropertyId.MESSAGE_EXPIRY_INTERVAL: 1}
        room.client("sender").send(Publish("a", b"1", 0, properties=expiry), Publish("a", b"2", 0))
        await room.settle()
        room.parts.wall += 1000
        hold.set()
        assert texts(await room.receive(peer)) == ["2"]
        assert room.parts.counters.messages_dropped_expired == 1


async def test_who_unsubscribes_gets_what_came_while_it_was_subscribed() -> None:
    async with RetainingRoom() as room:
        hold = room.store.hold("find_retained")
        peer = await room.subscriber("phone", "a", "b")
        room.client("sender").send(Publish("a", b"1", 1, packet_id=1))
        await room.settle()
        peer.send(Unsubscribe(2, ["a"]))
        packets = await room.receive(peer)
        assert texts(packets) == ["1"]
        hold.set()
        assert await room.receive(peer) == []
