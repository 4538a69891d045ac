"""One coarse timer for all connections of a process.

A connection has at most one deadline here and owns no timer of its own. Traffic does not touch the
wheel: when a connection's slot comes up, it looks at when it was last heard and asks for the next
slot. So a busy connection costs one look a keep-alive period, and a tick costs what is in its slot,
not what is connected. A deadline beyond the wheel's reach comes up early and is put in again.
"""

from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from longline.room.wire.connection import Connection

SLOTS: Final = 512  # one tick each
UNSET: Final = -1


@final
class Wheel:
    """A hashed timing wheel that its owner advances; `Connection.slot` says where a connection is."""

    __slots__ = ("_slots", "_tick", "size")

    def __init__(self) -> None:
        self._tick = 0
        self._slots: list[set[Connection]] = [set() for _ in range(SLOTS)]
        self.size = 0

    def set(self, connection: "Connection", ticks: int) -> None:
        """Gives a deadline in so many ticks (at least one), in place of an earlier one."""
        self.clear(connection)
        slot = (self._tick + max(1, min(ticks, SLOTS - 1))) % SLOTS
        connection.slot = slot
        self._slots[slot].add(connection)
        self.size += 1

    def clear(self, connection: "Connection") -> None:
        """Takes the deadline away, if there is one."""
        if connection.slot != UNSET:
            self._slots[connection.slot].discard(connection)
            connection.slot = UNSET
            self.size -= 1

    def connections(self) -> "list[Connection]":
        """Every connection with a deadline: among them all not let in yet, and all that we closed."""
        return [connection for slot in self._slots for connection in slot]

    def advance(self) -> "list[Connection]":
        """Moves one tick on and hands out whose deadline it is; they have none any more."""
        self._tick += 1
        slot = self._tick % SLOTS
        due = self._slots[slot]
        if not due:
            return []
        self._slots[slot] = set()
        for connection in due:
            connection.slot = UNSET
        self.size -= len(due)
        return list(due)
