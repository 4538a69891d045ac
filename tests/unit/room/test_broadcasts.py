"""Broadcasts, from the queue to the sessions, and the store's being told."""

import asyncio

import pytest
from pyroaring import BitMap

from longline.errors import Unavailable
from longline.flow.batcher import Retry
from longline.model.commands import Broadcast, Cancelled, Part
from longline.model.ledger import State
from longline.saver.port.inboxes import Arrival
from tests.unit.room.fixture import a_message
from tests.unit.room.running import NODE, RunningRoom
from tests.unit.room.test_admission import topics, unicast
from tests.waiting import WITHIN


def broadcast(position: int, *ordinals: int, online_only: bool = False) -> Broadcast:
    message = a_message(position, online_only=online_only)
    return Broadcast(7, message, (Part(position, BitMap(ordinals).serialize()),))


async def begun(room: RunningRoom) -> None:
    """Returns when the first device was written to."""
    async with asyncio.timeout(WITHIN):
        for _ in iter(lambda: bool(room.parts.noted.sent), True):
            await asyncio.sleep(0)


async def test_a_broadcast_goes_to_its_audience_only() -> None:
    async with RunningRoom() as room:
        peers = [await room.client(f"d{n}") for n in range(6)]
        await room.bus.send(NODE, [broadcast(1, 0, 2, 4)])
        await room.settle()
        assert [topics(peer.unread()) for peer in peers] == [["push/m1"], []] * 3
        assert [peer.session.window.log_written for peer in peers] == [1, 0] * 3


async def test_a_broadcast_lets_the_loop_serve_others_between_its_slices() -> None:
    """30 devices in slices of 10: a unicast sent after the broadcast began does not wait for its end."""
    async with RunningRoom(fanout_slice=10) as room:
        peers = [await room.client(f"d{n}") for n in range(30)]
        last = peers[-1]
        await room.bus.send(NODE, [broadcast(1, *range(30))])
        await room.bus.send(NODE, [unicast("d29", 2, ordinal=29)])
        await room.settle()
        assert topics(last.unread()) == ["push/m2", "push/m1"]
        assert all(topics(peer.unread()) == ["push/m1"] for peer in peers[:-1])


async def test_broadcasts_arrive_in_their_order() -> None:
    async with RunningRoom(fanout_slice=1) as room:
        peers = [await room.client(f"d{n}") for n in range(5)]
        await room.bus.send(NODE, [broadcast(n, *range(5)) for n in range(1, 6)])
        await room.settle()
        assert [topics(peer.unread()) for peer in peers] == [[f"push/m{n}" for n in range(1, 6)]] * 5


async def test_what_has_gathered_for_a_device_is_written_at_once() -> None:
    """Those that came while another one was under way go through the sessions together."""
    async with RunningRoom(fanout_slice=4) as room:
        peers = [await room.client(f"d{n}") for n in range(8)]
        await room.bus.send(NODE, [broadcast(1, *range(8))])
        await begun(room)
        await room.bus.send(NODE, [broadcast(n, *range(8)) for n in range(2, 6)])
        await room.settle()
        assert [len(peer.wire.writes) for peer in peers] == [2] * 8, "the first, and the others"
        names = [f"push/m{n}" for n in range(1, 6)]
        assert [topics(peer.unread()) for peer in peers] == [names] * 8


async def test_a_device_that_goes_during_a_broadcast_is_left_out() -> None:
    async with RunningRoom(fanout_slice=1) as room:
        peers = [await room.client(f"d{n}") for n in range(3)]
        await room.bus.send(NODE, [broadcast(1, 0, 1, 2)])
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        peers[2].wire.abort()
        await room.settle()
        assert topics(peers[1].unread()) == ["push/m1"]
        assert len(room.parts.noted.sent) <= 3
        assert room.parts.noted.drops == []


async def test_a_device_that_is_just_connecting_reads_a_broadcast_from_the_log() -> None:
    async with RunningRoom() as room:
        await room.client("other")
        hold = room.store.hold("arrive")
        room.store.arrivals["phone"] = Arrival(1, False, 0, 0)
        room.connect("phone")
        await room.settle()
        await room.bus.send(NODE, [broadcast(1, 0, 1)])
        await room.settle()
        assert room.store.fetched == []
        hold.set()
        await room.settle()
        assert [fetch.ordinal for batch in room.store.fetched for fetch in batch] == [1]


async def test_the_store_is_told_when_a_broadcast_is_written_to_all_who_are_here() -> None:
    async with RunningRoom(fanout_slice=1) as room:
        for n in range(3):
            await room.client(f"d{n}")
        await room.bus.send(NODE, [broadcast(1, 0, 1, 2, 99)])
        await begun(room)
        assert room.store.finished == []
        await room.settle()
        assert room.store.finished == [(7, "m1", NODE)]


async def test_a_broadcast_is_done_at_once_where_nobody_of_the_app_is_connected() -> None:
    async with RunningRoom() as room:
        await room.bus.send(NODE, [broadcast(1, 0), broadcast(2, 0, online_only=True)])
        await room.settle()
        assert room.store.finished == [(7, "m1", NODE), (7, "m2", NODE)]


async def test_what_was_written_of_an_online_only_broadcast_is_committed_before_it_is_done() -> None:
    """The store ends it for everybody else then."""
    async with RunningRoom() as room:
        peer = await room.client("phone")
        room.parts.offer(peer, 9)
        room.receipts.written(room.parts.noted.sent[0])
        await room.bus.send(NODE, [broadcast(1, 0, online_only=True)])
        await room.settle()
        assert room.store.calls.index("settle") < room.store.calls.index("finish")
        assert [receipt.state for receipt in room.store.settled[0]] == [State.PENDING]


async def test_a_store_that_cannot_be_told_is_told_later_and_holds_up_no_broadcast(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("longline.room.push.broadcasts.RETRY", Retry(0, 0))
    async with RunningRoom() as room:
        peer = await room.client("phone")
        room.store.faults["finish"] = [Unavailable(), Unavailable()]
        hold = room.store.hold("finish")
        await room.bus.send(NODE, [broadcast(1, 0), broadcast(2, 0), broadcast(3, 0)])
        await room.settle()
        assert topics(peer.unread()) == ["push/m1", "push/m2", "push/m3"]
        hold.set()
        await room.settle()
        told = [message_id for _, message_id, _ in room.store.finished]
        assert set(told) == {"m1", "m2", "m3"}
        assert len(told) == 5


# --- parts ---------------------------------------------------------------------------------------------


def in_parts(number: int, count: int, positions: list[int], *ordinals: int) -> Broadcast:
    """A broadcast in a log of `count` parts."""
    audiences = [BitMap(o // count for o in ordinals if o % count == part) for part in range(count)]
    parts = (Part(p, a.serialize()) for p, a in zip(positions, audiences, strict=True))
    return Broadcast(7, a_message(number), tuple(parts))


@pytest.mark.parametrize("count", [1, 2, 3, 64])
async def test_a_log_may_have_parts_with_positions_of_their_own(count: int) -> None:
    async with RunningRoom() as room:
        peers = [await room.client(f"d{n}") for n in range(12)]
        positions = [100 + 10 * part for part in range(count)]
        await room.bus.send(NODE, [in_parts(1, count, positions, *range(0, 12, 3), 1000)])
        await room.settle()
        for ordinal, peer in enumerate(peers):
            assert peer.session.ordinal == ordinal
            assert topics(peer.unread()) == (["push/m1"] if ordinal % 3 == 0 else [])
            assert peer.session.window.log_written == (positions[ordinal % count] if ordinal % 3 == 0 else 0)


# --- the end of one ------------------------------------------------------------------------------------


async def test_a_cancelled_broadcast_is_written_no_further() -> None:
    async with RunningRoom(fanout_slice=1) as room:
        peers = [await room.client(f"d{n}") for n in range(9)]
        await room.bus.send(NODE, [broadcast(1, *range(9)), broadcast(2, *range(9)), broadcast(3, 0)])
        await begun(room)
        await room.bus.send(NODE, [Cancelled(7, "m1"), Cancelled(7, "m2"), Cancelled(7, "unknown")])
        await room.settle()
        got = [topics(peer.unread()) for peer in peers]
        for name in ("push/m1", "push/m2"):  # they go through the sessions together
            assert 0 < sum(name in one for one in got) < 9
        assert "push/m3" in got[0]
        assert [message_id for _, message_id, _ in room.store.finished] == ["m1", "m2", "m3"]


async def test_a_node_that_gets_another_name_leaves_the_broadcasts_of_the_former() -> None:
    async with RunningRoom(fanout_slice=1) as room:
        peers = [await room.client(f"d{n}") for n in range(9)]
        await room.bus.send(NODE, [broadcast(1, *range(9)), broadcast(2, *range(9))])
        await begun(room)
        room.broadcasts.rename("n1-again")
        await room.settle()
        assert sum(len(topics(peer.unread())) for peer in peers) < 9
        assert room.store.finished == []
