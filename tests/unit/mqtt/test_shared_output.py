"""What links write alike is one list and joined once, and what each writes is its own."""

import random

import pytest

from longline.mqtt.codec import encode
from longline.mqtt.link import Link, Role
from longline.mqtt.packets import Connack, Connect, Packet, Pingresp, Puback, Publish
from longline.mqtt.shared_output import SharedOutput


def open_links(count: int) -> list[Link]:
    links = []
    for number in range(count):
        client, server = Link(Role.CLIENT, 1024), Link(Role.SERVER, 1024)
        client.send(Connect(5, f"d{number}"))
        server.receive(b"".join(client.take_output()), 0.0)
        server.send(Connack())
        server.take_output()
        links.append(server)
    return links


def messages(count: int) -> list[bytes]:
    return [encode(Publish("t", b"%d" % number), 5) for number in range(count)]


def test_what_many_have_to_write_alike_is_joined_once() -> None:
    shared, links, sent = SharedOutput(), open_links(3), messages(4)
    for data in sent:
        for link in links:
            link.send_publish(data, shared)
    first, *others = [link.take_joined(shared) for link in links]
    assert first == b"".join(sent)
    assert all(other is first for other in others)
    assert [link.take_joined(shared) for link in links] == [b"", b"", b""]


def test_a_single_message_is_written_as_it_is() -> None:
    shared, (link,), (data,) = SharedOutput(), open_links(1), messages(1)
    link.send_publish(data, shared)
    assert link.take_joined(shared) is data


def test_who_came_later_or_missed_one_gets_no_more_than_its_own() -> None:
    shared, (all_of_it, late, some), sent = SharedOutput(), open_links(3), messages(3)
    for number, data in enumerate(sent):
        all_of_it.send_publish(data, shared)
        if number:
            late.send_publish(data, shared)
        if number != 1:
            some.send_publish(data, shared)
    assert all_of_it.output == sent
    assert late.take_output() == sent[1:]
    assert some.take_joined(shared) == sent[0] + sent[2]
    assert all_of_it.take_joined(shared) == b"".join(sent)


def test_an_answer_goes_to_nobody_else() -> None:
    shared, (asking, other), sent = SharedOutput(), open_links(2), messages(2)
    for link in (asking, other):
        link.send_publish(sent[0], shared)
    asking.send(Pingresp())
    other.send_publish(sent[1], shared)
    other.send(Puback(7))
    asking.send_publish(sent[1], shared)
    assert asking.take_joined(shared) == sent[0] + encode(Pingresp(), 5) + sent[1]
    assert other.take_joined(shared) == sent[0] + sent[1] + encode(Puback(7), 5)


def test_what_is_taken_is_not_changed_by_what_others_write() -> None:
    shared, (first, other), sent = SharedOutput(), open_links(2), messages(2)
    for link in (first, other):
        link.send_publish(sent[0], shared)
    taken = first.take_output()
    other.send_publish(sent[1], shared)
    assert taken == sent[:1]
    first.send_publish(sent[1], shared)
    assert first.take_output() == sent[1:]


def test_nothing_is_held_when_all_is_written() -> None:
    shared, links, sent = SharedOutput(), open_links(2), messages(2)
    for data in sent:
        for link in links:
            link.send_publish(data, shared)
    before = [link.take_joined(shared) for link in links]
    shared.let_go()
    for data in sent:
        links[0].send_publish(data, shared)
    again = links[0].take_joined(shared)
    assert again == before[0]
    assert again is not before[0]


@pytest.mark.parametrize("seed", range(20))
def test_each_link_writes_what_it_would_alone(seed: int) -> None:
    """However messages, answers and writes of several links come in between each other."""
    chance = random.Random(seed)
    shared, links, sent = SharedOutput(), open_links(4), messages(6)
    expected = [b""] * len(links)
    written = [b""] * len(links)
    for _ in range(300):
        doing = chance.random()
        some = chance.sample(range(len(links)), chance.randint(1, len(links)))
        if doing < 0.6:
            data = chance.choice(sent)
            for at in some:
                links[at].send_publish(data, shared)
                expected[at] += data
        elif doing < 0.75:
            answer: Packet = chance.choice([Pingresp(), Puback(1)])
            links[some[0]].send(answer)
            expected[some[0]] += encode(answer, 5)
        elif doing < 0.95:
            for at in some:
                written[at] += links[at].take_joined(shared)
        else:
            shared.let_go()
    for at, link in enumerate(links):
        assert written[at] + b"".join(link.take_output()) == expected[at]
