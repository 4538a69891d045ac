"""How a crowd of clients that has lost its rooms comes back: a simulation in steps of a tenth of a second.

Clients are not simulated one by one but as amounts: so many of them, at their n-th attempt, try in this step.
A random wait ("full jitter": anything between nothing and a limit) spreads an amount evenly over the steps up
to the limit. So a run is exact in the mean, always the same, and as quick for 25 million as for a thousand.

A client that dispatchers tell how fast to come asks one of them first. As `longline.dispatcher` does, it
answers with a delay drawn from the time that the rooms need for all who asked of late, then back-off from a
limit that depends on it; several dispatchers share the clients and the rate. Without them, clients go
straight to an address that the rooms share, with the SDK's back-off. In both cases rooms refuse what their
queue has no room for, and a client that waits for too long hangs up and tries again; what it waited for is
not worked on.
"""

from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple

STEP: Final = 0.1  # s
LONGEST: Final = 3600.0  # s simulated at most
PATIENCE: Final = 10.0  # s that a client waits for an answer
FIRST: Final = 0.5  # s: the limit of a client's first wait
CAP: Final = 60.0  # s: and of its longest
ATTEMPTS: Final = 16  # that are told apart
NEARLY: Final = 0.99


class Crowd(NamedTuple):
    """Who comes, and who is there to take them. Costs in seconds of a core, `stores` in connects a second.

    `noticed_within`: seconds over which clients notice, evenly; `queue`: CONNECTs that wait in one room.
    `hint_rate`: new connections a second that dispatchers reckon with, of all rooms together.
    """

    clients: float
    noticed_within: float
    rooms: int
    connect: float
    refuse: float
    stores: float
    queue: int
    dispatchers: int
    look_up: float
    hint_rate: float
    hinted: bool


class End(NamedTuple):
    """How it went. `attempts`: connects for each client; `half`, `nearly_all`: seconds."""

    peak_rate: float
    peak_waiting: float
    attempts: float
    half: float
    nearly_all: float


class Schedule:
    """Amounts that try in each step to come, by attempt."""

    def __init__(self) -> None:
        # Differences from step to step, so that spreading an amount over any time costs two additions.
        self._changes = [[0.0] * (int(LONGEST / STEP) + 2) for _ in range(ATTEMPTS)]
        self._levels = [0.0] * ATTEMPTS

    def spread(self, amount: float, attempt: int, step: int, within: float) -> None:
        """From the next step on, evenly for `within` seconds."""
        steps = max(1, round(within / STEP))
        changes = self._changes[min(attempt, ATTEMPTS - 1)]
        last = len(changes) - 1
        changes[min(step + 1, last)] += amount / steps
        changes[min(step + 1 + steps, last)] -= amount / steps

    def take(self, step: int) -> Iterator[tuple[int, float]]:
        """Those of this step, by attempt. Steps are to be taken one after the other."""
        for attempt, changes in enumerate(self._changes):
            self._levels[attempt] += changes[step]
            if self._levels[attempt] > 1e-9:
                yield attempt, self._levels[attempt]


class Line:
    """A queue, first come first served, whose people leave after `PATIENCE`."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, int, float]] = deque()  # since which step, attempt, amount
        self.size = 0.0

    def join(self, step: int, attempt: int, amount: float) -> None:
        self._waiting.append((step, attempt, amount))
        self.size += amount

    def leave(self, step: int) -> Iterator[tuple[int, float]]:
        """Those whose patience is over."""
        while self._waiting and (step - self._waiting[0][0]) * STEP >= PATIENCE:
            _, attempt, amount = self._waiting.popleft()
            self.size -= amount
            yield attempt, amount

    def serve(self, most: float) -> Iterator[tuple[int, float]]:
        """The first ones, up to an amount."""
        while self._waiting and most > 1e-9:
            since, attempt, amount = self._waiting.popleft()
            served = min(amount, most)
            if served < amount:
                self._waiting.appendleft((since, attempt, amount - served))
            self.size -= served
            most -= served
            yield attempt, served


def simulate(crowd: Crowd) -> End:
    """From the moment of the loss until nearly all are back, or an hour has passed."""
    asking, connecting = Schedule(), Schedule()
    at_dispatchers, at_rooms = Line(), Line()
    first, cap = FIRST, CAP  # limits of the wait after a refusal
    told = 0.0  # look-ups, of all dispatchers alike, that are not worth a connection yet
    back = attempts = peak_rate = peak_waiting = 0.0
    half = nearly_all = LONGEST
    (asking if crowd.hinted else connecting).spread(crowd.clients, 0, 0, max(FIRST, crowd.noticed_within))

    for step in range(1, int(LONGEST / STEP)):
        for attempt, amount in asking.take(step):
            at_dispatchers.join(step, attempt, amount)
        for attempt, amount in at_dispatchers.leave(step):
            asking.spread(amount, attempt + 1, step, min(CAP, FIRST * 2.0 ** (attempt + 1)))
        answered = sum(amount for _, amount in at_dispatchers.serve(STEP * crowd.dispatchers / crowd.look_up))
        told = max(0.0, told - STEP * crowd.hint_rate) + answered
        if answered:
            behind = told / crowd.hint_rate
            delay = behind if behind > 1.0 else 0.0
            first, cap = max(FIRST, delay / 2), max(CAP, 4 * delay)
            connecting.spread(answered, 0, step, delay)

        arriving = list(connecting.take(step))
        rate = sum(amount for _, amount in arriving)
        attempts += rate
        peak_rate = max(peak_rate, rate / STEP)
        room = crowd.rooms * crowd.queue - at_rooms.size
        refused = max(0.0, rate - room)
        for attempt, amount in arriving:
            share = amount * refused / rate
            if amount > share:
                at_rooms.join(step, attempt, amount - share)
            if share:
                connecting.spread(share, attempt + 1, step, min(cap, first * 2.0 ** (attempt + 1)))
        for attempt, amount in at_rooms.leave(step):
            connecting.spread(amount, attempt + 1, step, min(cap, first * 2.0 ** (attempt + 1)))
        peak_waiting = max(peak_waiting, at_rooms.size)
        cores = max(0.0, crowd.rooms * STEP - refused * crowd.refuse)
        back += sum(amount for _, amount in at_rooms.serve(min(cores / crowd.connect, STEP * crowd.stores)))
        if back >= crowd.clients / 2:
            half = min(half, step * STEP)
        if back >= crowd.clients * NEARLY:
            nearly_all = step * STEP
            break
    return End(peak_rate, peak_waiting, attempts / crowd.clients, half, nearly_all)
