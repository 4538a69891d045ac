"""How long clients should take to come when very many ask at once.

Rooms take so many new connections a second; what asked within the last moments and goes beyond that is spread
over the time that is needed for it. Each client draws its own delay, so they come evenly.

The rate is shared among the networks that ask, as fair queueing does (start-time fair queueing: Goyal, Vin
and Cheng, 1997): each network's look-ups stand in a line of its own, and all lines move at the same pace. So
whoever asks a million times waits for its own million, and others hardly notice; and clients behind one
address wait for each other.
"""

from heapq import heappop, heappush

WINDOW = 1.0  # s
SAMPLE = 16  # lines that are looked at where there are many
NETWORKS = 10_000  # lines that are told apart; further ones stand in one


class Stampede:
    """Look-ups that have not been worth a connection yet: they come in one by one, and drain at a rate.

    For each network that has a line a number, where it ends. `_turn` is the place that all lines have come
    to; it rises by the rate divided by the number of lines. What is behind it is no line any more.
    """

    def __init__(self) -> None:
        self._turn = 0.0
        self._at = 0.0
        self._ends: dict[str, float] = {}
        self._next: list[tuple[float, str]] = []  # a heap of ends, some of them grown since

    def spread(self, rate: float, now: float, network: str, *, counts: bool = True) -> float:
        """Counts one look-up at `now` (s, rising); over how many seconds it should spread its attempt.

        `rate`: new connections a second that all rooms take together. One that does not count is told what it
        would be if it did.
        """
        self._move((now - self._at) * rate)
        self._at = now
        if network not in self._ends and len(self._ends) >= NETWORKS:
            network = ""
        known = self._ends.get(network)
        end = 1.0 + (self._turn if known is None else known)
        if counts:
            self._ends[network] = end
            if known is None:
                heappush(self._next, (end, network))
        behind = self._before(network, end - self._turn) / rate
        return behind if behind > WINDOW else 0.0

    def _move(self, connections: float) -> None:
        """All lines move on, while so many come out of them together."""
        ends, heap = self._ends, self._next
        while heap:
            due, network = heap[0]
            end = ends[network]
            if end > due:  # it has grown meanwhile
                heappop(heap)
                heappush(heap, (end, network))
                continue
            needed = (end - self._turn) * len(ends)
            if needed > connections:
                self._turn += connections / len(ends)
                return
            connections -= needed
            self._turn = end
            heappop(heap)
            del ends[network]
        self._turn = 0.0

    def _before(self, network: str, length: float) -> float:
        """How many connections come, out of all lines, until the last of one of this length has its turn.

        Of each other line as many as it has, and no more than of this one. Where there are many, some of
        them speak for all.
        """
        others = len(self._ends) - (network in self._ends)
        if not others:
            return length
        some = self._next[:: max(1, len(self._next) // SAMPLE)]
        lengths = [min(length, self._ends[each] - self._turn) for _, each in some if each != network]
        return length + others * sum(lengths) / max(1, len(lengths))
