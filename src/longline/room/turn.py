"""What is to be done in this turn of the event loop, and how much of it.

First the connections that were written to are flushed: each is a system call, and at most `writes` of them
are made in a turn. When all of that is out, one slice of a large fan-out is served, and then those who were
put off until this turn go on, one after the other, while there is time. Everybody adds to `spent` what they
do, and puts off the rest once that is over `budget`.

Whatever one of these raises is noted and kept from the others, and the next turn comes as long as there is
something left to do.
"""

from collections import deque
from collections.abc import Callable
from typing import Final, final

from longline.flow.pacing import Pacing
from longline.mqtt.shared_output import SharedOutput
from longline.room.session.outlet import Outlet
from longline.telemetry.faults import Faults

BUDGET: Final = 5000  # packets, and deliveries with an identifier, in a turn of the loop: a few milliseconds
WRITES: Final = 500  # connections flushed in one turn: as long
FILTER: Final = 8  # as many deliveries is the work that a filter makes which comes or goes
ENDING: Final = 16  # and a connection that ends, and each session with it, besides its filters


@final
class Turn(Pacing):
    """One for a room. `schedule` is the loop's `call_soon`."""

    __slots__ = (
        "_faults",
        "_held",
        "_later",
        "_next_second",
        "_schedule",
        "_scheduled",
        "_slices",
        "_touched",
        "budget",
        "pressed",
        "shared",
        "spent",
        "writes",
    )

    def __init__(
        self,
        schedule: Callable[[Callable[[], None]], object],
        faults: Faults,
        budget: int = BUDGET,
        writes: int = WRITES,
    ) -> None:
        super().__init__()
        self.budget = budget
        self.writes = writes
        self.spent = 0  # packets and deliveries in this turn
        self.pressed = False  # the stores do not keep up: who publishes is not read from
        self._schedule = schedule
        self._scheduled = False
        self._faults = faults
        self.shared = SharedOutput()  # what connections have to write alike in this turn
        self._touched: list[Outlet] = []  # each at most once
        self._slices: deque[Callable[[], bool]] = deque()  # one a publisher, or as many as it may have begun
        self._later: deque[Callable[[], None]] = deque()  # at most one a connection
        self._held: list[Callable[[], None]] = []  # the same
        self._next_second: list[Callable[[], None]] = []  # the same

    @property
    def crowded(self) -> bool:
        """Whether others wait for their share of a turn: who has had some makes way."""
        return len(self._later) > 0

    def touch(self, outlet: Outlet) -> None:
        """It has bytes to write: they go out at the end of this turn."""
        self._touched.append(outlet)
        self.wake()

    def in_time(self) -> bool:
        return self.spent <= self.budget

    def spend(self, work: int) -> None:
        self.spent += work

    def later(self, go_on: Callable[[], None]) -> None:
        self._later.append(go_on)
        self.wake()

    def slice(self, serve: Callable[[], bool]) -> None:
        """What is more than one turn may do: called once a turn, as long as it says that there is more."""
        self._slices.append(serve)
        self.wake()

    def hold(self, go_on: Callable[[], None]) -> None:
        """Like `later`, but when the stores keep up again."""
        self._held.append(go_on)

    def relieve(self) -> None:
        """The stores keep up again."""
        self.pressed = False
        if self._held:
            self._later += self._held
            self._held = []
            self.wake()

    def next_second(self, go_on: Callable[[], None]) -> None:
        """Like `later`, but in the next second: somebody has had their share of this one."""
        self._next_second.append(go_on)

    def second(self) -> None:
        """A second has passed."""
        if self._next_second:
            self._later += self._next_second
            self._next_second = []
            self.wake()

    def wake(self) -> None:
        """A turn is to come."""
        if not self._scheduled:
            self._scheduled = True
            self._schedule(self.run)

    def run(self) -> None:
        """Does this turn's work."""
        self.spent = 0
        try:
            self._write()
            if not self._touched:
                if self._slices:
                    self._serve(self._slices.popleft())
                    self.spent = 0  # it does not take the time of those who were put off
                later = self._later
                for _ in range(len(later)):
                    if self.spent > self.budget:
                        break
                    go_on = later.popleft()
                    try:
                        go_on()
                    except Exception as error:
                        self._faults.note("room.turn", error)
        finally:
            self._scheduled = bool(self._touched or self._slices or self._later)
            if self._scheduled:
                self._schedule(self.run)

    def _write(self) -> None:
        """Flushes those that were touched first, as many as a turn may."""
        touched = self._touched
        if not touched:
            return
        count = min(len(touched), self.writes)
        for at in range(count):
            self._flush(touched[at])
        if count == len(touched):
            self._touched = []
            self.shared.let_go()
        else:
            del touched[:count]  # what was touched meanwhile is behind them

    def _flush(self, outlet: Outlet) -> None:
        try:
            outlet.flush()
        except Exception as error:
            self._faults.note("room.turn", error)
            try:
                outlet.abort()  # a part of what it was to say is missing
            except Exception as another:
                self._faults.note("room.turn", another)

    def _serve(self, serve: Callable[[], bool]) -> None:
        try:
            if serve():
                self._slices.append(serve)
        except Exception as error:
            self._faults.note("room.turn", error)
