"""What a histogram has seen since somebody looked last: how many, and below what most of it was."""

from typing import NamedTuple

from longline.telemetry.counters import Histogram


class Observed(NamedTuple):
    """What a histogram had counted at a moment."""

    counts: tuple[int, ...]

    @classmethod
    def of(cls, histogram: Histogram) -> "Observed":
        """Now."""
        return cls(tuple(histogram.counts))


def quantile(histogram: Histogram, before: Observed | None, part: float) -> float | None:
    """Below what `part` (0 to 1) of what was observed since `before` was, in seconds; None for nothing.

    Within a bucket the observations count as spread evenly, as Prometheus has it; beyond the last bound it is
    the highest ever observed.
    """
    earlier = before.counts if before is not None else (0,) * len(histogram.counts)
    counts = [now - then for now, then in zip(histogram.counts, earlier, strict=True)]
    total = sum(counts)
    if total <= 0:
        return None
    wanted, so_far, low = part * total, 0.0, 0.0
    for bound, count in zip(histogram.bounds, counts, strict=False):
        if count and so_far + count >= wanted:
            return min(low + (bound - low) * (wanted - so_far) / count, max(histogram.highest, low))
        so_far += count
        low = bound
    return histogram.highest
