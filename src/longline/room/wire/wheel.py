"""One coarse timer for all connections of a process.

A connection has at most one deadline here and owns no timer of its own. Traffic does not touch the
wheel: when a connection's slot comes up, it looks at when it was last heard and asks for the next
slot. So a busy connection costs one look a keep-alive period, and a tick costs what is in its slot,
not what is connected. A deadline beyond the wheel's reach comes up early and is put in again.
"""

from typing import Final, final

from longline.room.session.outlet import UNSET, Outlet

SLOTS: Final = 512  # one tick each
TICK: Final = 1.0  # s: how exact deadlines are


@final
class Wheel:
    """A hashed timing wheel that its owner advances; `Outlet.slot` says where a connection is.

    `now` in seconds, rising: as of the last tick. It stands still while the loop does, so that time in which
    we could not listen counts for no peer as silence.
    """

    __slots__ = ("_slots", "_tick", "now", "size")

    def __init__(self, now: float = 0.0) -> None:
        self.now = now
        self._tick = 0
        self._slots: list[set[Outlet]] = [set() for _ in range(SLOTS)]
        self.size = 0

    def set(self, outlet: Outlet, ticks: int) -> None:
        """Gives a deadline in so many ticks (at least one), in place of an earlier one."""
        self.clear(outlet)
        slot = (self._tick + max(1, min(ticks, SLOTS - 1))) % SLOTS
        outlet.slot = slot
        self._slots[slot].add(outlet)
        self.size += 1

    def clear(self, outlet: Outlet) -> None:
        """Takes the deadline away, if there is one."""
        if outlet.slot != UNSET:
            self._slots[outlet.slot].discard(outlet)
            outlet.slot = UNSET
            self.size -= 1

    def outlets(self) -> list[Outlet]:
        """Every connection with a deadline: among them all not let in yet, and all that we closed."""
        return [outlet for slot in self._slots for outlet in slot]

    def advance(self) -> list[Outlet]:
        """Moves one tick on and hands out whose deadline it is; they have none any more."""
        self._tick += 1
        self.now += TICK
        slot = self._tick % SLOTS
        due = self._slots[slot]
        self._slots[slot] = set()  # also for an empty one: a set keeps the room of all that it ever held
        if not due:
            return []
        for outlet in due:
            outlet.slot = UNSET
        self.size -= len(due)
        return list(due)
