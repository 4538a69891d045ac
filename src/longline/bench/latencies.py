"""Percentiles of a histogram, as they are reported."""

import msgspec

from longline.bench.hot.histogram import LatencyHistogram


class Latencies(msgspec.Struct, frozen=True):
    """Milliseconds."""

    mean: float
    p50: float
    p90: float
    p99: float
    p999: float
    max: float
    samples: int


def latencies_of(histogram: LatencyHistogram) -> Latencies:
    """The usual percentiles of a histogram of nanoseconds."""
    p50, p90, p99, p999 = (histogram.percentile(percent) / 1e6 for percent in (50.0, 90.0, 99.0, 99.9))
    return Latencies(histogram.mean() / 1e6, p50, p90, p99, p999, histogram.highest / 1e6, histogram.total)
