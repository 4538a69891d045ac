from hypothesis import given
from hypothesis import strategies as st

from longline.room.push.sent import SentPush
from longline.room.session.inflight import QUEUED
from longline.room.session.session import Session
from tests.unit.room.fixture import NOW_MS, RoomFixture

LAST = QUEUED - 1  # those above are of messages from queues


def a_session(window: int = 16, *, pending: bool = False) -> Session:
    session = RoomFixture().session("phone", window=window)
    session.window.open(0, pending)
    return session


@given(st.lists(st.booleans(), max_size=200))
def test_a_packet_identifier_is_never_one_in_use_nor_zero(steps: list[bool]) -> None:
    session = a_session(window=1000)
    used: list[int] = []
    for take in steps:
        if take or not used:
            packet_id = session.window.identify(None)
            assert 1 <= packet_id <= LAST
            assert packet_id not in used
            used.append(packet_id)
        else:
            assert session.window.inflight is not None
            session.window.inflight.take(used.pop(0))


def test_packet_identifiers_start_again_at_one_and_step_over_those_in_use() -> None:
    session = a_session()
    assert session.window.identify(None) == 1
    inflight = session.window.inflight
    assert inflight is not None
    for _ in range(2, LAST):
        inflight.take(session.window.identify(None))
    assert session.window.identify(None) == LAST
    assert session.window.identify(None) == 2


def test_the_window_counts_what_is_in_flight() -> None:
    session = a_session(window=2)
    assert session.window.free() == 2
    session.window.identify(None)
    assert session.window.free() == 1
    session.window.identify(None)
    assert session.window.free() == 0


def test_while_pushes_wait_in_the_store_half_of_the_window_is_theirs() -> None:
    assert a_session(window=5).window.spare() == 5
    assert a_session(window=5, pending=True).window.spare() == 2


def test_with_a_window_of_one_pushes_come_before_plain_messages() -> None:
    session = a_session(window=1, pending=True)
    assert session.window.spare() == 0


def test_the_log_is_settled_below_the_oldest_broadcast_in_flight() -> None:
    session = a_session()
    session.window.log_read = 9
    session.window.log_written = 12  # written, but what was stored before it may still come
    assert session.window.log_settled() == 9
    session.window.identify(SentPush(session, 3, False, "id", False, NOW_MS))  # a unicast: another count
    session.window.identify(None)  # plain publish/subscribe
    assert session.window.log_settled() == 9
    session.window.identify(SentPush(session, 8, True, "id", False, NOW_MS))
    session.window.identify(SentPush(session, 6, True, "id", False, NOW_MS))
    assert session.window.log_settled() == 5
