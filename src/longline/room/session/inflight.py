"""Which packet identifiers of a client stand for what, until they are acknowledged."""

from typing import Final, final

MAX_PACKET_ID: Final = 65_535


class InFlight:
    """A push that was written and not acknowledged yet. `owner` is the window that it was written for."""

    __slots__ = ("broadcast", "owner", "position")

    def __init__(self, owner: object, position: int, broadcast: bool) -> None:
        self.owner = owner
        self.position = position
        self.broadcast = broadcast


@final
class Inflight:
    """One client's packet identifiers, shared by all sessions that it has on its connection.

    An entry of None is a message of plain publish/subscribe. The dict is gone while it would be empty: most
    devices are idle, and there are millions.
    """

    __slots__ = ("_entries", "_latest")

    def __init__(self) -> None:
        self._entries: dict[int, InFlight | None] | None = None
        self._latest = 0

    def __len__(self) -> int:
        entries = self._entries
        return 0 if entries is None else len(entries)

    def __contains__(self, packet_id: int) -> bool:
        entries = self._entries
        return entries is not None and packet_id in entries

    def add(self, entry: InFlight | None) -> int:
        """A packet identifier that was not in use [MQTT-2.2.1-4] and now stands for `entry`.

        The caller has seen that fewer than 65,535 are in use.
        """
        entries = self._entries
        if entries is None:
            entries = self._entries = {}
        packet_id = self._latest
        while True:
            packet_id = packet_id + 1 if packet_id < MAX_PACKET_ID else 1
            if packet_id not in entries:
                break
        self._latest = packet_id
        entries[packet_id] = entry
        return packet_id

    def take(self, packet_id: int) -> InFlight | None:
        """What an identifier in use stood for; it is free again. KeyError when it was not in use."""
        entries = self._entries
        if entries is None:
            raise KeyError(packet_id)
        entry = entries.pop(packet_id)
        if not entries:
            self._entries = None
        return entry

    def entries(self) -> list[InFlight]:
        """Every push in flight, in the order written."""
        entries = self._entries
        return [] if entries is None else [entry for entry in entries.values() if entry is not None]

    def has(self, owner: object, position: int) -> bool:
        """Whether this unicast of a window is in flight."""
        entries = self._entries
        if entries is not None:
            for entry in entries.values():
                if (
                    entry is not None
                    and entry.position == position
                    and not entry.broadcast
                    and entry.owner is owner
                ):
                    return True
        return False

    def of(self, owner: object) -> set[tuple[int, bool]]:
        """The pushes of a window that are in flight, as (position, broadcast)."""
        return {(entry.position, entry.broadcast) for entry in self.entries() if entry.owner is owner}

    def first_broadcast(self, owner: object) -> int:
        """The lowest position of a window's broadcasts in flight; 0 for none."""
        first = 0
        entries = self._entries
        if entries is not None:
            for entry in entries.values():
                if entry is not None and entry.broadcast and entry.owner is owner:
                    first = entry.position if not first else min(first, entry.position)
        return first
