"""When the stores do not keep up: who is not read from, and that it ends."""

import pytest

from longline.errors import Unavailable
from longline.mqtt.packets import MQTT_3_1_1, Pingreq, Pingresp, Puback, Publish, Subscribe, Subscription
from longline.room.life.pressure import Pressure
from longline.saver.port.inboxes import Page
from tests.unit.room.house import House
from tests.unit.room.scene import Scene
from tests.unit.room.test_admission import push, topics


class Gauge:
    """A queue of 100 places."""

    def __init__(self, scene: Scene) -> None:
        self.waiting = 0
        self.failing = False
        self.pressure = Pressure(
            scene.broker, [(lambda: 0, 1), (lambda: self.waiting, 100)], lambda: self.failing
        )

    def look(self, waiting: int) -> None:
        self.waiting = waiting
        self.pressure.look()


def test_pressure_begins_at_three_quarters_and_ends_at_half() -> None:
    scene = Scene()
    gauge = Gauge(scene)
    seen = []
    for waiting in (75, 76, 75, 51, 50, 75, 76):
        gauge.look(waiting)
        seen.append(scene.broker.pressed)
    assert seen == [False, True, True, True, False, False, True]
    assert scene.broker.counters.pressed == 2


def test_a_store_that_gives_no_answers_is_pressure_too() -> None:
    scene = Scene()
    gauge = Gauge(scene)
    gauge.failing = True
    gauge.look(0)
    assert scene.broker.pressed
    gauge.failing = False
    gauge.look(0)
    assert not scene.broker.pressed


def test_who_publishes_under_pressure_is_not_read_from_until_it_is_over() -> None:
    scene = Scene()
    gauge = Gauge(scene)
    listener, talker = scene.client("listener"), scene.client("talker")
    listener.send(Subscribe(1, [Subscription("a", 0)]))
    listener.receive()
    gauge.look(100)
    talker.send(Publish("a", b"1", 1, packet_id=1), Publish("a", b"2", 1, packet_id=2), Pingreq())
    assert talker.receive() == [Puback(1)]
    assert not talker.wire.reading
    assert scene.broker.counters.publishers_paused == 1
    listener.send(Pingreq())  # who is quiet is heard
    assert [type(packet) for packet in listener.receive()] == [Publish, Pingresp]
    gauge.look(0)
    assert talker.receive() == [Puback(2), Pingresp()]
    assert talker.wire.reading
    assert topics(listener.receive()) == ["a"]


def test_who_is_not_read_from_is_not_taken_for_silent() -> None:
    scene = Scene()
    gauge = Gauge(scene)
    talker = scene.client("talker", keep_alive=10)
    gauge.look(100)
    talker.send(Publish("a", b"1"))
    scene.tick(100)
    assert not talker.over
    gauge.look(0)
    scene.turns.settle()
    scene.tick(14)
    assert not talker.over
    scene.tick(3)
    assert talker.over


def test_a_connection_that_ends_under_pressure_is_forgotten() -> None:
    scene = Scene()
    gauge = Gauge(scene)
    talker = scene.client("talker")
    gauge.look(100)
    talker.send(Publish("a", b"1"))
    talker.wire.abort()
    assert talker.over
    gauge.look(0)
    scene.turns.settle()
    assert scene.broker.counters.connections == 0


def test_a_full_outbox_and_pressure_both_have_to_end_before_reading_goes_on() -> None:
    scene = Scene(outbox_bytes=4096)
    gauge = Gauge(scene)
    peer = scene.client("phone", MQTT_3_1_1)
    peer.wire.slow = True
    for position in range(1, 6):
        scene.offer(peer, position)
        peer.connection.write(b"\x30\x03\x00\x01a" * 400)
    scene.turns.settle()
    assert peer.connection.blocked
    gauge.look(100)
    peer.bytes(b"\x30\x03\x00\x01a")  # was on its way
    peer.wire.read()
    assert not peer.wire.reading
    gauge.look(0)
    scene.turns.settle()
    assert peer.wire.reading


async def test_an_inbox_that_cannot_be_read_says_so_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("longline.room.push.inbox.RETRY_AFTER", 0)
    monkeypatch.setattr("longline.room.push.inbox.AGAIN_EVERY", 0)
    async with House() as house:
        peer = await house.client("phone")
        house.store.pages[0] = [Page((push(1),), 0, True)]
        house.store.faults["fetch"] = [Unavailable(), Unavailable()]
        house.inbox.again(peer.session)
        await house.settle()
        assert topics(peer.unread()) == ["push/m1"]
        assert not house.inbox.failing()
        house.store.faults["fetch"] = [Unavailable() for _ in range(1000)]
        house.inbox.again(peer.session)
        await house.settle()
        assert house.inbox.failing()
        peer.wire.abort()
        await house.settle()
        assert not house.inbox.failing()  # nobody asks any more
