import pytest

from longline.errors import Unavailable
from longline.flow.batcher import Retry
from longline.model.commands import Close, CloseReason
from longline.model.times import wall_clock
from longline.mqtt.packets import Disconnect, Puback
from longline.mqtt.reasons import ReasonCode
from longline.register.port import Bind
from longline.room.push.sent import SentPush
from longline.room.session.session import Session
from longline.saver.port.inboxes import Arrival, Cursor
from longline.settings import RoomSettings
from tests.unit.room.fixture import NOW_MS
from tests.unit.room.running import NODE, RunningRoom


async def test_a_session_that_ended_is_unbound() -> None:
    async with RunningRoom() as room:
        peer = await room.client("phone")
        session = peer.session
        peer.wire.abort()
        await room.settle()
        room.departures.add(session)
        await room.departures.finished()
        assert await room.register.count(7) == 0
        assert room.departures.waiting() == 0


async def test_an_old_session_does_not_unbind_a_newer_one() -> None:
    async with RunningRoom() as room:
        peer = await room.client("phone")
        session = peer.session
        await room.register.bind([Bind(7, "phone", "another node", NOW_MS)])
        room.departures.add(session)
        await room.departures.finished()
        (binding,) = await room.register.locate(7, ["phone"])
        assert binding is not None
        assert binding.node == "another node"


async def test_how_far_the_log_was_read_is_kept_below_what_is_in_flight() -> None:
    async with RunningRoom() as room:
        room.store.arrivals["read"] = Arrival(1, False, 4, 0)
        room.store.arrivals["waiting"] = Arrival(2, False, 4, 0)
        room.store.arrivals["idle"] = Arrival(3, False, 4, 0)
        sessions = [(await room.client(name)).session for name in ("read", "waiting", "idle")]
        read, waiting, _ = sessions
        read.window.log_read = waiting.window.log_read = 9
        waiting.window.identify(SentPush(waiting, 7, True, "id", False, NOW_MS))
        for session in sessions:
            room.departures.add(session)
        await room.departures.finished()
        assert room.store.advanced == [[Cursor(7, 1, 9, read.epoch), Cursor(7, 2, 6, waiting.epoch)]]
        assert waiting.window.inflight is None


async def test_a_session_that_was_never_let_in_has_no_cursor() -> None:
    async with RunningRoom() as room:
        hold = room.store.hold("arrive")
        peer = room.connect("phone")
        await room.settle()
        session = peer.session
        session.window.log_read = 9
        room.departures.add(session)
        await room.departures.finished()
        assert room.store.advanced == []
        assert await room.register.count(7) == 0
        hold.set()


async def test_a_cursor_is_not_kept_before_the_receipts_of_what_it_has_passed() -> None:
    async with RunningRoom() as room:
        peer = await room.client("phone")
        room.parts.offer(peer, 9, broadcast=True)
        peer.receive()
        session = peer.session
        session.window.log_read = 9
        peer.send(Puback(1))
        hold = room.store.hold("settle")
        room.receipts.acknowledged(room.parts.noted.acks[0])
        room.departures.add(session)
        await room.settle()
        assert room.store.advanced == []
        hold.set()
        await room.departures.finished()
        assert room.store.calls[-2:] == ["settle", "advance"]


async def test_a_session_that_lost_a_receipt_keeps_its_cursor_where_it_was() -> None:
    """Its pushes are sent again: that is better than a ledger that never hears of them."""
    async with RunningRoom() as room:
        session = (await room.client("phone")).session
        session.window.log_read = 9
        room.parts.counters.receipts_lost += 1
        room.departures.add(session)
        await room.departures.finished()
        assert room.store.advanced == []
        assert await room.register.count(7) == 0


async def test_what_a_store_failed_to_take_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("longline.room.life.departures.RETRY", Retry(0, 0))
    async with RunningRoom() as room:
        session = (await room.client("phone")).session
        session.window.log_read = 9
        room.store.faults["advance"] = [Unavailable(), Unavailable()]
        room.departures.add(session)
        await room.departures.finished()
        assert room.store.advanced == [[Cursor(7, 0, 9, session.epoch)]] * 3
        assert NODE not in [binding and binding.node for binding in await room.register.locate(7, ["phone"])]


async def test_who_ends_while_others_are_written_down_comes_next() -> None:
    async with RunningRoom() as room:
        first, second = (await room.client("a")).session, (await room.client("b")).session
        first.window.log_read = second.window.log_read = 9
        hold = room.store.hold("advance")
        room.departures.add(first)
        await room.settle()
        room.departures.add(second)
        await room.settle()
        hold.set()
        await room.departures.finished()
        assert [len(batch) for batch in room.store.advanced] == [1, 1]
        assert await room.register.count(7) == 0


# --- how long a device still counts as there -----------------------------------------------------------


async def lingering(room: RunningRoom, session: Session) -> bool:
    """Whether the session's binding outlives its connection."""
    room.departures.add(session)
    await room.departures.finished()
    return await room.register.count(7) == 1


async def test_a_broken_connection_leaves_the_device_there_for_a_while() -> None:
    async with RunningRoom(RoomSettings(ack_delay=0, linger=10)) as room:
        peer = await room.client("phone")
        session = peer.session
        before = wall_clock()
        peer.wire.abort()
        assert peer.over
        assert await lingering(room, session)
        assert await room.register.end_lingering(before + 9_999, 10) == 0
        assert await room.register.end_lingering(wall_clock() + 10_000, 10) == 1
        assert await room.register.count(7) == 0


async def test_a_device_that_says_goodbye_is_away_at_once() -> None:
    async with RunningRoom(RoomSettings(ack_delay=0, linger=10)) as room:
        peer = await room.client("phone")
        session = peer.session
        peer.send(Disconnect())
        assert peer.over
        assert not await lingering(room, session)


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
    async with RunningRoom(RoomSettings(ack_delay=0, linger=10)) as room:
        peer = await room.client("phone")
        session = peer.session
        await room.bus.send(NODE, [Close(7, "phone", session.epoch, reason)])
        await room.settle()
        assert peer.over
        assert not await lingering(room, session)


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (ReasonCode.SERVER_SHUTTING_DOWN, "server_shutting_down"),
        (ReasonCode.USE_ANOTHER_SERVER, "draining"),
        (ReasonCode.KEEP_ALIVE_TIMEOUT, "keep_alive_timeout"),
    ],
)
async def test_a_device_that_the_room_sends_away_is_expected_back(reason: ReasonCode, code: str) -> None:
    async with RunningRoom(RoomSettings(ack_delay=0, linger=10)) as room:
        peer = await room.client("phone")
        session = peer.session
        peer.connection.close(reason, code)
        assert peer.over
        assert await lingering(room, session)


async def test_a_session_that_was_taken_over_touches_neither_binding_nor_cursor() -> None:
    """Its successor may be on another node; what it says of the device would not be heard anyway."""
    async with RunningRoom() as room:
        peer = await room.client("phone")
        session = peer.session
        session.window.log_read = 9
        await room.bus.send(NODE, [Close(7, "phone", session.epoch, CloseReason.TAKEN_OVER)])
        await room.settle()
        assert peer.over
        assert await lingering(room, session)
        assert room.store.advanced == []


async def test_the_cursor_comes_before_the_end_of_the_session() -> None:
    """It is only heard of a session that owns its device."""
    async with RunningRoom() as room:
        session = (await room.client("phone")).session
        session.window.log_read = 9
        hold = room.store.hold("advance")
        room.departures.add(session)
        await room.settle()
        assert await room.register.count(7) == 1
        hold.set()
        await room.departures.finished()
        assert await room.register.count(7) == 0


async def test_a_broadcast_that_was_written_without_reading_the_log_moves_no_cursor() -> None:
    """One that was stored before it may still be on its way here."""
    async with RunningRoom() as room:
        peer = await room.client("phone")
        room.parts.offer(peer, 9, broadcast=True)
        session = peer.session
        peer.wire.abort()
        assert peer.over
        room.departures.add(session)
        await room.departures.finished()
        assert room.store.advanced == []
