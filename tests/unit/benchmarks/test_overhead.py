"""What benchmarks make of runs with and without something beside a load."""

import pytest
from benchmarks.overhead import Run, row

ALONE = Run(own=0.05, started=0.0, p99=10.0, rate=10_000)


def test_what_a_node_starts_counts_at_the_rate_that_is_asked_for() -> None:
    """Also where half of it was reached: it takes so much of a core whatever the load is."""
    profiled = Run(own=0.05, started=0.05, p99=12.0, rate=5_000)
    cells = row([(ALONE, profiled)], 10_000).split(" | ")
    assert cells[0].startswith("+0.0%")
    assert cells[1] == "5.0%"
    assert cells[2].startswith("+10.0%")
    assert cells[3].startswith("+20.0%")
    assert cells[4] == "10,000 and 5,000 |"


@pytest.mark.parametrize(("first", "second", "middle"), [(0.051, 0.053, "+4.0%"), (0.04, 0.05, "-10.0%")])
def test_each_run_is_held_against_the_other_of_its_pair(first: float, second: float, middle: str) -> None:
    pairs = [(ALONE, Run(own, 0.0, 10.0, 10_000)) for own in (first, second)]
    assert row(pairs, 10_000).startswith(middle)
