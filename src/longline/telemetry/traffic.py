"""What apps do in this process, for those who watch: counted by app, and told of the busiest.

The parts add to the plain numbers of an app's `AppTraffic`. Whoever tells takes them, and they begin from 0
again: so an app that is among the busiest in one second and not in the next makes no sum jump.
"""

from collections.abc import Callable
from heapq import nlargest
from typing import Final, final

from longline.model.figures import AppSample

BUSIEST: Final = 20  # apps that are told of by name; all others as one
NOBODY: Final = -1  # connections of an app that has nobody here
DIGITS: Final = 3


@final
class AppTraffic:
    """What an app did since it was told of last; `seconds`: what its `requests` took."""

    __slots__ = (
        "accepted",
        "acked",
        "connects",
        "errors",
        "name",
        "refused",
        "requests",
        "seconds",
        "sent",
        "upstream",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.connects = 0
        self.accepted = 0
        self.sent = 0
        self.acked = 0
        self.upstream = 0
        self.requests = 0
        self.refused = 0
        self.errors = 0
        self.seconds = 0.0

    def add(self, other: "AppTraffic") -> None:
        """Counts what another app did as this one's."""
        self.connects += other.connects
        self.accepted += other.accepted
        self.sent += other.sent
        self.acked += other.acked
        self.upstream += other.upstream
        self.requests += other.requests
        self.refused += other.refused
        self.errors += other.errors
        self.seconds += other.seconds

    def clear(self) -> None:
        """It was told of."""
        self.connects = self.accepted = self.sent = self.acked = self.upstream = 0
        self.requests = self.refused = self.errors = 0
        self.seconds = 0.0

    def load(self, app: str | None, apps: int, connections: int, seconds: float) -> AppSample:
        """This as it is told: so much in a second."""
        over = seconds if seconds > 0 else 1.0
        return AppSample(
            app,
            apps,
            connections,
            round(self.connects / over, DIGITS),
            round(self.accepted / over, DIGITS),
            round(self.sent / over, DIGITS),
            round(self.acked / over, DIGITS),
            round(self.upstream / over, DIGITS),
            round(self.requests / over, DIGITS),
            round(self.refused / over, DIGITS),
            round(self.errors / over, DIGITS),
            round(self.seconds / self.requests, 6) if self.requests else None,
        )


@final
class Traffic:
    """That of all apps; one for a process. `connections` says how many an app has here, NOBODY where it is
    not known at all.
    """

    __slots__ = ("_apps", "connections")

    def __init__(self) -> None:
        self._apps: dict[int, AppTraffic] = {}
        self.connections: Callable[[int], int] = _nobody

    def of(self, app: int, name: str) -> AppTraffic:
        """That of an app, by its number; it may be kept for as long as the app has connections."""
        found = self._apps.get(app)
        if found is None:
            found = self._apps[app] = AppTraffic(name)
        return found

    def take(self, seconds: float) -> list[AppSample]:
        """What was done within so many seconds, until now: of the busiest, the busiest first, and of all
        others as one. Apps that do nothing and have nobody here are forgotten.
        """
        ranked: list[tuple[int, int, int, AppTraffic]] = []
        idle: list[int] = []
        for number, app in self._apps.items():
            there = self.connections(number)
            weight = app.connects + app.accepted + app.sent + app.acked + app.upstream
            weight += app.requests + app.refused + app.errors
            if weight or there > 0:
                ranked.append((weight + max(there, 0), number, weight, app))
            elif there == NOBODY:
                idle.append(number)
        for number in idle:
            del self._apps[number]
        busiest = nlargest(BUSIEST, ranked)
        loads = [app.load(app.name, 1, rank - weight, seconds) for rank, _, weight, app in busiest]
        for _, _, _, app in busiest:
            app.clear()
        if len(ranked) > BUSIEST:
            named = {number for _, number, _, _ in busiest}
            others, connections = AppTraffic(""), 0
            for rank, number, weight, app in ranked:
                if number not in named:
                    connections += rank - weight
                    if weight:
                        others.add(app)
                        app.clear()
            loads.append(others.load(None, len(ranked) - BUSIEST, connections, seconds))
        return loads


def _nobody(app: int) -> int:
    return NOBODY
