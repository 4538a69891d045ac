"""Which packet identifiers of a client stand for what, until they are acknowledged: ours, and its own.

Pushes with QoS 2 to a session that is kept have identifiers that the store knows (`push/flights.py`); what an
earlier connection had in flight is *reserved* until the push is written again, and nobody else gets it.

Both ends choose identifiers for what they publish, so there are two tables. `Inflight` has ours: pushes and
plain messages that were written to the client. The upper half of the identifiers is for messages from the
session's queue in the store, whose places say which (ADR 22); all others have the lower half. `PacketIds` has
the client's: its publications with QoS 2 that we have taken, and answer without taking them again until it
releases them [MQTT-4.3.3-10].
"""

from collections.abc import Callable, Iterable
from typing import Final, final

from longline.mqtt.packets import PUBACK, PUBCOMP, PUBREC

MAX_PACKET_ID: Final = 65_535
QUEUED: Final = 32_768  # identifiers from here on are those of messages from a queue
FEW: Final = 64  # identifiers from where on a bitmap is smaller than a set

NOTHING: Final = 0  # what an identifier waits for that is not in use, instead of a packet's type


class InFlight:
    """A push that was written and not acknowledged yet. `owner` is the window that it was written for."""

    __slots__ = ("broadcast", "owner", "position")

    def __init__(self, owner: object, position: int, broadcast: bool) -> None:
        self.owner = owner
        self.position = position
        self.broadcast = broadcast


class Stepwise(InFlight):
    """What may go with QoS 2; `released` from when the client has it, and we have sent PUBREL."""

    __slots__ = ("qos", "released")

    def __init__(self, owner: object, position: int, broadcast: bool, qos: int, released: bool) -> None:
        super().__init__(owner, position, broadcast)
        self.qos = qos
        self.released = released


@final
class ExactlyOnce(Stepwise):
    """A plain message with QoS 2."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(None, 0, False, 2, False)


@final
class FromQueue(Stepwise):
    """A message from the session's queue, at the place that is its `position`."""

    __slots__ = ()

    def __init__(self, place: int, qos: int, released: bool = False) -> None:
        super().__init__(None, place, False, qos, released)


@final
class Notice(InFlight):
    """Something else that the platform has to say, with QoS 1.

    `taken` is called with the reason code of its acknowledgement.
    """

    __slots__ = ("taken",)

    def __init__(self, taken: Callable[[int], None]) -> None:
        super().__init__(None, 0, False)
        self.taken = taken


@final
class Reserved:
    """A packet identifier that the store has for a push which was not written to this connection yet.

    `before`: since before this connection, so that the client may have been sent the push under it. `stored`:
    else it may have it, for the call that was to store it has failed.
    """

    __slots__ = ("before", "packet_id", "stored")

    def __init__(self, packet_id: int, before: bool, stored: bool = True) -> None:
        self.packet_id = packet_id
        self.before = before
        self.stored = stored


def queue_identifier(place: int) -> int:
    """The packet identifier of a place, the same on each connection [MQTT-4.4.0-1]."""
    return QUEUED + place % QUEUED


@final
class Inflight:
    """One client's packet identifiers, shared by all sessions that it has on its connection.

    An entry of None is a message of plain publish/subscribe with QoS 1, and one that no window owns is a
    plain message too, of which more is to be known. The dict is gone while it would be empty: most devices
    are idle, and there are millions.
    """

    __slots__ = ("_entries", "_latest", "_reserved", "answers", "listened")

    def __init__(self) -> None:
        self.answers = 0  # what the client has acknowledged of pushes and notices
        self.listened = False  # whether the next of these is to be told of
        self._entries: dict[int, InFlight | None] | None = None
        self._latest = 0
        self._reserved: set[int] | None = None  # while there are any

    def __len__(self) -> int:
        entries = self._entries
        return 0 if entries is None else len(entries)

    def __contains__(self, packet_id: int) -> bool:
        entries = self._entries
        return entries is not None and packet_id in entries

    def add(self, entry: InFlight | None) -> int:
        """A packet identifier that was not in use [MQTT-2.2.1-4] and now stands for `entry`.

        The caller has seen that fewer than 32,767 are in use.
        """
        entries = self._entries
        if entries is None:
            entries = self._entries = {}
        reserved = self._reserved
        packet_id = self._latest
        while True:
            packet_id = packet_id + 1 if packet_id < QUEUED - 1 else 1
            if packet_id not in entries and (reserved is None or packet_id not in reserved):
                break
        self._latest = packet_id
        entries[packet_id] = entry
        return packet_id

    def reserve(self, packet_id: int = 0) -> int:
        """Keeps an identifier for a push that is not written yet: this one, or any that was not in use.

        It holds no place in the window.
        """
        reserved = self._reserved
        if reserved is None:
            reserved = self._reserved = set()
        if not packet_id:
            packet_id = self.add(None)
            self.take(packet_id)
        reserved.add(packet_id)
        return packet_id

    def unreserve(self, packet_id: int) -> None:
        """It is used from now on, or is free."""
        reserved = self._reserved
        if reserved is not None:
            reserved.discard(packet_id)
            if not reserved:
                self._reserved = None

    def take(self, packet_id: int) -> InFlight | None:
        """What an identifier in use stood for; it is free again. KeyError when it was not in use."""
        entries = self._entries
        if entries is None:
            raise KeyError(packet_id)
        entry = entries.pop(packet_id)
        if not entries:
            self._entries = None
        return entry

    def put(self, packet_id: int, entry: InFlight) -> None:
        """An entry under the identifier that it has."""
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
        if isinstance(entry, Stepwise) and entry.qos == 2:
            return PUBCOMP if entry.released else PUBREC
        return PUBACK

    def find(self, packet_id: int) -> InFlight | None:
        """What an identifier stands for; None also for one that is not in use."""
        entries = self._entries
        return None if entries is None else entries.get(packet_id)

    def place(self, packet_id: int) -> int:
        """The place in the session's queue that an identifier in use stands for; 0 for any other."""
        entries = self._entries
        entry = None if entries is None else entries.get(packet_id)
        return entry.position if isinstance(entry, FromQueue) else 0

    def unanswered(self) -> bool:
        """Whether a message from the queue is in flight whose first answer has not come."""
        entries = self._entries
        if entries is not None:
            for entry in entries.values():
                if isinstance(entry, FromQueue) and not entry.released:
                    return True
        return False

    def release(self, packet_id: int) -> None:
        """The client has a message with QoS 2: what is sent from now on is PUBREL [MQTT-4.3.3-6]."""
        entries = self._entries
        entry = None if entries is None else entries.get(packet_id)
        if isinstance(entry, Stepwise):
            entry.released = True

    def each(self) -> list[tuple[int, InFlight | None]]:
        """What each identifier in use stands for, in the order written."""
        entries = self._entries
        return [] if entries is None else list(entries.items())

    def forget(self, packet_id: int) -> None:
        """A message that was not acknowledged yet is one of plain publish/subscribe from now on."""
        entries = self._entries
        if entries is not None and packet_id in entries:
            entry = entries[packet_id]
            plain: ExactlyOnce | None = None
            if isinstance(entry, Stepwise) and entry.qos == 2:
                plain = ExactlyOnce()
                plain.released = entry.released
            entries[packet_id] = plain

    def steps(self) -> list[tuple[int, int]]:
        """The plain messages in flight, in the order written: each identifier, and what it waits for."""
        entries = self._entries
        if entries is None:
            return []
        return [
            (packet_id, self.awaits(packet_id))
            for packet_id, entry in entries.items()
            if entry is None or (entry.owner is None and not isinstance(entry, FromQueue))
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
        return [entry for entry in entries.values() if entry is not None and entry.owner is not None]

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
