"""How long a connection may be idle before something is sent on it.

A network forgets connections that are silent, each after a time of its own, and tells nobody. Seldom is best
for a battery, and too seldom is a connection that is dead and not known to be. So the interval is learnt: a
connection that was idle for it and answers makes it longer, one that does not makes it shorter; where one has
died before, it grows by small steps. It stays within the keep alive that was agreed with the server.
"""

from typing import Final

SHARE: Final = 0.75  # of the keep alive: the packet needs time to travel
LEAST: Final = 10.0  # seconds
GROWTH: Final = 1.25
CAUTION: Final = 1.02  # growth near where a connection has died


class LearntHeartbeat:
    """The interval in seconds. With `fixed` it is what the keep alive allows, always."""

    __slots__ = ("_died_at", "fixed", "interval")

    def __init__(self, *, fixed: bool, interval: float | None = None) -> None:
        self.fixed = fixed
        self.interval = interval  # learnt; None: nothing was, yet
        self._died_at: float | None = None

    def within(self, keep_alive: float) -> float:
        """The interval for this keep alive, as agreed with the server; 0 means none was."""
        longest = keep_alive * SHARE
        if self.fixed or self.interval is None or not keep_alive:
            return longest
        return min(max(self.interval, min(LEAST, longest)), longest)

    def survived(self, keep_alive: float) -> None:
        """A connection that was idle for the interval has answered."""
        now = self.within(keep_alive)
        if self.fixed or self.interval is None:
            return
        near = self._died_at is not None and now * GROWTH >= self._died_at
        self.interval = min(now * (CAUTION if near else GROWTH), keep_alive * SHARE)

    def died(self, keep_alive: float) -> None:
        """A connection that was idle for the interval did not answer."""
        if self.fixed:
            return
        self._died_at = self.within(keep_alive)
        self.interval = max(self._died_at / 2, LEAST)
