"""What nobody foresaw in one item is noted, and the others are worked on."""

from collections.abc import Sequence

import pytest

from longline.errors import Unavailable
from longline.flow.contained import contained
from longline.telemetry.faults import Faults


async def test_all_are_worked_on_at_once_where_nothing_is_wrong() -> None:
    calls: list[list[int]] = []

    async def work(items: Sequence[int]) -> None:
        calls.append(list(items))

    faults = Faults()
    await contained("test", work, [1, 2, 3], faults)
    assert (calls, faults.counts) == ([[1, 2, 3]], {})


async def test_the_one_at_fault_is_given_up_and_the_others_are_done_in_order() -> None:
    done: list[int] = []

    async def work(items: Sequence[int]) -> None:
        if 2 in items:
            raise ValueError("2")
        done.extend(items)

    faults = Faults()
    await contained("test", work, [1, 2, 3], faults)
    assert (done, faults.counts) == ([1, 3], {"test": 1})


async def test_an_engine_that_is_away_is_no_fault_of_an_item() -> None:
    async def work(items: Sequence[int]) -> None:
        raise Unavailable("not now") if len(items) == 1 else ValueError("not all")

    faults = Faults()
    with pytest.raises(Unavailable):
        await contained("test", work, [1, 2], faults)
    assert faults.counts == {}
