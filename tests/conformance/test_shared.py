"""Section 4.8.2: subscriptions of which each message goes to one member."""

import pytest

from tests.conformance import wire
from tests.conformance.broker import SHAPES, Clients
from tests.conformance.wire import PUBACK, PUBLISH, PUBREC

pytestmark = SHAPES

LASTING = (wire.SESSION_EXPIRY, 1000)


def payloads(packets: list[wire.Packet]) -> list[bytes]:
    return [packet.payload for packet in packets if packet.kind == PUBLISH]


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_each_message_goes_to_one_member_of_each_group(qos: int, clients: Clients, topic: str) -> None:
    """[5: 4.8.2-1, 4.8.2-2, 4.5.0-1]"""
    members = [clients.enter() for _ in range(3)]
    for member in members:
        assert member.subscribe((f"$share/one/{topic}", qos)) == [qos]
    other, plain = clients.enter(), clients.enter()
    other.subscribe((f"$share/two/{topic}", qos))
    plain.subscribe((topic, qos))
    publisher = clients.enter()
    sent = [b"%d" % number for number in range(12)]
    for payload in sent:
        assert publisher.publish(topic, payload, qos) == 0
    publisher.ping()
    found = [payloads(member.ping()) for member in members]
    assert sorted((payload for part in found for payload in part), key=int) == sent
    assert all(found)  # each of them gets a part
    assert payloads(other.ping()) == sent
    assert payloads(plain.ping()) == sent


def test_the_qos_granted_counts_for_each_member(clients: Clients, topic: str) -> None:
    """[5: 4.8.2-3, 3.8.4-8]"""
    members = [clients.enter() for _ in range(3)]
    for qos, member in enumerate(members):
        assert member.subscribe((f"$share/group/{topic}", qos)) == [qos]
    publisher = clients.enter()
    for _ in range(12):
        publisher.publish(topic, b"", 2)
    for qos, member in enumerate(members):
        assert {packet.qos for packet in member.ping()} == {qos}


def test_who_has_left_gets_nothing_and_the_others_all(clients: Clients, topic: str) -> None:
    """[5: 3.10.4-1, 3.10.4-2]"""
    members = [clients.enter() for _ in range(3)]
    for member in members:
        member.subscribe((f"$share/group/{topic}", 1))
    members[0].send(wire.unsubscribe(5, 9, f"$share/group/{topic}"))
    assert members[0].expect(wire.UNSUBACK).reasons == [0]
    members[1].send(wire.GOOD_BYE)
    assert members[1].until_closed() == []
    publisher = clients.enter()
    sent = [b"%d" % number for number in range(6)]
    for payload in sent:
        assert publisher.publish(topic, payload, 1) == 0
    assert payloads(members[2].ping()) == sent
    assert members[0].ping() == []


@pytest.mark.parametrize("kind", [PUBACK, PUBREC])
def test_what_a_member_refuses_goes_to_no_other(kind: int, clients: Clients, topic: str) -> None:
    """[5: 4.8.2-6]"""
    qos = 1 if kind == PUBACK else 2
    members = [clients.enter() for _ in range(2)]
    for member in members:
        member.subscribe((f"$share/group/{topic}", qos))
    publisher = clients.enter()
    for _ in range(6):
        publisher.publish(topic, b"", qos)
    count = 0
    for member in members:
        found = member.ping()
        count += len(found)
        member.send(*(wire.answer(kind, packet.id, 0x83) for packet in found))
    assert count == 6
    assert [member.ping() for member in members] == [[], []]


def test_what_was_sent_to_a_member_is_completed_when_it_is_back(clients: Clients, topic: str) -> None:
    """[5: 4.8.2-4] With QoS 2: of QoS 1, another may get it meanwhile."""
    member = clients.enter(5, LASTING)
    member.subscribe((f"$share/group/{topic}", 2))
    clients.enter().publish(topic, b"mine", 2)
    found = member.expect(PUBLISH)
    member.send(wire.answer(PUBREC, found.id))
    member.expect(wire.PUBREL)
    member.close()
    again = clients.open(5, member.name)
    assert again.enter(LASTING, clean=0).session_present
    assert again.expect(wire.PUBREL).id == found.id
    again.send(wire.answer(wire.PUBCOMP, found.id))
    assert again.ping() == []


def test_what_a_member_leaves_with_its_session_goes_to_no_other(clients: Clients, topic: str) -> None:
    """[5: 4.8.2-5] With QoS 2, once it was sent."""
    member = clients.enter()
    member.subscribe((f"$share/group/{topic}", 2))
    publisher = clients.enter()
    publisher.publish(topic, b"mine", 2)
    found = member.expect(PUBLISH)
    other = clients.enter()
    other.subscribe((f"$share/group/{topic}", 2))
    member.send(wire.answer(PUBREC, found.id), wire.GOOD_BYE)
    member.until_closed()
    publisher.publish(topic, b"next", 2)
    assert other.take().payload == b"next"
    assert other.ping() == []


@pytest.mark.parametrize("received", [False, True])
def test_what_was_sent_to_a_member_goes_to_no_other_when_its_session_is_over(
    received: bool, clients: Clients, topic: str
) -> None:
    """[5: 4.8.2-5] With QoS 2, whether it said that it has it or not, and though others are there."""
    member = clients.enter(5, LASTING)
    member.subscribe((f"$share/group/{topic}", 2))
    publisher = clients.enter()
    publisher.publish(topic, b"mine", 2)
    found = member.expect(PUBLISH)
    if received:
        member.send(wire.answer(PUBREC, found.id))
        member.expect(wire.PUBREL)
    other = clients.enter()
    other.subscribe((f"$share/group/{topic}", 2))
    member.close()
    assert clients.open(5, member.name).enter().session_present is False
    publisher.publish(topic, b"next", 2)
    assert payloads(other.ping()) == [b"next"]


@pytest.mark.parametrize("qos", [1, 2])
def test_while_nobody_is_connected_a_session_that_is_kept_has_the_message(
    qos: int, clients: Clients, topic: str
) -> None:
    """Section 4.8.2: there is a session with a matching shared subscription."""
    member = clients.enter(5, LASTING)
    member.subscribe((f"$share/group/{topic}", 2))
    member.send(wire.GOOD_BYE)
    member.until_closed()
    publisher = clients.enter()
    assert publisher.publish(topic, b"1", qos) == 0
    assert publisher.publish(topic, b"2", qos) == 0
    again = clients.open(5, member.name)
    assert again.enter(LASTING, clean=0).session_present
    found = [again.take() for _ in range(2)]
    assert [(packet.payload, packet.qos, packet.dup) for packet in found] == [
        (b"1", qos, False),
        (b"2", qos, False),
    ]
    assert again.ping() == []


@pytest.mark.parametrize("lasting", [False, True])
@pytest.mark.parametrize("qos", [1, 2])
def test_what_waits_for_a_member_goes_to_another_when_its_session_ends(
    qos: int, lasting: bool, clients: Clients, topic: str
) -> None:
    """Section 4.8.2.2"""
    member = clients.enter(5, LASTING)
    member.subscribe((f"$share/group/{topic}", 2))
    member.send(wire.GOOD_BYE)
    member.until_closed()
    publisher = clients.enter()
    for payload in (b"1", b"2"):
        assert publisher.publish(topic, payload, qos) == 0
    other = clients.enter(5, LASTING) if lasting else clients.enter()
    other.subscribe((f"$share/group/{topic}", 2))
    assert clients.open(5, member.name).enter().session_present is False
    assert sorted(other.take().payload for _ in range(2)) == [b"1", b"2"]
    assert other.ping() == []


def test_in_3_1_1_it_is_a_filter_like_any_other(clients: Clients, topic: str) -> None:
    """[3: 4.7.2-1]"""
    client = clients.enter(4)
    assert client.subscribe((f"$share/group/{topic}", 0)) == [0]
    clients.enter().publish(topic, b"", 1)
    assert client.ping() == []
