import pytest

from longline.errors import Unavailable
from longline.mqtt.packets import Puback
from longline.register.port import Bind
from longline.room.session import InFlight
from longline.saver.port import Arrival, Cursor
from tests.unit.room.house import NODE, House
from tests.unit.room.scene import NOW_MS


async def test_a_session_that_ended_is_unbound() -> None:
    async with House() as house:
        peer = await house.client("phone")
        session = peer.session
        peer.wire.abort()
        await house.settle()
        house.departures.add(session)
        await house.departures.finished()
        assert await house.register.count(7) == 0
        assert house.departures.waiting() == 0


async def test_an_old_session_does_not_unbind_a_newer_one() -> None:
    async with House() as house:
        peer = await house.client("phone")
        session = peer.session
        await house.register.bind([Bind(7, "phone", "another node", NOW_MS)])
        house.departures.add(session)
        await house.departures.finished()
        (binding,) = await house.register.locate(7, ["phone"])
        assert binding is not None
        assert binding.node == "another node"


async def test_how_far_the_log_was_read_is_kept_below_what_is_in_flight() -> None:
    async with House() as house:
        house.store.arrivals["read"] = Arrival(1, False, 4, 0)
        house.store.arrivals["waiting"] = Arrival(2, False, 4, 0)
        house.store.arrivals["idle"] = Arrival(3, False, 4, 0)
        sessions = [(await house.client(name)).session for name in ("read", "waiting", "idle")]
        read, waiting, _ = sessions
        read.log_position = waiting.log_position = 9
        waiting.take_id(InFlight(waiting, 7, True, False, NOW_MS))
        for session in sessions:
            house.departures.add(session)
        await house.departures.finished()
        assert house.store.advanced == [[Cursor(7, 1, 9), Cursor(7, 2, 6)]]
        assert waiting.inflight is None


async def test_a_session_that_was_never_let_in_has_no_cursor() -> None:
    async with House() as house:
        door = house.store.close_door("arrive")
        peer = house.knock("phone")
        await house.settle()
        session = peer.session
        session.log_position = 9
        house.departures.add(session)
        await house.departures.finished()
        assert house.store.advanced == []
        assert await house.register.count(7) == 0
        door.set()


async def test_a_cursor_is_not_kept_before_the_receipts_of_what_it_has_passed() -> None:
    async with House() as house:
        peer = await house.client("phone")
        house.scene.offer(peer, 9, broadcast=True)
        peer.receive()
        session = peer.session
        peer.send(Puback(1))
        door = house.store.close_door("settle")
        house.receipts.acknowledged(house.scene.desk.acks[0])
        house.departures.add(session)
        await house.settle()
        assert house.store.advanced == []
        door.set()
        await house.departures.finished()
        assert house.store.calls[-2:] == ["settle", "advance"]


async def test_a_session_that_lost_a_receipt_keeps_its_cursor_where_it_was() -> None:
    """Its pushes are sent again: that is better than a ledger that never hears of them."""
    async with House() as house:
        session = (await house.client("phone")).session
        session.log_position = 9
        house.scene.broker.counters.receipts_lost += 1
        house.departures.add(session)
        await house.departures.finished()
        assert house.store.advanced == []
        assert await house.register.count(7) == 0


async def test_what_a_store_failed_to_take_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("longline.room.departures.RETRY_AFTER", 0)
    async with House() as house:
        session = (await house.client("phone")).session
        session.log_position = 9
        house.store.faults["advance"] = [Unavailable(), Unavailable()]
        house.departures.add(session)
        await house.departures.finished()
        assert house.store.advanced == [[Cursor(7, 0, 9)]] * 3
        assert NODE not in [binding and binding.node for binding in await house.register.locate(7, ["phone"])]


async def test_who_ends_while_others_are_written_down_comes_next() -> None:
    async with House() as house:
        first, second = (await house.client("a")).session, (await house.client("b")).session
        first.log_position = second.log_position = 9
        door = house.store.close_door("advance")
        house.departures.add(first)
        await house.settle()
        house.departures.add(second)
        await house.settle()
        door.set()
        await house.departures.finished()
        assert [len(batch) for batch in house.store.advanced] == [1, 1]
        assert await house.register.count(7) == 0
