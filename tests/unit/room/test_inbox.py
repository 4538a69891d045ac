"""Reading from the store what could not be written at once."""

import asyncio

import msgspec
import pytest

from longline.errors import Unavailable
from longline.flow.batcher import Retry
from longline.model.commands import Resync
from longline.mqtt.packets import Puback, Publish, Subscribe, Subscription
from longline.mqtt.properties import PropertyId, get_int
from longline.room.session.window import ASKED
from longline.saver.port.inboxes import Arrival, Page, PendingPush
from tests.unit.room.fixture import NOW_MS, Peer, a_message
from tests.unit.room.running import RunningRoom
from tests.unit.room.test_admission import push, topics, unicast


def ack_all(peer: Peer) -> list[str]:
    """The device acknowledges what it has got; returns the topics."""
    packets = peer.receive()
    for packet in packets:
        if isinstance(packet, Publish) and packet.qos:
            peer.send(Puback(packet.packet_id))
    return topics(packets)


async def test_a_long_inbox_is_read_page_by_page_as_the_device_acknowledges() -> None:
    async with RunningRoom() as room:
        room.store.arrivals["phone"] = Arrival(1, True, 0, 0)
        room.store.pages[1] = [
            Page((push(1), push(2)), 0, False),
            Page((push(3), push(4)), 0, False),
            Page((push(5),), 0, True),
        ]
        peer = room.connect("phone", properties={PropertyId.RECEIVE_MAXIMUM: 2})
        await room.settle()
        got = []
        for _ in range(4):
            got += ack_all(peer)
            await room.settle()
        assert got == [f"push/m{n}" for n in range(1, 6)]
        asked = [fetch for batch in room.store.fetched for fetch in batch]
        assert [(fetch.inbox_after, fetch.limit) for fetch in asked] == [(0, 2), (2, 2), (4, 2)]
        assert not peer.session.window.waits()


async def test_a_page_that_is_not_the_last_is_followed_by_the_next_while_there_is_room() -> None:
    async with RunningRoom() as room:
        room.store.arrivals["phone"] = Arrival(1, True, 0, 0)
        room.store.pages[1] = [Page((push(1),), 3, False), Page((), 9, False), Page((push(2),), 9, True)]
        peer = room.connect("phone")
        await room.settle()
        assert topics(peer.unread()) == ["push/m1", "push/m2"]
        asked = [fetch for batch in room.store.fetched for fetch in batch]
        assert [(fetch.inbox_after, fetch.log_after) for fetch in asked] == [(0, 0), (1, 3), (1, 9)]


async def test_sessions_that_ask_during_a_read_share_the_next_one() -> None:
    async with RunningRoom() as room:
        for n in range(20):
            room.store.arrivals[f"d{n}"] = Arrival(n, True, 0, 0)
        hold = room.store.hold("fetch")
        room.connect("d0")
        await room.settle()
        for n in range(1, 20):
            room.connect(f"d{n}")
            await room.settle()
        assert [len(batch) for batch in room.store.fetched] == [1]
        hold.set()
        await room.settle()
        assert [len(batch) for batch in room.store.fetched] == [1, 19]


async def test_a_push_that_comes_during_a_read_is_neither_lost_nor_out_of_order() -> None:
    async with RunningRoom() as room:
        room.store.arrivals["phone"] = Arrival(1, True, 0, 0)
        room.store.pages[1] = [Page((push(1),), 0, True), Page((push(2),), 0, True)]
        hold = room.store.hold("fetch")
        peer = room.connect("phone")
        await room.settle()
        await room.bus.send("n1", [unicast("phone", 2, ordinal=1)])
        await room.settle()
        hold.set()
        await room.settle()
        assert topics(peer.unread()) == ["push/m1", "push/m2"]


async def test_a_read_that_failed_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("longline.room.push.inbox.RETRY", Retry(0, 0))
    async with RunningRoom() as room:
        room.store.arrivals["phone"] = Arrival(1, True, 0, 0)
        room.store.pages[1] = [Page((push(1),), 0, True)]
        room.store.faults["fetch"] = [Unavailable(), Unavailable()]
        peer = room.connect("phone")
        await room.settle()
        assert topics(peer.unread()) == ["push/m1"]
        assert len(room.store.fetched) == 3


async def test_the_first_read_of_a_connection_waits_for_the_receipts_of_the_one_before() -> None:
    async with RunningRoom() as room:
        old = await room.client("phone")
        room.parts.offer(old, 1)
        old.receive()
        hold = room.store.hold("settle")
        old.send(Puback(1))
        room.receipts.acknowledged(room.parts.noted.acks[0])
        await room.settle()
        room.store.arrivals["phone"] = Arrival(0, True, 0, 0)
        room.connect("phone")
        await room.settle()
        assert room.store.fetched == []
        hold.set()
        await room.settle()
        assert len(room.store.fetched) == 1


async def test_a_session_that_ended_is_not_read_for_and_not_written_to() -> None:
    async with RunningRoom() as room:
        room.store.arrivals["phone"] = Arrival(1, True, 0, 0)
        room.store.pages[1] = [Page((push(1, qos=0),), 0, True)]
        hold = room.store.hold("fetch")
        peer = room.connect("phone")
        await room.settle()
        peer.wire.abort()
        await room.settle()
        hold.set()
        await room.settle()
        assert room.parts.noted.acks == []
        assert room.parts.noted.sent == []


async def test_a_connection_that_is_closing_takes_nothing_of_a_page() -> None:
    """A push of QoS 0 would count as taken, and nobody would have got it."""
    async with RunningRoom() as room:
        room.store.arrivals["phone"] = Arrival(1, True, 0, 0)
        room.store.pages[1] = [Page((push(1, qos=0), push(2)), 7, True)]
        hold = room.store.hold("fetch")
        peer = room.connect("phone")
        await room.settle()
        session = peer.session
        peer.wire.held = 1  # it takes its last bytes slowly
        peer.bytes(b"\x00")
        await room.settle()
        assert peer.connection.ended
        hold.set()
        await room.settle()
        assert (room.parts.noted.acks, room.parts.noted.sent) == ([], [])
        assert (session.window.inbox_written, session.window.log_written) == (0, 0)


async def test_a_full_window_stops_the_reading_and_an_ack_starts_it_again() -> None:
    async with RunningRoom() as room:
        peer = await room.client("phone", properties={PropertyId.RECEIVE_MAXIMUM: 1})
        room.parts.offer(peer, 1)
        room.parts.offer(peer, 2)
        room.parts.pushes.made_room(peer.session)
        await room.settle()
        assert room.store.fetched == []  # no room, so no read
        assert not peer.session.window.asked()
        room.store.pages[peer.session.ordinal] = [Page((push(2),), 0, True)]
        assert ack_all(peer) == ["push/m1"]
        await room.settle()
        assert topics(peer.unread()) == ["push/m2"]


async def test_a_resync_reads_again_for_everybody_but_who_is_not_let_in_yet() -> None:
    async with RunningRoom() as room:
        inside = await room.client("inside")
        hold = room.store.hold("arrive")
        room.store.arrivals["coming"] = Arrival(5, False, 0, 0)
        room.store.pages[0] = [Page((push(1),), 0, True)]
        room.store.pages[5] = [Page((push(3),), 0, True)]
        coming = room.connect("coming")
        await room.settle()
        await room.bus.send("n1", [Resync()])
        await room.settle()
        assert topics(inside.unread()) == ["push/m1"]
        assert [fetch.ordinal for batch in room.store.fetched for fetch in batch] == [0]
        hold.set()
        await room.settle()
        assert topics(coming.unread()) == ["push/m3"]


async def test_plain_messages_that_made_room_for_pushes_follow_when_the_store_has_no_more() -> None:
    async with RunningRoom() as room:
        peer = await room.client("phone", properties={PropertyId.RECEIVE_MAXIMUM: 2})
        peer.send(Subscribe(1, [Subscription("a", 1)]))
        peer.receive()
        session = peer.session
        session.window.state = ASKED
        hold = room.store.hold("fetch")
        room.inbox.ask(session)
        await room.settle()
        other = await room.client("other")
        other.send(*(Publish("a", b"%d" % n, 1, packet_id=n) for n in (1, 2)))
        assert topics(peer.receive()) == ["a"]  # half of the window
        hold.set()
        await room.settle()
        assert topics(peer.receive()) == ["a"]
        assert session.queue is None


async def test_reading_for_many_leaves_no_task_behind() -> None:
    async with RunningRoom() as room:
        before = len(asyncio.all_tasks())
        for n in range(50):
            await room.client(f"d{n}")
        assert len(asyncio.all_tasks()) == before


async def test_a_broadcast_in_many_pages_is_one_encoded_push() -> None:
    async with RunningRoom() as room:
        message = a_message(1)
        peers = []
        for n in range(3):
            room.store.arrivals[f"d{n}"] = Arrival(n, True, 0, 0)
            page = push(1, broadcast=True)
            assert page.message == message
            room.store.pages[n] = [Page((page,), 1, True)]
            peers.append(room.connect(f"d{n}"))
        await room.settle()
        assert len({peer.wire.writes[-1] for peer in peers}) == 1


def expiring(number: int, after: int) -> PendingPush:
    message = msgspec.structs.replace(a_message(number), expires_at=NOW_MS + after)
    return msgspec.structs.replace(push(number), message=message)


async def test_what_expires_while_the_store_is_asked_is_not_written_and_the_rest_says_what_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = NOW_MS
    monkeypatch.setattr("longline.room.push.inbox.wall_clock", lambda: now)
    async with RunningRoom() as room:
        room.store.arrivals["phone"] = Arrival(1, True, 0, 0)
        room.store.pages[1] = [Page((expiring(1, 5_000), expiring(2, 60_000)), 0, True)]
        hold = room.store.hold("fetch")
        peer = room.connect("phone")
        await room.settle()
        now += 20_000
        hold.set()
        await room.settle()
        (publish,) = (packet for packet in peer.unread() if isinstance(packet, Publish))
        assert publish.topic == "push/m2"
        assert get_int(publish.properties, PropertyId.MESSAGE_EXPIRY_INTERVAL) == 40
        assert not peer.session.window.waits()


async def test_one_acknowledged_slot_is_enough_for_the_next_push_to_be_read() -> None:
    """16 in flight, one acknowledged, and the client holds the others."""
    async with RunningRoom() as room:
        peer = await room.client("phone")
        for n in range(1, 18):
            room.parts.offer(peer, n)
        room.store.pages[peer.session.ordinal] = [Page((push(17),), 0, True)]
        peer.send(Puback(1))
        await room.until(lambda: peer.session.window.inbox_written == 17)
        assert topics(peer.unread()) == [f"push/m{n}" for n in range(1, 18)]
        assert [fetch.limit for batch in room.store.fetched for fetch in batch] == [1]


async def test_slots_that_are_freed_together_are_filled_by_one_read() -> None:
    async with RunningRoom() as room:
        peer = await room.client("phone")
        for n in range(1, 25):
            room.parts.offer(peer, n)
        room.store.pages[peer.session.ordinal] = [Page(tuple(push(n) for n in range(17, 22)), 0, False)]
        for n in range(1, 6):
            peer.send(Puback(n))
        await room.until(lambda: peer.session.window.inbox_written == 21)
        assert [fetch.limit for batch in room.store.fetched for fetch in batch] == [5]


async def test_what_has_high_priority_goes_first_and_is_not_written_again_in_its_turn() -> None:
    async with RunningRoom() as room:
        room.store.arrivals["phone"] = Arrival(1, True, 0, 0)
        room.store.pages[1] = [
            Page((push(1), push(2)), 0, False, (push(4), push(6))),
            Page((push(3), push(4), push(5), push(6)), 0, True, (push(4), push(6))),
        ]
        peer = room.connect("phone", properties={PropertyId.RECEIVE_MAXIMUM: 10})
        await room.settle()
        assert ack_all(peer) == [f"push/m{n}" for n in (4, 6, 1, 2, 3, 5)]
        asked = [fetch for batch in room.store.fetched for fetch in batch]
        assert [(fetch.inbox_after, fetch.urgent) for fetch in asked] == [(0, 8), (2, 7)]
        assert not peer.session.window.waits()


async def test_a_client_that_takes_one_at_a_time_gets_others_between_those_of_high_priority() -> None:
    async with RunningRoom() as room:
        room.store.arrivals["phone"] = Arrival(1, True, 0, 0)
        room.store.pages[1] = [
            Page((push(1),), 0, False, (push(7),)),
            Page((push(1),), 0, False),
            Page((push(2),), 0, False, (push(8),)),
            Page((push(2),), 0, False),
        ]
        peer = room.connect("phone", properties={PropertyId.RECEIVE_MAXIMUM: 1})
        await room.settle()
        got = []
        for _ in range(4):
            got += ack_all(peer)
            await room.settle()
        assert got == ["push/m7", "push/m1", "push/m8", "push/m2"]
        asked = [fetch for batch in room.store.fetched for fetch in batch]
        assert [fetch.urgent for fetch in asked[:4]] == [1, 0, 2, 0]
