from hypothesis import given
from hypothesis import strategies as st

from longline.room.session.session import MAX_PACKET_ID, InFlight, Session
from tests.unit.room.scene import NOW_MS, Scene


def a_session(window: int = 16) -> Session:
    scene = Scene()
    session = Session(scene.broker.enter(7, "news", True), "phone", 1, scene.peer().connection, window)
    session.more = False
    return session


@given(st.lists(st.booleans(), max_size=200))
def test_a_packet_identifier_is_never_one_in_use_nor_zero(steps: list[bool]) -> None:
    session = a_session(window=1000)
    used: list[int] = []
    for take in steps:
        if take or not used:
            packet_id = session.take_id(None)
            assert 1 <= packet_id <= MAX_PACKET_ID
            assert packet_id not in used
            used.append(packet_id)
        else:
            assert session.inflight is not None
            del session.inflight[used.pop(0)]


def test_packet_identifiers_start_again_at_one_and_step_over_those_in_use() -> None:
    session = a_session()
    assert session.take_id(None) == 1
    session.next_id = MAX_PACKET_ID - 1
    assert session.take_id(None) == MAX_PACKET_ID
    assert session.take_id(None) == 2


def test_the_window_counts_what_is_in_flight() -> None:
    session = a_session(window=2)
    assert session.free() == 2
    session.take_id(None)
    assert session.free() == 1
    session.take_id(None)
    assert session.free() == 0


def test_while_pushes_wait_in_the_store_half_of_the_window_is_theirs() -> None:
    session = a_session(window=5)
    assert session.spare() == 5
    session.more = True
    assert session.spare() == 2


def test_with_a_window_of_one_pushes_come_before_plain_messages() -> None:
    session = a_session(window=1)
    session.more = True
    assert session.spare() == 0


def test_the_log_is_settled_below_the_oldest_broadcast_in_flight() -> None:
    session = a_session()
    session.log_read = 9
    session.log_position = 12  # written, but what was stored before it may still come
    assert session.settled_log() == 9
    session.take_id(InFlight(session, 3, False, False, NOW_MS))  # a unicast: another count
    session.take_id(None)  # plain publish/subscribe
    assert session.settled_log() == 9
    session.take_id(InFlight(session, 8, True, False, NOW_MS))
    session.take_id(InFlight(session, 6, True, False, NOW_MS))
    assert session.settled_log() == 5
