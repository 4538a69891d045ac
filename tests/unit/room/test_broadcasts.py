"""Broadcasts, from the queue to the sessions, and the store's being told."""

import asyncio

import msgspec
import pytest
from pyroaring import BitMap

from longline.errors import Unavailable
from longline.flow.batcher import Retry
from longline.model.commands import Broadcast, Cancelled, Close, CloseReason, Part
from longline.model.ledger import State
from longline.room.push.broadcasts import WAITING
from longline.room.push.passes import Pass
from longline.room.push.spreading import AT_ONCE
from longline.room.session.session import Session
from longline.saver.port.inboxes import Arrival, Page
from longline.settings import RoomSettings
from tests.unit.room.fixture import a_message
from tests.unit.room.running import NODE, RunningRoom, an_app
from tests.unit.room.test_admission import push, topics, unicast
from tests.waiting import WITHIN


def broadcast(position: int, *ordinals: int, online_only: bool = False, before: int = 0) -> Broadcast:
    message = a_message(position, online_only=online_only)
    return Broadcast(7, message, (Part(position, BitMap(ordinals).serialize(), before),))


def paced(command: Broadcast, seconds: int) -> Broadcast:
    message = msgspec.structs.replace(command.message, spread_over=seconds)
    return msgspec.structs.replace(command, message=message)


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
        assert [peer.session.window.log_written for peer in peers] == [1] * 6  # whoever it is for


async def test_a_unicast_sent_during_a_broadcast_waits_for_its_own_copy_only() -> None:
    """30 devices in slices of 10: the last gets the broadcast before its turn, and then the unicast."""
    async with RunningRoom(fanout_slice=10) as room:
        peers = [await room.client(f"d{n}") for n in range(30)]
        last = peers[-1]
        await room.bus.send(NODE, [broadcast(1, *range(30))])
        await room.bus.send(NODE, [unicast("d29", 2, ordinal=29, log_before=1)])
        async with asyncio.timeout(5):
            while len(last.wire.writes) < 2:  # after CONNACK
                await asyncio.sleep(0)
                room.parts.turns.settle()
        assert room.store.finished == []
        await room.settle()
        assert topics(last.unread()) == ["push/m1", "push/m2"]
        assert all(topics(peer.unread()) == ["push/m1"] for peer in peers[:-1])
        assert room.store.fetched == []


async def test_a_unicast_that_overtakes_a_broadcast_on_the_way_here_is_read_with_it_in_order() -> None:
    async with RunningRoom() as room:
        peer = await room.client("phone")
        room.store.pages[0] = [Page((push(1, broadcast=True), push(2)), 1, True)]
        await room.bus.send(NODE, [unicast("phone", 2, log_before=1), broadcast(1, 0)])
        await room.settle()
        assert topics(peer.unread()) == ["push/m1", "push/m2"]
        assert len(room.store.fetched) == 1


async def test_a_broadcast_waits_for_a_unicast_that_is_on_its_way_from_another_center() -> None:
    async with RunningRoom() as room:
        peer = await room.client("phone")
        room.store.pages[0] = [Page((push(1), push(2, broadcast=True)), 2, True)]
        overtaking = broadcast(2, 0)
        part = msgspec.structs.replace(overtaking.parts[0], inbox_before={0: 1})
        await room.bus.send(NODE, [msgspec.structs.replace(overtaking, parts=(part,))])
        await room.settle()
        assert topics(peer.unread()) == ["push/m1", "push/m2"]
        await room.bus.send(NODE, [unicast("phone", 1)])
        await room.settle()
        assert topics(peer.unread()) == []
        assert len(room.store.fetched) == 1


async def test_a_broadcast_does_not_overtake_a_paced_one_that_was_sent_before_it() -> None:
    async with RunningRoom() as room:
        peers = [await room.client(f"d{n}") for n in range(5)]
        await room.bus.send(NODE, [paced(broadcast(1, 0, 1, 2), 3600), broadcast(2, *range(5), before=1)])
        await room.settle()
        assert [topics(peer.unread()) for peer in peers] == [["push/m1", "push/m2"]] * 3 + [["push/m2"]] * 2
        assert room.store.fetched == []


async def test_an_online_only_push_does_not_overtake_a_broadcast_that_was_sent_before_it() -> None:
    async with RunningRoom(fanout_slice=1) as room:
        peers = [await room.client(f"d{n}") for n in range(3)]
        ordinals = range(3)
        await room.bus.send(
            NODE,
            [
                broadcast(1, *ordinals),
                broadcast(2, *ordinals, online_only=True, before=1),
                unicast("d2", 3, ordinal=2, online_only=True),
            ],
        )
        await room.settle()
        assert topics(peers[2].unread()) == ["push/m1", "push/m2", "push/m3"]
        assert [topics(peer.unread()) for peer in peers[:2]] == [["push/m1", "push/m2"]] * 2
        assert room.parts.noted.drops == []


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
            assert peer.session.window.log_written == positions[ordinal % count]


# --- too many ------------------------------------------------------------------------------------------


async def test_330_paced_broadcasts_of_one_app_hold_up_no_push_and_no_kick_and_all_arrive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What has no place is read from the log, at once."""
    monkeypatch.setattr("longline.room.push.inbox.LOOK_EVERY", 0)
    async with RunningRoom(RoomSettings(ack_delay=0, linger=0, inflight_window=1000), limit=1000) as room:
        peer = await room.client("phone")
        other = await room.client("other")
        count = 330
        room.store.pages[0] = [Page(tuple(push(n, broadcast=True) for n in range(1, count + 1)), count, True)]
        room.store.pages[1] = [Page((push(count + 1),), count, True)]
        flood = [paced(broadcast(n, 0, before=n - 1), 86_400) for n in range(1, count + 1)]
        await room.bus.send(NODE, [*flood, unicast("other", count + 1, ordinal=1, log_before=count)])
        await room.settle()
        assert topics(other.unread()) == [f"push/m{count + 1}"]
        await room.bus.send(NODE, [Close(7, "other", other.session.epoch, CloseReason.KICKED)])
        await room.settle()
        assert other.over
        assert room.parts.counters.broadcasts_left == count - AT_ONCE
        await room.until(lambda: not peer.session.window.waits())
        assert topics(peer.unread()) == [f"push/m{n}" for n in range(1, count + 1)]


async def test_a_paced_broadcast_too_many_is_read_from_the_log_and_keeps_its_place_in_the_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("longline.room.push.spreading.AT_ONCE", 1)
    monkeypatch.setattr("longline.room.push.inbox.LOOK_EVERY", 0)
    async with RunningRoom() as room:
        peer = await room.client("phone")
        room.store.pages[0] = [Page((push(1, broadcast=True), push(2, broadcast=True), push(3)), 2, True)]
        commands = [paced(broadcast(n, 0, before=n - 1), 3600) for n in (1, 2)]
        await room.bus.send(NODE, [*commands, unicast("phone", 3, log_before=2)])
        await room.until(lambda: bool(room.store.fetched))
        await room.settle()
        assert topics(peer.unread()) == ["push/m1", "push/m2", "push/m3"]
        assert room.parts.counters.broadcasts_left == 1
        assert (7, "m2", NODE) in room.store.finished


async def test_what_is_only_for_who_is_connected_does_not_overtake_a_broadcast_that_was_left_in_the_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("longline.room.push.spreading.AT_ONCE", 0)
    monkeypatch.setattr("longline.room.push.inbox.LOOK_EVERY", 0)
    async with RunningRoom() as room:
        peer = await room.client("phone")
        room.store.pages[0] = [Page((push(1, broadcast=True),), 1, True)]
        await room.bus.send(NODE, [paced(broadcast(1, 0), 3600), unicast("phone", 2, online_only=True)])
        await room.until(lambda: peer.session.window.log_written == 1)
        assert topics(peer.unread()) == ["push/m1"]
        assert room.parts.noted.drops == [("phone", 2, False, "busy")]


async def test_broadcasts_that_wait_are_bounded_and_paced_ones_do_not_take_their_places() -> None:
    async with RunningRoom(fanout_slice=1) as room:
        await room.client("phone")
        commands = [paced(broadcast(n, 0, before=n - 1), 3600) for n in range(1, WAITING + 1)]
        await room.bus.send(NODE, [*commands, broadcast(WAITING + 1, 0, before=WAITING)])
        await room.settle()
        assert room.parts.counters.broadcasts_left == 0
        more = range(1000, 1000 + WAITING + 1)
        await room.bus.send(NODE, [broadcast(n, 0, before=n - 1) for n in more])
        await room.settle()
        assert room.parts.counters.broadcasts_left == 1


async def test_a_broadcast_to_few_does_not_wait_for_another_apps_to_many() -> None:
    async with RunningRoom(fanout_slice=1) as room:
        for n in range(30):
            await room.client(f"d{n}")
        room.store.known["weather"] = an_app("weather", 8)
        peer = room.connect("phone", username="weather")
        await room.settle()
        assert peer.session.tenant.app == 8
        peer.unread()
        other = broadcast(31, peer.session.ordinal)
        await room.bus.send(NODE, [broadcast(30, *range(30)), msgspec.structs.replace(other, app=8)])
        await room.until(lambda: room.store.finished)
        assert room.store.finished[0] == (8, "m31", NODE)
        assert topics(peer.unread()) == ["push/m31"]
        await room.until(lambda: len(room.store.finished) == 2)


# --- the pace ------------------------------------------------------------------------------------------


async def test_a_broadcast_to_a_full_room_lets_the_loop_have_a_turn_in_time_however_slow_the_machine_is() -> (
    None
):
    """A write takes a millisecond here: what waits for the loop waits for a few of them."""
    async with RunningRoom(fanout_slice=500) as room:
        peers = [await room.client(f"d{n}") for n in range(400)]
        written = room.parts.counters
        room.monotonic = lambda: written.pushes_sent * 0.001
        between: list[int] = []

        async def heartbeat() -> None:
            while True:
                before = written.pushes_sent
                await asyncio.sleep(0)
                between.append(written.pushes_sent - before)

        room.run(heartbeat())
        await room.bus.send(NODE, [broadcast(1, *range(400))])
        await room.until(lambda: len(room.store.finished) == 1)
        assert max(between) <= 62
        assert max(between[between.index(max(between)) + 1 :]) <= 34
        assert room.pace.slowed["loop"] > 0
        assert all(topics(peer.unread()) == ["push/m1"] for peer in peers)


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


async def test_a_session_that_is_to_be_read_for_is_brought_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It could not be written: for each unicast, all broadcasts under way would be gone through in vain."""
    async with RunningRoom(RoomSettings(ack_delay=0, linger=0, inflight_window=1)) as room:
        peer = await room.client("phone")
        await room.bus.send(NODE, [paced(broadcast(position, 0), 3600) for position in range(1, 6)])
        await room.bus.send(NODE, [unicast("phone", 6, log_before=5)])
        await room.settle()
        assert topics(peer.unread()) == ["push/m1"], "one has room, and those behind it are left"
        asked: list[int] = []
        passes = room.broadcasts._passes

        class Asked:
            """Passes that note who asks what is due: compiled, they let nobody put something else in."""

            def due(self, session: Session, position: int) -> list[Pass]:
                asked.append(position)
                return []

            def __getattr__(self, name: str) -> object:
                return getattr(passes, name)

        monkeypatch.setattr(room.broadcasts, "_passes", Asked())
        await room.bus.send(NODE, [unicast("phone", position) for position in range(7, 20)])
        await room.settle()
        assert asked == []
