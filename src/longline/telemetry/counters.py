"""Numbers that hot code adds to.

A part counts in a class of its own with `__slots__` of plain integers, because `counters.sent += 1` costs a
tenth of a Prometheus metric's `inc()`. What needs a label goes into a `Tally`, what needs a distribution into
a `Histogram`. None of them locks: they belong to the thread of the event loop, and the collector reads them
there.
"""

from bisect import bisect_left
from typing import Final, final

OTHER: Final = "other"

# Bounds of a `Histogram` of how long somebody waits, in seconds.
WAITS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

# Bounds of a `Histogram` of how long answers take, from what is fast to what nobody waits for.
ANSWERS: Final = (
    *(0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)


@final
class Tally(dict[str, int]):
    """Counts by one label, with a bound on the number of labels.

    A label that a peer can influence must not become a way to fill our memory, or Prometheus's: beyond
    `limit` distinct labels, new ones are counted together as `other`.
    """

    __slots__ = ("limit",)

    def __init__(self, limit: int = 64) -> None:
        super().__init__()
        self.limit = limit

    def add(self, label: str, amount: int = 1) -> None:
        if label not in self and len(self) >= self.limit:
            label = OTHER
        self[label] = self.get(label, 0) + amount


@final
class Histogram:
    """A distribution in fixed buckets; `bounds` are their inclusive upper ends, in seconds and rising."""

    __slots__ = ("bounds", "counts", "highest", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)  # the last one holds what is above every bound
        self.total = 0.0
        self.highest = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds
        if seconds > self.highest:
            self.highest = seconds

    def cumulative(self) -> list[tuple[str, float]]:
        """The buckets as Prometheus wants them: (upper end, how many were at most that)."""
        so_far = 0
        buckets: list[tuple[str, float]] = []
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            so_far += count
            buckets.append((bound, so_far))
        return buckets
