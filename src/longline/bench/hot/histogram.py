"""Latencies in constant memory: a log-linear histogram, as HdrHistogram keeps them.

Below 2048 every value has a bucket of its own. Above, each power of two is cut into 1024 equal
buckets, so a bucket is never wider than 1/1024 of the values it holds: three significant digits at
any magnitude, with one list of counts that two processes can add together.

The index of a value needs no search. Shift the value right until it fits in 11 bits; the number of
shifts says which power of two, the eleven bits that remain say which bucket of it.
"""

from typing import Final

SUB_BITS: Final = 11
"""Bits of a value that are kept: 2**11 buckets hold three decimal digits."""

SUB_COUNT: Final = 1 << SUB_BITS
HALF_COUNT: Final = SUB_COUNT >> 1

HIGHEST: Final = (1 << 37) - 1
"""Largest value told apart, about 137 s in nanoseconds; larger ones count as this."""

BUCKETS: Final = (37 - SUB_BITS + 2) * HALF_COUNT


def bucket_of(value: int) -> int:
    """The index of the bucket that counts `value` (0 to `HIGHEST`)."""
    shift = value.bit_length() - SUB_BITS
    if shift <= 0:
        return value
    return shift * HALF_COUNT + (value >> shift)


def highest_in(bucket: int) -> int:
    """The largest value that falls into `bucket`: what a percentile reports."""
    if bucket < SUB_COUNT:
        return bucket
    shift = bucket // HALF_COUNT - 1
    mantissa = bucket - shift * HALF_COUNT
    return ((mantissa + 1) << shift) - 1


class LatencyHistogram:
    """Counts of non-negative integers; the unit is the caller's (nanoseconds throughout `bench`)."""

    def __init__(self) -> None:
        self.counts: list[int] = [0] * BUCKETS
        self.total: int = 0
        self.highest: int = 0
        self.sum: int = 0

    def record(self, value: int) -> None:
        """Counts one value. A negative one (a clock that stepped) counts as 0."""
        if value < 0:
            value = 0
        elif value > HIGHEST:
            value = HIGHEST
        self.counts[bucket_of(value)] += 1
        self.total += 1
        self.sum += value
        if value > self.highest:
            self.highest = value

    def percentile(self, percent: float) -> int:
        """The value that `percent` (0 to 100) of the recorded values do not exceed; 0 when empty."""
        if self.total == 0:
            return 0
        # At least one value has to be covered, or the 0th percentile would be the first bucket of all.
        wanted = max(1, int(percent / 100.0 * self.total + 0.5))
        seen = 0
        for bucket, count in enumerate(self.counts):
            seen += count
            if seen >= wanted:
                return min(highest_in(bucket), self.highest)
        return self.highest

    def mean(self) -> float:
        """The arithmetic mean of the recorded values; 0.0 when empty."""
        return self.sum / self.total if self.total else 0.0

    def merge(self, other: "LatencyHistogram") -> None:
        """Adds the counts of `other`: the histogram of both sets of values."""
        for bucket, count in enumerate(other.counts):
            if count:
                self.counts[bucket] += count
        self.total += other.total
        self.sum += other.sum
        if other.highest > self.highest:
            self.highest = other.highest

    def dump(self) -> list[int]:
        """The histogram as `[sum, highest, bucket, count, bucket, count, …]`, to cross a pipe."""
        flat = [self.sum, self.highest]
        for bucket, count in enumerate(self.counts):
            if count:
                flat.append(bucket)
                flat.append(count)
        return flat


def load(flat: list[int]) -> LatencyHistogram:
    """The inverse of `LatencyHistogram.dump`."""
    histogram = LatencyHistogram()
    histogram.sum = flat[0]
    histogram.highest = flat[1]
    for at in range(2, len(flat), 2):
        histogram.counts[flat[at]] = flat[at + 1]
        histogram.total += flat[at + 1]
    return histogram
