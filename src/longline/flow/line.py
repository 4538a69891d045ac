"""Who waits to be let in, and who of them is next.

They are served in the order in which they came, for as long as nobody waits for half of a client's
patience. Then the newest are served first: who has waited longest is about to give up, and to serve the
oldest is to serve, each time, somebody who has just gone (adaptive LIFO). Who is passed over for so long that
a client would not wait any more is given up. Where most of those whose turn it was have gone, clients wait
for less than they are taken to, and the newest are served first as well.
"""

from collections import deque
from typing import Final, Generic, TypeVar

IN_ORDER: Final = 0.5  # of a client's patience: who has waited for so long has others go first

Who = TypeVar("Who")


class Line(Generic[Who]):
    """`patience`: seconds that a client is taken to wait. Times are in seconds, and rise.

    `newest_first`: they are known to wait for less.
    """

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self.newest_first = False
        self._waiting: deque[tuple[Who, float]] = deque()  # in the order in which they came

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, who: Who, now: float) -> None:
        """Somebody comes."""
        self._waiting.append((who, now))

    def take(self, now: float, most: int) -> list[tuple[Who, float]]:
        """Who is next, with when they came: at most so many, and in that order."""
        waiting = self._waiting
        count = min(most, len(waiting))
        late = count < len(waiting) and now - waiting[0][1] > self.patience * IN_ORDER
        if late or self.newest_first:
            taken = [waiting.pop() for _ in range(count)]
            taken.reverse()
        else:
            taken = [waiting.popleft() for _ in range(count)]
        return taken

    def overdue(self, now: float, most: int) -> list[tuple[Who, float]]:
        """Takes out those, at most so many, who have waited for too long."""
        waiting = self._waiting
        found: list[tuple[Who, float]] = []
        while waiting and len(found) < most and now - waiting[0][1] > self.patience:
            found.append(waiting.popleft())
        return found


class Portion:
    """How many are served together: as many as take no longer than `target` seconds of this process's time.

    A process that gets little of a processor, or has much else to do, is slow with each: then fewer are taken
    together, so that those who are served have not given up when their turn is over. The first portion is
    `first`, or as large as they get.
    """

    def __init__(self, most: int, least: int, target: float, first: int | None = None) -> None:
        self.size = most if first is None else first
        self._most = most
        self._least = least
        self._target = target

    def took(self, seconds: float) -> None:
        """A portion took so long."""
        if seconds > self._target:
            self.size = max(self._least, int(self.size * self._target / seconds))
        elif self.size < self._most:
            self.size = min(self._most, self.size * 2)

    def failed(self) -> None:
        """A portion was not served, however long that took."""
        self.size = max(self._least, self.size // 2)
