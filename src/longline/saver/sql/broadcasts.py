"""Who stands where for each broadcast: sets of ordinals, never a row a device.

A broadcast's ledger is its frozen audience and one set a label: `sent`, `acked`, `expired`, `collapsed`,
`dropped:<reason>`. Sets only grow. An ordinal enters the outcome set that it is settled with, and may enter
`acked` later: what a device took is acked, so `acked` outranks the others, and the ledger is a matter of
counting.

On disk each commit appends one small row for each label it added to; when a broadcast has gathered
`MERGE_AT` of them, they become one row a label. So a million devices that ack over minutes cost neither a
row a device nor the whole set at each commit.

In memory the sets of recently used broadcasts are cached, bounded by bytes. The writer gathers what a
transaction adds in `fresh`, apart from what is committed: the reader's thread sees only the latter, and
a transaction that fails has nothing to undo. Loading a broadcast and publishing a commit exclude each other,
and publishing is a union: whichever comes first, the cache ends with the committed sets.
"""

import threading
from collections.abc import Iterable, Mapping

import msgspec
from pyroaring import BitMap

from longline.flow.lru import LruCache
from longline.model.ledger import State
from longline.saver.sql.database import Database

TARGETS = "targets"
SENT = "sent"
ACKED = "acked"
EXPIRED = "expired"
COLLAPSED = "collapsed"
DROPPED = "dropped:"  # and the reason

MERGE_AT = 256  # rows of additions
SET_WORK = 100  # deliveries that are counted in the time in which the sets of a broadcast of many are loaded
OVERHEAD = 1536  # bytes of a ledger in memory beside what its sets hold: objects, dict, empty containers

# Whether a message, a row of what has positions, is a broadcast. On its way to a row of a set SQLite reads
# others whole, with a bit for each of a million devices: so what has deliveries is asked for those first.
HAS_SETS = """
CASE WHEN EXISTS (SELECT 1 FROM deliveries WHERE deliveries.position = {0}.position) THEN 0
     ELSE EXISTS (SELECT 1 FROM broadcast_sets AS b WHERE b.position = {0}.position) END"""

_rows = msgspec.json.Decoder(list[tuple[int, str, int]])


class BroadcastLedger:
    """The sets of one broadcast. Only the writer's thread touches `fresh` and `fresh_settled`."""

    __slots__ = ("fresh", "fresh_settled", "position", "rows", "sets", "settled", "targets")

    def __init__(self, position: int, targets: BitMap) -> None:
        self.position = position
        self.targets = targets
        self.sets: dict[str, BitMap] = {}
        self.settled = BitMap()
        self.fresh: dict[str, BitMap] = {}
        self.fresh_settled = BitMap()
        self.rows = 0  # of additions on disk; the next one's number is one more

    def waits(self, ordinal: int) -> bool:
        """Whether the device is in the audience and nothing committed has settled it."""
        return ordinal in self.targets and ordinal not in self.settled

    def was_sent(self, ordinal: int) -> bool:
        sent = self.sets.get(SENT)
        return sent is not None and ordinal in sent

    def pending(self) -> BitMap:
        """Targets that neither a commit nor the transaction at work has settled."""
        return self.targets - self.settled - self.fresh_settled

    def written(self) -> BitMap:
        """Targets to whose connection the message was written, the transaction at work included."""
        return self.sets.get(SENT, BitMap()) | self.fresh.get(SENT, BitMap())

    def standing(self, ordinal: int) -> tuple[State, str | None]:
        """What became of it for a device of its audience, and why it was dropped, by what is committed."""
        sets = self.sets  # once: the writer puts others in their place
        for label, state in ((ACKED, State.ACKED), (EXPIRED, State.EXPIRED), (COLLAPSED, State.COLLAPSED)):
            if label in sets and ordinal in sets[label]:
                return state, None
        for label, ordinals in sets.items():
            if label.startswith(DROPPED) and ordinal in ordinals:
                return State.DROPPED, label[len(DROPPED) :]
        return State.PENDING, None

    def missed_by(self, ordinal: int) -> str | None:
        """`expired` or `collapsed`, where that became of it for a device that had not seen it."""
        if self.was_sent(ordinal):
            return None
        for label in (EXPIRED, COLLAPSED):
            if ordinal in self.sets.get(label, ()) and ordinal not in self.sets.get(ACKED, ()):
                return label
        return None

    def missed_by_any(self) -> bool:
        """Whether there is such a device, by what the transaction at work knows."""
        written = self.written()
        return any(
            not had.issubset(written) for label in (EXPIRED, COLLAPSED) for had in self.with_label(label)
        )

    def with_label(self, label: str) -> tuple[BitMap, BitMap]:
        """Who is in a set: by a commit, and by the transaction at work."""
        return self.sets.get(label, BitMap()), self.fresh.get(label, BitMap())

    def measure(self) -> int:
        """Bytes in memory, about: a set takes two an ordinal, or 8 KiB for each 65,536 of its range."""
        size = OVERHEAD
        for ordinals in (self.targets, self.settled, *self.sets.values()):
            if ordinals:
                size += min(2 * len(ordinals), 8192 * ((ordinals.max() >> 16) + 1))
        return size

    def add(self, sets: Mapping[str, BitMap]) -> None:
        """Adds what a transaction brought, all at once."""
        # New sets and a new dict rather than changed ones: the reader may be going through the old.
        self.sets = self.sets | {
            label: self.sets.get(label, BitMap()) | ordinals for label, ordinals in sets.items()
        }
        for label, ordinals in sets.items():
            if label != SENT:
                self.settled = self.settled | ordinals


class BroadcastLedgers:
    """The cache of ledgers, at most about `limit` bytes, and the writer's changes to them."""

    def __init__(self, limit: int) -> None:
        self._lock = threading.Lock()  # around the cache, which both threads use
        self._cache: LruCache[int, BroadcastLedger] = LruCache(limit, BroadcastLedger.measure)
        self._dirty: dict[int, BroadcastLedger] = {}
        self._forgotten: set[int] = set()  # by the transaction at work

    @property
    def size(self) -> int:
        """Bytes held in memory, estimated."""
        return self._cache.weight

    def get(self, position: int, database: Database) -> BroadcastLedger:
        """The ledger of a broadcast; one without targets when there is no such broadcast.

        `database` is the calling thread's connection. It is read under the lock, in a snapshot that is
        taken there: see above.
        """
        ledger = self._dirty.get(position)
        if ledger is not None:
            return ledger
        with self._lock:
            ledger = self._cache.get(position)
            if ledger is not None:
                return ledger
            ledger = self._load(position, database)
            if ledger.targets:
                self._cache.put(position, ledger)
            return ledger

    # --- for the writer ---

    def create(self, position: int, targets: BitMap, database: Database) -> bytes:
        """Starts a broadcast; returns its serialized audience."""
        frozen = targets.serialize()
        database.run("INSERT INTO broadcast_sets VALUES (?1, 0, ?2, ?3)", position, TARGETS, frozen)
        self._dirty[position] = BroadcastLedger(position, targets)
        return frozen

    def settle(self, position: int, label: str, ordinals: BitMap, database: Database) -> int:
        """Moves those of `ordinals` that are pending to an outcome, and whoever is not there yet to `acked`;
        returns how many those were."""
        ledger = self.get(position, database)
        # What is asked for comes first: it is mostly small, and the sets can have a million ordinals.
        moved = ordinals & ledger.targets
        for had in ledger.with_label(ACKED) if label == ACKED else (ledger.settled, ledger.fresh_settled):
            moved -= had
        if moved:
            ledger.fresh[label] = ledger.fresh.get(label, BitMap()) | moved
            ledger.fresh_settled |= moved
            self._dirty[position] = ledger
        return len(moved)

    def settle_pending(self, position: int, label: str, database: Database) -> int:
        """Moves whatever is pending to an outcome."""
        return self.settle(position, label, self.get(position, database).pending(), database)

    def note_sent(self, position: int, ordinals: Iterable[int], database: Database) -> None:
        ledger = self.get(position, database)
        new = (BitMap(ordinals) & ledger.targets) - ledger.written()
        if new:
            ledger.fresh[SENT] = ledger.fresh.get(SENT, BitMap()) | new
            self._dirty[position] = ledger

    def flush(self, database: Database) -> None:
        """Writes what the transaction added."""
        for ledger in self._dirty.values():
            if ledger.position in self._forgotten:
                continue
            if ledger.rows + len(ledger.fresh) > MERGE_AT:
                self._merge(ledger, database)
            else:
                self._append(ledger, ledger.fresh.items(), database)

    def forget(self, positions: Iterable[int]) -> None:
        """The rows of these broadcasts are gone: what is said of them from the commit on finds none."""
        self._forgotten.update(positions)

    def committed(self) -> None:
        """The transaction is on disk: its additions become visible to the reader."""
        with self._lock:
            for ledger in self._dirty.values():
                ledger.add(ledger.fresh)
                ledger.fresh = {}
                ledger.fresh_settled = BitMap()
                self._cache.put(ledger.position, ledger)
            self._dirty = {}
            # A reader that loads one from now on has a snapshot without it: it loads under this lock.
            for position in self._forgotten:
                self._cache.forget(position)
            self._forgotten = set()

    def rolled_back(self) -> None:
        """The transaction failed: forgets every ledger that it touched."""
        with self._lock:
            for position in self._dirty:
                self._cache.forget(position)
            self._dirty = {}
            self._forgotten = set()

    def _append(
        self, ledger: BroadcastLedger, sets: Iterable[tuple[str, BitMap]], database: Database
    ) -> None:
        for label, ordinals in sets:
            ledger.rows += 1
            row = (ledger.position, ledger.rows, label, ordinals.serialize())
            database.run("INSERT INTO broadcast_sets VALUES (?1, ?2, ?3, ?4)", *row)

    def _merge(self, ledger: BroadcastLedger, database: Database) -> None:
        database.run("DELETE FROM broadcast_sets WHERE position = ?1 AND n > 0", ledger.position)
        ledger.rows = 0
        whole = {
            label: ledger.sets.get(label, BitMap()) | ledger.fresh.get(label, BitMap())
            for label in ledger.sets.keys() | ledger.fresh.keys()
        }
        self._append(ledger, whole.items(), database)

    def _load(self, position: int, database: Database) -> BroadcastLedger:
        loaded, packed = database.packed(
            "SELECT json_group_array(json_array(n, label, length(ordinals))),"
            " CAST(group_concat(ordinals, '') AS BLOB) FROM broadcast_sets WHERE position = ?1",
            position,
        )
        at = 0
        ledger = BroadcastLedger(position, BitMap())
        for n, label, length in _rows.decode(loaded):
            ordinals = BitMap.deserialize(packed[at : at + length])
            at += length
            ledger.rows = max(ledger.rows, n)
            if label == TARGETS:
                ledger.targets = ordinals
            else:
                ledger.add({label: ordinals})
        return ledger
