"""How long to wait before trying again, and how often trying again is allowed.

A million devices that lose their node at one moment must not come back at one moment: every wait is
drawn uniformly between nothing and a limit that doubles ("full jitter"), which spreads a crowd evenly
over the whole interval. App servers retry single calls instead; what they must not do is multiply the
load of a node that is already failing, so their retries draw on a budget that successes refill.
"""

import random as random_module
from collections.abc import Callable

Random = Callable[[], float]
"""Draws from [0, 1); `random.random` outside tests."""


class Backoff:
    """Waits that grow: uniform in [0, min(cap, base * 2**attempt)), in seconds."""

    __slots__ = ("_base", "_cap", "_random", "attempt")

    def __init__(
        self, *, base: float = 0.5, cap: float = 60.0, random: Random = random_module.random
    ) -> None:
        self.bound(base, cap)
        self._random = random
        self.attempt = 0

    def bound(self, base: float, cap: float) -> None:
        """Goes by other bounds from now on; how often it was tried so far stands."""
        if base <= 0 or cap < base:
            raise ValueError("a back-off needs 0 < base <= cap, in seconds")
        self._base = base
        self._cap = cap

    def next(self) -> float:
        """The next wait in seconds; the limit doubles with each call."""
        # The exponent is bounded: 2.0**1024 overflows, and a device may be refused that often.
        limit = min(self._cap, self._base * 2.0 ** min(self.attempt, 32))
        self.attempt += 1
        return self._random() * limit

    def reset(self) -> None:
        """What was tried has worked: the next failure starts from the shortest wait."""
        self.attempt = 0


class RetryBudget:
    """Bounds retries to a share of the successes, so that they cannot multiply an overload.

    Starts full with `capacity` retries. Each retry takes one; each success gives back `refill`. With
    the defaults a burst of failures gets 10 retries, a lasting failure soon none, and in the steady
    state at most one request in eleven is a retry.
    """

    __slots__ = ("_capacity", "_left", "_refill")

    def __init__(self, *, capacity: float = 10.0, refill: float = 0.1) -> None:
        self._capacity = capacity
        self._refill = refill
        self._left = capacity

    def take(self) -> bool:
        """Claims one retry; False when the budget is spent."""
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True

    def succeeded(self) -> None:
        self._left = min(self._capacity, self._left + self._refill)
