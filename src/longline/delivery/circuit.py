"""Stops asking a store that cannot answer, so that it may recover, and callers hear of it at once.

After `FAILURES` failures in a row the circuit is open: requests are refused without asking the store. When a
pause is over, one request is let through to find out. If it fails too the next pause is twice as long; if it
succeeds, everything goes on. Callers are told different times to come back, so that they do not come
back all together.
"""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from longline.delivery.counters import DeliveryCounters
from longline.errors import Overloaded, Unavailable

FAILURES = 10
FIRST_PAUSE = 0.25  # s
LONGEST_PAUSE = 5.0  # s
SPREAD = 2.0  # s over which callers are told to come back


class Circuit:
    """`chance` gives numbers from 0 to 1."""

    def __init__(
        self,
        counters: DeliveryCounters,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._counters = counters
        self._monotonic = monotonic
        self._chance = chance
        self._failures = 0
        self._pause = 0.0
        self._open_until: float | None = None
        self._probing = False

    def check(self) -> None:
        """Raises `Overloaded` while requests are refused; for whoever has not begun with the work yet."""
        if self._open_until is not None:
            left = self._open_until - self._monotonic()
            if left > 0 or self._probing:
                self._counters.refused_early += 1
                wait = max(left, 0.0) + SPREAD * self._chance()
                raise Overloaded("the store cannot keep up; nothing was stored", retry_after=wait)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Asking the store, in a `with` block. Raises as `check` does, and whatever the block raises."""
        self.check()
        probe = self._probing = self._open_until is not None
        try:
            yield
        except (Overloaded, Unavailable):
            if probe:
                self._open(2 * self._pause)
            elif self._open_until is None:
                self._failures += 1
                if self._failures >= FAILURES:
                    self._open(FIRST_PAUSE)
            raise
        else:
            self._failures = 0
            self._open_until = None
        finally:
            if probe:
                self._probing = False

    def _open(self, pause: float) -> None:
        self._counters.circuit_opened += 1
        self._failures = 0
        self._pause = min(pause, LONGEST_PAUSE)
        self._open_until = self._monotonic() + self._pause
