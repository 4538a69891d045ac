import uuid

from hypothesis import given
from hypothesis import strategies as st

from longline.center.times import rfc3339
from longline.delivery.ids import MessageIds


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


def test_two_processes_do_not_make_the_same_ids() -> None:
    made = [MessageIds().make(1) for _ in range(100)]
    assert len(set(made)) == 100


def test_times_are_rfc_3339_with_milliseconds() -> None:
    assert rfc3339(0) == "1970-01-01T00:00:00.000Z"
    assert rfc3339(1_800_000_000_007) == "2027-01-15T08:00:00.007Z"
    assert rfc3339(1_800_000_000_999) == "2027-01-15T08:00:00.999Z"
