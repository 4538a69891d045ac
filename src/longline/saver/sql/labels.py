"""Sets of devices by what they have, `saver/labels.py` says what.

A set is kept in rows of `BLOCK` ordinals, so that a change rewrites a small piece of it: 8 KiB at most. The
writer gathers the changes of a transaction, and writes a row once for all of them.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable

import msgspec
from pyroaring import BitMap

from longline.model.devices import Profile
from longline.saver.labels import Label, labels_of
from longline.saver.sql.database import Database, integer

BLOCK = 1 << 16  # ordinals in a row
GATHERED = 10_000  # rows whose changes wait to be written in one go

_rows = msgspec.json.Decoder(list[tuple[int, int]])

# The record of a set: its number among those asked for, app, kind, first block, label. Of a row: app, kind,
# block, the label's length, label, ordinals.
SET = b"%07d%010d%03d%05d%b"
ROW = b"%010d%03d%05d%05d%b%b"
ASKED = f"""
SELECT {integer(1, 7)} AS n, {integer(8, 10)} AS app, {integer(18, 3)} AS kind, {integer(21, 5)} AS block,
       CAST(substr(value, 26) AS TEXT) AS label
  FROM carray(?1)"""

# The array is the outer loop. Both aggregates go through the rows in one order: lengths, and what has them.
READ = f"""
SELECT json_group_array(json_array(asked.n, length(labels.ordinals))),
       CAST(group_concat(labels.ordinals, '') AS BLOB)
  FROM ({ASKED}) AS asked
 CROSS JOIN labels ON labels.app = asked.app AND labels.kind = asked.kind AND labels.label = asked.label
                  AND labels.block {{}} asked.block"""
READ_SETS, READ_ROWS = READ.format(">="), READ.format("=")
WRITE = f"""
INSERT OR REPLACE INTO labels (app, kind, label, block, ordinals)
SELECT {integer(1, 10)}, {integer(11, 3)}, CAST(substr(value, 24, {integer(19, 5)}) AS TEXT),
       {integer(14, 5)}, substr(value, 24 + {integer(19, 5)})
  FROM carray(?1)"""
DELETE = f"""
DELETE FROM labels WHERE (app, kind, label, block) IN (SELECT app, kind, label, block FROM ({ASKED}))"""

_Row = tuple[int, int, int, str]  # app, kind, block, label


def read_sets(
    database: Database, app: int, labels: Collection[Label], after: int = -1
) -> dict[Label, BitMap]:
    """The ordinals that have each label, but for some of those up to `after`."""
    if not labels:
        return {}
    asked = list(labels)
    block = max(after, 0) // BLOCK
    found = _read(database, READ_SETS, [(app, kind, block, label) for kind, label in asked])
    return {label: BitMap.union(*found[n]) if n in found else BitMap() for n, label in enumerate(asked)}


def _read(database: Database, sql: str, rows: Iterable[_Row]) -> dict[int, list[BitMap]]:
    """What there is of each, by its number."""
    records = tuple(
        [SET % (n, app, kind, block, label.encode()) for n, (app, kind, block, label) in enumerate(rows)]
    )
    found: dict[int, list[BitMap]] = {}
    lengths, packed = database.packed(sql, records)
    at = 0
    for n, length in _rows.decode(lengths):
        found.setdefault(n, []).append(BitMap.deserialize(packed[at : at + length]))
        at += length
    return found


class Labels:
    """The writer's changes to the sets. Who reads them in its transaction asks for `flush` before."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._changes: defaultdict[_Row, dict[int, bool]] = defaultdict(dict)  # ordinal: it comes, or goes

    def rolled_back(self) -> None:
        """A transaction failed: nothing of it is to be written."""
        self._changes.clear()

    def change(self, app: int, ordinal: int, before: Profile | None, after: Profile | None) -> None:
        """A device has another profile; None for one that is not there."""
        if before == after:
            return
        had = labels_of(before) if before is not None else set()
        has = labels_of(after) if after is not None else set()
        block = ordinal // BLOCK
        changes = self._changes
        for kind, text in has - had:
            changes[app, kind, block, text][ordinal] = True
        for kind, text in had - has:
            changes[app, kind, block, text][ordinal] = False
        if len(self._changes) >= GATHERED:
            self.flush()

    def put(self, app: int, ordinal: int, label: Label, *, comes: bool) -> None:
        """A device has a label from now on, or has it no more."""
        kind, text = label
        self._changes[app, kind, ordinal // BLOCK, text][ordinal] = comes

    def flush(self) -> None:
        """Writes what has changed."""
        if not self._changes:
            return
        changes, self._changes = self._changes, defaultdict(dict)
        found = _read(self._database, READ_ROWS, changes)
        written: list[bytes] = []
        deleted: list[bytes] = []
        for n, ((app, kind, block, label), change) in enumerate(changes.items()):
            text = label.encode()
            (ordinals,) = found.get(n, (BitMap(),))
            ordinals.update([ordinal for ordinal, comes in change.items() if comes])
            if not all(change.values()):
                ordinals -= BitMap([ordinal for ordinal, comes in change.items() if not comes])
            ordinals.run_optimize()
            if ordinals:
                written.append(ROW % (app, kind, block, len(text), text, ordinals.serialize()))
            else:
                deleted.append(SET % (n, app, kind, block, text))
        if written:
            self._database.run(WRITE, tuple(written))
        if deleted:
            self._database.run(DELETE, tuple(deleted))
