"""Publish/subscribe across rooms: who is sent what, what is acknowledged when, and what doubt costs."""

import asyncio
from typing import cast

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from longline.errors import Unavailable
from longline.model.commands import Forward, Routes
from longline.model.times import wall_clock
from longline.mqtt.packets import (
    MQTT_3_1_1,
    MQTT_5_0,
    Disconnect,
    Pingreq,
    Pingresp,
    Puback,
    Publish,
    Suback,
    Subscribe,
    Subscription,
    Unsubscribe,
)
from longline.mqtt.properties import Properties, PropertyId, get_int, pack_message_properties
from longline.mqtt.reasons import ReasonCode
from longline.mqtt.topics import matches
from longline.room.pubsub.hearing import PATIENCE
from longline.room.pubsub.routes import GATHER, HOLD_BACK, PIECE, REFRESH, pieces
from tests.unit.room.cluster import Cluster, payloads
from tests.unit.room.fixture import APP


@pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])
@pytest.mark.parametrize("sender", [MQTT_3_1_1, MQTT_5_0])
async def test_a_message_reaches_subscribers_in_every_room(version: int, sender: int) -> None:
    async with Cluster() as cluster:
        a, b, c = [await cluster.room(name) for name in "abc"]
        here = await a.subscriber("t/1", version=version)
        there = await b.subscriber("t/+", version=version)
        elsewhere = await c.subscriber("other", version=version)
        publisher = a.client("p", sender)
        publisher.send(Publish("t/1", b"x", 1, packet_id=9))
        await cluster.settle()
        assert publisher.receive() == [Puback(9)]
        assert payloads(here.receive()) == [b"x"]
        assert payloads(there.receive()) == [b"x"]
        assert payloads(elsewhere.receive()) == []
        assert a.table.counters.messages_relayed == 1
        assert b.table.counters.messages_received == 1


@pytest.mark.parametrize(("waited", "left"), [(-5.0, 60), (0.9, 60), (20.5, 40), (60.0, None)])
async def test_the_time_that_a_message_was_on_its_way_between_rooms_counts_for_its_expiry(
    waited: float, left: int | None
) -> None:
    """[MQTT-3.3.2-5], [MQTT-3.3.2-6]"""
    async with Cluster() as cluster:
        a = await cluster.room("a")
        there = await a.subscriber("t")
        properties: Properties = {PropertyId.MESSAGE_EXPIRY_INTERVAL: 60}
        at = wall_clock() - int(1000 * waited)
        a.table.forward(Forward(APP, "t", b"x", 0, pack_message_properties(properties), at))
        await cluster.settle()
        assert [
            get_int(packet.properties, PropertyId.MESSAGE_EXPIRY_INTERVAL)
            for packet in there.receive()
            if isinstance(packet, Publish)
        ] == ([] if left is None else [left])
        assert a.parts.counters.messages_dropped_expired == (left is None)
        assert a.table.counters.messages_dropped == 0  # it got here


async def test_a_message_that_expires_says_between_rooms_when_it_was_published() -> None:
    async with Cluster() as cluster:
        a, b = await cluster.room("a"), await cluster.room("b")
        await b.subscriber("t")
        before = wall_clock()
        for properties in (None, {PropertyId.MESSAGE_EXPIRY_INTERVAL: 60}):
            a.client("p").send(Publish("t", b"x", properties=cast(Properties | None, properties)))
        await cluster.settle()
        ats = [command.at for _, command in cluster.bus.sent if isinstance(command, Forward)]
        assert ats[0] == 0
        assert before <= ats[1] <= wall_clock()


async def test_other_rooms_are_told_under_which_id_a_message_is_retained() -> None:
    """So that a subscriber there does not get it twice."""
    async with Cluster() as cluster:
        a, b = await cluster.room("a"), await cluster.room("b")
        await b.subscriber("t")
        a.client("p").send(Publish("t", b"kept", retain=True), Publish("t", b"not kept"))
        await cluster.settle()
        sent = [command for _, command in cluster.bus.sent if isinstance(command, Forward)]
        assert [(command.payload, len(command.id)) for command in sent] == [(b"kept", 36), (b"not kept", 0)]


async def test_properties_travel_on_and_aliases_stay() -> None:
    async with Cluster() as cluster:
        a, b = await cluster.room("a"), await cluster.room("b")
        a.parts.rules.topic_alias_maximum = 4
        there = await b.subscriber("t")
        given: Properties = {PropertyId.CONTENT_TYPE: "text/x", PropertyId.USER_PROPERTY: [("k", "v")]}
        a.client("p").send(Publish("t", b"x", properties={**given, PropertyId.TOPIC_ALIAS: 1}))
        await cluster.settle()
        assert there.receive() == [Publish("t", b"x", properties=given)]


async def test_properties_that_cannot_be_read_cost_no_message() -> None:
    async with Cluster() as cluster:
        a = await cluster.room("a")
        peer = await a.subscriber("t")
        a.table.forward(Forward(APP, "t", b"x", 0, b"\x7f"))
        assert peer.receive() == [Publish("t", b"x")]


async def test_a_message_goes_only_where_somebody_wants_it() -> None:
    async with Cluster() as cluster:
        rooms = [await cluster.room(f"n{n}") for n in range(5)]
        await rooms[3].subscriber("t")
        publisher = rooms[0].client("p")
        publisher.send(Publish("t", b"1", 1, packet_id=1), Publish("nobody", b"2", 1, packet_id=2))
        await cluster.settle()
        assert publisher.receive() == [Puback(1), Puback(2, ReasonCode.NO_MATCHING_SUBSCRIBERS)]
        assert cluster.bus.forwarded() == [("n3", b"1")]


async def test_a_room_that_is_alone_keeps_no_table() -> None:
    async with Cluster() as cluster:
        a = await cluster.room("a")
        await a.subscriber("t")
        assert a.parts.fanout.rooms is None
        publisher = a.client("p")
        publisher.send(Publish("t", b"x", 1, packet_id=1))
        assert publisher.receive() == [Puback(1)]
        assert cluster.bus.sent == []


async def test_a_room_that_joins_learns_what_there_is_and_tells_what_it_has() -> None:
    async with Cluster() as cluster:
        a = await cluster.room("a")
        old = await a.subscriber("t/#")  # before there was anybody to tell
        b = await cluster.room("b")
        new = await b.subscriber("u")
        b.client("p").send(Publish("t/1", b"to a"))
        a.client("p").send(Publish("u", b"to b"), Publish("nobody", b"x"))
        await cluster.settle()
        assert payloads(old.receive()) == [b"to a"]
        assert payloads(new.receive()) == [b"to b"]
        assert cluster.bus.forwarded() == [("a", b"to a"), ("b", b"to b")]
        assert (a.table.counters.neighbours, a.table.counters.filters) == (1, 1)


# --- acknowledging ---------------------------------------------------------------------------------


async def test_a_publication_is_acknowledged_once_the_bus_has_it() -> None:
    async with Cluster() as cluster:
        a, b = await cluster.room("a"), await cluster.room("b")
        there = await b.subscriber("t")
        hold = cluster.bus.hold("b")
        publisher = a.client("p")
        publisher.send(Publish("t", b"x", 1, packet_id=1))
        await cluster.settle()
        assert publisher.receive() == []
        hold.set()
        await cluster.settle()
        assert publisher.receive() == [Puback(1)]
        assert payloads(there.receive()) == [b"x"]


@pytest.mark.parametrize("last", [b"\xe0\x00", b"\x00\x00", None], ids=["a good-bye", "nonsense", "no more"])
async def test_who_leaves_before_the_other_rooms_have_it_is_answered_first(last: bytes | None) -> None:
    """[MQTT-4.3.2-4], [MQTT-3.8.4-1]"""
    async with Cluster() as cluster:
        a, b = await cluster.room("a"), await cluster.room("b")
        there = await b.subscriber("t")
        hold = cluster.bus.hold("b")
        publisher = a.client("p")
        publisher.send(Publish("t", b"x", 1, packet_id=1), Subscribe(2, [Subscription("new", 1)]))
        if last is None:
            publisher.hang_up()
        else:
            publisher.bytes(last)
        await cluster.settle()
        assert publisher.receive() == []
        assert not publisher.over
        hold.set()
        await cluster.pass_time(PATIENCE)
        told = [Disconnect(ReasonCode.MALFORMED_PACKET)] if last == b"\x00\x00" else []
        answers = publisher.receive()
        assert sorted(answers[:2], key=repr) == [Puback(1), Suback(2, [1])]
        assert answers[2:] == told
        assert publisher.over
        assert payloads(there.receive()) == [b"x"]
        assert a.parts.counters.connections == 0


async def test_answers_keep_the_order_of_the_publications() -> None:
    """[MQTT-4.6.0-2] One that is settled here does not overtake one that waits for another room."""
    async with Cluster() as cluster:
        a, b = await cluster.room("a"), await cluster.room("b")
        await b.subscriber("t")
        await a.subscriber("here")
        hold = cluster.bus.hold("b")
        publisher = a.client("p")
        publisher.send(
            Publish("t", b"x", 1, packet_id=1),
            Publish("here", b"x", 1, packet_id=2),
            Publish("up/x", b"x", 1, packet_id=3),  # refused
            Publish("t", b"x", 1, packet_id=4),
            Pingreq(),
        )
        await cluster.settle()
        assert publisher.receive() == [Pingresp()]
        hold.set()
        await cluster.settle()
        answers = [packet for packet in publisher.receive() if isinstance(packet, Puback)]
        assert [answer.packet_id for answer in answers] == [1, 2, 3, 4]
        assert publisher.connection.owing() == 0


async def test_many_messages_of_one_publisher_keep_their_order() -> None:
    async with Cluster() as cluster:
        a, b = await cluster.room("a"), await cluster.room("b")
        there = await b.subscriber("t", qos=0)
        publisher = a.client("p")
        for start in range(0, 500, 50):
            publisher.send(
                *(
                    Publish("t", b"%d" % n, n % 2, packet_id=(n + 1) * (n % 2))
                    for n in range(start, start + 50)
                )
            )
            await cluster.settle()
        assert payloads(there.receive()) == [b"%d" % n for n in range(500)]
        acknowledged = [packet for packet in publisher.receive() if isinstance(packet, Puback)]
        assert [packet.packet_id for packet in acknowledged] == list(range(2, 501, 2))


async def test_a_bus_that_fails_is_tried_again_for_what_is_to_be_acknowledged() -> None:
    async with Cluster() as cluster:
        a, b, c = [await cluster.room(name) for name in "abc"]
        at_b, at_c = await b.subscriber("t"), await c.subscriber("t")
        cluster.bus.faults["b"] = [Unavailable("not now"), Unavailable("nor now")]
        publisher = a.client("p")
        publisher.send(Publish("t", b"once", 0), Publish("t", b"surely", 1, packet_id=1))
        await cluster.settle()
        assert payloads(at_c.receive()) == [b"once", b"surely"]
        assert publisher.receive() == []
        await cluster.pass_time(1)
        assert publisher.receive() == [Puback(1)]
        assert payloads(at_b.receive()) == [b"surely"]
        assert payloads(at_c.receive()) == []
        assert a.table.counters.messages_dropped == 1


async def test_where_many_rooms_cannot_be_told_the_log_names_the_first() -> None:
    async with Cluster() as cluster:
        rooms = [await cluster.room(name) for name in "abcd"]
        await cluster.settle()
        for name in "bcd":
            cluster.bus.faults[name] = [Unavailable("not now")]
        with structlog.testing.capture_logs() as logs:
            await rooms[0].subscriber("t")
            await cluster.pass_time(1)
        assert [entry["to"] for entry in logs if entry["event"] == "routes_not_told"] == ["b"]


async def test_what_was_for_a_room_that_is_gone_meanwhile_is_settled() -> None:
    async with Cluster() as cluster:
        a, b = await cluster.room("a"), await cluster.room("b")
        await b.subscriber("t")
        cluster.bus.faults["b"] = [Unavailable("not now")] * 1000
        publisher = a.client("p")
        publisher.send(Publish("t", b"x", 1, packet_id=1))
        await cluster.pass_time(REFRESH)
        assert publisher.receive() == []
        await b.die()
        await cluster.bus.shut("b")
        await cluster.pass_time(2 * REFRESH)
        assert publisher.receive() == [Puback(1)]
        assert a.parts.fanout.rooms is None


async def test_a_publisher_that_is_gone_has_published_all_the_same() -> None:
    async with Cluster() as cluster:
        a, b = await cluster.room("a"), await cluster.room("b")
        there = await b.subscriber("t")
        hold = cluster.bus.hold("b")
        publisher = a.client("p")
        publisher.send(Publish("t", b"x", 1, packet_id=1))
        await cluster.settle()
        publisher.wire.abort()
        assert publisher.over
        hold.set()
        await cluster.settle()
        assert payloads(there.receive()) == [b"x"]


# --- bounds ---------------------------------------------------------------------------------------


async def test_with_a_full_queue_qos_1_waits_and_qos_0_is_dropped() -> None:
    async with Cluster() as cluster:
        a, b = await cluster.room("a", queue_bytes=1000), await cluster.room("b")
        there = await b.subscriber("t")
        hold = cluster.bus.hold("b")
        publisher, other = a.client("p"), a.client("q")
        publisher.send(Publish("t", bytes(1000), 1, packet_id=1))  # fills it
        publisher.send(Publish("t", b"2", 1, packet_id=2), Publish("t", b"3", 1, packet_id=3), Pingreq())
        other.send(Publish("t", b"dropped", 0), Pingreq())
        await cluster.settle()
        assert not publisher.wire.reading  # and what has arrived already stays where it is
        assert other.wire.reading
        assert other.receive() == [Pingresp()]
        assert publisher.receive() == []
        assert a.table.counters.messages_dropped == 1
        assert a.table.counters.publishers_paused == 1
        hold.set()
        await cluster.settle()
        assert publisher.wire.reading
        answered = publisher.receive()
        assert [packet for packet in answered if packet != Pingresp()] == [Puback(1), Puback(2), Puback(3)]
        assert payloads(there.receive())[1:] == [b"2", b"3"]


@pytest.mark.parametrize("how", ["refuses", "hangs"])
async def test_a_room_that_takes_nothing_holds_up_no_other(how: str) -> None:
    async with Cluster() as cluster:
        a, b, c = [await cluster.room(name, queue_bytes=1_000_000) for name in "abc"]
        stuck, well = await b.subscriber("stuck", "both"), await c.subscriber("well", "both", qos=0)
        hold = cluster.bus.hold("b")
        if how == "refuses":
            hold.set()
            cluster.bus.faults["b"] = [Unavailable() for _ in range(100_000)]
        stubborn = a.client("stubborn")
        stubborn.send(Publish("both", b"first", 1, packet_id=1))
        others = [a.client(f"p{number}") for number in range(50)]
        for publisher in others:  # more than a batch, and more than its part of the queue
            publisher.send(*(Publish("stuck", bytes(3000), 1, packet_id=n) for n in range(1, 31)))
        await cluster.pass_time(5.0)
        assert payloads(well.receive()) == [b"first"]
        assert stubborn.receive() == []  # one of its two rooms has not got it
        publisher = a.client("publisher")
        for number in range(1, 201):
            publisher.send(Publish("well", b"%d" % number, 1, packet_id=number))
            await cluster.settle()
        assert publisher.receive() == [Puback(number) for number in range(1, 201)]
        assert payloads(well.receive()) == [b"%d" % number for number in range(1, 201)]
        publisher.send(Publish("both", b"dropped for b", 0))
        await cluster.settle()
        assert payloads(well.receive()) == [b"dropped for b"]
        assert a.table.counters.messages_dropped == 1
        hold.set()
        cluster.bus.faults["b"] = []
        await cluster.pass_time(5.0)
        assert stubborn.receive() == [Puback(1)]
        assert len(payloads(stuck.receive())) >= 1


async def test_the_queue_of_a_room_that_is_gone_goes_too() -> None:
    async with Cluster() as cluster:
        a, b = await cluster.room("a"), await cluster.room("b")
        await cluster.room("c")
        await b.subscriber("t")
        publisher = a.client("p")
        for name in ("b", "b2"):
            publisher.send(Publish("t", b"x", 1, packet_id=1))
            await cluster.settle()
            assert publisher.receive() == [Puback(1)]
            assert list(a.table.relayed._queues) == [name]
            await b.die()
            await cluster.bus.shut(name)
            cluster.rooms.remove(b)
            await cluster.pass_time(2 * REFRESH)
            assert not a.table.relayed._queues
            b = await cluster.room("b2")
            await b.subscriber("t")


async def test_what_comes_from_other_rooms_and_finds_no_place_is_counted_and_told_once() -> None:
    """Also with QoS 1: its publisher has been answered by its own room."""
    async with Cluster() as cluster:
        a, b = await cluster.room("a"), await cluster.room("b", queue_bytes=10_000)
        there = await b.subscriber("t")
        b.parts.turn.spent = b.parts.turn.budget + 1  # it is busy with something else
        with structlog.testing.capture_logs() as logs:
            for _ in range(20):
                b.table.forward(Forward(APP, "t", bytes(2000), 1, b""))
        await cluster.settle()
        assert len(payloads(there.receive())) == 4
        assert b.table.counters.arrivals_dropped == 16
        assert [entry["event"] for entry in logs] == ["arrivals_dropped"]
        assert a.table.counters.arrivals_dropped == 0


async def test_one_publisher_does_not_fill_the_queue_alone() -> None:
    async with Cluster() as cluster:
        a, b = await cluster.room("a"), await cluster.room("b")
        await b.subscriber("t")
        hold = cluster.bus.hold("b")
        publisher = a.client("p")
        publisher.send(*(Publish("t", b"%d" % n, 1, packet_id=n) for n in range(1, 201)))
        await cluster.settle()
        assert not publisher.wire.reading
        assert publisher.connection.owing() == 65
        hold.set()
        await cluster.settle()
        assert publisher.wire.reading
        assert publisher.receive() == [Puback(n) for n in range(1, 201)]


async def test_who_publishes_more_without_an_answer_than_connack_allowed_is_told_so() -> None:
    """[MQTT-3.3.4-9]. Answers keep their order, so all of them wait behind one that is owed."""
    async with Cluster() as cluster:
        a, b = await cluster.room("a"), await cluster.room("b")
        await b.subscriber("t")
        a.parts.rules.receive_maximum = 10
        hold = cluster.bus.hold("b")
        publisher = a.client("p")
        publisher.send(Publish("t", b"owed", 1, packet_id=1))
        publisher.send(*(Publish("nobody", b"x", 1, packet_id=n) for n in range(2, 11)))
        publisher.send(Publish("t", b"x"), Publish("nobody", b"x"))  # QoS 0 has no answer
        await cluster.settle()
        assert publisher.receive() == []
        assert publisher.connection.owing() == 10
        publisher.send(Publish("nobody", b"x", 1, packet_id=11), Publish("t", b"not read"))
        await cluster.settle()
        assert publisher.receive() == []  # what it is owed goes first
        hold.set()
        await cluster.settle()
        *answers, last = publisher.receive()
        assert [packet.packet_id for packet in answers if isinstance(packet, Puback)] == [*range(1, 11)]
        assert last == Disconnect(ReasonCode.RECEIVE_MAXIMUM_EXCEEDED)
        assert publisher.over
        assert a.parts.counters.closed == {"receive_maximum_exceeded": 1}


async def test_a_client_that_was_told_of_no_such_bound_is_not_read_from_until_it_has_answers() -> None:
    async with Cluster() as cluster:
        a, b = await cluster.room("a"), await cluster.room("b")
        await b.subscriber("t")
        a.parts.rules.receive_maximum = 10
        hold = cluster.bus.hold("b")
        publisher = a.client("p", MQTT_3_1_1)
        publisher.send(Publish("t", b"owed", 1, packet_id=1))
        publisher.send(*(Publish("nobody", b"x", 1, packet_id=n) for n in range(2, 51)), Pingreq())
        await cluster.settle()
        assert publisher.connection.owing() == 10
        assert not publisher.wire.reading
        hold.set()
        await cluster.settle()
        assert publisher.wire.reading
        assert publisher.receive() == [*(Puback(n) for n in range(1, 51)), Pingresp()]


async def test_who_is_not_read_from_is_not_taken_for_dead() -> None:
    async with Cluster() as cluster:
        a, b = await cluster.room("a", queue_bytes=1), await cluster.room("b")
        await b.subscriber("t")
        cluster.bus.hold("b")
        publisher = a.parts.client("p", keep_alive=10)
        publisher.send(Publish("t", b"1", 1, packet_id=1), Publish("t", b"2", 1, packet_id=2))
        await cluster.settle()
        a.parts.tick(60)
        assert not publisher.over


async def test_beyond_the_limit_a_room_gets_all_messages_of_an_app() -> None:
    async with Cluster() as cluster:
        a, b = await cluster.room("a", limit=3), await cluster.room("b")
        await b.subscriber("1", "2", "3", "4", "5")
        a.client("p").send(Publish("nobody", b"all the same"))
        await cluster.settle()
        assert cluster.bus.forwarded() == [("b", b"all the same")]
        assert a.table.counters.filters == 4  # three, and the one for all


async def test_a_room_that_was_too_much_is_read_again_when_there_is_room() -> None:
    async with Cluster() as cluster:
        a, b, c = await cluster.room("a", limit=10), await cluster.room("b"), await cluster.room("c")
        many = await b.subscriber(*(f"b/{n}" for n in range(9)))
        await c.subscriber("c/1", "c/2", "c/3")
        a.client("p").send(Publish("nobody", b"1"))
        await cluster.settle()
        assert cluster.bus.forwarded() == [("c", b"1")]
        many.send(Unsubscribe(2, [f"b/{n}" for n in range(9)]))
        await cluster.pass_time(3 * HOLD_BACK + 2 * REFRESH)
        a.client("q").send(Publish("nobody", b"2"), Publish("c/3", b"3"))
        await cluster.settle()
        assert cluster.bus.forwarded()[1:] == [("c", b"3")]


async def test_a_message_with_very_many_subscribers_is_served_in_slices_and_keeps_its_place() -> None:
    async with Cluster() as cluster:
        a, b = await cluster.room("a"), await cluster.room("b")
        b.parts.turn.budget = 3
        crowd = [await b.subscriber("t", qos=0) for _ in range(8)]
        await b.subscriber("u")
        a.client("p").send(Publish("t", b"1"), Publish("t", b"2"), Publish("t", b"3"))
        await cluster.settle()
        for peer in crowd:
            assert payloads(peer.receive()) == [b"1", b"2", b"3"]


async def test_a_message_with_very_many_subscribers_goes_to_other_rooms_too() -> None:
    async with Cluster() as cluster:
        a, b = await cluster.room("a"), await cluster.room("b")
        a.parts.turn.budget = 3
        crowd = [await a.subscriber("t", qos=0) for _ in range(8)]
        there = await b.subscriber("t")
        publisher = a.client("p")
        publisher.send(Publish("t", b"1", 1, packet_id=1), Publish("t", b"2", 1, packet_id=2))
        await cluster.settle()
        assert publisher.receive() == [Puback(1), Puback(2)]
        for peer in [*crowd, there]:
            assert payloads(peer.receive()) == [b"1", b"2"]


# --- telling the others ----------------------------------------------------------------------------


async def test_a_client_is_subscribed_once_the_others_know() -> None:
    async with Cluster() as cluster:
        a, b = await cluster.room("a"), await cluster.room("b")
        hold = cluster.bus.hold("b")
        peer = a.client("d")
        peer.send(Subscribe(1, [Subscription("t", 1)]))
        await cluster.settle()
        assert peer.receive() == []
        hold.set()
        await cluster.settle()
        assert peer.receive() == [Suback(1, [1])]
        b.client("p").send(Publish("t", b"x"))
        await cluster.settle()
        assert payloads(peer.receive()) == [b"x"]


async def test_a_client_hears_that_it_is_subscribed_once_the_other_rooms_act_on_it() -> None:
    """Who publishes there from then on reaches it: that the bus has the news is not enough."""
    async with Cluster() as cluster:
        a, b, c = [await cluster.room(name) for name in "abc"]
        publisher = b.client("p")
        b.listens.clear()
        peers = [a.client(f"d{n}") for n in range(2)]
        for peer in peers:  # the filter of the second is no news, but is not heard of yet either
            peer.send(Subscribe(1, [Subscription("t", 1)]))
            await cluster.pass_time(PATIENCE / 3)
            assert peer.receive() == []
        publisher.send(Publish("t", b"before", 1, packet_id=1))
        await cluster.settle()
        assert publisher.receive() == [Puback(1, ReasonCode.NO_MATCHING_SUBSCRIBERS)]
        b.listens.set()
        await cluster.pass_time(2 * GATHER)
        publisher.send(Publish("t", b"after", 1, packet_id=2))
        await cluster.settle()
        assert publisher.receive() == [Puback(2)]
        for peer in peers:
            assert peer.receive() == [Suback(1, [1]), Publish("t", b"after", 1, packet_id=1)]
        assert c.table.counters.filters == 1


async def test_what_is_on_its_way_to_be_retained_elsewhere_is_there_when_a_client_is_subscribed() -> None:
    """Who subscribes reads it next: it was published before the filter was known there."""
    async with Cluster() as cluster:
        a, b = await cluster.room("a"), await cluster.room("b")
        b.client("p").send(Publish("t", b"x", 1, packet_id=1, retain=True))
        peer = a.client("d")
        peer.send(Subscribe(1, [Subscription("t", 1)]))
        await cluster.pass_time(2 * GATHER)
        assert peer.receive() == []
        b.tasks.append(asyncio.create_task(b.parts.retainer.run()))
        await cluster.settle()
        assert list(b.parts.saver.retained_messages) == [(APP, "t")]
        assert peer.receive() == [Suback(1, [1])]


async def test_a_room_that_does_not_answer_holds_up_others_once() -> None:
    async with Cluster() as cluster:
        a, b = await cluster.room("a"), await cluster.room("b")

        async def subscribed(filter: str, within: float) -> bool:
            peer = a.client(filter)
            peer.send(Subscribe(1, [Subscription(filter, 1)]))
            await cluster.pass_time(within)
            return peer.receive() == [Suback(1, [1])]

        b.listens.clear()
        assert not await subscribed("t", PATIENCE / 2)
        await cluster.pass_time(PATIENCE)
        assert await subscribed("u", 2 * GATHER)
        b.listens.set()
        await cluster.pass_time(2 * GATHER)
        b.listens.clear()
        assert not await subscribed("v", PATIENCE / 2)
        await cluster.pass_time(PATIENCE)
        assert b.table.counters.filters == 2


async def test_a_room_that_is_gone_is_not_waited_for() -> None:
    async with Cluster() as cluster:
        a, b = await cluster.room("a"), await cluster.room("b")
        await b.die()
        await cluster.bus.shut("b")
        peer = a.client("d")
        peer.send(Subscribe(1, [Subscription("t", 1)]))
        await cluster.pass_time(PATIENCE / 2)
        assert peer.receive() == []
        await a.table.rebuild()  # looks which rooms there are
        await cluster.settle()
        assert peer.receive() == [Suback(1, [1])]


async def test_a_bus_that_hangs_holds_up_no_client_for_long() -> None:
    async with Cluster() as cluster:
        a, _ = await cluster.room("a"), await cluster.room("b")
        cluster.bus.hold("b")
        first, second = a.client("d"), a.client("e")
        first.send(Subscribe(1, [Subscription("t", 1)]))
        await cluster.settle()
        second.send(Subscribe(1, [Subscription("u", 1)]))
        await cluster.pass_time(PATIENCE)
        assert first.receive() == [Suback(1, [1])]
        await cluster.pass_time(PATIENCE)
        assert second.receive() == [Suback(1, [1])]


async def test_a_room_that_cannot_be_told_keeps_no_news_from_the_others() -> None:
    async with Cluster() as cluster:
        a, b, c = [await cluster.room(name) for name in "abc"]
        hold = cluster.bus.hold("b")
        for number in range(3):
            listener = c.client(f"listener{number}")
            listener.send(Subscribe(1, [Subscription(f"t{number}", 1)]))
            await cluster.pass_time(PATIENCE + 2 * GATHER)
            await cluster.pass_time(2 * PATIENCE)
            assert Suback(1, [1]) in listener.receive()
            a.client(f"p{number}").send(Publish(f"t{number}", b"x"))
            await cluster.settle()
            assert payloads(listener.receive()) == [b"x"]
        hold.set()
        await cluster.pass_time(REFRESH)
        await cluster.pass_time(REFRESH)
        assert b.table.counters.filters == 3


async def test_another_subscriber_of_a_known_filter_is_no_news() -> None:
    async with Cluster() as cluster:
        a, _ = await cluster.room("a"), await cluster.room("b")
        await a.subscriber("t", "t/#")
        before = len(cluster.bus.told())
        await a.subscriber("t", "t/#")
        await cluster.pass_time(1)
        assert len(cluster.bus.told()) == before


async def test_a_filter_whose_subscriber_comes_right_back_is_no_news() -> None:
    async with Cluster() as cluster:
        a, b = await cluster.room("a"), await cluster.room("b")
        for _ in range(5):
            peer = await a.subscriber("t")
            peer.wire.abort()
            await cluster.settle()
            await cluster.pass_time(HOLD_BACK / 2)
        told = [
            routes for node, routes in cluster.bus.told() if node == "b" and (routes.added or routes.removed)
        ]
        assert told == [Routes("a", added=((APP, "t"),))]
        b.client("p").send(Publish("t", b"x"))
        await cluster.settle()
        assert cluster.bus.forwarded() == [("a", b"x")]


async def test_a_filter_without_subscribers_is_given_up_after_a_while() -> None:
    async with Cluster() as cluster:
        a, b = await cluster.room("a"), await cluster.room("b")
        peer = await a.subscriber("t", "t/+")
        peer.send(Unsubscribe(2, ["t"]))
        await cluster.pass_time(3 * HOLD_BACK)
        b.client("p").send(Publish("t", b"gone"), Publish("t/1", b"still"))
        await cluster.settle()
        assert cluster.bus.forwarded() == [("a", b"still")]
        assert b.table.counters.filters == 1


async def test_who_missed_news_is_told_everything_again() -> None:
    async with Cluster() as cluster:
        a, b = await cluster.room("a"), await cluster.room("b")
        cluster.bus.faults["b"] = [Unavailable("not now")]
        await a.subscriber("t")
        await cluster.pass_time(2 * REFRESH)
        b.client("p").send(Publish("t", b"x"))
        await cluster.settle()
        assert cluster.bus.forwarded() == [("a", b"x")]


async def test_a_large_table_travels_in_pieces() -> None:
    async with Cluster() as cluster:
        a = await cluster.room("a")
        peer = a.client("d")
        for n in range(2 * PIECE + 1):
            a.parts.fanout.subscribe(peer.session, Subscription(f"t/{n}", 1))
        b = await cluster.room("b", limit=10_000)
        commands = [r for node, r in cluster.bus.told() if node == "b" and not r.wanted]
        assert [(len(r.added), r.whole) for r in commands] == [
            (PIECE, True),
            (PIECE, False),
            (1, False),
            (0, False),
        ]
        b.client("p").send(Publish("t/2000", b"x"), Publish("t/2001", b"y"))
        await cluster.settle()
        assert cluster.bus.forwarded() == [("a", b"x")]


def test_pieces_are_bounded_by_their_text_too() -> None:
    filters = [(1, "x" * 40_000)] * 5
    assert [len(piece) for piece in pieces(filters)] == [2, 2, 1]
    assert list(pieces([])) == []


# --- doubt -----------------------------------------------------------------------------------------


async def test_a_room_in_doubt_gets_everything_until_it_has_answered() -> None:
    async with Cluster() as cluster:
        a, b = await cluster.room("a"), await cluster.room("b")
        await b.subscriber("t")
        await cluster.pass_time(REFRESH)
        hold = cluster.bus.hold("a")  # b's answer
        await a.table.rebuild()
        publisher = a.client("p")
        publisher.send(Publish("t", b"1", 1, packet_id=1), Publish("nobody", b"2", 1, packet_id=2))
        await cluster.settle()
        assert publisher.receive() == [Puback(1), Puback(2)]
        assert cluster.bus.forwarded() == [("b", b"1"), ("b", b"2")]
        hold.set()
        await cluster.settle()
        publisher.send(Publish("t", b"3"), Publish("nobody", b"4"))
        await cluster.settle()
        assert cluster.bus.forwarded()[2:] == [("b", b"3")]


async def test_what_was_lost_is_found_when_a_table_is_read_again() -> None:
    async with Cluster() as cluster:
        a, b = await cluster.room("a"), await cluster.room("b")
        peer = await b.subscriber("old", "both")
        await cluster.pass_time(REFRESH)
        lost = Routes("b", added=((APP, "never"),))
        a.table.changed(lost)  # what b had, as a knew it
        peer.send(Subscribe(2, [Subscription("new", 1)]))
        await cluster.settle()
        a.table.changed(Routes("b", removed=((APP, "new"),)))
        await a.table.rebuild()
        await cluster.pass_time(1)
        topics = ["old", "both", "new", "never"]
        a.client("p").send(*(Publish(topic, topic.encode()) for topic in topics))
        await cluster.settle()
        assert cluster.bus.forwarded() == [("b", b"old"), ("b", b"both"), ("b", b"new")]
        assert a.table.counters.filters == 3


async def test_a_room_that_does_not_answer_is_asked_again_and_ever_more_rarely() -> None:
    async with Cluster() as cluster:
        a = await cluster.room("a")
        await cluster.bus.open("mute")
        await cluster.pass_time(200)
        asked = [routes for node, routes in cluster.bus.told() if node == "mute" and routes.wanted]
        assert 4 <= len(asked) <= 9
        a.client("p").send(Publish("t", b"x"))
        await cluster.settle()
        assert cluster.bus.forwarded() == [("mute", b"x")]


async def test_the_rest_of_a_table_that_began_before_the_doubt_ends_no_doubt() -> None:
    async with Cluster() as cluster:
        a = await cluster.room("a")
        await cluster.bus.open("b")
        a.table.changed(Routes("b", added=((APP, "t"),), whole=True))
        await a.table.rebuild()
        a.table.changed(Routes("b"))
        a.client("p").send(Publish("nobody", b"x"))
        await cluster.settle()
        assert cluster.bus.forwarded() == [("b", b"x")]


async def test_a_room_that_is_gone_is_forgotten() -> None:
    async with Cluster() as cluster:
        a, b, c = [await cluster.room(name) for name in "abc"]
        await b.subscriber("t", "t/#")
        await c.subscriber("t")
        await b.die()
        await cluster.bus.shut("b")
        await cluster.pass_time(2 * REFRESH)
        publisher = a.client("p")
        publisher.send(Publish("t", b"1", 1, packet_id=1), Publish("t/1", b"2", 1, packet_id=2))
        await cluster.settle()
        assert publisher.receive() == [Puback(1), Puback(2, ReasonCode.NO_MATCHING_SUBSCRIBERS)]
        assert cluster.bus.forwarded() == [("c", b"1")]
        assert (a.table.counters.neighbours, a.table.counters.filters) == (1, 1)


async def test_a_room_that_came_while_the_list_was_on_its_way_stays() -> None:
    async with Cluster() as cluster:
        a = await cluster.room("a")
        cluster.bus.asked = asyncio.Event()
        await cluster.pass_time(REFRESH)  # a asks who is there, and the list is made up
        await cluster.clock.advance(1)
        await cluster.bus.open("b")
        a.table.changed(Routes("b", added=((APP, "t"),), whole=True))
        a.table.changed(Routes("b"))
        cluster.bus.asked.set()
        await cluster.settle()
        a.client("p").send(Publish("t", b"x"), Publish("u", b"y"))
        await cluster.settle()
        assert cluster.bus.forwarded() == [("b", b"x")]


async def test_a_list_of_rooms_that_cannot_be_had_changes_nothing() -> None:
    async with Cluster() as cluster:
        a, b = await cluster.room("a"), await cluster.room("b")
        await b.subscriber("t")
        cluster.bus.faults["nodes"] = [Unavailable("not now")] * 3
        await a.table.rebuild()
        await cluster.pass_time(REFRESH)
        a.client("p").send(Publish("t", b"x"))
        await cluster.settle()
        assert cluster.bus.forwarded() == [("b", b"x")]


async def test_a_room_under_a_new_name_is_a_new_room() -> None:
    async with Cluster() as cluster:
        a, b = await cluster.room("a"), await cluster.room("b")
        there = await b.subscriber("t")
        await b.die()
        await cluster.bus.shut("b")
        await cluster.bus.open("b2")
        b.name = "b2"
        await b.table.rename("b2")
        b.tasks = [asyncio.create_task(b._receive()), asyncio.create_task(b.table.run())]
        await cluster.pass_time(2 * REFRESH)
        a.client("p").send(Publish("t", b"x"), Publish("u", b"y"))
        await cluster.settle()
        assert payloads(there.receive()) == [b"x"]
        assert cluster.bus.forwarded() == [("b2", b"x")]
        assert a.table.counters.neighbours == 1


async def test_a_room_is_no_neighbour_of_its_former_name() -> None:
    """Whose queue is there until nobody is bound to it any more."""
    async with Cluster() as cluster:
        a = await cluster.room("a")
        await cluster.bus.open("a2")
        await a.table.rename("a2")
        a.table.changed(Routes("a", added=((APP, "t"),), whole=True))
        await cluster.pass_time(2 * REFRESH)
        a.client("p").send(Publish("t", b"x"))
        await cluster.settle()
        assert a.table.counters.neighbours == 0
        assert cluster.bus.forwarded() == []


# --- all of it at random ------------------------------------------------------------------------------

LEVELS = st.sampled_from(["a", "b", "+"])
FILTERS = st.lists(LEVELS, min_size=1, max_size=3).flatmap(
    lambda levels: st.sampled_from(["/".join(levels), "/".join([*levels, "#"])])
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "remove", "wait", "doubt", "fail"]),
        st.integers(0, 2),
        FILTERS,
        st.sampled_from([0.0, 0.005, 0.5, 1.0, 3.0]),
    ),
    max_size=20,
)
TOPICS = ["a", "b", "a/a", "a/b", "b/a", "a/b/a", "b/b/b"]


@settings(max_examples=60)
@given(steps=STEPS)
async def test_in_the_end_every_room_knows_what_every_other_wants(
    steps: list[tuple[str, int, str, float]],
) -> None:
    async with Cluster() as cluster:
        rooms = [await cluster.room(f"n{n}") for n in range(3)]
        peers = [room.client("d") for room in rooms]
        held: list[set[str]] = [set(), set(), set()]
        for step, who, filter, seconds in steps:
            if step == "add":
                held[who].add(filter)
                peers[who].send(Subscribe(1, [Subscription(filter, 1)]))
            elif step == "remove":
                held[who].discard(filter)
                peers[who].send(Unsubscribe(1, [filter]))
            elif step == "doubt":
                await rooms[who].table.rebuild()
            elif step == "fail":
                cluster.bus.faults.setdefault(f"n{who}", []).append(Unavailable("not now"))
            await cluster.pass_time(seconds)
        await cluster.pass_time(10)
        cluster.bus.faults.clear()
        await cluster.pass_time(10)
        for who, room in enumerate(rooms):
            cluster.bus.sent.clear()
            publisher = room.client("p")
            for topic in TOPICS:
                publisher.send(Publish(topic, topic.encode()))
            await cluster.settle()
            wanted = {
                (other.name, topic.encode())
                for number, other in enumerate(rooms)
                for topic in TOPICS
                if number != who and any(matches(filter, topic) for filter in held[number])
            }
            assert set(cluster.bus.forwarded()) == wanted
            assert len(cluster.bus.forwarded()) == len(wanted)
