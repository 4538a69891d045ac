"""Publications on the platform's topics go to who deals with that kind, and are answered when he says so."""

from collections.abc import Callable

import pytest

from longline.model.topics import TOPICS, Use
from longline.mqtt.packets import (
    MQTT_3_1_1,
    MQTT_5_0,
    Disconnect,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Subscribe,
    Subscription,
)
from longline.mqtt.properties import Properties, PropertyId
from longline.mqtt.reasons import ReasonCode
from longline.room.platform.handlers import Platform
from longline.room.pubsub.rooms import Publisher
from longline.room.pubsub.rules import Refusal
from longline.room.session.session import Session
from longline.room.wire.answers import SUCCESS, Answer
from longline.saver.port.inboxes import GUEST
from tests.unit.room.fixture import RoomFixture

VERSIONS = pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])
NO_WAY = Refusal(ReasonCode.QUOTA_EXCEEDED, "no_way", "not this one")


class Taker:
    """A handler that keeps what it takes, and answers when it is told to."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, str, int]] = []
        self.owed: list[tuple[Publisher, Answer]] = []
        self.waiting: list[Callable[[], None]] = []
        self.filled = False
        self.at_once = False

    def refusal(self, session: Session, packet: Publish) -> Refusal | None:
        return NO_WAY if packet.payload == b"refuse" else None

    def full(self) -> bool:
        return self.filled

    def hold_up(self, go_on: Callable[[], None]) -> None:
        self.waiting.append(go_on)

    def take(self, publisher: Publisher, session: Session, packet: Publish, answer: Answer | None) -> None:
        self.taken.append((session.device, packet.topic, packet.qos))
        if answer is None:
            return
        if self.at_once:
            publisher.settle(answer, SUCCESS)
        else:
            self.owed.append((publisher, answer))

    def answer(self, index: int = 0, reason: int = SUCCESS) -> None:
        publisher, answer = self.owed.pop(index)
        publisher.settle(answer, reason)


@VERSIONS
def test_a_publication_is_answered_when_its_handler_says_so(version: int) -> None:
    up = Taker()
    peer = RoomFixture(handlers={"up/…": up}).client("phone", version)
    peer.send(Publish("up/a/b", b"x", 1, packet_id=1), Publish("up/", b"x", 2, packet_id=2))
    assert peer.receive() == []
    assert up.taken == [("phone", "up/a/b", 1), ("phone", "up/", 2)]
    up.answer()
    assert peer.receive() == [Puback(1)]
    up.answer()
    peer.send(Pubrel(2))
    assert peer.receive() == [Pubrec(2), Pubcomp(2)]


@VERSIONS
def test_a_handler_may_answer_at_once(version: int) -> None:
    up = Taker()
    up.at_once = True
    peer = RoomFixture(handlers={"up/…": up}).client("phone", version)
    peer.send(Publish("up/a", b"x"), Publish("up/a", b"x", 1, packet_id=1))
    assert peer.receive() == [Puback(1)]
    assert [qos for _, _, qos in up.taken] == [0, 1]


def test_answers_leave_in_the_order_of_the_packets_whatever_they_are_for() -> None:
    """[MQTT-4.6.0-2]"""
    up = Taker()
    peer = RoomFixture(handlers={"up/…": up}).client("phone")
    peer.send(
        Publish("up/a", b"x", 1, packet_id=1),
        Publish("plain", b"x", 1, packet_id=2),
        Publish("up/b", b"x", 1, packet_id=3),
    )
    up.answer(1)
    assert peer.receive() == []
    up.answer(0)
    assert peer.receive() == [Puback(1), Puback(2, ReasonCode.NO_MATCHING_SUBSCRIBERS), Puback(3)]


def test_one_with_qos_2_that_is_sent_again_is_taken_once() -> None:
    """[MQTT-4.3.3-10]"""
    up = Taker()
    peer = RoomFixture(handlers={"up/…": up}).client("phone")
    peer.send(Publish("up/a", b"x", 2, packet_id=1), Publish("up/a", b"x", 2, dup=True, packet_id=1))
    up.answer()
    assert peer.receive() == [Pubrec(1)]
    peer.send(Publish("up/a", b"x", 2, dup=True, packet_id=1))
    assert peer.receive() == [Pubrec(1)]
    assert len(up.taken) == 1


def test_one_that_its_handler_could_not_take_may_be_sent_again() -> None:
    up = Taker()
    peer = RoomFixture(handlers={"up/…": up}).client("phone")
    peer.send(Publish("up/a", b"x", 2, packet_id=1))
    up.answer(0, ReasonCode.UNSPECIFIED_ERROR)
    assert peer.receive() == [Pubrec(1, ReasonCode.UNSPECIFIED_ERROR)]
    peer.send(Publish("up/a", b"x", 2, packet_id=1))
    assert len(up.taken) == 2


@VERSIONS
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_what_a_handler_refuses_is_refused_as_anything_is(version: int, qos: int) -> None:
    room = RoomFixture(handlers={"up/…": Taker()})
    peer = room.client("phone", version)
    peer.send(Publish("up/a", b"refuse", qos, packet_id=4 if qos else 0))
    reason = NO_WAY.reason if version == MQTT_5_0 else 0
    assert peer.receive() == {0: [], 1: [Puback(4, reason)], 2: [Pubrec(4, reason)]}[qos]
    assert room.noted.refusals == ["no_way"]
    assert not peer.over


def test_a_client_waits_while_its_handler_is_full_and_qos_0_does_not() -> None:
    up = Taker()
    up.filled = True
    peer = RoomFixture(handlers={"up/…": up}).client("phone")
    peer.send(Publish("up/0", b"x"), Publish("up/1", b"x", 1, packet_id=1), Publish("up/2", b"x"))
    assert [topic for _, topic, _ in up.taken] == ["up/0"]
    up.filled = False
    (go_on,) = up.waiting
    go_on()
    up.answer()
    assert peer.receive() == [Puback(1)]
    assert [topic for _, topic, _ in up.taken] == ["up/0", "up/1", "up/2"]


def test_who_says_goodbye_gets_the_answers_that_he_waits_for_first() -> None:
    """[MQTT-4.3.2-4]"""
    up = Taker()
    peer = RoomFixture(handlers={"up/…": up}).client("phone")
    peer.send(Publish("up/a", b"x", 1, packet_id=1), Disconnect())
    assert not peer.over
    up.answer()
    assert peer.receive() == [Puback(1)]
    assert peer.over


REFUSED: list[tuple[str, Properties | None, str]] = [
    ("up", None, "topic_reserved"),
    ("event/m", None, "topic_reserved"),
    ("event/m/shown/x", None, "topic_reserved"),
    ("push/1", None, "topic_reserved"),
    ("$link/attach", None, "topic_reserved"),
    ("up/b/c/d/e/f/g/h/i", None, "topic_too_deep"),
    ("up/x", {PropertyId.PAYLOAD_FORMAT_INDICATOR: 1}, "payload_format_invalid"),
]


@pytest.mark.parametrize(("topic", "properties", "code"), REFUSED)
def test_what_no_handler_is_for_or_no_publication_may_be_is_refused(
    topic: str, properties: Properties | None, code: str
) -> None:
    taker = Taker()
    room = RoomFixture(handlers={"up/…": taker, "event/{message_id}/{name}": taker})
    peer = room.client("phone")
    peer.send(Publish(topic, b"\xff", 0, properties=properties))
    assert taker.taken == []
    assert room.noted.refusals == [code]


def test_who_is_not_registered_sends_nothing_to_the_platform() -> None:
    taker = Taker()
    room = RoomFixture(handlers={"up/…": taker})
    peer = room.client("phone")
    session = room.sessions.find(7, "phone")
    assert session is not None
    session.ordinal = GUEST
    peer.send(Publish("up/x", b"x", 1, packet_id=1))
    assert peer.receive() == [Puback(1, ReasonCode.NOT_AUTHORIZED)]
    assert (taker.taken, room.noted.refusals) == ([], ["not_registered"])


def test_an_alias_stands_for_a_topic_of_the_platforms() -> None:
    taker = Taker()
    room = RoomFixture(handlers={"up/…": taker}, topic_alias_maximum=3)
    peer = room.client("phone")
    alias: Properties = {PropertyId.TOPIC_ALIAS: 1}
    peer.send(Publish("up/x", b"x", properties=alias), Publish("", b"x", properties=alias))
    assert taker.taken == [("phone", "up/x", 0)] * 2


def test_nobody_who_subscribes_gets_what_is_handed_over() -> None:
    room = RoomFixture(handlers={"up/…": Taker()})
    peer = room.client("phone")
    peer.send(Subscribe(1, [Subscription("#"), Subscription("+/x")]))
    peer.receive()
    peer.send(Publish("up/x", b"x", retain=True))
    assert peer.receive() == []
    assert (room.counters.messages_up, room.counters.messages_in) == (1, 0)


def test_handlers_are_for_kinds_that_the_table_hands_over() -> None:
    for topic in TOPICS:
        if topic.publish is Use.HANDED:
            Platform({topic.form: Taker()})
        else:
            with pytest.raises(KeyError):
                Platform({topic.form: Taker()})
