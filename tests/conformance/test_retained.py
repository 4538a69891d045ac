"""Section 3.3.1.3: the message that a topic keeps for who subscribes later."""

import time

import pytest

from tests.conformance import wire
from tests.conformance.broker import BOTH, SHAPES, Clients
from tests.conformance.test_publish import EVERYTHING
from tests.waiting import wait_until

pytestmark = SHAPES

NEW_ONLY, NEVER, AS_PUBLISHED, NO_LOCAL = 0x10, 0x20, 8, 4


@BOTH
@pytest.mark.parametrize("receiver", [4, 5], ids=["to 3.1.1", "to 5.0"])
def test_the_last_retained_message_goes_to_who_subscribes(
    version: int, receiver: int, clients: Clients, topic: str
) -> None:
    """[5: 3.3.1-5, 3.3.1-9, 3.8.4-8] [3: 3.3.1-5, 3.3.1-6, 3.3.1-7, 3.3.1-8]"""
    publisher = clients.enter(version)
    for qos in (1, 2, 0):
        publisher.publish(topic, b"before", 1, retain=1)
        publisher.publish(topic, b"%d" % qos, qos, retain=1)
        publisher.publish(topic, b"not kept", 1)
        if not qos:  # kept in its time: an answer behind it is there when it is
            publisher.publish(topic + "/other", b"", 1, retain=1)
        for granted in (0, 1, 2):
            [found] = clients.enter(receiver).retained((topic, granted))
            assert (found.payload, found.retain, found.dup) == (b"%d" % qos, True, False)
            assert found.qos == min(qos, granted)


@BOTH
def test_who_subscribes_already_gets_it_as_any_other(version: int, clients: Clients, topic: str) -> None:
    """[5: 3.3.1-12] [3: 3.3.1-9]"""
    client = clients.enter(version)
    client.subscribe((topic, 1))
    clients.enter(version).publish(topic, b"p", 1, retain=1)
    found = client.take()
    assert (found.payload, found.retain) == (b"p", False)
    assert client.ping() == []


@BOTH
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_an_empty_payload_ends_what_is_retained(qos: int, version: int, clients: Clients, topic: str) -> None:
    """[5: 3.3.1-6, 3.3.1-7] [3: 3.3.1-10, 3.3.1-11]"""
    publisher = clients.enter(version)
    live = clients.enter(version)
    live.subscribe((topic, 0))
    publisher.publish(topic, b"kept", 1, retain=1)
    publisher.publish(topic, b"", qos, retain=1)
    publisher.publish(topic + "/other", b"", 1, retain=1)
    assert [packet.payload for packet in live.ping()] == [b"kept", b""]
    assert clients.enter(version).retained((topic, 1)) == []


@BOTH
def test_a_message_without_retain_changes_nothing(version: int, clients: Clients, topic: str) -> None:
    """[5: 3.3.1-8] [3: 3.3.1-12]"""
    publisher = clients.enter(version)
    publisher.publish(topic + "/none", b"live", 1)
    publisher.publish(topic, b"kept", 1, retain=1)
    publisher.publish(topic, b"", 1)
    [found] = clients.enter(version).retained((topic + "/#", 1))
    assert found.payload == b"kept"


@BOTH
def test_it_outlives_the_session_of_its_publisher(version: int, clients: Clients, topic: str) -> None:
    """[5: 4.1.0-2, 3.1.2-4] [3: 3.1.2-7]"""
    publisher = clients.enter(version)
    publisher.publish(topic, b"kept", 1, retain=1)
    publisher.send(wire.GOOD_BYE)
    assert publisher.until_closed() == []
    clients.open(version, publisher.name).enter()
    client = clients.enter(version)
    client.subscribe((topic, 0))
    assert client.take().payload == b"kept"


@pytest.mark.parametrize(("handling", "times"), [(0, [1, 1]), (NEW_ONLY, [1, 0]), (NEVER, [0, 0])])
def test_the_subscriber_says_when_it_wants_it(
    handling: int, times: list[int], clients: Clients, topic: str
) -> None:
    """[5: 3.3.1-9, 3.3.1-10, 3.3.1-11, 3.8.4-4]"""
    clients.enter().publish(topic, b"kept", 1, retain=1)
    client = clients.enter()
    for count in times:
        assert len(client.retained((topic, handling))) == count
    client.send(wire.unsubscribe(5, 9, topic))
    client.expect(wire.UNSUBACK)
    assert len(client.retained((topic, handling))) == times[0]  # it is new again


def test_each_filter_of_a_packet_has_its_own(clients: Clients, topic: str) -> None:
    """[5: 3.8.4-5, 3.3.1-9, 3.3.1-11]"""
    publisher = clients.enter()
    for name in "abc":
        publisher.publish(f"{topic}/{name}", name.encode(), 1, retain=1)
    filters = ((topic + "/a", 0), (topic + "/b", NEVER), (topic + "/c", NEW_ONLY))
    assert sorted(packet.payload for packet in clients.enter().retained(*filters)) == [b"a", b"c"]


def test_it_comes_with_everything_that_was_sent_with_it(clients: Clients, topic: str) -> None:
    """[5: 3.3.2-4, 3.3.2-15, 3.3.2-16, 3.3.2-17, 3.3.2-18, 3.3.2-20, 3.3.4-3]"""
    clients.enter().publish(topic, b"kept", 1, retain=1, properties=EVERYTHING)
    client = clients.enter()
    client.subscribe((topic, 1), properties=((wire.SUBSCRIPTION_ID, 5),))
    found = client.take()
    assert found.all(wire.USER) == [value for id, value in EVERYTHING if id == wire.USER]
    assert {pair for pair in found.properties if pair[0] != wire.USER} == {
        (wire.SUBSCRIPTION_ID, 5),
        *(pair for pair in EVERYTHING if pair[0] != wire.USER),
    }


def test_no_alias_is_retained(clients: Clients, topic: str) -> None:
    """[5: 3.3.2-7, 3.1.2-27]"""
    publisher = clients.enter()
    for payload in (b"1", b"2"):
        name = topic if payload == b"1" else ""
        publisher.publish(name, payload, 1, retain=1, properties=((wire.ALIAS, 1),))
    client = clients.enter()
    client.subscribe((topic, 0))
    found = client.take()
    assert (found.topic, found.payload) == (topic, b"2")


@pytest.mark.parametrize("option", [0, AS_PUBLISHED])
def test_it_says_that_it_was_retained_whatever_was_asked(option: int, clients: Clients, topic: str) -> None:
    """Section 3.3.1.3 [5: 3.3.1-9]"""
    clients.enter().publish(topic, b"kept", 1, retain=1)
    client = clients.enter()
    client.subscribe((topic, 1 | option))
    assert client.take().retain


def test_no_local_holds_for_it_too(clients: Clients, topic: str) -> None:
    """[5: 3.8.3-3]"""
    client = clients.enter()
    client.publish(topic, b"mine", 1, retain=1)
    assert client.retained((topic, 1 | NO_LOCAL)) == []


@pytest.mark.parametrize("filter", ["$share/group/{}", "$share/group/#"])
def test_it_does_not_go_to_shared_subscriptions(filter: str, clients: Clients, topic: str) -> None:
    """Section 4.8.2"""
    clients.enter().publish(topic, b"kept", 1, retain=1)
    assert clients.enter().retained((filter.format(topic), 1)) == []


def test_it_ends_with_its_time(clients: Clients, topic: str) -> None:
    """[5: 3.3.2-5, 3.3.2-6]"""
    publisher = clients.enter()
    publisher.publish(topic + "/short", b"", 1, retain=1)
    publisher.publish(topic + "/short", b"short", 1, retain=1, properties=((wire.EXPIRY, 1),))
    publisher.publish(topic + "/long", b"long", 1, retain=1, properties=((wire.EXPIRY, 100),))
    over = time.monotonic() + 1.1
    wait_until(lambda: time.monotonic() > over, "the time to pass")
    [found] = clients.enter().retained((topic + "/+", 1))
    assert found.payload == b"long"
    assert 30 <= found.number(wire.EXPIRY) <= 99


@BOTH
def test_a_filter_gets_all_that_it_matches(version: int, clients: Clients, topic: str) -> None:
    """[5: 3.3.1-9, 4.9.0-2, 4.6.0-6]
    [3: 3.3.1-6] However many there are, and as fast as they are acknowledged."""
    publisher = clients.enter(version)
    names = [f"{topic}/{number:03}" for number in range(150)]
    for name in names:
        publisher.publish(name, name.encode(), 1, retain=1)
    client = clients.enter(version, *([(wire.RECEIVE_MAXIMUM, 3)] if version == 5 else []))
    client.send(wire.subscribe(version, 1, (topic + "/+", 1)))
    assert client.expect(wire.SUBACK).reasons == [1]
    assert sorted(client.take().topic for _ in names) == names
    assert client.ping() == []
