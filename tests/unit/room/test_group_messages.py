"""What is said in groups, from the queue to the members' sessions; what the others hear of it; and chains."""

import itertools
import random

import msgspec
import pytest
from pyroaring import BitMap

from longline.model.commands import Broadcast, Part
from longline.model.messages import Said
from longline.mqtt.packets import MQTT_3_1_1, Publish
from longline.mqtt.properties import user_properties
from longline.room.push import broadcasts as module
from longline.room.push.chains import APART, Chain
from longline.room.session.window import Window
from longline.saver.port.inboxes import Page
from tests.unit.room.fixture import a_message
from tests.unit.room.running import NODE, RunningRoom
from tests.unit.room.test_admission import push, topics, unicast


def spoken(position: int, *ordinals: int, before: int = 0, sequence: int = 1) -> Broadcast:
    message = msgspec.structs.replace(a_message(position), said=Said("team", sequence, "ann"))
    return Broadcast(7, message, (Part(position, BitMap(ordinals).serialize(), before),))


async def test_it_goes_to_members_on_its_topic_with_its_place() -> None:
    async with RunningRoom() as room:
        peers = [await room.client(f"d{n}") for n in range(4)]
        await room.bus.send(NODE, [spoken(1, 0, 2, sequence=41)])
        await room.settle()
        packets = [peer.unread() for peer in peers]
        assert [topics(some) for some in packets] == [["group/team"], [], ["group/team"], []]
        (packet,) = packets[0]
        assert isinstance(packet, Publish)
        told = dict(user_properties(packet.properties))
        assert (told["sequence"], told["sender"], told["message-id"]) == ("41", "ann", "m1")


async def test_3_1_1_gets_topic_and_payload() -> None:
    async with RunningRoom() as room:
        peer = await room.client("d0", version=MQTT_3_1_1)
        await room.bus.send(NODE, [spoken(1, 0)])
        await room.settle()
        (packet,) = peer.unread()
        assert isinstance(packet, Publish)
        assert (packet.topic, packet.properties) == ("group/team", None)


async def test_who_is_no_member_is_not_gone_through_and_misses_nothing_afterwards() -> None:
    """A unicast says that it comes after what was said; nobody has to read for it."""
    async with RunningRoom() as room:
        member, other = [await room.client(f"d{n}") for n in range(2)]
        await room.bus.send(NODE, [spoken(n, 0, before=n - 1, sequence=n) for n in range(1, 6)])
        await room.settle()
        assert other.session.window.log_written == 0  # it was not visited
        await room.bus.send(NODE, [unicast("d1", 6, ordinal=1, log_before=5)])
        await room.settle()
        assert topics(other.unread()) == ["push/m6"]
        assert topics(member.unread()) == ["group/team"] * 5
        assert room.store.fetched == []
        assert other.session.window.log_written == 5


async def test_a_broadcast_to_all_comes_after_what_was_said_to_few() -> None:
    async with RunningRoom() as room:
        peers = [await room.client(f"d{n}") for n in range(3)]
        everyone = Broadcast(7, a_message(3), (Part(3, BitMap(range(3)).serialize(), 2),))
        await room.bus.send(NODE, [spoken(1, 0), spoken(2, 1, before=1), everyone])
        await room.settle()
        assert [topics(peer.unread()) for peer in peers] == [
            ["group/team", "push/m3"],
            ["group/team", "push/m3"],
            ["push/m3"],
        ]
        assert room.store.fetched == []


async def test_what_is_missing_before_it_is_read_by_members_alone() -> None:
    """One said before it is still on its way here; when it comes, nobody gets it twice."""
    async with RunningRoom() as room:
        member, other = [await room.client(f"d{n}") for n in range(2)]
        await room.bus.send(NODE, [spoken(1, 0)])
        await room.settle()
        room.store.pages[0] = [Page((push(2, broadcast=True), push(3, broadcast=True)), 3, True)]
        await room.bus.send(NODE, [spoken(3, 0, before=2)])
        await room.settle()
        assert len(room.store.fetched) == 1
        await room.bus.send(NODE, [spoken(2, 0, before=1)])
        await room.settle()
        await room.bus.send(NODE, [unicast("d1", 4, ordinal=1, log_before=3)])
        await room.settle()
        assert topics(member.unread()) == ["group/team", "push/m2", "push/m3"]  # as the store has them here
        assert topics(other.unread()) == ["push/m4"]
        assert len(room.store.fetched) == 1


async def test_too_many_that_wait_are_read_by_members_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SAID", 2)
    monkeypatch.setattr("longline.room.push.inbox.LOOK_EVERY", 0)
    async with RunningRoom() as room:
        member, other = [await room.client(f"d{n}") for n in range(2)]
        room.store.pages[0] = [Page(tuple(push(n, broadcast=True) for n in range(1, 6)), 5, True)]
        room.store.pages[1] = [Page((), 5, True)]
        await room.bus.send(NODE, [spoken(n, 0, before=n - 1) for n in range(1, 6)])
        await room.settle()
        assert room.parts.counters.broadcasts_left == 3
        assert len(topics(member.unread())) == 5
        assert topics(other.unread()) == []
        assert {fetch.ordinal for some in room.store.fetched for fetch in some} == {0}


async def test_who_has_left_the_room_or_came_again_is_found_as_it_is() -> None:
    async with RunningRoom() as room:
        first = await room.client("d0")
        await room.bus.send(NODE, [spoken(1, 0)])
        await room.settle()
        assert topics(first.unread()) == ["group/team"]
        again = await room.client("d0")
        assert first.over
        later = await room.client("d1")
        await room.bus.send(NODE, [spoken(2, 0, 1, before=1)])
        await room.settle()
        assert topics(later.unread()) == ["group/team"] or room.store.fetched
        assert topics(first.unread()) == []
        assert again.session.window.log_written >= 1


# --- chains ----------------------------------------------------------------------------------------------


def at(position: int) -> Window:
    """A window that has nothing to read, and stands there."""
    window = Window(10)
    window.open(position, False)
    return window


def lifted(chain: Chain, position: int, before: int = 1 << 40) -> int:
    window = at(position)
    chain.lift(window, before)
    return window.log_written


def test_a_window_within_the_stretch_is_lifted_to_its_end_and_no_other() -> None:
    chain = Chain()
    assert lifted(chain, 0) == 0
    chain.passed(10, 11)
    chain.passed(11, 15)
    assert [lifted(chain, position) for position in (9, 10, 11, 14, 15, 16)] == [9, 15, 15, 15, 15, 16]
    assert lifted(chain, 10, before=15) == 10  # what comes next is not to be passed
    window = at(10)
    window.lost()
    chain.lift(window, 100)
    assert window.log_written == 10


def test_an_entry_out_of_turn_waits_for_those_before_it() -> None:
    chain = Chain()
    chain.passed(0, 1)
    chain.passed(2, 3)
    chain.passed(4, 5)
    assert lifted(chain, 0) == 1
    chain.passed(1, 2)
    assert lifted(chain, 0) == 3
    chain.passed(3, 4)
    assert lifted(chain, 0) == 5
    chain.passed(1, 2)  # again
    assert lifted(chain, 0) == 5


def test_a_chain_that_is_torn_begins_anew_and_says_nothing_of_what_was_before() -> None:
    chain = Chain()
    chain.passed(0, 1)
    for n in range(APART + 1):
        chain.passed(10 + 2 * n, 12 + 2 * n)
    last = 12 + 2 * APART
    assert (chain.base, chain.upto) == (last - 2, last)
    assert lifted(chain, 1) == 1
    assert lifted(chain, last - 2) == last


@pytest.mark.parametrize("seed", range(20))
def test_in_whatever_order_entries_pass_nobody_is_lifted_over_one_that_has_not(seed: int) -> None:
    chance = random.Random(seed)
    entries = list(itertools.pairwise(sorted(chance.sample(range(1000), 40))))
    chain, passed = Chain(), set[int]()
    order = sorted(range(len(entries)), key=lambda n: n + chance.random() * 8)
    for n in order:
        before, position = entries[n]
        chain.passed(before, position)
        passed.add(position)
        for stands, _ in entries:
            end = lifted(chain, stands)
            assert all(position in passed for _, position in entries if stands < position <= end)
    assert lifted(chain, entries[order[0]][0]) == entries[-1][1]
