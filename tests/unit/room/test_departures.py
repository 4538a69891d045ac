import pytest

from longline.errors import Unavailable
from longline.model.commands import Close, CloseReason
from longline.model.times import wall_clock
from longline.mqtt.packets import Disconnect, Puback
from longline.mqtt.reasons import ReasonCode
from longline.register.port import Bind
from longline.room.session.session import InFlight, Session
from longline.saver.port.inboxes import Arrival, Cursor
from longline.settings import RoomSettings
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
        read.log_read = waiting.log_read = 9
        waiting.take_id(InFlight(waiting, 7, True, False, NOW_MS))
        for session in sessions:
            house.departures.add(session)
        await house.departures.finished()
        assert house.store.advanced == [[Cursor(7, 1, 9, read.epoch), Cursor(7, 2, 6, waiting.epoch)]]
        assert waiting.inflight is None


async def test_a_session_that_was_never_let_in_has_no_cursor() -> None:
    async with House() as house:
        door = house.store.close_door("arrive")
        peer = house.knock("phone")
        await house.settle()
        session = peer.session
        session.log_read = 9
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
        session.log_read = 9
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
        session.log_read = 9
        house.scene.broker.counters.receipts_lost += 1
        house.departures.add(session)
        await house.departures.finished()
        assert house.store.advanced == []
        assert await house.register.count(7) == 0


async def test_what_a_store_failed_to_take_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("longline.room.life.departures.RETRY_AFTER", 0)
    async with House() as house:
        session = (await house.client("phone")).session
        session.log_read = 9
        house.store.faults["advance"] = [Unavailable(), Unavailable()]
        house.departures.add(session)
        await house.departures.finished()
        assert house.store.advanced == [[Cursor(7, 0, 9, session.epoch)]] * 3
        assert NODE not in [binding and binding.node for binding in await house.register.locate(7, ["phone"])]


async def test_who_ends_while_others_are_written_down_comes_next() -> None:
    async with House() as house:
        first, second = (await house.client("a")).session, (await house.client("b")).session
        first.log_read = second.log_read = 9
        door = house.store.close_door("advance")
        house.departures.add(first)
        await house.settle()
        house.departures.add(second)
        await house.settle()
        door.set()
        await house.departures.finished()
        assert [len(batch) for batch in house.store.advanced] == [1, 1]
        assert await house.register.count(7) == 0


# --- how long a device still counts as there -----------------------------------------------------------


async def lingering(house: House, session: Session) -> bool:
    """Whether the session's binding outlives its connection."""
    house.departures.add(session)
    await house.departures.finished()
    return await house.register.count(7) == 1


async def test_a_broken_connection_leaves_the_device_there_for_a_while() -> None:
    async with House(RoomSettings(ack_delay=0, linger=10)) as house:
        peer = await house.client("phone")
        session = peer.session
        before = wall_clock()
        peer.wire.abort()
        assert peer.over
        assert await lingering(house, session)
        assert await house.register.end_lingering(before + 9_999, 10) == 0
        assert await house.register.end_lingering(wall_clock() + 10_000, 10) == 1
        assert await house.register.count(7) == 0


async def test_a_device_that_says_goodbye_is_away_at_once() -> None:
    async with House(RoomSettings(ack_delay=0, linger=10)) as house:
        peer = await house.client("phone")
        session = peer.session
        peer.send(Disconnect())
        assert peer.over
        assert not await lingering(house, session)


@pytest.mark.parametrize(
    "reason",
    [
        CloseReason.KICKED,
        CloseReason.BANNED,
        CloseReason.DEVICE_DELETED,
        CloseReason.APP_DELETED,
        CloseReason.KEY_ROTATED,
    ],
)
async def test_a_device_that_the_platform_wants_gone_is_away_at_once(reason: CloseReason) -> None:
    async with House(RoomSettings(ack_delay=0, linger=10)) as house:
        peer = await house.client("phone")
        session = peer.session
        await house.bus.send(NODE, [Close(7, "phone", session.epoch, reason)])
        await house.settle()
        assert peer.over
        assert not await lingering(house, session)


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (ReasonCode.SERVER_SHUTTING_DOWN, "server_shutting_down"),
        (ReasonCode.USE_ANOTHER_SERVER, "draining"),
        (ReasonCode.KEEP_ALIVE_TIMEOUT, "keep_alive_timeout"),
    ],
)
async def test_a_device_that_the_room_sends_away_is_expected_back(reason: ReasonCode, code: str) -> None:
    async with House(RoomSettings(ack_delay=0, linger=10)) as house:
        peer = await house.client("phone")
        session = peer.session
        peer.connection.close(reason, code)
        assert peer.over
        assert await lingering(house, session)


async def test_a_session_that_was_taken_over_touches_neither_binding_nor_cursor() -> None:
    """Its successor may be on another node; what it says of the device would not be heard anyway."""
    async with House() as house:
        peer = await house.client("phone")
        session = peer.session
        session.log_read = 9
        await house.bus.send(NODE, [Close(7, "phone", session.epoch, CloseReason.TAKEN_OVER)])
        await house.settle()
        assert peer.over
        assert await lingering(house, session)
        assert house.store.advanced == []


async def test_the_cursor_comes_before_the_end_of_the_session() -> None:
    """It is only heard of a session that owns its device."""
    async with House() as house:
        session = (await house.client("phone")).session
        session.log_read = 9
        door = house.store.close_door("advance")
        house.departures.add(session)
        await house.settle()
        assert await house.register.count(7) == 1
        door.set()
        await house.departures.finished()
        assert await house.register.count(7) == 0


async def test_a_broadcast_that_was_written_without_reading_the_log_moves_no_cursor() -> None:
    """One that was stored before it may still be on its way here."""
    async with House() as house:
        peer = await house.client("phone")
        house.scene.offer(peer, 9, broadcast=True)
        session = peer.session
        peer.wire.abort()
        assert peer.over
        house.departures.add(session)
        await house.departures.finished()
        assert house.store.advanced == []
