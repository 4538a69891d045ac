"""Who stands where for each broadcast: sets of ordinals, never a row a device.

A broadcast's ledger is its frozen audience and one set a label: `sent`, `acked`, `expired`, `collapsed`,
`dropped:<reason>`. An ordinal enters at most one outcome set, so the ledger is a matter of counting.

On disk each commit appends one small row for each label it added to; when a broadcast has gathered
`MERGE_AT` of them, they become one row a label. So a million devices that ack over minutes cost neither a
row a device nor the whole set at each commit.

In memory the sets of recently used broadcasts are cached, bounded by bytes. The writer gathers what a
transaction adds in `fresh`, apart from what is committed: the reader's thread sees only the latter, and
a transaction that fails has nothing to undo. Loading a broadcast and publishing a commit exclude each other,
and publishing is a union: whichever comes first, the cache ends with the committed sets.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator

import msgspec
from pyroaring import BitMap

from longline.saver.sql.database import Database

TARGETS = "targets"
SENT = "sent"
ACKED = "acked"
EXPIRED = "expired"
COLLAPSED = "collapsed"
DROPPED = "dropped:"  # and the reason

MERGE_AT = 256  # rows of additions

_rows = msgspec.json.Decoder(list[tuple[int, str, str]])


class Standing:
    """The sets of one broadcast. Only the writer's thread touches `fresh` and `fresh_settled`."""

    __slots__ = ("fresh", "fresh_settled", "position", "rows", "sets", "settled", "size", "targets")

    def __init__(self, position: int, targets: BitMap) -> None:
        self.position = position
        self.targets = targets
        self.sets: dict[str, BitMap] = {}
        self.settled = BitMap()
        self.fresh: dict[str, BitMap] = {}
        self.fresh_settled = BitMap()
        self.rows = 0  # of additions on disk; the next one's number is one more
        self.size = 0  # bytes in memory when it was last measured

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

    def measure(self) -> int:
        """Bytes in memory, at most: a set takes two an ordinal, or 8 KiB for each 65,536 of its range."""
        self.size = 512
        for ordinals in (self.targets, self.settled, *self.sets.values()):
            if ordinals:
                self.size += min(2 * len(ordinals), 8192 * ((ordinals.max() >> 16) + 1))
        return self.size

    def add(self, label: str, ordinals: BitMap) -> None:
        # A new set rather than a changed one: the reader may be looking at the old.
        self.sets[label] = self.sets.get(label, BitMap()) | ordinals
        if label != SENT:
            self.settled = self.settled | ordinals


class Standings:
    """The cache of standings, at most about `limit` bytes, and the writer's changes to them."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._cache: OrderedDict[int, Standing] = OrderedDict()
        self._size = 0
        self._dirty: dict[int, Standing] = {}

    @property
    def size(self) -> int:
        """Bytes held in memory, estimated."""
        return self._size

    def get(self, position: int, database: Database) -> Standing:
        """The standing of a broadcast; one without targets when there is no such broadcast.

        `database` is the calling thread's connection. It is read under the lock, in a snapshot that is
        taken there: see above.
        """
        standing = self._dirty.get(position)
        if standing is not None:
            return standing
        with self._lock:
            standing = self._cache.get(position)
            if standing is not None:
                self._cache.move_to_end(position)
                return standing
            standing = self._load(position, database)
            if standing.targets:
                self._remember(standing)
            return standing

    # --- for the writer ---

    def create(self, position: int, targets: BitMap, database: Database) -> bytes:
        """Starts a broadcast; returns its serialized audience."""
        frozen = targets.serialize()
        database.run("INSERT INTO broadcast_sets VALUES (?1, 0, ?2, ?3)", position, TARGETS, frozen)
        self._dirty[position] = Standing(position, targets)
        return frozen

    def settle(self, position: int, label: str, ordinals: BitMap, database: Database) -> int:
        """Moves those of `ordinals` that are pending to an outcome; returns how many those were."""
        standing = self.get(position, database)
        # What is asked for comes first: it is mostly small, and the sets can have a million ordinals.
        moved = (ordinals & standing.targets) - standing.settled - standing.fresh_settled
        if moved:
            standing.fresh[label] = standing.fresh.get(label, BitMap()) | moved
            standing.fresh_settled |= moved
            self._dirty[position] = standing
        return len(moved)

    def settle_pending(self, position: int, label: str, database: Database) -> int:
        """Moves whatever is pending to an outcome."""
        return self.settle(position, label, self.get(position, database).pending(), database)

    def note_sent(self, position: int, ordinals: Iterable[int], database: Database) -> None:
        standing = self.get(position, database)
        new = (BitMap(ordinals) & standing.targets) - standing.written()
        if new:
            standing.fresh[SENT] = standing.fresh.get(SENT, BitMap()) | new
            self._dirty[position] = standing

    def flush(self, database: Database) -> None:
        """Writes what the transaction added."""
        for standing in self._dirty.values():
            if standing.rows + len(standing.fresh) > MERGE_AT:
                self._merge(standing, database)
            else:
                self._append(standing, standing.fresh.items(), database)

    def committed(self) -> None:
        """The transaction is on disk: its additions become visible to the reader."""
        with self._lock:
            for standing in self._dirty.values():
                for label, ordinals in standing.fresh.items():
                    standing.add(label, ordinals)
                standing.fresh = {}
                standing.fresh_settled = BitMap()
                self._remember(standing)
            self._dirty = {}

    def rolled_back(self) -> None:
        """The transaction failed: forgets every standing that it touched."""
        with self._lock:
            for position in self._dirty:
                forgotten = self._cache.pop(position, None)
                if forgotten is not None:
                    self._size -= forgotten.size
            self._dirty = {}

    def _append(self, standing: Standing, sets: Iterable[tuple[str, BitMap]], database: Database) -> None:
        for label, ordinals in sets:
            standing.rows += 1
            row = (standing.position, standing.rows, label, ordinals.serialize())
            database.run("INSERT INTO broadcast_sets VALUES (?1, ?2, ?3, ?4)", *row)

    def _merge(self, standing: Standing, database: Database) -> None:
        database.run("DELETE FROM broadcast_sets WHERE position = ?1 AND n > 0", standing.position)
        standing.rows = 0
        whole = {
            label: standing.sets.get(label, BitMap()) | standing.fresh.get(label, BitMap())
            for label in standing.sets.keys() | standing.fresh.keys()
        }
        self._append(standing, whole.items(), database)

    def _load(self, position: int, database: Database) -> Standing:
        loaded = database.text(
            "SELECT json_group_array(json_array(n, label, hex(ordinals))) FROM broadcast_sets"
            " WHERE position = ?1",
            position,
        )
        standing = Standing(position, BitMap())
        for n, label, digits in _rows.decode(loaded):
            ordinals = BitMap.deserialize(bytes.fromhex(digits))
            standing.rows = max(standing.rows, n)
            if label == TARGETS:
                standing.targets = ordinals
            else:
                standing.add(label, ordinals)
        return standing

    def _remember(self, standing: Standing) -> None:
        known = self._cache.pop(standing.position, None)
        self._size -= known.size if known is not None else 0
        self._cache[standing.position] = standing
        self._size += standing.measure()
        while self._size > self._limit and len(self._cache) > 1:
            _, forgotten = self._cache.popitem(last=False)
            self._size -= forgotten.size


def outcomes(standing: Standing) -> Iterator[tuple[str, int]]:
    """(label, how many) of what is committed."""
    for label, ordinals in standing.sets.items():
        yield label, len(ordinals)
