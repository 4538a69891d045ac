"""Reading from the store what could not be written at once."""

import asyncio

import pytest

from longline.errors import Unavailable
from longline.model.commands import Resync
from longline.mqtt.packets import Puback, Publish, Subscribe, Subscription
from longline.mqtt.properties import PropertyId
from longline.saver.port.inboxes import Arrival, Page
from tests.unit.room.house import House
from tests.unit.room.scene import Peer, a_message
from tests.unit.room.test_admission import push, topics, unicast


def ack_all(peer: Peer) -> list[str]:
    """The device acknowledges what it has got; returns the topics."""
    packets = peer.receive()
    for packet in packets:
        if isinstance(packet, Publish) and packet.qos:
            peer.send(Puback(packet.packet_id))
    return topics(packets)


async def test_a_long_inbox_is_read_page_by_page_as_the_device_acknowledges() -> None:
    async with House() as house:
        house.store.arrivals["phone"] = Arrival(1, True, 0, 0)
        house.store.pages[1] = [
            Page((push(1), push(2)), 0, False),
            Page((push(3), push(4)), 0, False),
            Page((push(5),), 0, True),
        ]
        peer = house.knock("phone", properties={PropertyId.RECEIVE_MAXIMUM: 2})
        await house.settle()
        got = []
        for _ in range(4):
            got += ack_all(peer)
            await house.settle()
        assert got == [f"push/m{n}" for n in range(1, 6)]
        asked = [fetch for batch in house.store.fetched for fetch in batch]
        assert [(fetch.inbox_after, fetch.limit) for fetch in asked] == [(0, 2), (2, 2), (4, 2)]
        assert not peer.session.more


async def test_a_page_that_is_not_the_last_is_followed_by_the_next_while_there_is_room() -> None:
    async with House() as house:
        house.store.arrivals["phone"] = Arrival(1, True, 0, 0)
        house.store.pages[1] = [Page((push(1),), 3, False), Page((), 9, False), Page((push(2),), 9, True)]
        peer = house.knock("phone")
        await house.settle()
        assert topics(peer.unread()) == ["push/m1", "push/m2"]
        asked = [fetch for batch in house.store.fetched for fetch in batch]
        assert [(fetch.inbox_after, fetch.log_after) for fetch in asked] == [(0, 0), (1, 3), (1, 9)]


async def test_sessions_that_ask_during_a_read_share_the_next_one() -> None:
    async with House() as house:
        for n in range(20):
            house.store.arrivals[f"d{n}"] = Arrival(n, True, 0, 0)
        door = house.store.close_door("fetch")
        house.knock("d0")
        await house.settle()
        for n in range(1, 20):
            house.knock(f"d{n}")
            await house.settle()
        assert [len(batch) for batch in house.store.fetched] == [1]
        door.set()
        await house.settle()
        assert [len(batch) for batch in house.store.fetched] == [1, 19]


async def test_a_push_that_comes_during_a_read_is_neither_lost_nor_out_of_order() -> None:
    async with House() as house:
        house.store.arrivals["phone"] = Arrival(1, True, 0, 0)
        house.store.pages[1] = [Page((push(1),), 0, True), Page((push(2),), 0, True)]
        door = house.store.close_door("fetch")
        peer = house.knock("phone")
        await house.settle()
        await house.bus.send("n1", [unicast("phone", 2, ordinal=1)])
        await house.settle()
        door.set()
        await house.settle()
        assert topics(peer.unread()) == ["push/m1", "push/m2"]


async def test_a_read_that_failed_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("longline.room.push.inbox.RETRY_AFTER", 0)
    async with House() as house:
        house.store.arrivals["phone"] = Arrival(1, True, 0, 0)
        house.store.pages[1] = [Page((push(1),), 0, True)]
        house.store.faults["fetch"] = [Unavailable(), Unavailable()]
        peer = house.knock("phone")
        await house.settle()
        assert topics(peer.unread()) == ["push/m1"]
        assert len(house.store.fetched) == 3


async def test_the_first_read_of_a_connection_waits_for_the_receipts_of_the_one_before() -> None:
    async with House() as house:
        old = await house.client("phone")
        house.scene.offer(old, 1)
        old.receive()
        door = house.store.close_door("settle")
        old.send(Puback(1))
        house.receipts.acknowledged(house.scene.desk.acks[0])
        await house.settle()
        house.store.arrivals["phone"] = Arrival(0, True, 0, 0)
        house.knock("phone")
        await house.settle()
        assert house.store.fetched == []
        door.set()
        await house.settle()
        assert len(house.store.fetched) == 1


async def test_a_session_that_ended_is_not_read_for_and_not_written_to() -> None:
    async with House() as house:
        house.store.arrivals["phone"] = Arrival(1, True, 0, 0)
        house.store.pages[1] = [Page((push(1, qos=0),), 0, True)]
        door = house.store.close_door("fetch")
        peer = house.knock("phone")
        await house.settle()
        peer.wire.abort()
        await house.settle()
        door.set()
        await house.settle()
        assert house.scene.desk.acks == []
        assert house.scene.desk.sent == []


async def test_a_connection_that_is_closing_takes_nothing_of_a_page() -> None:
    """A push of QoS 0 would count as taken, and nobody would have got it."""
    async with House() as house:
        house.store.arrivals["phone"] = Arrival(1, True, 0, 0)
        house.store.pages[1] = [Page((push(1, qos=0), push(2)), 7, True)]
        door = house.store.close_door("fetch")
        peer = house.knock("phone")
        await house.settle()
        session = peer.session
        peer.wire.held = 1  # it takes its last bytes slowly
        peer.bytes(b"\x00")
        await house.settle()
        assert peer.connection.ended
        door.set()
        await house.settle()
        assert (house.scene.desk.acks, house.scene.desk.sent) == ([], [])
        assert (session.inbox_position, session.log_position) == (0, 0)


async def test_a_full_window_stops_the_reading_and_an_ack_starts_it_again() -> None:
    async with House() as house:
        peer = await house.client("phone", properties={PropertyId.RECEIVE_MAXIMUM: 1})
        house.scene.offer(peer, 1)
        house.scene.offer(peer, 2)
        house.inbox.want(peer.session)
        await house.settle()
        assert house.store.fetched == []  # no room, so no read
        assert not peer.session.fetching
        house.store.pages[peer.session.ordinal] = [Page((push(2),), 0, True)]
        assert ack_all(peer) == ["push/m1"]
        await house.settle()
        assert topics(peer.unread()) == ["push/m2"]


async def test_a_resync_reads_again_for_everybody_but_who_is_not_let_in_yet() -> None:
    async with House() as house:
        inside = await house.client("inside")
        door = house.store.close_door("arrive")
        house.store.arrivals["coming"] = Arrival(5, False, 0, 0)
        house.store.pages[0] = [Page((push(1),), 0, True)]
        house.store.pages[5] = [Page((push(3),), 0, True)]
        coming = house.knock("coming")
        await house.settle()
        await house.bus.send("n1", [Resync()])
        await house.settle()
        assert topics(inside.unread()) == ["push/m1"]
        assert [fetch.ordinal for batch in house.store.fetched for fetch in batch] == [0]
        door.set()
        await house.settle()
        assert topics(coming.unread()) == ["push/m3"]


async def test_plain_messages_that_made_room_for_pushes_follow_when_the_store_has_no_more() -> None:
    async with House() as house:
        peer = await house.client("phone", properties={PropertyId.RECEIVE_MAXIMUM: 2})
        peer.send(Subscribe(1, [Subscription("a", 1)]))
        peer.receive()
        session = peer.session
        session.more = True
        door = house.store.close_door("fetch")
        house.inbox.want(session)
        await house.settle()
        other = await house.client("other")
        other.send(*(Publish("a", b"%d" % n, 1, packet_id=n) for n in (1, 2)))
        assert topics(peer.receive()) == ["a"]  # half of the window
        door.set()
        await house.settle()
        assert topics(peer.receive()) == ["a"]
        assert session.queue is None


async def test_reading_for_many_leaves_no_task_behind() -> None:
    async with House() as house:
        before = len(asyncio.all_tasks())
        for n in range(50):
            await house.client(f"d{n}")
        assert len(asyncio.all_tasks()) == before


async def test_a_broadcast_in_many_pages_is_one_encoded_push() -> None:
    async with House() as house:
        message = a_message(1)
        peers = []
        for n in range(3):
            house.store.arrivals[f"d{n}"] = Arrival(n, True, 0, 0)
            page = push(1, broadcast=True)
            assert page.message == message
            house.store.pages[n] = [Page((page,), 1, True)]
            peers.append(house.knock(f"d{n}"))
        await house.settle()
        assert len({peer.wire.writes[-1] for peer in peers}) == 1
