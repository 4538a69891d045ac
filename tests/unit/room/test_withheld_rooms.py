"""What a session that is kept publishes with QoS 2, on its way to other rooms once the store has it."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from longline.mqtt.packets import Pingreq, Pingresp, Publish, Pubrec, Subscribe, Subscription
from longline.room.session.session import Persistence
from tests.fakes.sessions import Stored
from tests.unit.room.cluster import Cluster, ClusterRoom, payloads
from tests.unit.room.fixture import APP, Peer

GROUP = "$share/g/a"


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with Cluster() as cluster:
        yield cluster
        for room in cluster.rooms:
            assert room.parts.faults.counts == {}


def publisher(room: ClusterRoom) -> Peer:
    """A client whose session is kept, in a room that has a store from now on."""
    peer = room.client("p")
    session = peer.session
    assert session is not None
    kept = session.kept = Persistence(5)
    kept.durable, kept.number = True, 5
    room.parts.saver.kept_sessions.there[APP, session.ordinal] = Stored(5, 5, session.device, 100)
    room.tasks.append(asyncio.create_task(room.parts.deposits.run()))
    return peer


def publication(payload: bytes, id: int) -> Publish:
    return Publish("a", payload, 2, packet_id=id)


async def test_other_rooms_hear_of_it_when_it_is_committed(cluster: Cluster) -> None:
    a, b = await cluster.room("a"), await cluster.room("b")
    plain, member = await b.subscriber("a", qos=2), await b.subscriber(GROUP, qos=2)
    peer = publisher(a)
    held = a.parts.saver.kept_sessions.holds["publish"] = asyncio.Event()
    peer.send(publication(b"x", 1), Pingreq())
    await cluster.settle()
    assert peer.receive() == [Pingresp()]
    assert cluster.bus.forwarded() == []
    held.set()
    await cluster.settle()
    assert peer.receive() == [Pubrec(1)]
    assert [payloads(plain.receive()), payloads(member.receive())] == [[b"x"], [b"x"]]


async def test_what_is_refused_goes_to_no_room(cluster: Cluster) -> None:
    a, b = await cluster.room("a"), await cluster.room("b")
    await b.subscriber("a", qos=2)
    await b.subscriber(GROUP, qos=2)
    peer = publisher(a)
    a.parts.saver.kept_sessions.there[APP, 1].epoch += 1  # another connection has the session
    peer.send(publication(b"x", 1))
    await cluster.settle()
    assert peer.receive() == []
    assert cluster.bus.forwarded() == []


async def test_who_publishes_to_a_room_that_takes_nothing_waits_and_loses_nothing(cluster: Cluster) -> None:
    a, b = await cluster.room("a", queue_bytes=1000), await cluster.room("b")
    there = await b.subscriber("a", qos=2)
    peer = publisher(a)
    held = cluster.bus.hold("b")
    sent = [b"%d" % n * 500 for n in range(1, 7)]
    for n in (1, 2, 3):
        peer.send(publication(sent[n - 1], n))
        await cluster.settle()
    peer.send(*(publication(payload, n) for n, payload in enumerate(sent[3:], 4)))
    await cluster.settle()
    assert a.table.relayed.waiting() == 3
    held.set()
    await cluster.settle()
    assert payloads(there.receive()) == sent
    assert peer.receive() == [Pubrec(n) for n in range(1, 7)]


@pytest.mark.parametrize("told", [False, True])
async def test_members_of_groups_that_nobody_here_knew_get_it_once(told: bool, cluster: Cluster) -> None:
    """While another room is in doubt the store chooses for none of them. We hear of them before the commit,
    or ask that room."""
    a, b = await cluster.room("a"), await cluster.room("b")
    silence = cluster.bus.hold("a")
    member = b.client("m")
    member.send(Subscribe(1, [Subscription(GROUP, 2)]))
    await cluster.settle()
    peer = publisher(a)
    held = a.parts.saver.kept_sessions.holds["publish"] = asyncio.Event()
    a.table.doubt()
    assert a.table.unsure()
    peer.send(publication(b"x", 1))
    await asyncio.sleep(0)
    if told:
        silence.set()
        await cluster.pass_time(10.0)
        assert not a.table.unsure()
    held.set()
    await cluster.settle()
    silence.set()
    await cluster.pass_time(10.0)
    assert payloads(member.receive()) == [b"x"]
    assert peer.receive() == [Pubrec(1)]
