"""The histogram against HdrHistogram's own Python package."""

import random
from collections.abc import Callable
from importlib import import_module
from typing import Protocol, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longline.bench.hot.histogram import BUCKETS, HIGHEST, LatencyHistogram, bucket_of, highest_in, load


class Oracle(Protocol):
    """What is used of the reference implementation, which has no types."""

    def record_value(self, value: int) -> bool: ...

    def get_value_at_percentile(self, percentile: float) -> float: ...


HdrHistogram = cast(Callable[[int, int, int], Oracle], import_module("hdrh.histogram").HdrHistogram)

PERCENTILES = (0.0, 1.0, 25.0, 50.0, 75.0, 90.0, 99.0, 99.9, 99.99, 100.0)


def recorded(values: list[int]) -> LatencyHistogram:
    histogram = LatencyHistogram()
    for value in values:
        histogram.record(value)
    return histogram


@pytest.mark.parametrize("seed", range(5))
def test_percentiles_are_those_of_the_reference_implementation(seed: int) -> None:
    source = random.Random(seed)
    values = [int(source.lognormvariate(13, 2.5)) for _ in range(20_000)]
    oracle = HdrHistogram(1, HIGHEST, 3)
    for value in values:
        oracle.record_value(value)
    histogram = recorded(values)
    for percent in PERCENTILES:
        ours, theirs = histogram.percentile(percent), int(oracle.get_value_at_percentile(percent))
        # Both promise three digits; they may name different ends of one bucket.
        assert abs(ours - theirs) <= max(1, theirs // 1000), f"at {percent} %"


@given(st.integers(min_value=0, max_value=HIGHEST))
def test_a_bucket_is_never_wider_than_a_thousandth_of_its_values(value: int) -> None:
    bucket = bucket_of(value)
    top = highest_in(bucket)
    assert 0 <= bucket < BUCKETS
    assert value <= top <= value + value // 1000
    assert bucket_of(top) == bucket
    assert bucket_of(top + 1) == bucket + 1


@given(
    st.lists(st.integers(min_value=0, max_value=1 << 40)),
    st.lists(st.integers(min_value=0, max_value=1 << 40)),
)
def test_merging_is_recording_both(left: list[int], right: list[int]) -> None:
    merged = recorded(left)
    merged.merge(recorded(right))
    both = recorded(left + right)
    assert merged.dump() == both.dump()
    assert merged.total == both.total


@given(st.lists(st.integers(min_value=0, max_value=1 << 40)))
def test_a_histogram_survives_the_pipe(values: list[int]) -> None:
    histogram = recorded(values)
    again = load(histogram.dump())
    assert again.dump() == histogram.dump()
    assert again.mean() == histogram.mean()
    assert [again.percentile(p) for p in PERCENTILES] == [histogram.percentile(p) for p in PERCENTILES]


def test_without_values_everything_is_zero() -> None:
    assert (LatencyHistogram().percentile(99.0), LatencyHistogram().mean(), LatencyHistogram().highest) == (
        0,
        0.0,
        0,
    )


def test_values_out_of_range_count_as_the_nearest_one_in_it() -> None:
    histogram = recorded([-5, HIGHEST + 10])
    assert histogram.percentile(0.0) == 0
    assert histogram.percentile(100.0) == HIGHEST
