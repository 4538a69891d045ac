"""Commands that wait to be carried out, each app's in their order, and whose turn it is.

Deficit round robin, as in `flow/turns.py`, and simpler: nobody is under way, since everything is done by one
task. A turn is `QUANTUM` deliveries long, so that what an app has for one device waits for so much of each
other app, however much these have.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

from longline.model.commands import (
    AppChanged,
    Broadcast,
    Cancelled,
    Close,
    Command,
    Desired,
    Filled,
    Forward,
    Looked,
    Resync,
    Routes,
    SessionsKept,
    Unicast,
    Vouched,
)
from longline.room.push.frames import Frames

QUANTUM: Final = 100  # deliveries in a turn
AHEAD: Final = 10_000  # that may wait before the bus is left to hold what comes; beside what one read brings
BYTES: Final = 4096  # of payload that weigh as much as a delivery

OfApp = (
    AppChanged
    | Broadcast
    | Cancelled
    | Close
    | Desired
    | Filled
    | Forward
    | Looked
    | SessionsKept
    | Unicast
    | Vouched
)


class AppLine:
    """The commands of one app with what each weighs, and how far the first of them has come, in targets of a
    unicast."""

    __slots__ = ("commands", "credit", "frames", "place", "weights")

    def __init__(self) -> None:
        self.commands: deque[OfApp] = deque()
        self.weights: deque[int] = deque()
        self.credit = QUANTUM
        self.place = 0
        self.frames: Frames | None = None


class AppTurns:
    """All that wait. False when nothing does."""

    def __init__(self) -> None:
        self._lines: dict[int, AppLine] = {}  # the first is whose turn it is
        self._weight = 0

    def __bool__(self) -> bool:
        return bool(self._lines)

    def full(self) -> bool:
        """Whether nothing more should be taken in."""
        return self._weight >= AHEAD

    def sort(self, commands: Sequence[Command]) -> list[Command]:
        """Puts commands behind those of their apps; which of them are of no app."""
        others: list[Command] = []
        for command in commands:
            if isinstance(command, Unicast):  # as nearly all are
                self.add(command)
            elif isinstance(command, Resync) or isinstance(command, Routes):  # noqa: SIM101 - compiled
                others.append(command)
            else:
                self.add(command)
        return others

    def add(self, command: OfApp) -> None:
        """A command more, behind those of its app."""
        line = self._lines.get(command.app)
        if line is None:
            line = self._lines[command.app] = AppLine()
        weight = _weight(command)
        line.commands.append(command)
        line.weights.append(weight)
        self._weight += weight

    def next(self) -> AppLine | None:
        """Whose turn it is; None when nothing waits."""
        for line in self._lines.values():
            return line
        return None

    def spend(self, deliveries: int, over: bool) -> None:
        """So much was done in this turn; `over`: the first command of whose turn it is was carried out."""
        app = next(iter(self._lines))
        line = self._lines[app]
        if over:
            line.commands.popleft()
            self._weight -= line.weights.popleft()
            line.place = 0
            line.frames = None
        line.credit -= deliveries
        if not line.commands:
            del self._lines[app]
        elif line.credit <= 0:
            del self._lines[app]
            self._lines[app] = line
            line.credit = QUANTUM


def _weight(command: OfApp) -> int:
    if isinstance(command, Unicast):
        return len(command.targets) + len(command.message.payload) // BYTES
    if isinstance(command, Broadcast):
        return 1 + len(command.message.payload) // BYTES
    if isinstance(command, Forward):
        return 1 + len(command.payload) // BYTES
    if isinstance(command, Filled):
        return len(command.devices)
    return 1
