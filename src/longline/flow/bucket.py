"""Rates that somebody may have."""


class Bucket:
    """A token bucket that holds one second's worth, and at least one."""

    __slots__ = ("level", "seen")

    def __init__(self, rate: float, now: float) -> None:
        self.level = max(1.0, rate)
        self.seen = now

    def take(self, rate: float, now: float) -> bool:
        """Takes one; False when there is none. `rate` a second; `now` in seconds, rising."""
        self.level = min(max(1.0, rate), self.level + (now - self.seen) * rate)
        self.seen = now
        if self.level < 1.0:
            return False
        self.level -= 1.0
        return True


class OwingBucket:
    """A token bucket that holds one second's worth; less than nothing where more was taken, which is owed."""

    __slots__ = ("level", "seen")

    def __init__(self, rate: float, now: float) -> None:
        self.level = rate
        self.seen = now

    def refill(self, rate: float, now: float) -> float:
        """What it has by now (s, rising), filled at `rate` a second."""
        self.level = min(rate, self.level + (now - self.seen) * rate)
        self.seen = now
        return self.level
