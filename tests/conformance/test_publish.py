"""Sections 3.3 to 3.7, 4.3, 4.6 and 4.9: messages, their answers, and what must arrive as it was sent."""

import time

import pytest

from tests.conformance import wire
from tests.conformance.broker import BOTH, SHAPES, Clients
from tests.conformance.wire import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, Property
from tests.waiting import wait_until

pytestmark = SHAPES

MALFORMED, PROTOCOL_ERROR = 0x81, 0x82
EITHER_QOS = pytest.mark.parametrize("qos", [1, 2])
EVERY_QOS = pytest.mark.parametrize("qos", [0, 1, 2])


# --- delivery --------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("receiver", [4, 5], ids=["to 3.1.1", "to 5.0"])
def test_a_message_comes_with_the_lower_qos_of_two(
    version: int, receiver: int, clients: Clients, topic: str
) -> None:
    """[5: 3.8.4-8, 3.3.4-1, 3.3.2-3, 4.5.0-1] [3: 3.8.4-6, 3.3.4-1, 3.3.2-3, 4.5.0-1]"""
    publisher = clients.enter(version)
    for granted in (0, 1, 2):
        subscriber = clients.enter(receiver)
        assert subscriber.subscribe((topic, granted)) == [granted]
        for sent in (0, 1, 2):
            assert publisher.publish(topic, b"%d" % sent, sent) == 0
            found = subscriber.take()
            assert (found.topic, found.payload, found.qos) == (topic, b"%d" % sent, min(sent, granted))
        subscriber.send(wire.GOOD_BYE)
        assert subscriber.until_closed() == []


@BOTH
@EVERY_QOS
def test_messages_of_a_client_keep_their_order(qos: int, version: int, clients: Clients, topic: str) -> None:
    """[5: 4.6.0-2, 4.6.0-3, 4.6.0-5, 4.6.0-6] [3: 4.6.0-2, 4.6.0-3, 4.6.0-5, 4.6.0-6]"""
    subscriber = clients.enter(version)
    subscriber.subscribe((topic + "/+", qos))
    client = clients.enter(version)
    ids = range(1, 41)
    client.send(*(wire.publish(version, f"{topic}/{id % 3}", b"%d" % id, qos, id) for id in ids))
    if qos:
        assert [client.expect(PUBACK if qos == 1 else PUBREC).id for _ in ids] == [*ids]
    if qos == 2:
        client.send(*(wire.answer(PUBREL, id) for id in ids))
        assert [client.expect(PUBCOMP).id for _ in ids] == [*ids]
    assert [int(subscriber.take().payload) for _ in ids] == [*ids]


@BOTH
def test_a_message_that_comes_again_after_puback_is_another(
    version: int, clients: Clients, topic: str
) -> None:
    """[5: 4.3.2-4, 4.3.2-5, 3.3.1-3] [3: 4.3.2-2, 3.3.1-3]"""
    subscriber = clients.enter(version)
    subscriber.subscribe((topic, 1))
    client = clients.enter(version)
    for dup in (0, 1, 1):
        client.send(wire.publish(version, topic, b"", 1, 7, dup=dup))
        assert client.expect(PUBACK).id == 7
        assert not subscriber.take().dup


@BOTH
def test_a_message_with_qos_2_is_one_until_it_is_released(version: int, clients: Clients, topic: str) -> None:
    """[5: 4.3.3-8, 4.3.3-10, 4.3.3-11, 4.3.3-12, 4.1.0-1]
    [3: 4.3.3-2, 4.1.0-1, 4.1.0-2]"""
    subscriber = clients.enter(version)
    subscriber.subscribe((topic, 1))
    client = clients.enter(version)
    for payload in (b"first", b"second"):
        for dup in (0, 1, 0, 1):
            client.send(wire.publish(version, topic, payload, 2, 7, dup=dup))
            found = client.expect(PUBREC)
            assert (found.id, found.reason) == (7, 0)
        client.send(wire.answer(PUBREL, 7))
        found = client.expect(PUBCOMP)
        assert (found.id, found.reason) == (7, 0)
        assert subscriber.take().payload == payload
    assert subscriber.ping() == []


@BOTH
def test_a_release_of_nothing_is_answered(version: int, clients: Clients) -> None:
    """[5: 4.3.3-11, 3.7.2-1] [3: 4.3.3-2]"""
    client = clients.enter(version)
    client.send(wire.answer(PUBREL, 9))
    found = client.expect(PUBCOMP)
    assert (found.id, found.reason) == (9, 0x92 if version == 5 else 0)


@BOTH
def test_the_server_releases_what_was_received(version: int, clients: Clients, topic: str) -> None:
    """[5: 4.3.3-2, 4.3.3-3, 4.3.3-4, 4.3.3-5, 4.3.3-6, 4.4.0-1, 4.3.2-2] [3: 4.3.3-1, 2.3.1-6]"""
    client = clients.enter(version)
    client.subscribe((topic, 2))
    clients.enter(version).publish(topic, b"", 2)
    found = client.expect(PUBLISH)
    assert (found.qos, found.dup) == (2, False)
    assert client.ping() == []  # nothing is sent again while the connection lasts
    for _ in range(2):
        client.send(wire.answer(PUBREC, found.id))
        pubrel = client.expect(PUBREL)
        assert (pubrel.id, pubrel.reason) == (found.id, 0)
        assert client.ping() == []
    client.send(wire.answer(PUBCOMP, found.id))
    assert client.ping() == []


@BOTH
def test_releases_have_the_order_of_receipts(version: int, clients: Clients, topic: str) -> None:
    """[5: 4.6.0-4]
    [3: 4.6.0-4]"""
    client = clients.enter(version)
    client.subscribe((topic, 2))
    publisher = clients.enter(version)
    for _ in range(5):
        publisher.publish(topic, b"", 2)
    ids = [client.expect(PUBLISH).id for _ in range(5)]
    client.send(*(wire.answer(PUBREC, id) for id in reversed(ids)))
    assert [client.expect(PUBREL).id for _ in ids] == ids[::-1]


@EITHER_QOS
def test_what_is_answered_by_an_error_is_done_with(qos: int, clients: Clients, topic: str) -> None:
    """[5: 4.4.0-2, 4.3.3-4, 3.3.4-9]"""
    client = clients.enter(5, (wire.RECEIVE_MAXIMUM, 1))
    client.subscribe((topic, qos))
    publisher = clients.enter()
    for payload in (b"first", b"second"):
        publisher.publish(topic, payload, qos)
    for payload in (b"first", b"second"):
        found = client.expect(PUBLISH)
        assert found.payload == payload
        client.send(wire.answer(PUBACK if qos == 1 else PUBREC, found.id, 0x83))
        client.unanswered.discard(found.id)
    assert client.ping() == []  # and no PUBREL for it


@pytest.mark.parametrize(
    ("qos", "wrong"), [(1, [PUBREC]), (1, [PUBCOMP]), (2, [PUBACK]), (2, [PUBCOMP]), (2, [PUBREC, PUBACK])]
)
@BOTH
def test_an_answer_of_another_qos_ends_the_connection(
    qos: int, wrong: list[int], version: int, clients: Clients, topic: str
) -> None:
    """[5: 3.3.4-1, 4.13.1-1] [3: 3.3.4-1, 4.8.0-1]"""
    client = clients.enter(version)
    client.subscribe((topic, qos))
    clients.enter(version).publish(topic, b"", qos)
    found = client.expect(PUBLISH)
    for kind in wrong[:-1]:
        client.send(wire.answer(kind, found.id))
        client.expect(PUBREL)
    client.send(wire.answer(wrong[-1], found.id))
    client.refused(PROTOCOL_ERROR)


# --- what no PUBLISH may be ------------------------------------------------------------------------------


@BOTH
def test_a_message_has_one_of_three_qos(version: int, clients: Clients) -> None:
    """[5: 3.3.1-4] [3: 3.3.1-4]"""
    for first in (0x36, 0x37, 0x3E, 0x3F):
        client = clients.enter(version)
        client.send(wire.packet(first, wire.text("t") + b"\0\1\0"))
        client.refused(MALFORMED)


@BOTH
def test_a_message_with_qos_0_is_no_duplicate(version: int, clients: Clients) -> None:
    """[5: 3.3.1-2] [3: 3.3.1-2]"""
    client = clients.enter(version)
    client.send(wire.publish(version, "t", b"", 0, dup=1))
    client.refused(MALFORMED, PROTOCOL_ERROR)


@BOTH
@EVERY_QOS
@pytest.mark.parametrize("name", ["#", "+", "a/#", "a/+/b", "a+", "a#b", ""])
def test_a_topic_has_no_wildcards_and_a_character(
    name: str, qos: int, version: int, clients: Clients
) -> None:
    """[5: 3.3.2-2, 4.7.0-1, 4.7.3-1] [3: 3.3.2-2, 4.7.1-1, 4.7.3-1]"""
    client = clients.enter(version)
    client.send(wire.publish(version, name, b"", qos, 1))
    client.refused(MALFORMED, PROTOCOL_ERROR, 0x90)


@BOTH
def test_a_topic_may_have_65535_bytes(version: int, clients: Clients, topic: str) -> None:
    """[5: 4.7.3-3] [3: 4.7.3-3]"""
    name = topic + "é" * ((65535 - len(topic)) // 2)
    name += "x" * (65535 - len(name.encode()))
    client = clients.enter(version)
    client.send(wire.subscribe(version, 1, (name, 1)))
    assert client.expect(wire.SUBACK).reasons == [1]
    clients.enter(version).publish(name, b"long", 1)
    assert client.take().topic == name


@BOTH
def test_a_topic_that_is_not_open_to_clients_is_answered(version: int, clients: Clients, topic: str) -> None:
    """[5: 3.4.2-1, 3.5.2-1, 4.3.3-9, 4.7.2-1] [3: 3.3.5-2, 4.7.2-1]"""
    subscriber = clients.enter(version)
    assert subscriber.subscribe(("#", 0), ("+/" + topic, 0)) == [0, 0]
    client = clients.enter(version)
    refused = 0x87 if version == 5 else 0
    for qos in (0, 1, 2, 2):  # the identifier is free again
        assert client.publish("$SYS/" + topic, b"", qos) == (refused if qos else 0)
    client.publish(topic + "/end", b"", 0)
    assert client.ping() == []
    assert [packet.topic for packet in subscriber.ping()] == [topic + "/end"]


# --- properties and payload ------------------------------------------------------------------------------

EVERYTHING: tuple[Property, ...] = (
    (wire.USER, ("b", "1")),
    (wire.FORMAT, 1),
    (wire.USER, ("a", "2")),
    (wire.RESPONSE_TOPIC, "answers/é"),
    (wire.USER, ("b", "1")),
    (wire.CORRELATION, bytes(range(256))),
    (wire.CONTENT_TYPE, "text/plain; charset=utf-8"),
    (wire.USER, ("", "")),
)


@EVERY_QOS
def test_properties_arrive_as_they_were_sent(qos: int, clients: Clients, topic: str) -> None:
    """[5: 3.3.2-4, 3.3.2-15, 3.3.2-16, 3.3.2-17, 3.3.2-18, 3.3.2-20, 3.1.3-10]"""
    subscriber, older = clients.enter(5), clients.enter(4)
    for client in (subscriber, older):
        client.subscribe((topic, qos))
    clients.enter().publish(topic, "ünïcode".encode(), qos, properties=EVERYTHING)
    found = subscriber.take()
    assert found.all(wire.USER) == [value for id, value in EVERYTHING if id == wire.USER]
    assert {pair for pair in found.properties if pair[0] != wire.USER} == {
        pair for pair in EVERYTHING if pair[0] != wire.USER
    }
    assert older.take().payload == "ünïcode".encode()


@EVERY_QOS
def test_a_payload_that_is_not_the_text_that_it_is_said_to_be_goes_to_nobody(
    qos: int, clients: Clients, topic: str
) -> None:
    """Section 3.3.2.3.2 [5: 3.3.2-4]"""
    subscriber = clients.enter()
    subscriber.subscribe((topic, 0))
    client = clients.enter()
    assert client.publish(topic, b"\xff", qos, properties=((wire.FORMAT, 1),)) == (0x99 if qos else 0)
    client.publish(topic, b"\xff", qos, properties=((wire.FORMAT, 0),))
    client.publish(topic, b"end", 1)
    assert [packet.payload for packet in subscriber.ping()] == [b"\xff", b"end"]


@BOTH
def test_a_payload_may_be_empty_or_large(version: int, clients: Clients, topic: str) -> None:
    """[5: 3.1.2-25] [3: 4.3.1-1]"""
    subscriber = clients.enter(version)
    subscriber.subscribe((topic, 2))
    client = clients.enter(version)
    for qos in (0, 1, 2):
        for size in (0, 1, 127, 128, 16383, 16384, 200_000):
            client.publish(topic, bytes(size), qos)
            assert subscriber.take().payload == bytes(size)


@pytest.mark.shape("embedded")  # other rooms are told that a filter is gone, but not at once
@EITHER_QOS
def test_the_publisher_is_told_when_nobody_subscribes(qos: int, clients: Clients, topic: str) -> None:
    """[5: 3.4.2-1, 3.5.2-1]"""
    client = clients.enter()
    assert client.publish(topic, b"", qos) == 0x10
    clients.enter().subscribe((topic, 0))
    assert client.publish(topic, b"", qos) == 0


# --- expiry ----------------------------------------------------------------------------------------------


@EVERY_QOS
def test_an_expiry_interval_is_what_is_left_of_it(qos: int, clients: Clients, topic: str) -> None:
    """[5: 3.3.2-6]"""
    subscriber = clients.enter()
    subscriber.subscribe((topic, qos))
    clients.enter().publish(topic, b"", qos, properties=((wire.EXPIRY, 100),))
    assert 40 <= subscriber.take().number(wire.EXPIRY) <= 100


def test_who_comes_too_late_gets_no_message_whose_time_is_over(clients: Clients, topic: str) -> None:
    """[5: 3.3.2-5, 3.3.2-6, 4.3.3-7, 4.3.3-13]"""
    client = clients.enter(5, (wire.RECEIVE_MAXIMUM, 1))
    client.subscribe((topic, 2))
    publisher = clients.enter()
    short, long = ((wire.EXPIRY, 1),), ((wire.EXPIRY, 100),)
    publisher.publish(topic, b"in flight", 2, properties=short)
    publisher.publish(topic, b"too late", 1, properties=short)
    publisher.publish(topic, b"too late as well", 2, properties=short)
    publisher.publish(topic, b"in time", 1, properties=long)
    over = time.monotonic() + 1.1
    found = client.expect(PUBLISH)
    assert found.payload == b"in flight"
    wait_until(lambda: time.monotonic() > over, "the time to pass")
    client.acknowledge(found)  # to the end, though it is over
    found = client.take()
    assert found.payload == b"in time"
    assert 30 <= found.number(wire.EXPIRY) <= 99
    assert client.ping() == []


# --- aliases ---------------------------------------------------------------------------------------------


def test_every_alias_that_was_offered_is_taken(clients: Clients, topic: str) -> None:
    """[5: 3.3.2-12, 3.2.2-17]"""
    subscriber = clients.enter(5, (wire.ALIAS_MAXIMUM, 0))
    subscriber.subscribe((topic + "/#", 0))
    client = clients.open()
    most = client.enter().number(wire.ALIAS_MAXIMUM)
    assert most
    for alias in range(1, most + 1):
        client.publish(f"{topic}/{alias}", b"", 0, properties=((wire.ALIAS, alias),))
    for alias in (most, 1):
        client.publish("", b"", 0, properties=((wire.ALIAS, alias),))
    client.publish(topic + "/new", b"", 0, properties=((wire.ALIAS, 1),))
    assert client.publish("", b"", 1, properties=((wire.ALIAS, 1),)) == 0
    found = subscriber.ping()
    names = [*map(str, range(1, most + 1)), str(most), "1", "new", "new"]
    assert [packet.topic for packet in found] == [f"{topic}/{name}" for name in names]
    assert [packet.get(wire.ALIAS) for packet in found] == [None] * len(names)


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_an_alias_that_is_too_high_ends_the_connection(qos: int, clients: Clients) -> None:
    """[5: 3.3.2-9, 3.2.2-17, 4.13.1-1]"""
    client = clients.open()
    most = client.enter().number(wire.ALIAS_MAXIMUM)
    client.send(wire.publish(5, "t", b"", qos, 1, properties=((wire.ALIAS, most + 1),)))
    client.refused(0x94)


def test_an_alias_means_nothing_to_another_connection(clients: Clients, topic: str) -> None:
    """[5: 3.3.2-7]"""
    client = clients.open()
    client.enter((wire.SESSION_EXPIRY, 60))
    assert client.publish(topic, b"", 1, properties=((wire.ALIAS, 1),)) in (0, 0x10)
    client.close()
    again = clients.open(5, client.name)
    again.enter(clean=0)
    again.send(wire.publish(5, "", b"", 1, 1, properties=((wire.ALIAS, 1),)))
    again.refused(PROTOCOL_ERROR)


def test_an_alias_is_learned_from_a_message_that_is_known_already(clients: Clients, topic: str) -> None:
    """[5: 4.3.3-10, 3.3.2-12] A client that comes back sends again, with aliases of the new connection."""
    subscriber = clients.enter()
    subscriber.subscribe((topic, 0))
    client = clients.enter()
    client.send(wire.publish(5, topic, b"once", 2, 1))
    assert client.expect(PUBREC).id == 1
    client.send(wire.publish(5, topic, b"once", 2, 1, dup=1, properties=((wire.ALIAS, 3),)))
    client.send(wire.publish(5, "", b"then", 0, properties=((wire.ALIAS, 3),)))
    client.send(wire.publish(5, topic, b"", 1, 1, properties=((wire.ALIAS, 4),)))  # refused: 0x91
    client.send(wire.publish(5, "", b"last", 0, properties=((wire.ALIAS, 4),)))
    assert [client.expect(kind).id for kind in (PUBREC, PUBACK)] == [1, 1]
    assert client.ping() == []
    assert [packet.payload for packet in subscriber.ping()] == [b"once", b"then", b"last"]


@pytest.mark.parametrize("most", [None, 0, 1, 3, 0xFFFF])
def test_the_server_gives_no_more_aliases_than_its_client_takes(
    most: int | None, clients: Clients, topic: str
) -> None:
    """[5: 3.1.2-26, 3.1.2-27, 3.3.2-11, 3.3.2-8, 3.3.2-1]"""
    client = clients.enter(5, *([] if most is None else [(wire.ALIAS_MAXIMUM, most)]))
    client.subscribe((topic + "/#", 1))
    publisher = clients.enter()
    known: dict[int, str] = {}
    names = [f"{topic}/{name}/{'x' * 20}" for name in [*"aabbababcdcdcd"] * 2]
    for name in names:
        publisher.publish(name, b"", 1)
        found = client.take()
        alias = found.number(wire.ALIAS)  # held to be within bounds by `Client`
        if alias and found.topic:
            known[alias] = found.topic
        assert (found.topic or known[alias]) == name
    assert bool(known) == bool(most)


# --- flow control ----------------------------------------------------------------------------------------


@EITHER_QOS
@pytest.mark.parametrize("most", [1, 2, 5])
def test_no_more_is_on_its_way_than_the_client_takes(
    most: int, qos: int, clients: Clients, topic: str
) -> None:
    """[5: 3.3.4-9, 3.3.4-10, 4.3.2-3, 4.9.0-1, 4.9.0-2, 4.9.0-3]"""
    client = clients.enter(5, (wire.RECEIVE_MAXIMUM, most))
    client.subscribe((topic, qos))
    publisher = clients.enter()
    for number in range(8):
        publisher.publish(topic, b"%d" % number, qos)
    publisher.publish(topic, b"QoS 0", 0)
    publisher.ping()
    found = client.ping()
    assert [packet.payload for packet in found if packet.qos] == [b"%d" % number for number in range(most)]
    assert [packet.payload for packet in found if not packet.qos] == [b"QoS 0"]
    # Everything else goes on.
    assert client.subscribe(("other/" + topic, 0)) == [0]
    client.send(wire.publish(5, "other/" + topic, b"", 1, 98))
    assert {packet.kind for packet in (client.read(), client.read()) if packet} == {PUBLISH, PUBACK}
    waiting = [packet for packet in found if packet.qos]
    for number in range(most, 8):
        packet = waiting.pop(0)
        if qos == 2:
            client.send(wire.answer(PUBREC, packet.id))
            client.expect(PUBREL)
            assert client.ping() == []  # only PUBCOMP makes room
            client.send(wire.answer(PUBCOMP, packet.id))
        else:
            client.send(wire.answer(PUBACK, packet.id))
        client.unanswered.discard(packet.id)
        waiting.append(client.expect(PUBLISH))
        assert waiting[-1].payload == b"%d" % number


def test_who_sends_more_than_the_server_takes_is_cut_off(clients: Clients, topic: str) -> None:
    """[5: 3.3.4-7, 4.9.0-2, 4.13.1-1]"""
    client = clients.open()
    most = client.enter().number(wire.RECEIVE_MAXIMUM, 0xFFFF)
    client.send(*(wire.publish(5, topic, b"", 2, id) for id in range(1, most + 2)))
    *answers, last = client.until_closed()
    assert {packet.kind for packet in answers} <= {PUBREC}
    assert (last.kind, last.reason) == (wire.DISCONNECT, 0x93)


def test_released_messages_make_room_for_others(clients: Clients, topic: str) -> None:
    """[5: 3.3.4-7, 4.9.0-2] PUBREC with an error does, too."""
    client = clients.open()
    most = client.enter().number(wire.RECEIVE_MAXIMUM, 0xFFFF)
    client.send(*(wire.publish(5, "$SYS/not", b"", 2, id) for id in range(1, most + 1)))
    assert {packet.reason for packet in client.ping()} == {0x87}
    for _ in range(3):
        client.send(*(wire.publish(5, topic, b"", 2, id) for id in range(1, most + 1)))
        for id in range(1, most + 1):
            assert client.expect(PUBREC).id == id
        client.send(*(wire.answer(PUBREL, id) for id in range(1, most + 1)))
        for id in range(1, most + 1):
            assert client.expect(PUBCOMP).id == id


def test_in_3_1_1_there_is_no_such_bound(clients: Clients, topic: str) -> None:
    """[3: 4.3.3-2]"""
    client = clients.enter(4)
    client.send(*(wire.publish(4, topic, b"", 2, id) for id in range(1, 501)))
    assert [client.expect(PUBREC).id for _ in range(500)] == [*range(1, 501)]


# --- sizes -----------------------------------------------------------------------------------------------


@EVERY_QOS
def test_a_message_that_is_too_large_for_a_client_counts_as_sent(
    qos: int, clients: Clients, topic: str
) -> None:
    """[5: 3.1.2-24, 3.1.2-25]"""
    client = clients.enter(5, (wire.MAXIMUM_SIZE, 200), (wire.RECEIVE_MAXIMUM, 1))
    client.subscribe((topic, qos))
    publisher = clients.enter()
    rest = 2 + len(topic) + (2 if qos else 0) + 1
    fits = 200 - rest - 3  # two bytes of length
    for size in (fits + 1, fits, 1000, fits - 1, 10_000):
        assert publisher.publish(topic, bytes(size), qos) == 0
    for size in (fits, fits - 1):
        found = client.take()
        assert (found.size, len(found.payload)) == (size + rest + 3, size)
    assert client.ping() == []


def test_no_answer_is_larger_than_its_client_takes(clients: Clients) -> None:
    """[5: 3.1.2-24, 3.4.2-2, 3.4.2-3, 3.5.2-2, 3.6.2-2, 3.7.2-2, 3.9.2-1, 3.11.2-1]
    What explains it is left out."""
    most = clients.open().enter().size
    client = clients.enter(5, (wire.MAXIMUM_SIZE, most))
    client.send(
        wire.publish(5, "$not/ours", b"", 1, 1),
        wire.publish(5, "$not/ours", b"", 2, 2),
        wire.subscribe(5, 3, ("$not/ours", 0), ("$nor/this", 0)),
        wire.unsubscribe(5, 4, "$not/ours"),
        wire.answer(PUBREL, 5),
    )
    found = client.ping()
    assert [packet.kind for packet in found] == [PUBACK, PUBREC, wire.SUBACK, wire.UNSUBACK, PUBCOMP]
    assert [packet.reason for packet in found[:2]] == [0x87, 0x87]
    assert all(packet.properties == [] for packet in found)


def test_a_packet_that_is_too_large_for_the_server_ends_the_connection(clients: Clients, topic: str) -> None:
    """[5: 3.2.2-15, 4.13.1-1] [3: 4.8.0-1]"""
    client = clients.open()
    most = client.enter().number(wire.MAXIMUM_SIZE)
    whole = wire.publish(5, topic, bytes(most - len(wire.publish(5, topic)) - 2), 0)
    assert len(whole) == most
    client.send(whole)
    assert client.ping() == []
    client.send(b"\x30" + wire.varint(most))
    client.refused(0x95)
    older = clients.enter(4)
    older.send(b"\x30" + wire.varint(1 << 27))
    older.refused()
