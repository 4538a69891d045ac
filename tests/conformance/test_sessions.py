"""Sections 3.1.2.4, 3.1.2.11.2, 4.1, 4.4 and 4.5: what outlives a connection."""

import time

import pytest

from tests.conformance import wire
from tests.conformance.broker import BOTH, SHAPES, Client, Clients
from tests.conformance.wire import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, Property
from tests.waiting import wait_until

pytestmark = SHAPES

LASTING: tuple[Property, ...] = ((wire.SESSION_EXPIRY, 1000),)
MOVES = pytest.mark.parametrize(("first", "second"), [(4, 4), (5, 5), (4, 5), (5, 4)])


def lasting(clients: Clients, version: int, name: str | None = None, *, present: bool = False) -> Client:
    """A client whose session outlives its connection."""
    client = clients.open(version, name)
    connack = client.enter(*(LASTING if version == 5 else ()), clean=0)
    assert connack.session_present == present
    return client


def back(clients: Clients, client: Client, version: int | None = None) -> Client:
    """The same client, which has its session, over a new connection."""
    return lasting(clients, version or client.version, client.name, present=True)


@BOTH
def test_a_session_goes_on_where_it_was(version: int, clients: Clients, topic: str) -> None:
    """[5: 3.1.2-5, 3.1.2-23, 3.2.2-3, 4.1.0-1]
    [3: 3.1.2-4, 3.2.2-2, 4.1.0-1]"""
    client = lasting(clients, version)
    client.subscribe((topic, 1))
    client.send(wire.GOOD_BYE)
    assert client.until_closed() == []
    again = back(clients, client)
    clients.enter(version).publish(topic, b"still", 1)
    assert again.take().payload == b"still"


@MOVES
def test_messages_wait_for_who_is_away(first: int, second: int, clients: Clients, topic: str) -> None:
    """[5: 4.5.0-1, 3.1.2-23, 4.6.0-5]
    [3: 3.1.2-5, 4.5.0-1, 4.6.0-6]"""
    client = lasting(clients, first)
    client.subscribe((topic, 2))
    client.close()
    publisher = clients.enter(second)
    for number in range(30):
        publisher.publish(topic, b"%d" % number, 1 + number % 2)
    again = back(clients, client, second)
    found = [again.take() for _ in range(30)]
    assert [(int(packet.payload), packet.qos) for packet in found] == [(n, 1 + n % 2) for n in range(30)]
    assert not any(packet.dup for packet in found)
    assert again.ping() == []


@BOTH
def test_who_starts_clean_gets_nothing_of_it(version: int, clients: Clients, topic: str) -> None:
    """[5: 3.1.2-4, 3.2.2-2]
    [3: 3.1.2-6, 3.2.2-1]"""
    client = lasting(clients, version)
    client.subscribe((topic, 1))
    client.close()
    publisher = clients.enter(version)
    publisher.publish(topic, b"missed", 1)
    clean = clients.open(version, client.name)
    assert not clean.enter(clean=1).session_present
    publisher.publish(topic, b"missed", 1)
    assert clean.ping() == []
    clean.send(wire.GOOD_BYE)
    assert clean.until_closed() == []
    lasting(clients, version, client.name)  # nor is there a session afterwards


def test_a_clean_start_may_begin_what_lasts(clients: Clients, topic: str) -> None:
    """[5: 3.1.2-4, 3.1.2-5, 3.1.2-23]"""
    client = clients.enter(5, *LASTING, clean=1)
    client.subscribe((topic, 1))
    client.close()
    clients.enter().publish(topic, b"kept", 1)
    assert back(clients, client).take().payload == b"kept"


def test_a_session_without_an_interval_ends_with_its_connection(clients: Clients, topic: str) -> None:
    """[5: 4.1.0-2, 3.1.2-6]"""
    client = clients.enter(5, clean=0)
    client.subscribe((topic, 1))
    client.send(wire.GOOD_BYE)
    assert client.until_closed() == []
    lasting(clients, 5, client.name)


def test_a_session_ends_when_its_interval_is_over(clients: Clients) -> None:
    """[5: 4.1.0-2]"""
    client = clients.enter(5, (wire.SESSION_EXPIRY, 1), clean=0)
    client.send(wire.GOOD_BYE)
    assert client.until_closed() == []
    over = time.monotonic() + 2.1
    wait_until(lambda: time.monotonic() > over, "the interval to pass")
    lasting(clients, 5, client.name)


def test_a_good_bye_changes_the_interval(clients: Clients) -> None:
    """Section 3.14.2.2.2 [5: 4.1.0-2, 3.1.2-23]"""
    client = lasting(clients, 5)
    client.send(wire.disconnect(0, (wire.SESSION_EXPIRY, 0)))
    assert client.until_closed() == []
    client = clients.open(5, client.name)
    assert not client.enter((wire.SESSION_EXPIRY, 1), clean=0).session_present
    client.send(wire.disconnect(0, (wire.SESSION_EXPIRY, 1000)))
    assert client.until_closed() == []
    over = time.monotonic() + 2.1
    wait_until(lambda: time.monotonic() > over, "the first interval to pass")
    back(clients, client)


@BOTH
def test_who_takes_over_goes_on_with_the_session(version: int, clients: Clients, topic: str) -> None:
    """[5: 3.1.4-3, 3.1.2-5]
    [3: 3.1.4-2, 3.1.2-4]"""
    client = lasting(clients, version)
    client.subscribe((topic, 1))
    again = back(clients, client)
    assert [packet.reason for packet in client.until_closed()] == ([0x8E] if version == 5 else [])
    clients.enter(version).publish(topic, b"here", 1)
    assert again.take().payload == b"here"


@MOVES
def test_what_was_not_acknowledged_comes_again(first: int, second: int, clients: Clients, topic: str) -> None:
    """[5: 3.3.1-1, 4.4.0-1, 4.3.2-3, 4.3.3-3, 4.3.3-5, 4.3.3-6]
    [3: 3.3.1-1, 4.4.0-1, 4.3.2-1, 4.3.3-1, 2.3.1-4]"""
    client = lasting(clients, first)
    client.subscribe((topic, 2))
    publisher = clients.enter(first)
    for number in range(6):
        publisher.publish(topic, b"%d" % number, 1 + number % 2)
    sent = [client.expect(PUBLISH) for _ in range(6)]
    client.send(wire.answer(PUBREC, sent[1].id))
    assert client.expect(PUBREL).id == sent[1].id
    client.acknowledge(sent[2])
    client.acknowledge(sent[3])
    assert client.ping() == []
    client.close()
    again = back(clients, client, second)
    found = [again.read() for _ in range(4)]
    told = [(packet.kind, packet.id, packet.dup, packet.payload) for packet in found if packet]
    assert sorted(told) == sorted(
        [(PUBREL, sent[1].id, False, b"")]
        + [(PUBLISH, packet.id, True, packet.payload) for packet in (sent[0], sent[4], sent[5])]
    )
    assert [payload for kind, _, _, payload in told if kind == PUBLISH] == [b"0", b"4", b"5"]
    again.send(wire.answer(PUBCOMP, sent[1].id))
    for packet in found:
        if packet and packet.kind == PUBLISH:
            again.acknowledge(packet)
    assert again.ping() == []
    assert back(clients, again).ping() == []  # all of it is over


@BOTH
def test_a_message_with_qos_2_is_one_across_connections(version: int, clients: Clients, topic: str) -> None:
    """[5: 4.3.3-10, 4.3.3-12, 4.1.0-1]
    [3: 4.3.3-2, 4.1.0-1]"""
    subscriber = clients.enter(version)
    subscriber.subscribe((topic, 0))
    client = lasting(clients, version)
    client.send(wire.publish(version, topic, b"once", 2, 5))
    assert client.expect(PUBREC).id == 5
    client.close()
    again = back(clients, client)
    again.send(wire.publish(version, topic, b"once", 2, 5, dup=1), wire.answer(PUBREL, 5))
    assert again.expect(PUBREC).id == 5
    pubcomp = again.expect(PUBCOMP)
    assert (pubcomp.id, pubcomp.reason) == (5, 0)
    again.send(wire.publish(version, topic, b"another", 2, 5))
    assert again.expect(PUBREC).id == 5
    again.send(wire.answer(PUBREL, 5))
    assert again.expect(PUBCOMP).id == 5
    assert [packet.payload for packet in subscriber.ping()] == [b"once", b"another"]


def test_less_is_sent_again_to_who_takes_less_now(clients: Clients, topic: str) -> None:
    """[5: 3.3.4-9, 3.1.2-24, 4.9.0-1]"""
    client = lasting(clients, 5)
    client.subscribe((topic, 1))
    publisher = clients.enter()
    for number in range(5):
        publisher.publish(topic, b"%d" % number, 1)
    for _ in range(5):
        client.expect(PUBLISH)
    client.close()
    again = clients.open(5, client.name)
    assert again.enter((wire.RECEIVE_MAXIMUM, 2), *LASTING, clean=0).session_present
    found = [again.expect(PUBLISH), again.expect(PUBLISH)]
    assert again.ping() == []
    for packet in found:
        again.send(wire.answer(PUBACK, packet.id))
    assert [again.take().payload for _ in range(3)] == [b"2", b"3", b"4"]


@BOTH
def test_who_has_unsubscribed_gets_nothing_when_back(version: int, clients: Clients, topic: str) -> None:
    """[5: 3.10.4-2]
    [3: 3.10.4-2]"""
    client = lasting(clients, version)
    client.subscribe((topic, 1), (topic + "/other", 1))
    client.send(wire.unsubscribe(version, 9, topic))
    client.expect(wire.UNSUBACK)
    client.close()
    publisher = clients.enter(version)
    publisher.publish(topic, b"", 1)
    publisher.publish(topic + "/other", b"", 1)
    assert back(clients, client).take().topic == topic + "/other"


def test_options_and_identifiers_last_as_long_as_their_subscription(clients: Clients, topic: str) -> None:
    """[5: 3.3.4-3, 3.3.1-13, 3.8.3-3]"""
    client = lasting(clients, 5)
    client.subscribe((topic, 1 | 4 | 8), properties=((wire.SUBSCRIPTION_ID, 300),))
    client.close()
    again = back(clients, client)
    again.publish(topic, b"own", 1)
    publisher = clients.enter()
    publisher.publish(topic, b"kept", 1, retain=1)
    found = again.take()
    assert (found.payload, found.retain, found.all(wire.SUBSCRIPTION_ID)) == (b"kept", True, [300])
    again.close()
    publisher.publish(topic, b"while away", 1)
    assert back(clients, again).take().all(wire.SUBSCRIPTION_ID) == [300]


def test_the_time_of_a_message_goes_on_while_its_receiver_is_away(clients: Clients, topic: str) -> None:
    """[5: 3.3.2-5, 3.3.2-6]"""
    client = lasting(clients, 5)
    client.subscribe((topic, 1))
    client.close()
    publisher = clients.enter()
    publisher.publish(topic, b"short", 1, properties=((wire.EXPIRY, 1),))
    publisher.publish(topic, b"long", 1, properties=((wire.EXPIRY, 100),))
    over = time.monotonic() + 1.1
    wait_until(lambda: time.monotonic() > over, "the time to pass")
    found = back(clients, client).take()
    assert found.payload == b"long"
    assert 30 <= found.number(wire.EXPIRY) <= 99
