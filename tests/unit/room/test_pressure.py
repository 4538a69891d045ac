"""When the stores do not keep up: who is not read from, and that it ends."""

import pytest

from longline.errors import Unavailable
from longline.flow.batcher import Retry
from longline.mqtt.packets import MQTT_3_1_1, Pingreq, Pingresp, Puback, Publish, Subscribe, Subscription
from longline.room.life.pressure import Pressure
from longline.saver.port.inboxes import Page
from tests.unit.room.fixture import RoomFixture
from tests.unit.room.running import RunningRoom
from tests.unit.room.test_admission import push, topics


class Gauge:
    """A queue of 100 places."""

    def __init__(self, room: RoomFixture) -> None:
        self.waiting = 0
        self.failing = False
        self.pressure = Pressure(
            room.turn, room.counters, [(lambda: 0, 1), (lambda: self.waiting, 100)], lambda: self.failing
        )

    def look(self, waiting: int) -> None:
        self.waiting = waiting
        self.pressure.look()


def test_pressure_begins_at_three_quarters_and_ends_at_half() -> None:
    room = RoomFixture()
    gauge = Gauge(room)
    seen = []
    for waiting in (75, 76, 75, 51, 50, 75, 76):
        gauge.look(waiting)
        seen.append(room.turn.pressed)
    assert seen == [False, True, True, True, False, False, True]
    assert room.counters.pressed == 2


def test_a_store_that_gives_no_answers_is_pressure_too() -> None:
    room = RoomFixture()
    gauge = Gauge(room)
    gauge.failing = True
    gauge.look(0)
    assert room.turn.pressed
    gauge.failing = False
    gauge.look(0)
    assert not room.turn.pressed


def test_who_publishes_under_pressure_is_not_read_from_until_it_is_over() -> None:
    room = RoomFixture()
    gauge = Gauge(room)
    listener, talker = room.client("listener"), room.client("talker")
    listener.send(Subscribe(1, [Subscription("a", 0)]))
    listener.receive()
    gauge.look(100)
    talker.send(Publish("a", b"1", 1, packet_id=1), Publish("a", b"2", 1, packet_id=2), Pingreq())
    assert talker.receive() == [Puback(1)]
    assert not talker.wire.reading
    assert room.counters.publishers_paused == 1
    listener.send(Pingreq())  # who is quiet is heard
    assert [type(packet) for packet in listener.receive()] == [Publish, Pingresp]
    gauge.look(0)
    assert talker.receive() == [Puback(2), Pingresp()]
    assert talker.wire.reading
    assert topics(listener.receive()) == ["a"]


def test_who_is_not_read_from_is_not_taken_for_silent() -> None:
    room = RoomFixture()
    gauge = Gauge(room)
    talker = room.client("talker", keep_alive=10)
    gauge.look(100)
    talker.send(Publish("a", b"1"))
    room.tick(100)
    assert not talker.over
    gauge.look(0)
    room.turns.settle()
    room.tick(14)
    assert not talker.over
    room.tick(3)
    assert talker.over


def test_a_connection_that_ends_under_pressure_is_forgotten() -> None:
    room = RoomFixture()
    gauge = Gauge(room)
    talker = room.client("talker")
    gauge.look(100)
    talker.send(Publish("a", b"1"))
    talker.wire.abort()
    assert talker.over
    gauge.look(0)
    room.turns.settle()
    assert room.counters.connections == 0


def test_a_full_outbox_and_pressure_both_have_to_end_before_reading_goes_on() -> None:
    room = RoomFixture(outbox_bytes=4096)
    gauge = Gauge(room)
    peer = room.client("phone", MQTT_3_1_1)
    peer.wire.slow = True
    for position in range(1, 6):
        room.offer(peer, position)
        peer.connection.write(b"\x30\x03\x00\x01a" * 400)
    room.turns.settle()
    assert peer.connection.blocked
    gauge.look(100)
    peer.bytes(b"\x30\x03\x00\x01a")  # was on its way
    peer.wire.read()
    assert not peer.wire.reading
    gauge.look(0)
    room.turns.settle()
    assert peer.wire.reading


async def test_an_inbox_that_cannot_be_read_says_so_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("longline.room.push.inbox.RETRY", Retry(0, 0))
    monkeypatch.setattr("longline.room.push.inbox.LOOK_EVERY", 0)
    async with RunningRoom() as room:
        peer = await room.client("phone")
        room.store.pages[0] = [Page((push(1),), 0, True)]
        room.store.faults["fetch"] = [Unavailable(), Unavailable()]
        room.parts.pushes.lost(peer.session)
        await room.settle()
        assert topics(peer.unread()) == ["push/m1"]
        assert not room.inbox.failing()
        room.store.faults["fetch"] = [Unavailable() for _ in range(1000)]
        room.parts.pushes.lost(peer.session)
        await room.settle()
        assert room.inbox.failing()
        peer.wire.abort()
        await room.settle()
        assert not room.inbox.failing()  # nobody asks any more
