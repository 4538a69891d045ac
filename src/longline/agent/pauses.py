"""How long to wait before something that has ended is started again."""

import time
from collections.abc import Callable

FIRST_PAUSE = 0.2  # s before an early end is answered by a new start
SETTLED = 30.0  # s: who has lived so long did not end early


class Pauses:
    """Pauses of one place: none after a long life; after early ends they double, up to `longest` seconds."""

    def __init__(self, longest: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._longest = longest
        self._monotonic = monotonic
        self._early = 0  # early ends in a row
        self._began = monotonic()

    def starts(self) -> None:
        """A start is tried now."""
        self._began = self._monotonic()

    def ended(self) -> float:
        """Seconds before the next start."""
        if self._monotonic() - self._began >= SETTLED:
            self._early = 0
            return 0.0
        self._early += 1
        return min(self._longest, FIRST_PAUSE * 2.0 ** (min(self._early, 20) - 1))
