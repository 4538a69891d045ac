"""Sections 3.1.2.5 and 3.1.3.2: what a client leaves behind that goes without saying so."""

import time

import pytest

from tests.conformance import wire
from tests.conformance.broker import BOTH, SHAPES, Clients
from tests.conformance.test_publish import EVERYTHING
from tests.conformance.wire import Will
from tests.waiting import wait_until

pytestmark = SHAPES


@BOTH
@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("retain", [0, 1])
def test_a_will_is_published_when_its_client_hangs_up(
    retain: int, qos: int, version: int, clients: Clients, topic: str
) -> None:
    """[5: 3.1.2-7, 3.1.2-8, 3.1.2-9, 3.1.2-12, 3.1.2-14, 3.1.2-15]
    [3: 3.1.2-8, 3.1.2-9, 3.1.2-14, 3.1.2-16, 3.1.2-17]"""
    subscriber = clients.enter(version)
    subscriber.subscribe((topic, 2))
    clients.enter(version, will=Will(topic, b"\0gone", qos, retain)).close()
    found = subscriber.take()
    assert (found.payload, found.qos, found.retain) == (b"\0gone", qos, False)
    kept = clients.enter(version).retained((topic, 2))
    assert [packet.payload for packet in kept] == [b"\0gone"] * retain


@BOTH
def test_a_will_is_forgotten_at_a_good_bye(version: int, clients: Clients, topic: str) -> None:
    """[5: 3.1.2-10, 3.14.4-3]
    [3: 3.1.2-10, 3.1.2-12, 3.14.4-3]"""
    subscriber = clients.enter(version)
    subscriber.subscribe((topic, 0))
    leaves = clients.enter(version, will=Will(topic, b"left"))
    leaves.send(wire.GOOD_BYE)
    assert leaves.until_closed() == []
    clients.enter(version).close()  # has none
    clients.enter(version, will=Will(topic, b"dropped")).close()
    assert subscriber.take().payload == b"dropped"
    clients.open(version, leaves.name).enter()  # nor is it there when the client is back
    assert subscriber.ping() == []


@BOTH
def test_a_will_is_published_once(version: int, clients: Clients, topic: str) -> None:
    """[5: 3.1.2-10]
    [3: 3.1.2-10]"""
    subscriber = clients.enter(version)
    subscriber.subscribe((topic, 1))
    first = clients.enter(version, will=Will(topic, b"first"))
    first.close()
    assert subscriber.take().payload == b"first"
    clients.open(version, first.name).enter(will=Will(topic, b"second"))
    clients.open(version, first.name).enter(will=Will(topic, b"third"))  # the second one is cut off
    assert subscriber.take().payload == b"second"
    assert subscriber.ping() == []


@BOTH
def test_a_will_is_published_after_a_fault(version: int, clients: Clients, topic: str) -> None:
    """[5: 3.1.2-8, 4.13.1-1]
    [3: 3.1.2-8, 4.8.0-1]"""
    subscriber = clients.enter(version)
    subscriber.subscribe((topic, 1))
    faulty = clients.enter(version, will=Will(topic, b"faulty"))
    faulty.send(b"\0\0")
    faulty.until_closed()
    assert subscriber.take().payload == b"faulty"


@BOTH
def test_a_will_is_published_when_its_client_is_silent(version: int, clients: Clients, topic: str) -> None:
    """[5: 3.1.2-22, 3.1.2-8]
    [3: 3.1.2-24, 3.1.2-8]"""
    subscriber = clients.enter(version)
    subscriber.subscribe((topic, 1))
    clients.enter(version, keep_alive=1, will=Will(topic, b"silent"))
    assert subscriber.take().payload == b"silent"


def test_a_good_bye_may_ask_for_the_will(clients: Clients, topic: str) -> None:
    """Section 3.14.2.1 [5: 3.1.2-8]"""
    subscriber = clients.enter()
    subscriber.subscribe((topic, 1))
    client = clients.enter(5, will=Will(topic, b"bye"))
    client.send(wire.disconnect(4))
    assert client.until_closed() == []
    assert subscriber.take().payload == b"bye"


def test_a_will_has_properties(clients: Clients, topic: str) -> None:
    """[5: 3.1.3-10, 3.1.3-1, 3.3.2-17]"""
    subscriber = clients.enter()
    subscriber.subscribe((topic, 1))
    properties = (*EVERYTHING, (wire.EXPIRY, 100), (wire.WILL_DELAY, 0))
    clients.enter(5, will=Will(topic, b"text", 1, 0, properties)).close()
    found = subscriber.take()
    assert found.all(wire.USER) == [value for id, value in EVERYTHING if id == wire.USER]
    assert 40 <= found.number(wire.EXPIRY) <= 100
    assert {pair for pair in found.properties if pair[0] not in (wire.USER, wire.EXPIRY)} == {
        pair for pair in EVERYTHING if pair[0] != wire.USER
    }


def test_a_will_waits_for_its_delay(clients: Clients, topic: str) -> None:
    """[5: 3.1.2-8]"""
    subscriber = clients.enter()
    subscriber.subscribe((topic, 1))
    began = time.monotonic()
    will = Will(topic, b"late", 1, 0, ((wire.WILL_DELAY, 1),))
    clients.enter(5, (wire.SESSION_EXPIRY, 100), will=will).close()
    assert subscriber.take().payload == b"late"
    assert time.monotonic() - began >= 1


def test_no_will_comes_of_who_is_back_in_time(clients: Clients, topic: str) -> None:
    """[5: 3.1.3-9]"""
    subscriber = clients.enter()
    subscriber.subscribe((topic, 1))
    will = Will(topic, b"late", 1, 0, ((wire.WILL_DELAY, 1),))
    client = clients.enter(5, (wire.SESSION_EXPIRY, 100), will=will)
    client.close()
    clients.open(5, client.name).enter((wire.SESSION_EXPIRY, 100), clean=0)
    over = time.monotonic() + 2
    wait_until(lambda: time.monotonic() > over, "the delay to pass")
    assert subscriber.ping() == []


@pytest.mark.parametrize("ends", ["with its connection", "by a clean start"])
def test_a_will_does_not_wait_beyond_its_session(ends: str, clients: Clients, topic: str) -> None:
    """[5: 3.1.2-8]"""
    subscriber = clients.enter()
    subscriber.subscribe((topic, 1))
    will = Will(topic, b"now", 1, 0, ((wire.WILL_DELAY, 1000),))
    expiry = 0 if ends == "with its connection" else 1000
    client = clients.enter(5, (wire.SESSION_EXPIRY, expiry), will=will)
    client.close()
    if expiry:
        clients.open(5, client.name).enter(clean=1)
    assert subscriber.take().payload == b"now"
