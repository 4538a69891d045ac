"""Sections 3.1 and 3.2: who is let in, and what the answer says."""

import time
from string import ascii_letters, digits

import pytest

from tests.conformance import wire
from tests.conformance.broker import BOTH, SHAPES, Clients

pytestmark = SHAPES

MALFORMED, PROTOCOL_ERROR = 0x81, 0x82


@BOTH
def test_the_first_packet_is_connect(version: int, clients: Clients) -> None:
    """[5: 3.1.0-1, 3.14.0-1] [3: 3.1.0-1, 3.2.0-1]"""
    for said in (
        wire.PING,
        wire.GOOD_BYE,
        wire.publish(version, "t"),
        wire.subscribe(version, 1, ("t", 0)),
        wire.answer(wire.PUBACK, 1),
        wire.packet(0xF0, b"\x18\0"),
        b"GET / HTTP/1.1\r\n\r\n",
    ):
        client = clients.open(version)
        client.send(said)
        assert client.until_closed() == []


@BOTH
@pytest.mark.parametrize("second", [3, 4, 5])
def test_a_second_connect_ends_the_connection(second: int, version: int, clients: Clients) -> None:
    """[5: 3.1.0-2, 3.2.0-2] [3: 3.1.0-2]"""
    client = clients.enter(version)
    client.send(wire.connect(second, client.name, client.broker.app, client.broker.token(client.name)))
    client.refused(PROTOCOL_ERROR)


@BOTH
@pytest.mark.parametrize("name", [b"MQTt", b"mqtt", b"MQTT ", b"MQ", b"", b"MQIsdp5"])
def test_another_protocol_is_not_spoken(name: bytes, version: int, clients: Clients) -> None:
    """[5: 3.1.2-1] [3: 3.1.2-1]"""
    client = clients.open(version)
    client.say_connect(name=name)
    assert client.until_closed() == []


@pytest.mark.parametrize("level", [0, 1, 2, 3, 6, 7, 0x7F, 0xFF])
def test_another_level_is_refused_in_words_that_all_versions_know(level: int, clients: Clients) -> None:
    """[5: 3.1.2-2] [3: 3.1.2-2, 3.2.2-4, 3.2.2-5]"""
    client = clients.open(4)
    client.say_connect(level=level)
    assert client.expect(wire.CONNACK).reason == 1
    assert client.until_closed() == []


def test_mqtt_3_1_is_spoken_too(clients: Clients, topic: str) -> None:
    """Its name is MQIsdp, its level 3."""
    client = clients.enter(3)
    assert client.subscribe((topic, 2)) == [2]
    clients.enter(5).publish(topic, b"hello", 2)
    assert client.take().payload == b"hello"


FLAGS = {  # of CONNECT, that no packet may have
    "reserved": 0xC3,
    "reserved alone": 0x01,
    "QoS 1 of no will": 0xCA,
    "QoS 2 of no will": 0xD2,
    "QoS 3 of no will": 0xDA,
    "retain of no will": 0xE2,
    "QoS 3 of a will": 0xDE,
}


@BOTH
@pytest.mark.parametrize("flags", FLAGS.values(), ids=FLAGS)
def test_flags_that_connect_cannot_have_end_the_connection(
    flags: int, version: int, clients: Clients
) -> None:
    """[5: 3.1.2-3, 3.1.2-11, 3.1.2-12, 3.1.2-13]
    [3: 3.1.2-3, 3.1.2-11, 3.1.2-13, 3.1.2-14, 3.1.2-15, 3.1.4-1]"""
    client = clients.open(version)
    client.say_connect(flags=flags, will=wire.Will("t") if flags & 4 else None)
    client.refused(MALFORMED)


@BOTH
@pytest.mark.parametrize(
    "flags", [0x02, 0x42, 0x82, 0xC6], ids=["neither", "password only", "user only", "and a will"]
)
def test_the_payload_of_connect_has_what_its_flags_say(flags: int, version: int, clients: Clients) -> None:
    """[5: 3.1.2-9, 3.1.2-16, 3.1.2-17, 3.1.2-18, 3.1.2-19, 3.1.3-1]
    [3: 3.1.2-9, 3.1.2-18, 3.1.2-19, 3.1.2-20, 3.1.2-21, 3.1.2-22, 3.1.3-1]"""
    client = clients.open(version)
    client.say_connect(flags=flags)  # it has a user name and a password
    client.refused(MALFORMED)


@BOTH
@pytest.mark.parametrize("flags", [0xC2, 0x82, 0x42, 0x06])
def test_what_the_flags_of_connect_promise_is_there(flags: int, version: int, clients: Clients) -> None:
    """[5: 3.1.2-9, 3.1.2-17, 3.1.2-19] [3: 3.1.2-9, 3.1.2-19, 3.1.2-21, 3.1.2-22]"""
    client = clients.open(version)
    client.say_connect(flags=flags, user=None, password=None)
    client.refused(MALFORMED)


def test_a_password_needs_no_user_name_in_mqtt_5(clients: Clients) -> None:
    """[5: 3.1.2-16, 3.1.2-19] It is not malformed there, whoever is let in with it."""
    client = clients.open()
    found = client.connect(user=None)
    assert found is not None
    assert found.reason in (0, 0x86, 0x87)


@BOTH
@pytest.mark.parametrize("name", ["", "#", "a/+", "a#"])
def test_a_will_has_a_topic_to_which_can_be_published(name: str, version: int, clients: Clients) -> None:
    """[5: 3.1.4-1, 4.7.0-1, 4.7.3-1]
    [3: 3.1.4-1, 4.7.1-1, 4.7.3-1]"""
    client = clients.open(version)
    client.say_connect(will=wire.Will(name))
    client.refused(MALFORMED, 0x90)


@BOTH
def test_a_connect_that_is_cut_anywhere_ends_the_connection(version: int, clients: Clients) -> None:
    """[5: 3.1.4-1, 3.1.3-3] [3: 3.1.4-1, 3.1.3-3]"""
    body = wire.connect(version, "device", "app", b"token")[2:]
    for cut in range(len(body)):
        client = clients.open(version)
        client.send(wire.packet(0x10, body[:cut]))
        reasons = [packet.reason for packet in client.until_closed()]
        # Behind its level, it is known how to answer; 3.1.1 answers a bad CONNECT by nothing.
        assert reasons in ([[]] if version == 4 or cut < 7 else [[MALFORMED]]), cut
    client = clients.open(version)
    client.send(wire.packet(0x10, body + b"\0"))
    client.refused(MALFORMED)


@BOTH
def test_a_connect_that_is_too_large_is_told_so(version: int, clients: Clients) -> None:
    """[5: 3.1.4-2, 4.13.1-1]
    [3: 3.2.2-6, 4.8.0-1]"""
    client = clients.open(version)
    client.send(b"\x10\xff\xff\xff\x7f" + wire.text("MQTT") + bytes([version, 2]))
    client.refused(0x95)


# --- identifiers -----------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("length", [1, 23])
def test_letters_and_digits_make_a_client_identifier(length: int, version: int, clients: Clients) -> None:
    """[5: 3.1.3-2, 3.1.3-5] [3: 3.1.3-2, 3.1.3-5]"""
    alphabet = digits + ascii_letters
    for start in range(0, len(alphabet), length if length > 1 else 9):
        name = alphabet[start : start + length]
        found = clients.open(version, name).enter()
        assert found.get(wire.ASSIGNED_ID) is None


def test_a_client_without_identifier_is_told_its_own(clients: Clients) -> None:
    """[5: 3.1.3-6, 3.1.3-7, 3.2.2-16]"""
    client = clients.open()
    assigned = client.enter(client_id="").get(wire.ASSIGNED_ID)
    assert isinstance(assigned, str)
    other = clients.open(5, assigned)
    other.enter()  # as that client: the first one goes
    assert [packet.reason for packet in client.until_closed()] == [0x8E]


@pytest.mark.shape("embedded")
@BOTH
def test_clients_without_identifier_and_credentials_are_all_different(version: int, clients: Clients) -> None:
    """[5: 3.1.3-6, 3.2.2-16] [3: 3.1.3-6]"""
    entered = [clients.open(version) for _ in range(5)]
    given = [client.enter(client_id="", user=None, password=None) for client in entered]
    assert len({found.get(wire.ASSIGNED_ID) for found in given}) == (5 if version == 5 else 1)
    for client in entered:  # none has taken the place of another
        assert client.ping() == []


def test_in_3_1_1_who_has_no_identifier_asks_for_no_session(clients: Clients) -> None:
    """[3: 3.1.3-6, 3.1.3-7, 3.1.3-8, 3.2.2-4, 3.2.2-5]"""
    clients.open(4).enter(client_id="", clean=1)
    client = clients.open(4)
    found = client.connect(client_id="", clean=0)
    assert found is not None
    assert (found.reason, found.session_present) == (2, False)
    assert client.until_closed() == []


@BOTH
def test_an_identifier_that_is_not_taken_is_refused_as_such(version: int, clients: Clients) -> None:
    """[5: 3.1.3-8, 3.2.2-6, 3.2.2-7, 3.2.2-8, 4.13.2-1] [3: 3.1.3-9, 3.2.2-4, 3.2.2-5]"""
    client = clients.open(version, "a/b")
    found = client.connect()
    assert found is not None
    assert (found.kind, found.reason) == (wire.CONNACK, 0x85 if version == 5 else 2)
    assert client.until_closed() == []


@BOTH
def test_who_is_refused_is_told_why_and_cut_off(version: int, clients: Clients) -> None:
    """[5: 3.1.4-2, 3.2.2-7, 3.2.2-8, 4.13.2-1] [3: 3.2.2-4, 3.2.2-5]"""
    client = clients.open(version)
    found = client.connect(password=b"no token")
    assert found is not None
    assert (found.kind, found.reason) == (wire.CONNACK, 0x86 if version == 5 else 4)
    assert client.until_closed() == []


# --- what comes around it --------------------------------------------------------------------------------


@BOTH
def test_nothing_is_done_for_who_is_refused(version: int, clients: Clients, topic: str) -> None:
    """[5: 3.1.4-6, 3.2.0-1] [3: 3.1.4-5]"""
    subscriber = clients.enter(version)
    subscriber.subscribe((topic, 2))
    client = clients.open(version)
    client.send(
        wire.connect(version, client.name, client.broker.app, b"no token"),
        *(wire.publish(version, topic, b"", qos, 1) for qos in (0, 1, 2)),
        wire.subscribe(version, 1, (topic, 0)),
    )
    assert [packet.kind for packet in client.until_closed()] == [wire.CONNACK]
    assert subscriber.ping() == []


@BOTH
def test_what_is_sent_behind_connect_is_answered_behind_connack(
    version: int, clients: Clients, topic: str
) -> None:
    """[5: 3.2.0-1, 3.1.4-5, 3.2.0-2] [3: 3.2.0-1, 3.1.4-4]"""
    client = clients.open(version)
    client.send(
        wire.connect(version, client.name, client.broker.app, client.broker.token(client.name)),
        wire.subscribe(version, 1, (topic, 0)),
        wire.publish(version, topic, b"", 0),
        wire.PING,
    )
    kinds = [packet.kind for packet in (client.read() for _ in range(4)) if packet]
    assert kinds[0] == wire.CONNACK
    assert sorted(kinds[1:]) == [wire.PUBLISH, wire.SUBACK, wire.PINGRESP]


@pytest.mark.parametrize("first", [4, 5], ids=["3.1.1", "5.0"])
@pytest.mark.parametrize("second", [4, 5], ids=["3.1.1", "5.0"])
def test_who_comes_again_takes_the_place_of_who_was_there(first: int, second: int, clients: Clients) -> None:
    """[5: 3.1.4-3, 3.1.3-2, 4.13.2-1] [3: 3.1.4-2, 3.1.3-2]"""
    old = clients.enter(first)
    clients.open(second, old.name).enter()
    assert [packet.reason for packet in old.until_closed()] == ([0x8E] if first == 5 else [])


@BOTH
def test_who_starts_clean_has_no_session(version: int, clients: Clients, topic: str) -> None:
    """[5: 3.1.2-4, 3.1.4-4, 3.2.2-2] [3: 3.1.2-6, 3.1.4-3, 3.2.2-1]"""
    expiry = [(wire.SESSION_EXPIRY, 60)] if version == 5 else []
    first = clients.open(version)
    first.enter(*expiry, clean=0)
    first.subscribe((topic, 1))
    second = clients.open(version, first.name)
    assert not second.enter(*expiry, clean=1).session_present
    clients.enter(version).publish(topic, b"", 1)
    assert second.ping() == []


@BOTH
def test_who_was_never_here_has_no_session(version: int, clients: Clients) -> None:
    """[5: 3.1.2-6, 3.2.2-3] [3: 3.1.2-4, 3.2.2-3]"""
    assert not clients.open(version).enter(clean=0).session_present


def test_connack_tells_of_a_keep_alive_only_where_it_is_another(clients: Clients) -> None:
    """[5: 3.2.2-22, 3.1.2-21]"""
    assert clients.open().enter(keep_alive=600).get(wire.SERVER_KEEP_ALIVE) is None
    told = clients.open().enter(keep_alive=0xFFFF).number(wire.SERVER_KEEP_ALIVE)
    assert 0 < told < 0xFFFF


def test_silence_for_one_and_a_half_times_the_keep_alive_ends_the_connection(clients: Clients) -> None:
    """[5: 3.1.2-22] [3: 3.1.2-24] A part of a packet is none; who has said something lives longer."""
    silent = [clients.open(version) for version in (3, 4, 5)]
    began = time.monotonic()
    for client in silent:
        client.enter(keep_alive=1)
        client.send(wire.PING[:1])
    speaks = clients.open()
    speaks.enter(keep_alive=1)
    for client in silent:
        client._socket.settimeout(0.2)
        found = []
        while True:
            try:
                packet = client.read()
            except TimeoutError:
                speaks.ping()
                continue
            if packet is None:
                break
            found.append(packet.reason)
        assert found == ([0x8D] if client.version == 5 else [])
        assert time.monotonic() - began > 1.4
    assert speaks.ping() == []


def test_words_come_only_to_who_wants_them(clients: Clients) -> None:
    """[5: 3.1.2-29]"""
    for properties, told in (
        ((), True),
        (((wire.PROBLEM_INFO, 1),), True),
        (((wire.PROBLEM_INFO, 0),), False),
    ):
        client = clients.enter(5, *properties)
        client.send(wire.publish(5, "$not/ours", b"", 1, 1), wire.subscribe(5, 2, ("$not/ours", 0)))
        for kind in (wire.PUBACK, wire.SUBACK):
            found = client.expect(kind)
            assert max([found.reason, *found.reasons]) >= 0x80
            assert (found.get(wire.REASON) is not None) == told
            assert told or not found.all(wire.USER)


@pytest.mark.parametrize("asked", [(), ((wire.RESPONSE_REQUEST, 0),)], ids=["not asked", "0"])
def test_no_response_information_comes_unasked(asked: tuple[wire.Property, ...], clients: Clients) -> None:
    """[5: 3.1.2-28]"""
    assert clients.open().enter(*asked).get(wire.RESPONSE_INFO) is None


def test_connack_offers_what_is_there(clients: Clients) -> None:
    """[5: 3.2.2-9, 3.2.2-12, 3.2.2-13]
    All of QoS, wildcards and identifiers: none of them is said not to be."""
    found = clients.open().enter()
    for id in (wire.MAXIMUM_QOS, wire.WILDCARDS_AVAILABLE, wire.IDS_AVAILABLE, wire.RETAIN_AVAILABLE):
        assert found.number(id, 1) == 1
    assert found.number(wire.MAXIMUM_SIZE, 1) > 0
    assert found.number(wire.RECEIVE_MAXIMUM, 1) > 0


def test_connack_is_no_larger_than_its_client_takes(clients: Clients) -> None:
    """[5: 3.1.2-24, 3.2.2-19, 3.2.2-20]
    Where it does not fit, the connection ends, whether or not that can be said."""
    size = clients.open().enter().size
    for most in (1, 2, 4, 5, size - 1, size, size + 1):
        client = clients.open()
        found = client.connect((wire.MAXIMUM_SIZE, most))
        if most >= size:
            assert found is not None
            assert found.reason == 0
        else:
            assert found is None or found.reason == 0x95
            assert client.until_closed() == []
    for most in (5, 20):
        client = clients.open()
        found = client.connect((wire.MAXIMUM_SIZE, most), password=b"no token")
        assert found is not None
        assert (found.reason, found.size <= most) == (0x86, True)
