import uuid

from hypothesis import given
from hypothesis import strategies as st

from longline.center.requests.times import rfc3339
from longline.delivery.ids import MessageIds, least_id


@given(st.lists(st.integers(0, 2**48 - 2), min_size=1, max_size=50))
def test_ids_rise_whatever_the_clock_does(clock: list[int]) -> None:
    ids = MessageIds()
    made = [ids.make(now) for now in clock for _ in range(3)]
    assert made == sorted(set(made))


def test_an_id_is_a_uuid_of_version_7_that_tells_its_time() -> None:
    now = 1_800_000_000_123
    made = MessageIds().make(now)
    parsed = uuid.UUID(made)
    assert str(parsed) == made
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert parsed.int >> 80 == now


def test_the_ids_of_a_time_begin_with_the_least_one() -> None:
    """Whatever lies before 1970, or further ahead than an id can tell, has bounds all the same."""
    ids = MessageIds()
    made = [ids.make(now) for now in (999, 1000, 1000, 1001)]
    assert made[0] < least_id(1000) < made[1] < made[2] < least_id(1001) < made[3]
    assert least_id(-1) == least_id(0) == str(uuid.UUID(int=0))
    assert least_id(1 << 60) == least_id((1 << 48) - 1) > made[3]


def test_two_processes_do_not_make_the_same_ids() -> None:
    made = [MessageIds().make(1) for _ in range(100)]
    assert len(set(made)) == 100


def test_times_are_rfc_3339_with_milliseconds() -> None:
    assert rfc3339(0) == "1970-01-01T00:00:00.000Z"
    assert rfc3339(1_800_000_000_007) == "2027-01-15T08:00:00.007Z"
    assert rfc3339(1_800_000_000_999) == "2027-01-15T08:00:00.999Z"
