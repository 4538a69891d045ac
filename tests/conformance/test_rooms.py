"""What holds of messages holds of those that come from another room, too."""

from collections.abc import Callable, Iterator

import pytest

from tests.conformance import wire
from tests.conformance.broker import BOTH, Broker, Client, Clients
from tests.conformance.test_publish import EVERYTHING
from tests.waiting import wait_until

pytestmark = pytest.mark.shape("cluster")

EVERY_QOS = pytest.mark.parametrize("qos", [0, 1, 2])


@pytest.fixture
def enter(broker: Broker) -> Iterator[Callable[[int], Client]]:
    """Lets a client in at another room than the one before."""
    rooms: list[Clients] = []

    def enter(version: int = 5) -> Client:
        rooms.append(Clients(broker))
        return rooms[-1].enter(version)

    yield enter
    for clients in rooms:
        clients.close()


def known(subscriber: Client, publisher: Client, topic: str) -> None:
    """Returns when the publisher's room has heard of the subscriber's filter, which matches the topic."""

    def reached() -> bool:
        publisher.publish(topic, b"probe", 1)
        found = subscriber.ping()
        for packet in found:
            subscriber.acknowledge(packet)
        return bool(found)

    wait_until(reached, "the other room to hear of a filter")


def take(subscriber: Client) -> wire.Packet:
    """The next message that is no probe."""
    while (found := subscriber.take()).payload == b"probe":
        pass
    return found


@EVERY_QOS
@BOTH
def test_a_message_comes_as_it_was_sent(
    qos: int, version: int, enter: Callable[[int], Client], topic: str
) -> None:
    """[5: 3.3.1-3, 3.3.1-12, 3.3.2-4, 3.3.2-15, 3.3.2-16, 3.3.2-17, 3.3.2-18, 3.3.2-20, 3.8.4-8]
    [3: 3.3.1-3, 3.3.1-9, 3.8.4-6]"""
    subscriber, publisher = enter(version), enter(5)
    subscriber.subscribe((topic, 2))
    known(subscriber, publisher, topic)
    publisher.publish(topic, b"text", qos, retain=1, properties=EVERYTHING)
    found = take(subscriber)
    assert (found.topic, found.payload, found.qos) == (topic, b"text", qos)
    assert (found.retain, found.dup) == (False, False)
    if version == 5:
        assert found.all(wire.USER) == [value for id, value in EVERYTHING if id == wire.USER]
        assert {pair for pair in found.properties if pair[0] != wire.USER} == {
            pair for pair in EVERYTHING if pair[0] != wire.USER
        }


@EVERY_QOS
def test_messages_keep_their_order(qos: int, enter: Callable[[int], Client], topic: str) -> None:
    """[5: 4.6.0-5, 4.6.0-6]
    [3: 4.6.0-5, 4.6.0-6]"""
    subscriber, publisher = enter(5), enter(4)
    subscriber.subscribe((topic, 2))
    known(subscriber, publisher, topic)
    for number in range(40):
        publisher.publish(topic, b"%d" % number, qos)
    assert [int(take(subscriber).payload) for _ in range(40)] == [*range(40)]


def test_what_a_subscription_asks_for_holds(enter: Callable[[int], Client], topic: str) -> None:
    """[5: 3.3.1-13, 3.3.2-6, 3.3.4-3, 3.3.4-4]"""
    subscriber, publisher = enter(5), enter(5)
    subscriber.subscribe((topic, 1 | 8), properties=((wire.SUBSCRIPTION_ID, 7),))
    subscriber.subscribe((topic + "/#", 0), properties=((wire.SUBSCRIPTION_ID, 300),))
    known(subscriber, publisher, topic)
    publisher.publish(topic, b"p", 2, retain=1, properties=((wire.EXPIRY, 1000),))
    found = take(subscriber)
    assert (found.qos, found.retain, sorted(map(str, found.all(wire.SUBSCRIPTION_ID)))) == (
        1,
        True,
        ["300", "7"],
    )
    assert 0 < found.number(wire.EXPIRY) <= 1000


@BOTH
def test_what_is_retained_is_the_same_in_every_room(
    version: int, enter: Callable[[int], Client], topic: str
) -> None:
    """[5: 3.3.1-5, 3.3.1-6, 3.3.1-9]
    [3: 3.3.1-5, 3.3.1-6, 3.3.1-10]"""
    for payload in (b"first", b"second", b""):
        enter(version).publish(topic, payload, 1, retain=1)
        for _ in range(4):
            kept = enter(version).retained((topic, 1))
            assert [packet.payload for packet in kept] == ([payload] if payload else [])


@BOTH
def test_who_comes_to_another_room_takes_the_place_of_who_was_there(
    version: int, broker: Broker, enter: Callable[[int], Client]
) -> None:
    """[5: 3.1.4-3]
    [3: 3.1.4-2]"""
    old = enter(version)
    clients = Clients(broker)
    clients.open(version, old.name).enter()
    assert [packet.reason for packet in old.until_closed()] == ([0x8E] if version == 5 else [])
    clients.close()
