"""A pool that many use, shared so that none of them can have all of it.

The rule is that of shared switch buffers (dynamic thresholds: Choudhury and Hahne, 1998): who holds much of
it gets more only while as much as a fraction of that is still free. Alone, one may have three quarters; two
that want all they can get have three sevenths each, n of them 3/(3n + 1), and something stays free for
whoever comes next. Nobody is counted or asked: what is free says how many there are, and how greedy.
"""

from collections.abc import Hashable
from typing import Generic, TypeVar

GREED = 3  # times what is free: so much one may hold and still get more

K = TypeVar("K", bound=Hashable)


class Shares(Generic[K]):
    """A pool of `limit` units, of which `reserve` are kept for `privileged` alone, who has its share besides.

    `limit` and `reserve` may be set at any time; what is held beyond them is only not replaced. Memory is
    bounded by `limit`: who holds nothing is not remembered.
    """

    def __init__(self, limit: int, *, reserve: int = 0, privileged: K | None = None) -> None:
        self.limit = limit
        self.reserve = reserve
        self.total = 0
        self._privileged = privileged
        self._held: dict[K, int] = {}

    def take(self, who: K, amount: int = 1) -> bool:
        """Takes `amount` units for somebody; False, and nothing is changed, when they are not to be had."""
        held = self._held.get(who, 0)
        free = self.limit - self.reserve - self.total
        if amount > free or held > GREED * free:
            kept = who == self._privileged and held + amount <= self.reserve
            if not kept or self.total + amount > self.limit:
                return False
        self._held[who] = held + amount
        self.total += amount
        return True

    def give(self, who: K, amount: int = 1) -> None:
        """Gives back what was taken."""
        left = self._held[who] - amount
        self.total -= amount
        if left:
            self._held[who] = left
        else:
            del self._held[who]

    def hand_over(self, giver: K, taker: K, amount: int = 1) -> bool:
        """Has somebody hold what another one held; False, and nothing is changed, where it may not."""
        self.give(giver, amount)
        if self.take(taker, amount):
            return True
        self._held[giver] = self._held.get(giver, 0) + amount
        self.total += amount
        return False

    def full(self, amount: int = 1) -> bool:
        """Whether it is for lack of room that nobody would get `amount` units, and not for greed."""
        return amount > self.limit - self.reserve - self.total

    def held(self, who: K) -> int:
        """What somebody holds now."""
        return self._held.get(who, 0)

    def most(self) -> K | None:
        """Who holds most; None while nobody holds anything. It looks at all of them."""
        return max(self._held, key=self._held.__getitem__, default=None)
