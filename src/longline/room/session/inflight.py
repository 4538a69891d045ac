"""Which packet identifiers of a client stand for what, until they are acknowledged: ours, and its own.

Both ends choose identifiers for what they publish, so there are two tables. `Inflight` has ours: pushes and
plain messages that were written to the client. `PacketIds` has the client's: its publications with QoS 2 that
we have taken, and answer without taking them again until it releases them [MQTT-4.3.3-10].
"""

from collections.abc import Iterable
from typing import Final, final

from longline.mqtt.packets import PUBACK, PUBCOMP, PUBREC

MAX_PACKET_ID: Final = 65_535
FEW: Final = 64  # identifiers from where on a bitmap is smaller than a set

NOTHING: Final = 0  # what an identifier waits for that is not in use, instead of a packet's type


class InFlight:
    """A push that was written and not acknowledged yet. `owner` is the window that it was written for."""

    __slots__ = ("broadcast", "owner", "position")

    def __init__(self, owner: object, position: int, broadcast: bool) -> None:
        self.owner = owner
        self.position = position
        self.broadcast = broadcast


@final
class ExactlyOnce(InFlight):
    """A plain message with QoS 2; `released` from when the client has it, and we have sent PUBREL."""

    __slots__ = ("released",)

    def __init__(self) -> None:
        super().__init__(None, 0, False)
        self.released = False


@final
class Inflight:
    """One client's packet identifiers, shared by all sessions that it has on its connection.

    An entry of None is a message of plain publish/subscribe with QoS 1. The dict is gone while it would be
    empty: most devices are idle, and there are millions.
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

    def put_back(self, packet_id: int, entry: InFlight) -> None:
        """What was taken was not acknowledged after all."""
        entries = self._entries
        if entries is None:
            entries = self._entries = {}
        entries[packet_id] = entry

    def awaits(self, packet_id: int) -> int:
        """The type of the packet that an identifier of ours waits for."""
        entries = self._entries
        if entries is None or packet_id not in entries:
            return NOTHING
        entry = entries[packet_id]
        if isinstance(entry, ExactlyOnce):
            return PUBCOMP if entry.released else PUBREC
        return PUBACK

    def release(self, packet_id: int) -> None:
        """The client has a message with QoS 2: what is sent from now on is PUBREL [MQTT-4.3.3-6]."""
        entries = self._entries
        entry = None if entries is None else entries.get(packet_id)
        if isinstance(entry, ExactlyOnce):
            entry.released = True

    def steps(self) -> list[tuple[int, int]]:
        """The plain messages in flight, in the order written: each identifier, and what it waits for."""
        entries = self._entries
        if entries is None:
            return []
        return [
            (packet_id, self.awaits(packet_id))
            for packet_id, entry in entries.items()
            if entry is None or isinstance(entry, ExactlyOnce)
        ]

    def restore(self, steps: Iterable[tuple[int, int]]) -> None:
        """Goes on where another was when it said `steps`. What it chooses next is in use by none of them."""
        for packet_id, awaited in steps:
            entry: ExactlyOnce | None = None
            if awaited != PUBACK:
                entry = ExactlyOnce()
                entry.released = awaited == PUBCOMP
            if self._entries is None:
                self._entries = {}
            self._entries[packet_id] = entry
            self._latest = packet_id

    def entries(self) -> list[InFlight]:
        """Every push in flight, in the order written."""
        entries = self._entries
        if entries is None:
            return []
        return [
            entry for entry in entries.values() if entry is not None and not isinstance(entry, ExactlyOnce)
        ]

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


@final
class PacketIds:
    """A set of packet identifiers of a client's, in 8 KiB at most: 3.1.1 has no other bound for them."""

    __slots__ = ("_bits", "_few", "_size")

    def __init__(self, packet_ids: Iterable[int] = ()) -> None:
        self._few: set[int] = set()
        self._bits: bytearray | None = None
        self._size = 0
        for packet_id in packet_ids:
            self.add(packet_id)

    def __len__(self) -> int:
        return self._size

    def __contains__(self, packet_id: int) -> bool:
        bits = self._bits
        if bits is None:
            return packet_id in self._few
        return bits[packet_id >> 3] >> (packet_id & 7) & 1 != 0

    def add(self, packet_id: int) -> None:
        if packet_id in self:
            return
        self._size += 1
        bits = self._bits
        if bits is None:
            self._few.add(packet_id)
            if self._size > FEW:
                bits = self._bits = bytearray((MAX_PACKET_ID + 1) // 8)
                for known in self._few:
                    bits[known >> 3] |= 1 << (known & 7)
                self._few = set()
        else:
            bits[packet_id >> 3] |= 1 << (packet_id & 7)

    def discard(self, packet_id: int) -> None:
        if packet_id not in self:
            return
        self._size -= 1
        bits = self._bits
        if bits is None:
            self._few.discard(packet_id)
        else:
            bits[packet_id >> 3] &= ~(1 << (packet_id & 7)) & 0xFF

    def all(self) -> list[int]:
        """Every one of them, rising."""
        if self._bits is None:
            return sorted(self._few)
        return [packet_id for packet_id in range(1, MAX_PACKET_ID + 1) if packet_id in self]
