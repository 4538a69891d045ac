"""Whose turn it is in a group: the rooms of its members, by how many there are in each."""

from collections import Counter
from collections.abc import Iterable

import pytest

from longline.room.pubsub.groups import HERE, Group, OtherRoom
from longline.room.pubsub.subscriptions import Subscriber
from longline.room.session.session import Session
from tests.unit.room.fixture import RoomFixture


def a_group(here: int = 0, **rooms: int) -> tuple[Group, dict[str, OtherRoom]]:
    """A group with so many members here and in other rooms."""
    group = Group(7, "$share/g/a", "a")
    fixture = RoomFixture()
    for n in range(here):
        group.join(Subscriber(fixture.session(f"d{n}"), 1))
    others = {name: OtherRoom(name) for name in rooms}
    for name, members in rooms.items():
        group.tell(others[name], members)
    return group, others


def chosen(group: Group, times: int, passed: Iterable[str] = ()) -> Counter[str]:
    found: Counter[str] = Counter()
    for _ in range(times):
        party = group.next_room(list(passed))
        if party is not None:
            found[party.name] += 1
    return found


@pytest.mark.parametrize("times", [12, 120, 1200])
def test_rooms_have_turns_by_how_many_members_they_have(times: int) -> None:
    group, _ = a_group(3, b=2, c=1)
    for _ in range(3):  # over any stretch, to within a turn or two
        found = chosen(group, times)
        for name, part in ((HERE, 1 / 2), ("b", 1 / 3), ("c", 1 / 6)):
            assert abs(found[name] - times * part) <= 2


def test_a_room_whose_number_changes_has_another_share_from_then_on() -> None:
    group, others = a_group(1, b=1)
    chosen(group, 10)
    group.tell(others["b"], 3)
    found = chosen(group, 400)
    assert abs(found["b"] - 300) <= 2


def test_a_room_without_members_is_not_chosen_until_it_has_some_again() -> None:
    group, others = a_group(1, b=5)
    group.tell(others["b"], 0)
    assert chosen(group, 5) == {HERE: 5}
    assert group.parties == {}
    group.tell(others["b"], 5)
    assert abs(chosen(group, 60)["b"] - 50) <= 2


def test_a_room_that_comes_and_goes_between_messages_takes_no_room_in_line() -> None:
    group, others = a_group(1, b=1)
    for _ in range(100):
        group.tell(others["b"], 0)
        group.tell(others["b"], 1)
    assert len(group._line) == 2
    assert len(group.parties) == 1


def test_a_room_that_is_gone_is_not_chosen_though_nobody_has_told_its_groups_yet() -> None:
    group, others = a_group(0, b=5, c=1)
    others["b"].gone = True
    assert chosen(group, 5) == {"c": 5}
    group.tell(others["b"], 0)
    assert group.rooms == 1
    assert set(group.parties) == {others["c"]}


def test_who_is_passed_over_loses_the_turn_and_does_not_have_it_twice_later() -> None:
    group, _ = a_group(1, b=1)
    assert chosen(group, 100, [HERE]) == {"b": 100}
    found = chosen(group, 100)
    assert abs(found["b"] - 50) <= 2


def test_nobody_is_chosen_where_there_is_nobody_or_all_are_passed_over() -> None:
    assert a_group()[0].next_room([]) is None
    group, _ = a_group(1, b=1)
    assert group.next_room([HERE, "b"]) is None
    assert chosen(group, 2).total() == 2


def test_who_begins_is_drawn_by_lot() -> None:
    """Else every room's first message to a group would go to the same room."""
    first = {next(iter(chosen(a_group(1, b=1)[0], 1))) for _ in range(100)}
    assert first == {HERE, "b"}


def test_members_leave_in_any_order() -> None:
    fixture = RoomFixture()
    sessions: list[Session] = [fixture.session(f"d{n}") for n in range(5)]
    group = Group(7, "$share/g/a", "a")
    assert all(group.join(Subscriber(session, 1)) for session in sessions)
    assert not group.join(Subscriber(sessions[2], 0))
    assert [member.qos for member in group.members] == [1, 1, 0, 1, 1]
    for left, n in enumerate([1, 4, 0, 2, 3], 1):
        assert group.part(sessions[n])
        assert not group.part(sessions[n])
        assert not group.has(sessions[n])
        assert len(group.members) == 5 - left
        assert all(group.members[seat].who is who for who, seat in group._seats.items())
    assert group.empty()
