"""How fast bulk work goes, by what loop and store have to say."""

import asyncio
from contextlib import suppress

import pytest

from longline.errors import Fenced, LonglineError, Overloaded, Unavailable
from longline.room.push.pace import (
    HEAVIEST,
    LATE,
    LEAST,
    LONGEST_REST,
    LOOP,
    STORE_FAILS,
    STORE_LATE,
    TURN,
    BulkPace,
)
from longline.testing.clock import VirtualClock, settle

MOST = 500
GOOD = 0.001  # s


def a_pace(clock: VirtualClock, most: int = MOST) -> BulkPace:
    return BulkPace(most, clock.now, clock.sleep)


async def after(clock: VirtualClock, pace: BulkPace, seconds: float, error: Exception | None = None) -> None:
    """The store answers, or does not, after so many seconds."""
    with suppress(LonglineError, ValueError), pace.asking():
        await clock.advance(seconds)
        if error is not None:
            raise error


def test_where_nothing_is_wrong_there_is_no_rest_and_the_slice_grows_to_what_is_set() -> None:
    pace = a_pace(VirtualClock())
    rests = [pace.judge(GOOD) for _ in range(20)]
    assert not any(rests)
    assert pace.slice == MOST
    assert pace.slowed == {}


def test_turns_that_take_too_long_shorten_the_slice_and_then_lengthen_the_rest() -> None:
    pace = a_pace(VirtualClock())
    pace.slice = MOST
    slices, rests = [], []
    for _ in range(20):
        rests.append(pace.judge(2 * TURN))
        slices.append(pace.slice)
    assert slices[:5] == [250, 125, 62, LEAST, LEAST]
    assert rests[:4] == [0, 0, 0, 0]
    assert rests[4:7] == [2 * TURN, 4 * TURN, 8 * TURN]
    assert (pace.weight, rests[-1]) == (HEAVIEST, LONGEST_REST)
    assert pace.slowed == {LOOP: 20}


def test_what_was_slowed_comes_back_little_by_little() -> None:
    pace = a_pace(VirtualClock())
    for _ in range(10):
        pace.judge(1.0)
    before = (pace.slice, pace.weight)
    pace.judge(GOOD)
    assert before[1] - 1 < pace.weight < before[1]
    assert pace.slice == before[0]
    for _ in range(200):
        pace.judge(GOOD)
    assert (pace.slice, pace.weight) == (MOST, 0)


async def test_a_store_that_is_late_slows_once_for_each_time_that_it_may_take() -> None:
    clock = VirtualClock()
    pace = a_pace(clock)
    pace.slice = MOST
    with pace.asking():
        await clock.advance(2 * LATE)
        rests = [pace.judge(GOOD) for _ in range(10)]
        assert pace.slowed == {STORE_LATE: 1}
        assert (pace.slice, rests) == (MOST // 2, [GOOD] * 10)
        await clock.advance(LATE)
        pace.judge(GOOD)
        assert pace.slowed == {STORE_LATE: 2}
        assert pace.weight == 2


@pytest.mark.parametrize("error", [None, Unavailable()])
async def test_an_answer_that_was_late_or_none_is_forgotten_when_the_store_is_asked_no_more(
    error: Exception | None,
) -> None:
    clock = VirtualClock()
    pace = a_pace(clock)
    await after(clock, pace, 2 * LATE, error)
    assert pace.late() == pytest.approx(2 * LATE)
    await clock.advance(10)
    assert pace.late() == 0
    assert pace.judge(GOOD) == 0


@pytest.mark.parametrize(
    ("error", "slows"),
    [(Unavailable(), True), (Overloaded(), True), (Fenced(), False), (ValueError(), False)],
)
async def test_a_store_that_refuses_slows_until_it_takes_something_again(
    error: Exception, slows: bool
) -> None:
    clock = VirtualClock()
    pace = a_pace(clock)
    await after(clock, pace, 0.001, error)
    pace.judge(GOOD)
    assert pace.slowed == ({STORE_FAILS: 1} if slows else {})
    await after(clock, pace, 0.001)
    weight = pace.weight
    pace.judge(GOOD)
    assert pace.weight < weight or not weight


async def test_of_several_calls_that_wait_the_oldest_counts() -> None:
    clock = VirtualClock()
    pace = a_pace(clock)
    with pace.asking():
        await clock.advance(1)
        await after(clock, pace, 0.01)
        assert pace.late() == pytest.approx(1.01)


async def test_others_have_a_turn_between_two_slices_and_the_time_of_the_rest() -> None:
    clock = VirtualClock()
    pace = a_pace(clock)
    pace.weight = 1.0
    served: list[float] = []
    asyncio.get_running_loop().call_soon(lambda: served.append(clock.now()))
    begun = pace.begin()
    await clock.advance(0.01)
    pausing = asyncio.create_task(pace.pause(begun))
    await settle()
    assert served
    assert clock.next_wake == pytest.approx(0.01 * 0.75)
    await clock.advance(1)
    assert pausing.done()


def test_the_setting_may_be_below_the_least_slice_and_may_change() -> None:
    pace = a_pace(VirtualClock(), 4)
    assert pace.slice == 4
    pace.judge(1.0)
    assert pace.slice == 4
    pace.most = 8
    for _ in range(10):
        pace.judge(GOOD)
    assert pace.slice == 8
    pace.most = 2
    pace.judge(GOOD)
    assert pace.slice == 2


def test_no_error_is_swallowed() -> None:
    pace = a_pace(VirtualClock())
    with pytest.raises(LonglineError), pace.asking():
        raise Unavailable
