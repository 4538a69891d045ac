"""Samples and points of figures, and what histograms saw lately."""

import msgspec
import pytest

from longline.model.figures import MAX_FIGURES
from longline.telemetry.collector import NodeCollector
from longline.telemetry.counters import Histogram, Tally
from longline.telemetry.quantiles import Observed, quantile
from longline.telemetry.sampling import Interval, Points


class Counters:
    __slots__ = ("by_kind", "seconds", "total")

    def __init__(self) -> None:
        self.total = 3
        self.by_kind = Tally()
        self.seconds = Histogram((0.1, 1.0))


def test_the_collector_gives_figures_their_names_in_the_metrics() -> None:
    collector = NodeCollector(compiled=False)
    counters = Counters()
    counters.by_kind.add("kicked", 2)
    collector.add("room", counters)
    collector.gauge("isolated", "", lambda: 1.0)
    collector.tally("faults", "", "place", {"here": 4})
    collector.figures("saver", lambda: {"commits": 5})
    found = dict(collector.numbers())
    assert found["room_total"] == 3
    assert found["room_by_kind{kicked}"] == 2
    assert found["room_seconds"] is counters.seconds
    assert found["isolated"] == 1.0
    assert found["faults{here}"] == 4
    assert found["saver_commits"] == 5
    assert "process_open_fds" in found
    assert "process_cpu_seconds" in found


@pytest.mark.parametrize(
    ("observed", "part", "wanted"),
    [
        ((), 0.5, None),
        ((0.05,) * 10, 0.5, 0.05),
        ((0.05,) * 99 + (0.5,), 0.5, 50 / 99 * 0.1),
        ((0.5,) * 10, 0.5, 0.1 + 0.9 * 0.5),
        ((5.0,), 0.99, 5.0),
        ((0.5, 7.0), 0.99, 7.0),
    ],
)
def test_a_quantile_is_read_off_the_buckets(
    observed: tuple[float, ...], part: float, wanted: float | None
) -> None:
    """Never above the highest that was observed."""
    histogram = Histogram((0.1, 1.0))
    for each in observed:
        histogram.observe(each)
    found = quantile(histogram, None, part)
    assert found == (None if wanted is None else pytest.approx(min(wanted, max(observed))))


def test_a_quantile_is_that_of_what_came_since() -> None:
    histogram = Histogram((0.1, 1.0))
    for _ in range(1000):
        histogram.observe(0.01)
    before = Observed.of(histogram)
    assert quantile(histogram, before, 0.99) is None
    histogram.observe(0.9)
    found = quantile(histogram, before, 0.5)
    assert found is not None
    assert found > 0.1


def test_each_interval_sees_what_came_in_it() -> None:
    histogram = Histogram((0.1, 1.0))
    short, long = Interval(), Interval()
    histogram.observe(0.5)
    assert set(short.figures([("s", histogram)])) == {"s_count", "s_sum", "s_p50", "s_p99"}
    assert short.figures([("s", histogram)]) == {"s_count": 1, "s_sum": 0.5}
    assert "s_p99" in long.figures([("s", histogram)])


def test_a_sample_is_bounded() -> None:
    figures = Interval().figures((f"f{n}", n) for n in range(MAX_FIGURES + 10))
    assert len(figures) == MAX_FIGURES


def test_points_have_the_figures_that_were_ever_other_than_nothing() -> None:
    points = Points()
    assert points.point({"a": 0, "b": 2, "c_p99": 0.0}) == b"[2,0.0]"
    assert points.names == ["b", "c_p99"]
    assert points.point({"a": 1, "b": 0}) == b"[0,null,1]"
    assert points.names == ["b", "c_p99", "a"]


def test_names_of_points_are_bounded() -> None:
    points = Points()
    point = points.point({f"f{n}": 1 for n in range(MAX_FIGURES + 10)})
    assert len(points.names) == len(msgspec.json.decode(point)) == MAX_FIGURES
