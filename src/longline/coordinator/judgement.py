"""When to take for dead who is silent: being slow is not being dead, and the slow one may be the judge.

Whoever judges first asks whether it was itself late. A look that came late, be it that this process stood
still, that the store took its time, or that somebody else led meanwhile, says nothing of the time before it:
observation begins anew. And what the keeper tells may be old news: it must have been heard since the node was
first missed.

Rooms of one host may die together. But when more than half of the hosts fall silent at once, or of the rooms
where there is one host, the fault is rather between them and us. Then nobody is declared dead for a while,
and after that one a second, which is time for those that live to be heard again.

None of that withholds a death for longer than two minutes.
"""

import math
from collections.abc import Collection
from typing import Final

import structlog

from longline.model.nodes import host_of

# s: a node may open its queue a moment before the news that it has joined is here.
NEWS: Final = 3.0
LATE: Final = 1.5  # s between looks, which are twice a second: after more, the judge was late
BLIND: Final = 10.0  # s between looks, after which nothing is known of who was silent before
WAIT: Final = 10.0  # s that nobody is declared dead when many are silent
PACE: Final = 1.0  # s from one death to the next then
WITHHELD: Final = 120.0  # s

log = structlog.get_logger("longline.coordinator")


class Judgement:
    """Is told at each look who is silent, and says who is dead. Times in seconds of a clock that rises.

    `withheld`: how many are silent now and not declared dead, because they are too many.
    """

    def __init__(self) -> None:
        self.withheld = 0
        self._looked = -math.inf
        self._first: dict[str, float] = {}  # silent nodes, and when each was first missed
        self._observed: dict[str, float] = {}  # and since when each was watched without a gap
        self._many: float | None = None  # since when too many are silent
        self._declared = -math.inf

    def look(self, silent: Collection[str], living: Collection[str], *, now: float, age: float) -> str | None:
        """Who is to be declared dead now, one at most.

        `living` are the others. `age`: how old the keeper's news may be.
        """
        gap, self._looked = now - self._looked, now
        if gap > BLIND:
            self._first.clear()
        if gap > LATE:
            self._observed.clear()
        self._first = {node: self._first.get(node, now) for node in silent}
        self._observed = {node: self._observed.get(node, now) for node in silent}
        self._weigh(silent, living, now)
        heard = now - age
        for node, since in self._observed.items():
            first = self._first[node]
            withheld_for_long = now - first >= WITHHELD and heard >= first
            if withheld_for_long or (now - since >= NEWS and heard >= since and self._may(now)):
                self._declared = now
                return node
        return None

    def resume(self, now: float) -> None:
        """What was done since the last look was done for a death, and is no lateness."""
        self._looked = now

    def _weigh(self, silent: Collection[str], living: Collection[str], now: float) -> None:
        many = len(silent) > 1 and _share(silent, living) > 1 / 2
        self.withheld = len(silent) if many else 0
        if not many:
            self._many = None
        elif self._many is None:
            self._many = now
            log.warning("deaths_withheld", silent=len(silent), heard=len(living))

    def _may(self, now: float) -> bool:
        return self._many is None or (now - self._many >= WAIT and now - self._declared >= PACE)


def _share(silent: Collection[str], living: Collection[str]) -> float:
    """How much of the hosts is silent: of each host, as much as of its rooms."""
    rooms: dict[str, list[int]] = {}
    for nodes, is_silent in ((silent, 1), (living, 0)):
        for node in nodes:
            rooms.setdefault(host_of(node), []).append(is_silent)
    return sum(sum(host) / len(host) for host in rooms.values()) / max(1, len(rooms))
