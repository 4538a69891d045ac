"""Stops asking somebody who does not answer, so that nobody waits for it and it may recover.

After `failures` failures in a row it is open: nobody asks. When a pause is over, one may find out; if that
fails, too, the next pause is twice as long.
"""

from collections.abc import Callable


class Breaker:
    """`first` and `longest` pause in seconds; `clock` gives seconds, rising."""

    __slots__ = ("_clock", "_failed", "_failures", "_first", "_longest", "_pause", "_probing", "_until")

    def __init__(self, failures: int, first: float, longest: float, clock: Callable[[], float]) -> None:
        self._failures = failures
        self._first = first
        self._longest = longest
        self._clock = clock
        self._failed = 0
        self._pause = 0.0
        self._until = 0.0
        self._probing = False

    @property
    def open(self) -> bool:
        """Whether nobody may ask at this moment."""
        return self._failed >= self._failures and (self._probing or self._clock() < self._until)

    def ask(self) -> bool:
        """Whether to ask now. Who does says afterwards how it went: `answered`, `failed` or `unknown`."""
        if self.open:
            return False
        self._probing = self._failed >= self._failures
        return True

    def answered(self) -> None:
        """It did answer, whatever it said."""
        self._failed = 0
        self._pause = 0.0
        self._probing = False

    def failed(self) -> bool:
        """It did not; returns whether that has opened the breaker."""
        probed, self._probing = self._probing, False
        self._failed += 1
        # Those that were under way when it opened say nothing new.
        if self._failed < self._failures or (not probed and self._clock() < self._until):
            return False
        self._pause = min(self._longest, 2 * self._pause or self._first)
        self._until = self._clock() + self._pause
        return True

    def unknown(self) -> None:
        """Nobody waited for the answer."""
        self._probing = False
