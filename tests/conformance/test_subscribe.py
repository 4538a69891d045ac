"""Sections 3.8 to 3.11 and 4.7: filters, what they match, and what their options ask for."""

import pytest

from tests.conformance import wire
from tests.conformance.broker import BOTH, SHAPES, Clients
from tests.conformance.wire import PUBACK, PUBLISH, PUBREC, PUBREL

pytestmark = SHAPES

MALFORMED, PROTOCOL_ERROR = 0x81, 0x82
NO_LOCAL, AS_PUBLISHED = 4, 8


# --- packets ---------------------------------------------------------------------------------------------


@BOTH
def test_there_is_an_answer_for_each_filter_in_their_order(
    version: int, clients: Clients, topic: str
) -> None:
    """[5: 3.8.4-1, 3.8.4-5, 3.8.4-6, 3.8.4-7, 3.9.3-1, 3.9.3-2, 3.2.2-10]
    [3: 3.8.4-1, 3.8.4-4, 3.8.4-5, 3.9.3-1,
    3.9.3-2]"""
    client = clients.enter(version)
    found = client.subscribe(
        (topic + "/a", 2), (topic + "/b", 0), ("$not/ours", 1), (topic + "/+", 1), (topic + "/a", 0)
    )
    assert found == [2, 0, 0x87 if version == 5 else 0x80, 1, 0]
    publisher = clients.enter(version)
    for name, qos in (("a", 1), ("b", 1), ("c", 1)):  # as if each had come by itself
        publisher.publish(f"{topic}/{name}", b"", 2)
        assert client.take().qos == qos
    assert client.ping() == []


@BOTH
@pytest.mark.parametrize("first", [0x82, 0xA2], ids=["SUBSCRIBE", "UNSUBSCRIBE"])
def test_there_is_a_filter_at_least(first: int, version: int, clients: Clients) -> None:
    """[5: 3.8.3-2, 3.10.3-2] [3: 3.8.3-3, 3.10.3-2]"""
    client = clients.enter(version)
    client.send(wire.packet(first, b"\0\1" + (b"\0" if version == 5 else b"")))
    client.refused(MALFORMED, PROTOCOL_ERROR)


@pytest.mark.parametrize(
    ("version", "options"),
    [
        (4, 3),
        (4, 4),
        (4, 8),
        (4, 0x10),
        (4, 0x20),
        (4, 0x40),
        (4, 0x81),
        (5, 3),
        (5, 0x30),
        (5, 0x40),
        (5, 0x82),
    ],
)
def test_options_have_no_reserved_bits(version: int, options: int, clients: Clients) -> None:
    """[5: 3.8.3-5] [3: 3.8.3-4]"""
    client = clients.enter(version)
    client.send(wire.subscribe(version, 1, ("t", 0), ("u", options)))
    client.refused(MALFORMED, PROTOCOL_ERROR)


@BOTH
@pytest.mark.parametrize("filter", ["", "#/a", "a/#/b", "a#", "a/b#", "+a", "a+/b", "a/+b", "a/++", "##"])
def test_wildcards_have_a_level_of_their_own(filter: str, version: int, clients: Clients) -> None:
    """[5: 4.7.1-1, 4.7.1-2, 4.7.3-1] [3: 4.7.1-2, 4.7.1-3, 4.7.3-1]"""
    for said in (wire.subscribe(version, 1, (filter, 0)), wire.unsubscribe(version, 1, filter)):
        client = clients.enter(version)
        client.send(said)
        client.refused(MALFORMED, 0x8F)


# --- matching --------------------------------------------------------------------------------------------

TOPICS = [
    *("sport", "sport/", "sport/tennis", "sport/tennis/player1", "sport/tennis/player1/ranking", "Sport"),
    *("/", "//", "/finance", "finance/", "/finance/", "a//b", "a/b", " ", "a b", "é", "e\u0301"),
]


FILTERS = [
    *("#", "+", "+/+", "/+", "+/", "+/#", "/#", "+/+/+", "sport/#", "sport/+", "sport/tennis/#"),
    *("sport/tennis/player1/#", "sport/+/player1", "sport/tennis/+", "+/tennis/#", "a/+/b", "a//b", "//"),
    *("/finance", "/", " ", "é", "e\u0301", "sport", "SPORT"),
]


@BOTH
def test_filters_match_as_the_standard_says(version: int, clients: Clients) -> None:
    """[5: 4.7.1-1, 4.7.1-2, 4.7.2-1, 4.7.3-4, 3.3.2-3, 3.3.1-9]
    [3: 4.7.1-2, 4.7.1-3, 4.7.2-1, 4.7.3-4, 3.3.2-3,
    3.8.3-2, 3.3.1-6] Whether a message is published now or was retained."""
    wanted = {
        filter: [name for name in TOPICS if wire.matches(filter.split("/"), name.split("/"))]
        for filter in FILTERS
    }
    subscribers = {filter: clients.enter(version) for filter in FILTERS}
    for filter, client in subscribers.items():
        client.retained((filter, 0))
    publisher = clients.enter(version)
    for name in TOPICS:
        publisher.publish(name, b"now", 1)
    assert {
        filter: [packet.topic for packet in client.ping()] for filter, client in subscribers.items()
    } == wanted
    for name in TOPICS:
        publisher.publish(name, b"kept", 1, retain=1)
    found = {filter: clients.enter(version).retained((filter, 0)) for filter in FILTERS}
    assert {
        filter: sorted(packet.topic for packet in packets if packet.topic in TOPICS)
        for filter, packets in found.items()
    } == {filter: sorted(names) for filter, names in wanted.items()}
    for name in TOPICS:
        publisher.publish(name, b"", 1, retain=1)


@BOTH
def test_a_plain_level_below_a_dollar_is_one(version: int, clients: Clients, topic: str) -> None:
    """[5: 4.7.2-1] [3: 4.7.2-1] Only the first character of a topic hides it."""
    client = clients.enter(version)
    client.subscribe((topic + "/#", 0))
    clients.enter(version).publish(topic + "/$SYS/a", b"", 1)
    assert client.take().topic == topic + "/$SYS/a"


# --- more than one filter --------------------------------------------------------------------------------


@BOTH
def test_overlapping_filters_bring_one_copy_with_the_highest_qos(
    version: int, clients: Clients, topic: str
) -> None:
    """[5: 3.3.4-2, 3.8.4-8] [3: 3.3.5-1]"""
    client = clients.enter(version)
    client.subscribe((topic + "/a", 0), (topic + "/+", 2), (topic + "/#", 1))
    publisher = clients.enter(version)
    for sent in (0, 1, 2):
        publisher.publish(topic + "/a", b"", sent)
        assert client.take().qos == sent
    assert client.ping() == []


@BOTH
def test_a_filter_that_comes_again_replaces_the_one_before(
    version: int, clients: Clients, topic: str
) -> None:
    """[5: 3.8.4-3, 3.8.4-4] [3: 3.8.4-3]"""
    publisher = clients.enter(version)
    publisher.publish(topic, b"kept", 1, retain=1)
    client = clients.enter(version)
    for qos in (2, 0, 1):
        assert client.subscribe((topic, qos)) == [qos]
        found = client.take()
        assert (found.payload, found.retain, found.qos) == (b"kept", True, min(qos, 1))
        publisher.publish(topic, b"live", 2)
        found = client.take()
        assert (found.payload, found.retain, found.qos) == (b"live", False, qos)
    assert client.ping() == []


@BOTH
def test_nothing_is_lost_while_a_filter_is_replaced(version: int, clients: Clients, topic: str) -> None:
    """[5: 3.8.4-4] [3: 3.8.4-3]"""
    client = clients.enter(version)
    client.subscribe((topic, 1))
    publisher = clients.enter(version)
    for number in range(20):
        client.send(wire.subscribe(version, 1000 + number, (topic, 1)))
        publisher.publish(topic, b"%d" % number, 1)
    found: list[int] = []
    while len(found) < 20:
        packet = client.read()
        assert packet is not None
        if packet.kind == PUBLISH:
            client.acknowledge(packet)
            found.append(int(packet.payload))
    assert found == [*range(20)]


# --- options ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_no_local_hides_what_a_client_publishes_itself(qos: int, clients: Clients, topic: str) -> None:
    """[5: 3.8.3-3]"""
    client, other = clients.enter(), clients.enter()
    for one in (client, other):
        one.subscribe((topic, qos | NO_LOCAL))
    client.publish(topic, b"mine", qos)
    assert other.take().payload == b"mine"
    assert client.ping() == []
    client.subscribe((topic + "/#", 0))  # which has no such option
    client.send(wire.publish(5, topic, b"again", 1, 77))
    assert {packet.kind for packet in (client.read(), client.read()) if packet} == {PUBLISH, PUBACK}
    assert other.take().payload == b"again"


def test_no_local_and_shared_do_not_go_together(clients: Clients) -> None:
    """[5: 3.8.3-4]"""
    client = clients.enter()
    client.send(wire.subscribe(5, 1, ("$share/group/t", NO_LOCAL)))
    client.refused(PROTOCOL_ERROR)


@pytest.mark.parametrize(
    "filter", ["$share/", "$share/g", "$share//t", "$share/g/", "$share/g+/t", "$share/#/t"]
)
def test_a_shared_filter_has_a_name_and_a_filter(filter: str, clients: Clients) -> None:
    """[5: 4.8.2-1, 4.8.2-2]"""
    client = clients.enter()
    client.send(wire.subscribe(5, 1, (filter, 0)))
    found = client.read()
    assert found is not None
    assert {found.reason, *found.reasons} & {MALFORMED, PROTOCOL_ERROR, 0x8F, 0x9E}


@pytest.mark.parametrize("retain", [0, 1])
def test_retain_is_shown_as_it_was_published_to_who_asks_for_it(
    retain: int, clients: Clients, topic: str
) -> None:
    """[5: 3.3.1-12, 3.3.1-13]"""
    plain, asks, older = clients.enter(), clients.enter(), clients.enter(4)
    plain.subscribe((topic, 1))
    asks.subscribe((topic, 1 | AS_PUBLISHED))
    older.subscribe((topic, 1))
    clients.enter().publish(topic, b"p", 1, retain=retain)
    assert [client.take().retain for client in (plain, asks, older)] == [False, bool(retain), False]


# --- identifiers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("identifier", [1, 127, 128, 16_383, 16_384, 268_435_455])
def test_an_identifier_comes_with_what_its_subscription_brings(
    identifier: int, clients: Clients, topic: str
) -> None:
    """[5: 3.3.4-3]"""
    client, other = clients.enter(), clients.enter()
    client.subscribe((topic, 1), properties=((wire.SUBSCRIPTION_ID, identifier),))
    other.subscribe((topic, 1))
    clients.enter().publish(topic, b"", 1)
    assert client.take().all(wire.SUBSCRIPTION_ID) == [identifier]
    assert other.take().all(wire.SUBSCRIPTION_ID) == []


def test_a_copy_has_the_identifiers_of_all_its_subscriptions(clients: Clients, topic: str) -> None:
    """[5: 3.3.4-4, 3.3.4-5, 3.8.4-3]"""
    client = clients.enter()
    filters = ((f"{topic}/a", 1), (f"{topic}/#", 2), (f"{topic}/+", 0), (f"{topic}/b", 4))
    for filter, identifier in filters:
        properties = ((wire.SUBSCRIPTION_ID, identifier),) if identifier else ()
        client.subscribe((filter, 1), properties=properties)
    publisher = clients.enter()

    def identifiers() -> list[wire.Value]:
        publisher.publish(topic + "/a", b"", 1)
        found: list[wire.Value] = []
        for packet in client.ping():
            client.acknowledge(packet)
            found += packet.all(wire.SUBSCRIPTION_ID)
        return sorted(found, key=str)

    assert identifiers() == [1, 2]
    client.subscribe((topic + "/a", 1), properties=((wire.SUBSCRIPTION_ID, 7),))
    assert identifiers() == [2, 7]
    client.subscribe((topic + "/a", 1))
    assert identifiers() == [2]


# --- unsubscribing ---------------------------------------------------------------------------------------


@BOTH
def test_unsubscribing_is_answered_whatever_it_finds(version: int, clients: Clients, topic: str) -> None:
    """[5: 3.10.4-1, 3.10.4-2, 3.10.4-4, 3.10.4-5, 3.10.4-6, 3.11.3-1, 3.11.3-2]
    [3: 3.10.4-1, 3.10.4-2, 3.10.4-4,
    3.10.4-5, 3.10.4-6]"""
    client = clients.enter(version)
    client.subscribe((topic, 0), (topic + "/+", 0), (topic + "/#", 0))
    client.send(wire.unsubscribe(version, 9, topic + "/never", topic, topic + "/a", topic + "/#", topic))
    found = client.expect(wire.UNSUBACK)
    assert (found.id, found.reasons) == (9, [0x11, 0, 0x11, 0, 0x11] if version == 5 else [])
    publisher = clients.enter(version)
    for name in (topic, topic + "/a", topic + "/a/b"):
        publisher.publish(name, b"", 1)
    assert [packet.topic for packet in client.ping()] == [topic + "/a"]


@BOTH
@pytest.mark.parametrize("other", ["é{}", "e\u0301{}", "E{}", "e{} ", "e{}/"])
def test_filters_are_compared_character_by_character(
    other: str, version: int, clients: Clients, topic: str
) -> None:
    """[5: 3.10.4-1, 4.7.3-4] [3: 3.10.4-1, 4.7.3-4]"""
    client = clients.enter(version)
    client.subscribe((f"e{topic}", 0))
    client.send(wire.unsubscribe(version, 9, other.format(topic)))
    client.expect(wire.UNSUBACK)
    publisher = clients.enter(version)
    publisher.publish(other.format(topic), b"", 0)
    publisher.publish(f"e{topic}", b"", 1)
    assert [packet.topic for packet in client.ping()] == [f"e{topic}"]


@BOTH
@pytest.mark.parametrize("qos", [1, 2])
def test_what_is_under_way_is_completed_after_unsubscribing(
    qos: int, version: int, clients: Clients, topic: str
) -> None:
    """[5: 3.10.4-3] [3: 3.10.4-3]"""
    client = clients.enter(version)
    client.subscribe((topic, qos))
    clients.enter(version).publish(topic, b"", qos)
    found = client.expect(PUBLISH)
    client.send(wire.unsubscribe(version, 9, topic))
    client.expect(wire.UNSUBACK)
    if qos == 1:
        client.send(wire.answer(PUBACK, found.id))
    else:
        client.send(wire.answer(PUBREC, found.id))
        assert client.expect(PUBREL).id == found.id
        client.send(wire.answer(wire.PUBCOMP, found.id))
    assert client.ping() == []


@BOTH
def test_subscriptions_of_one_client_are_none_of_another(version: int, clients: Clients, topic: str) -> None:
    """[5: 3.1.3-2, 3.10.4-1] [3: 3.1.3-2, 3.10.4-1]"""
    first, second = clients.enter(version), clients.enter(version)
    for client in (first, second):
        client.subscribe((topic, 0))
    first.send(wire.unsubscribe(version, 9, topic))
    first.expect(wire.UNSUBACK)
    clients.enter(version).publish(topic, b"", 1)
    assert first.ping() == []
    assert second.take().topic == topic
