import sys

from hypothesis import given
from hypothesis import strategies as st

from longline.room.session.client import ClientConnection
from longline.room.session.outlet import UNSET
from longline.room.wire.wheel import SLOTS, Wheel
from tests.unit.room.fixture import RoomFixture


def a_connection(room: RoomFixture) -> ClientConnection:
    return ClientConnection(room.services, room.share)


def ticks_until_due(wheel: Wheel, connection: ClientConnection) -> int:
    for tick in range(1, 2 * SLOTS):
        if connection in wheel.advance():
            return tick
    raise AssertionError("the deadline never came")


@given(ticks=st.integers(1, SLOTS - 1), turned=st.integers(0, 2 * SLOTS))
def test_a_deadline_comes_after_as_many_ticks_as_were_asked_for(ticks: int, turned: int) -> None:
    wheel, connection = Wheel(), a_connection(RoomFixture())
    for _ in range(turned):
        wheel.advance()
    wheel.set(connection, ticks)
    assert wheel.size == 1
    assert ticks_until_due(wheel, connection) == ticks
    assert wheel.size == 0
    assert connection.slot == UNSET


def test_a_deadline_beyond_the_wheels_reach_comes_up_early_to_be_put_in_again() -> None:
    wheel, connection = Wheel(), a_connection(RoomFixture())
    wheel.set(connection, 10 * SLOTS)
    assert ticks_until_due(wheel, connection) == SLOTS - 1


def test_a_deadline_is_at_least_a_tick_away() -> None:
    wheel, connection = Wheel(), a_connection(RoomFixture())
    wheel.set(connection, -5)
    assert ticks_until_due(wheel, connection) == 1


def test_a_new_deadline_replaces_the_earlier_one() -> None:
    wheel, connection = Wheel(), a_connection(RoomFixture())
    wheel.set(connection, 3)
    wheel.set(connection, 7)
    assert wheel.size == 1
    assert ticks_until_due(wheel, connection) == 7


def test_a_cleared_deadline_does_not_come_and_clearing_twice_does_no_harm() -> None:
    wheel, connection = Wheel(), a_connection(RoomFixture())
    wheel.set(connection, 3)
    wheel.clear(connection)
    wheel.clear(connection)
    assert wheel.size == 0
    assert all(not wheel.advance() for _ in range(SLOTS))


def test_the_wheel_can_name_everybody_with_a_deadline() -> None:
    room, wheel = RoomFixture(), Wheel()
    connections = [a_connection(room) for _ in range(5)]
    for number, connection in enumerate(connections):
        wheel.set(connection, number * 100)
    assert set(wheel.outlets()) == set(connections)


def test_one_tick_hands_out_only_its_own_slot() -> None:
    room, wheel = RoomFixture(), Wheel()
    early, late = a_connection(room), a_connection(room)
    wheel.set(early, 1)
    wheel.set(late, 2)
    assert wheel.advance() == [early]
    assert wheel.advance() == [late]


def test_a_crowd_that_came_and_went_leaves_no_memory_behind() -> None:
    wheel = Wheel()
    before = room_of(wheel)
    room = RoomFixture()
    crowd = [a_connection(room) for _ in range(10_000)]
    for outlet in crowd:
        wheel.set(outlet, 90)
    for outlet in crowd:
        wheel.clear(outlet)
    for _ in range(SLOTS):
        assert wheel.advance() == []
    assert room_of(wheel) == before


def room_of(wheel: Wheel) -> int:
    """Bytes of its slots."""
    return sum(map(sys.getsizeof, wheel._slots))
