"""Sections 3.12 to 3.15, 4.12 and 4.13: pings, the last word, and authentication that nobody offers."""

import pytest

from tests.conformance import wire
from tests.conformance.broker import BOTH, SHAPES, Clients

pytestmark = SHAPES

MALFORMED, PROTOCOL_ERROR = 0x81, 0x82


@BOTH
def test_a_ping_is_answered(version: int, clients: Clients) -> None:
    """[5: 3.12.4-1] [3: 3.12.4-1]"""
    client = clients.enter(version)
    client.send(wire.PING * 50)
    for _ in range(50):
        assert client.expect(wire.PINGRESP).size == 2


@BOTH
def test_who_says_good_bye_is_cut_off_without_a_word(version: int, clients: Clients) -> None:
    """[5: 3.14.4-2, 3.14.4-3] [3: 3.14.4-1]"""
    client = clients.enter(version)
    client.send(wire.GOOD_BYE)
    assert client.until_closed() == []


@pytest.mark.parametrize(
    "said",
    [
        wire.packet(0xE0, b"\0"),
        wire.disconnect(0),
        wire.disconnect(4),
        wire.disconnect(0x80, (wire.REASON, "enough"), (wire.USER, ("a", "b"))),
        wire.disconnect(0, (wire.SESSION_EXPIRY, 0)),
    ],
)
def test_a_good_bye_may_have_reasons(said: bytes, clients: Clients) -> None:
    """[5: 3.14.2-1]"""
    client = clients.enter()
    client.send(said)
    assert client.until_closed() == []


@BOTH
def test_what_came_before_a_good_bye_is_done_and_answered_and_nothing_behind_it(
    version: int, clients: Clients, topic: str
) -> None:
    """[5: 4.3.2-4, 4.3.3-8, 3.8.4-1, 3.12.4-1, 3.14.4-1]
    [3: 4.3.2-2, 4.3.3-2, 3.8.4-1, 3.12.4-1, 3.14.4-2]"""
    subscriber = clients.enter(version)
    subscriber.subscribe((topic, 0))
    client = clients.enter(version)
    client.send(
        wire.publish(version, topic, b"1", 1, 1),
        wire.publish(version, topic, b"2", 2, 2),
        wire.subscribe(version, 3, ("other/" + topic, 0)),
        wire.PING,
        wire.GOOD_BYE,
        wire.publish(version, topic, b"3", 1, 4),
        b"\xff\xff",
    )
    kinds = sorted(packet.kind for packet in client.until_closed())
    assert kinds == [wire.PUBACK, wire.PUBREC, wire.SUBACK, wire.PINGRESP]
    assert [packet.payload for packet in subscriber.ping()] == [b"1", b"2"]


@BOTH
def test_what_came_before_a_malformed_packet_is_done_and_answered(
    version: int, clients: Clients, topic: str
) -> None:
    """[5: 4.3.2-4, 4.3.3-8, 4.13.1-1, 3.14.4-1, 3.14.4-2] [3: 4.3.2-2, 4.3.3-2, 4.8.0-1]"""
    client = clients.enter(version)
    client.send(
        wire.publish(version, topic, b"1", 1, 1),
        wire.publish(version, topic, b"2", 2, 2),
        wire.packet(0x36, wire.text(topic)),
        wire.PING,
    )
    kinds = [packet.kind for packet in client.until_closed()]
    assert kinds == [wire.PUBACK, wire.PUBREC] + ([wire.DISCONNECT] if version == 5 else [])


@BOTH
def test_what_came_before_a_half_close_is_done_and_answered(
    version: int, clients: Clients, topic: str
) -> None:
    """[5: 4.3.2-4, 3.12.4-1] [3: 4.3.2-2, 3.12.4-1]"""
    client = clients.enter(version)
    client.send(wire.publish(version, topic, b"1", 1, 1), wire.PING)
    client.finish_sending()
    assert [packet.kind for packet in client.until_closed()] == [wire.PUBACK, wire.PINGRESP]


def test_a_session_that_was_to_end_cannot_be_kept_by_a_good_bye(clients: Clients) -> None:
    """Section 3.14.2.2.2 [5: 4.13.1-1, 3.14.2-2]"""
    client = clients.enter()
    client.send(wire.disconnect(0, (wire.SESSION_EXPIRY, 10)))
    client.refused(PROTOCOL_ERROR)


@pytest.mark.parametrize("data", [b"", b"\x12some data"], ids=["method", "and data"])
def test_a_method_that_is_not_known_is_refused(data: bytes, clients: Clients) -> None:
    """[5: 4.12.0-1, 4.12.0-4, 3.1.2-30]"""
    client = clients.open()
    properties: list[wire.Property] = [(wire.AUTH_METHOD, "SCRAM-SHA-1")]
    if data:
        properties.append((wire.AUTH_DATA, data))
    client.say_connect(*properties)
    found = client.expect(wire.CONNACK)
    assert found.reason in (0x8C, 0x87)
    assert client.until_closed() == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x18\0",
        b"\x18" + wire.props((wire.AUTH_METHOD, "SCRAM-SHA-1")),
        b"\x19" + wire.props((wire.AUTH_METHOD, "SCRAM-SHA-1"), (wire.AUTH_DATA, b"x")),
        b"\x42\0",
    ],
    ids=["empty", "no method", "continue", "again", "no reason"],
)
def test_who_named_no_method_says_no_auth(body: bytes, clients: Clients) -> None:
    """[5: 4.12.0-6, 4.12.0-7, 4.12.1-1, 4.12.1-2, 3.15.2-1]"""
    client = clients.enter()
    assert client.connack is not None
    assert client.connack.get(wire.AUTH_METHOD) is None
    client.send(wire.packet(0xF0, body))
    client.refused(PROTOCOL_ERROR)


def test_3_1_1_has_no_auth(clients: Clients) -> None:
    """[3: 4.8.0-1]"""
    client = clients.enter(4)
    client.send(wire.packet(0xF0, b""))
    client.refused()


@pytest.mark.parametrize("more", [0, 10, 30, 1000])
def test_a_last_word_is_no_larger_than_its_client_takes(more: int, clients: Clients) -> None:
    """[5: 3.1.2-24, 3.14.2-3, 3.14.2-4] What does not fit is what only explains it."""
    most = clients.open().enter().size + more
    client = clients.enter(5, (wire.MAXIMUM_SIZE, most))
    client.send(b"\xc1\0")
    client.refused(MALFORMED)


@BOTH
def test_a_fault_of_one_client_ends_no_other(version: int, clients: Clients, topic: str) -> None:
    """[5: 4.13.1-1] [3: 4.8.0-1]"""
    other = clients.enter(version)
    other.subscribe((topic, 1))
    faulty = clients.enter(version)
    faulty.send(b"\0\0")
    faulty.refused(MALFORMED, PROTOCOL_ERROR)
    clients.enter(version).publish(topic, b"still", 1)
    assert other.take().payload == b"still"
