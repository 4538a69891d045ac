"""Shared subscriptions across rooms: shares by members, what is announced, and who leaves or is gone."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longline.errors import Unavailable
from longline.model.commands import ForGroups, Forward, Routes
from longline.mqtt.packets import MQTT_3_1_1, Puback, Publish, Subscribe, Subscription, Unsubscribe
from longline.mqtt.properties import Properties, PropertyId, get_int
from longline.mqtt.reasons import ReasonCode
from longline.room.pubsub.routes import GATHER, HOLD_BACK, REFRESH
from tests.unit.room.cluster import Cluster, ClusterRoom
from tests.unit.room.fixture import APP, Peer

GROUP = "$share/g/a"
LAPSE = 2 * HOLD_BACK + 4 * GATHER  # s until fewer members are told


async def rooms(cluster: Cluster, *names: str) -> list[ClusterRoom]:
    return [await cluster.room(name) for name in names]


async def publish(cluster: Cluster, room: ClusterRoom, payloads: Sequence[bytes], qos: int = 1) -> Peer:
    sender = room.client(f"p{room.parts.counters.accepted}")
    for n, payload in enumerate(payloads, 1):
        sender.send(Publish("a", payload, qos, packet_id=n % 60_000 + 1 if qos else 0))
        if n % 40 == 0:
            await cluster.settle()
    await cluster.settle()
    return sender


def taken(peer: Peer) -> list[bytes]:
    """What a client has got, and acknowledges until there is no more."""
    found: list[bytes] = []
    while news := [packet for packet in peer.receive() if isinstance(packet, Publish)]:
        found += [packet.payload for packet in news]
        peer.send(*(Puback(packet.packet_id) for packet in news if packet.qos == 1))
    return found


async def all_taken(cluster: Cluster, peers: Sequence[Peer]) -> list[list[bytes]]:
    found: list[list[bytes]] = [[] for _ in peers]
    more = True
    while more:
        await cluster.settle()
        more = False
        for got, peer in zip(found, peers, strict=True):
            news = taken(peer)
            got += news
            more = more or bool(news)
    return found


async def cut(cluster: Cluster, *peers: Peer) -> None:
    for peer in peers:
        peer.connection.connection_lost(None)
    await cluster.settle()


def numbers(count: int) -> list[bytes]:
    return [b"%d" % n for n in range(count)]


def told(cluster: Cluster) -> list[tuple[str, int]]:
    """What rooms have told others of groups, in order: filter and members."""
    return [
        (key, count)
        for _, command in cluster.bus.sent
        if isinstance(command, Routes)
        for _, key, count in command.shared
    ]


@pytest.mark.parametrize("qos", [0, 1])
@pytest.mark.parametrize("publishers", [["a"], ["b"], ["c"], ["a", "b", "c"]])
async def test_every_member_gets_as_many_wherever_it_and_the_publisher_are(
    publishers: list[str], qos: int
) -> None:
    async with Cluster() as cluster:
        a, b, c = await rooms(cluster, "a", "b", "c")
        peers = [await a.subscriber(GROUP, qos=qos) for _ in range(2)]
        peers += [await b.subscriber(GROUP, qos=qos)]
        every = numbers(300)
        for n, name in enumerate(publishers):
            room = {"a": a, "b": b, "c": c}[name]
            part = every[n :: len(publishers)]
            await publish(cluster, room, part, qos)
        found = await all_taken(cluster, peers)
        assert sorted(payload for some in found for payload in some) == sorted(every)
        assert all(abs(len(some) - 100) <= 2 * len(publishers) for some in found)


async def test_groups_and_plain_subscribers_of_other_rooms_each_get_one() -> None:
    async with Cluster() as cluster:
        a, b, c = await rooms(cluster, "a", "b", "c")
        first = [await room.subscriber(GROUP) for room in (a, b, b)]
        second = [await room.subscriber("$share/h/+") for room in (a, b)]
        alone = [await b.subscriber("a"), await c.subscriber("#", version=MQTT_3_1_1)]
        sender = await publish(cluster, c, numbers(60))
        assert [packet.reason for packet in sender.receive() if isinstance(packet, Puback)] == [0] * 60
        for group in (first, second):
            found = await all_taken(cluster, group)
            assert sorted(payload for some in found for payload in some) == sorted(numbers(60))
        for peer in alone:
            assert taken(peer) == numbers(60)


async def test_a_room_is_only_sent_what_it_is_to_serve() -> None:
    async with Cluster() as cluster:
        a, b, c = await rooms(cluster, "a", "b", "c")
        await b.subscriber(GROUP)
        await c.subscriber(GROUP)
        await publish(cluster, a, numbers(10))
        sent = [(node, command.share) for node, command in cluster.bus.sent if isinstance(command, Forward)]
        assert Counter(node for node, _ in sent) == {"b": 5, "c": 5}
        assert all(share == ForGroups((GROUP,), only=True) for _, share in sent)


async def test_who_publishes_to_members_elsewhere_is_answered_once_the_bus_has_it() -> None:
    async with Cluster() as cluster:
        a, b = await rooms(cluster, "a", "b")
        await b.subscriber(GROUP)
        hold = cluster.bus.hold("b")
        sender = a.client("p")
        sender.send(Publish("a", b"x", 1, packet_id=1), Publish("nobody", b"x", 1, packet_id=2))
        await cluster.settle()
        assert sender.receive() == []
        hold.set()
        await cluster.settle()
        assert sender.receive() == [Puback(1), Puback(2, ReasonCode.NO_MATCHING_SUBSCRIBERS)]


async def test_properties_identifiers_and_expiry_are_as_for_any_subscription() -> None:
    async with Cluster() as cluster:
        a, b = await rooms(cluster, "a", "b")
        peer = b.client("m")
        peer.send(Subscribe(1, [Subscription(GROUP, 1)], {PropertyId.SUBSCRIPTION_IDENTIFIER: [9]}))
        await cluster.pass_time(2 * GATHER)
        peer.receive()
        given: Properties = {PropertyId.MESSAGE_EXPIRY_INTERVAL: 60, PropertyId.CONTENT_TYPE: "text/x"}
        a.client("p").send(Publish("a", b"x", 0, properties=given))
        await cluster.settle()
        assert peer.receive() == [
            Publish("a", b"x", 0, properties={**given, PropertyId.SUBSCRIPTION_IDENTIFIER: [9]})
        ]


# --- who leaves ------------------------------------------------------------------------------------------


async def test_what_a_member_leaves_goes_to_those_of_other_rooms() -> None:
    async with Cluster() as cluster:
        a, b = await rooms(cluster, "a", "b")
        leaver = await a.subscriber(GROUP)
        alone = await b.subscriber("a")
        await publish(cluster, a, numbers(30))
        await cluster.settle()
        other = await b.subscriber(GROUP)
        assert taken(alone) == numbers(30)
        await cut(cluster, leaver)
        [found] = await all_taken(cluster, [other])
        assert sorted(found) == sorted(numbers(30))
        assert taken(alone) == []  # it is for the group
        assert a.parts.counters.shared_returned == 30
        assert b.parts.counters.shared_routed == 30


async def test_it_keeps_its_expiry_on_the_way() -> None:
    async with Cluster() as cluster:
        a, b = await rooms(cluster, "a", "b")
        leaver = await a.subscriber(GROUP)
        given: Properties = {PropertyId.MESSAGE_EXPIRY_INTERVAL: 100_000_000}
        a.client("p").send(Publish("a", b"x", 1, packet_id=1, properties=given))
        other = await b.subscriber(GROUP)
        await cut(cluster, leaver)
        [packet] = [packet for packet in other.receive() if isinstance(packet, Publish)]
        left = get_int(packet.properties, PropertyId.MESSAGE_EXPIRY_INTERVAL)
        assert left is not None
        assert left <= 100_000_000


async def test_a_room_whose_member_has_just_left_has_another_room_serve_what_comes() -> None:
    async with Cluster() as cluster:
        a, b, c = await rooms(cluster, "a", "b", "c")
        leaver, other = await b.subscriber(GROUP), await c.subscriber(GROUP)
        leaver.send(Unsubscribe(2, [GROUP]))
        await publish(cluster, a, numbers(20))
        [found] = await all_taken(cluster, [other])
        assert sorted(found) == sorted(numbers(20))


@pytest.mark.parametrize("decides", ["a", "b", "c"])
@pytest.mark.parametrize("members", [["a"], ["b"], ["a", "b", "c"], []])
async def test_of_a_will_one_room_decides_who_gets_it(members: list[str], decides: str) -> None:
    """Also where a room has just lost its last member, of which others have not heard yet."""
    async with Cluster() as cluster:
        by_name = {room.name: room for room in await rooms(cluster, "a", "b", "c")}
        left = [await room.subscriber(GROUP) for room in by_name.values()]
        there = [await by_name[name].subscriber(GROUP) for name in members]
        await cluster.settle()
        await cut(cluster, *left)
        for name in by_name:
            share = ForGroups(decides=True) if name == decides else None
            await cluster.bus.send(name, [Forward(APP, "a", b"gone", 1, share=share)])
        found = await all_taken(cluster, there)
        assert [payload for got in found for payload in got] == [b"gone"] * bool(members)


async def test_rooms_that_have_lost_their_members_do_not_send_a_message_around_for_ever() -> None:
    async with Cluster() as cluster:
        a, b, c = await rooms(cluster, "a", "b", "c")
        peers = [await room.subscriber(GROUP) for room in (a, b, c)]
        for peer in peers:
            peer.send(Unsubscribe(2, [GROUP]))
        await publish(cluster, a, [b"x"])
        assert sum(room.parts.counters.shared_dropped for room in (a, b, c)) == 1
        assert len(cluster.bus.forwarded()) <= 3  # to each room once


async def test_members_that_cannot_take_it_are_helped_by_other_rooms() -> None:
    async with Cluster() as cluster:
        a = await cluster.room("a")
        b = await cluster.room("b", session_queue=2)
        c = await cluster.room("c")
        small = b.client("small", window=1)
        small.send(Subscribe(1, [Subscription(GROUP, 1)]))
        await cluster.pass_time(2 * GATHER)
        other = await c.subscriber(GROUP)
        await publish(cluster, a, numbers(40))
        [found] = await all_taken(cluster, [other])
        assert len(found) == 37  # but for one in flight and two that wait
        assert sorted(found + taken(small)) == sorted(numbers(40))


async def test_a_room_that_is_gone_is_not_waited_for() -> None:
    """What the bus did not take for it goes to another."""
    async with Cluster() as cluster:
        a, b, c = await rooms(cluster, "a", "b", "c")
        await b.subscriber(GROUP)
        other = await c.subscriber(GROUP)
        hold = cluster.bus.hold("b")
        await publish(cluster, a, numbers(20))
        await b.die()
        await cluster.bus.shut("b")
        await cluster.pass_time(REFRESH + GATHER)
        hold.set()
        [found] = await all_taken(cluster, [other])
        assert sorted(found) == sorted(numbers(20))
        await publish(cluster, a, numbers(5))
        assert len(taken(other)) == 5
        cluster.rooms.remove(b)


async def test_a_room_to_which_much_waits_is_passed_over() -> None:
    async with Cluster() as cluster:
        a = await cluster.room("a", queue_bytes=2000)
        b, c = await rooms(cluster, "b", "c")
        await b.subscriber(GROUP)
        other = await c.subscriber(GROUP)
        cluster.bus.hold("b")
        for payload in numbers(40):
            await publish(cluster, a, [payload])
        assert a.table.counters.publishers_paused == 0
        assert len(taken(other)) > 30


async def test_a_room_that_stops_hands_on_what_its_members_leave_before_it_goes() -> None:
    async with Cluster() as cluster:
        a, b = await rooms(cluster, "a", "b")
        leaver = await a.subscriber(GROUP)
        await publish(cluster, a, numbers(10))
        other = await b.subscriber(GROUP)
        leaver.connection.connection_lost(None)
        settled = asyncio.create_task(a.table.settled())
        while not settled.done():
            await cluster.pass_time(GATHER)
        await settled
        await a.die()
        assert len(taken(other)) == 10
        assert told(cluster)[-1] == (GROUP, 0)
        cluster.rooms.remove(a)


# --- what is told ----------------------------------------------------------------------------------------


async def test_a_few_members_are_told_exactly_and_many_about() -> None:
    async with Cluster() as cluster:
        a, _ = await rooms(cluster, "a", "b")
        for _ in range(40):
            await a.subscriber(GROUP)
        counts = [count for _, count in told(cluster)]
        assert counts[:9] == [1, 2, 3, 4, 5, 6, 7, 8, 10]
        assert counts[-1] > 40 - 40 / 8
        assert len(counts) < 20


async def test_members_that_come_and_go_cost_other_rooms_nothing() -> None:
    async with Cluster() as cluster:
        a, b = await rooms(cluster, "a", "b")
        await a.subscriber(GROUP)
        peer = a.client("flapping")
        peer.send(Subscribe(1, [Subscription(GROUP, 1)]))
        await cluster.pass_time(2 * GATHER)
        before = len(told(cluster))
        for _ in range(20):
            peer.send(Unsubscribe(2, [GROUP]))
            await cluster.pass_time(HOLD_BACK * 0.9)
            peer.send(Subscribe(3, [Subscription(GROUP, 1)]))
            await cluster.pass_time(HOLD_BACK / 8)
        await cluster.pass_time(LAPSE)
        assert told(cluster)[before:] == []
        peer.send(Unsubscribe(4, [GROUP]))
        await cluster.pass_time(LAPSE)
        assert told(cluster)[before:] == [(GROUP, 1)]
        assert b.table.counters.groups == 1


async def test_a_group_that_has_lost_its_last_member_is_forgotten_everywhere() -> None:
    async with Cluster() as cluster:
        a, b = await rooms(cluster, "a", "b")
        peer = await a.subscriber(GROUP)
        assert b.parts.shares.present
        await cut(cluster, peer)
        await cluster.pass_time(LAPSE)
        assert not b.parts.shares.present
        assert not a.parts.shares.present
        assert b.table.counters.groups == 0
        sender = await publish(cluster, b, [b"x"])
        assert sender.receive() == [Puback(2, ReasonCode.NO_MATCHING_SUBSCRIBERS)]


async def test_a_room_that_joins_learns_of_groups_and_tells_of_its_own() -> None:
    async with Cluster() as cluster:
        a = await cluster.room("a")
        here = await a.subscriber(GROUP)
        b = await cluster.room("b")
        there = await b.subscriber(GROUP)
        for room in (a, b):
            await publish(cluster, room, numbers(50))
        found = await all_taken(cluster, [here, there])
        assert [len(some) for some in found] == pytest.approx([50, 50], abs=4)


async def test_a_room_that_is_new_to_the_publishers_serves_groups_that_were_not_told_yet() -> None:
    """Each of those is asked, and the first that has members serves it: nothing twice, nothing missed."""
    async with Cluster() as cluster:
        b, c = await rooms(cluster, "b", "c")
        peers = [await b.subscriber(GROUP), await c.subscriber(GROUP), await c.subscriber("$share/h/a")]
        alone = await c.subscriber("a")
        holds = [cluster.bus.hold("a")]  # so it hears nothing
        a = await cluster.room("a")
        await publish(cluster, a, numbers(20))
        one, other, second = await all_taken(cluster, peers)
        assert sorted(one + other) == sorted(numbers(20))
        assert sorted(second) == sorted(numbers(20))
        assert taken(alone) == numbers(20)
        for hold in holds:
            hold.set()


async def test_a_doubt_about_a_room_whose_groups_are_known_changes_nothing() -> None:
    async with Cluster() as cluster:
        a, b, c = await rooms(cluster, "a", "b", "c")
        peers = [await room.subscriber(GROUP) for room in (a, b, c)]
        cluster.bus.hold("a")
        a.table.doubt()
        await publish(cluster, a, numbers(30))
        found = await all_taken(cluster, peers)
        assert sorted(payload for some in found for payload in some) == sorted(numbers(30))
        assert [len(some) for some in found] == pytest.approx([10, 10, 10], abs=2)
        cluster.bus.holds["a"].set()


async def test_a_table_that_is_told_anew_ends_what_is_not_in_it() -> None:
    async with Cluster() as cluster:
        a, b = await rooms(cluster, "a", "b")
        peer = await b.subscriber(GROUP, "$share/h/a")
        a.table.changed(Routes("b", whole=True))
        a.table.changed(Routes("b", shared=((APP, GROUP, 3),)))
        a.table.changed(Routes("b"))
        await cluster.settle()
        assert a.table.counters.groups == 1
        await publish(cluster, a, [b"x"])
        assert taken(peer) == [b"x"]


async def test_more_groups_than_are_kept_are_asked_for_with_each_message() -> None:
    async with Cluster() as cluster:
        a = await cluster.room("a", limit=3)
        b, c = await rooms(cluster, "b", "c")
        there = [await b.subscriber(f"$share/g{n}/a") for n in range(5)]
        also = await c.subscriber("$share/g4/a")
        assert a.table.counters.groups == 3
        await publish(cluster, a, numbers(10))
        found = await all_taken(cluster, [*there, also])
        for some in found[:4]:
            assert sorted(some) == sorted(numbers(10))
        assert sorted(found[4] + found[5]) == sorted(numbers(10))


async def test_a_bus_that_fails_is_tried_again() -> None:
    async with Cluster() as cluster:
        a, b = await rooms(cluster, "a", "b")
        peer = await b.subscriber(GROUP)
        cluster.bus.faults["b"] = [Unavailable("the bus is away") for _ in range(2)]
        sender = await publish(cluster, a, [b"x"])
        await cluster.pass_time(1.0)
        assert taken(peer) == [b"x"]
        assert sender.receive() == [Puback(2)]


async def test_in_a_whole_table_groups_follow_all_filters() -> None:
    """A room of an earlier release passes over them, and takes the first such command for the end."""
    async with Cluster() as cluster:
        a = await cluster.room("a")
        for some in range(30):
            await a.subscriber(*(f"{some}/{n}/".ljust(300, "x") for n in range(10)), GROUP)
        await cluster.room("b")
        table = [command for node, command in cluster.bus.told() if node == "b" and not command.wanted]
        pieces = [(len(command.added), len(command.shared)) for command in table]
        assert pieces == [(219, 0), (81, 0), (0, 1), (0, 0)]


# --- all of it -------------------------------------------------------------------------------------------


@settings(max_examples=25)
@given(seed=st.integers(0, 1 << 32))
async def test_while_members_come_and_go_each_group_gets_everything(seed: int) -> None:
    """Once each: who leaves had acknowledged what it took."""
    chance = random.Random(seed)
    async with Cluster() as cluster:
        every = await rooms(cluster, "a", "b", "c")
        filters = ["$share/g/a", "$share/h/#"]
        stays = {filter: await chance.choice(every).subscriber(filter) for filter in filters}
        there: list[tuple[str, Peer]] = list(stays.items())
        got: dict[str, Counter[bytes]] = {filter: Counter() for filter in filters}
        published = 0
        for _ in range(30):
            match chance.randrange(4):
                case 0:
                    filter = chance.choice(filters)
                    there.append((filter, await chance.choice(every).subscriber(filter)))
                case 1 if len(there) > 2:
                    _, peer = there.pop(chance.randrange(2, len(there)))
                    await cut(cluster, peer)
                case _:
                    count = chance.randrange(1, 20)
                    await publish(
                        cluster, chance.choice(every), [b"%d" % (published + n) for n in range(count)]
                    )
                    published += count
            for filter, peer in there:
                if chance.random() < 0.5:
                    got[filter].update(taken(peer))
            if chance.random() < 0.2:
                await cluster.pass_time(HOLD_BACK)
        for _ in range(2):
            for filter, peer in there:
                [found] = await all_taken(cluster, [peer])
                got[filter].update(found)
        for filter in filters:
            assert got[filter] == Counter(numbers(published))
