"""Counters stay bounded and distributions exact."""

from collections.abc import Iterator

from longline.errors import LonglineError
from longline.telemetry.counters import OTHER, Histogram, Tally


def codes(of: type[LonglineError]) -> Iterator[str]:
    """Of this error and of all that are of its kind."""
    yield of.code
    for kind in of.__subclasses__():
        yield from codes(kind)


def test_a_tally_counts_by_label() -> None:
    tally = Tally()
    tally.add("malformed_packet")
    tally.add("malformed_packet", 2)
    tally.add("bad_token")
    assert tally == {"malformed_packet": 3, "bad_token": 1}


def test_a_tally_counts_labels_beyond_its_limit_together() -> None:
    tally = Tally(limit=2)
    for label in ("a", "b", "c", "d", "a"):
        tally.add(label)
    assert tally == {"a": 2, "b": 1, OTHER: 2}


def test_every_error_has_a_count_of_its_own() -> None:
    tally = Tally()
    for code in codes(LonglineError):
        tally.add(code)
    assert len(tally) > 64
    assert OTHER not in tally


def test_a_histogram_s_bounds_are_inclusive_upper_ends() -> None:
    histogram = Histogram((0.25, 1.0))
    for seconds in (0.0, 0.25, 0.5, 1.0, 8.0):
        histogram.observe(seconds)
    assert histogram.cumulative() == [("0.25", 2), ("1.0", 4), ("+Inf", 5)]
    assert histogram.total == 9.75
    assert histogram.highest == 8.0
