"""A connection to the database, and how the operations use it.

The connection gives the interpreter lock back around every step of a statement, and under a busy event
loop it costs up to milliseconds to get it again (docs/adr/0005). So a group of requests is served by few
statements over many rows, never by a statement a row:

- rows go in as one bound *array* (a tuple), either of integers or of byte strings: texts in UTF-8, or
  records of fixed-width fields that `substr` takes apart. It is read without the interpreter lock;
- rows come out as one JSON text, made by `json_group_array`, and large blobs of theirs beside it, one behind
  the other as one blob (`packed`).
"""

import ctypes
from array import array
from pathlib import Path
from typing import Final

import apsw

Value = int | str | bytes | None | tuple[int, ...] | tuple[bytes, ...]

Error = apsw.Error
# The store itself is broken or full: trying the requests of a group one by one would not help any of them.
BROKEN = (
    apsw.FullError,
    apsw.IOError,
    apsw.CorruptError,
    apsw.NotADBError,
    apsw.ReadOnlyError,
    apsw.CantOpenError,
    apsw.BusyError,
    apsw.NoMemError,
)

# From so many freed bytes on it is worth it to have the allocator look for what the system can have back.
WORTH_A_TRIM: Final = 4 * 1024 * 1024
# GNU's C library has it, other ones return freed memory by themselves.
_malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)


class Database:
    """One connection, used by one thread at a time. A tuple is bound for `carray(?)` and is never empty."""

    def __init__(self, path: Path, cache_bytes: int) -> None:
        self._apsw = apsw.Connection(str(path), statementcachesize=200)
        self._apsw.set_busy_timeout(10_000)
        self._apsw.set_wal_hook(self._committed)
        self.wal_pages = 0
        for pragma in ("journal_mode=WAL", "synchronous=FULL", f"cache_size=-{cache_bytes // 1024}"):
            self._apsw.execute(f"PRAGMA {pragma}")

    def run(self, sql: str, /, *values: Value) -> int:
        """Executes a statement without a result; returns how many rows it changed."""
        self._apsw.execute(sql, [bound(value) for value in values])
        return self._apsw.changes()

    def text(self, sql: str, /, *values: Value) -> str:
        """The first column of the first row, a JSON text; `null` when there is no row or no value."""
        value = self._first(sql, values)
        return "null" if value is None else str(value)

    def packed(self, sql: str, /, *values: Value) -> tuple[str, bytes]:
        """The first row: a JSON text and a blob, for what would double in size and be read twice in JSON."""
        cursor = self._apsw.execute(sql, [bound(value) for value in values])
        text, blob = next(cursor)
        cursor.close()
        return ("null" if text is None else str(text)), (b"" if blob is None else blob)

    def number(self, sql: str, /, *values: Value) -> int | None:
        """The first column of the first row, an integer; None when there is no row or no value."""
        value = self._first(sql, values)
        return None if value is None else int(value)

    def _first(self, sql: str, values: tuple[Value, ...]) -> int | float | str | bytes | None:
        cursor = self._apsw.execute(sql, [bound(value) for value in values])
        row = next(cursor, None)
        cursor.close()  # now: an unfinished statement would hold its snapshot
        return None if row is None else row[0]

    def roll_back(self) -> None:
        """Ends a failed transaction, unless SQLite did so itself."""
        if self._apsw.in_transaction:
            self._apsw.execute("ROLLBACK")

    def checkpoint(self) -> None:
        """Moves what is committed from the write-ahead log into the database."""
        self._apsw.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        self.wal_pages = 0

    def let_go(self) -> None:
        """Frees the cached pages: those of the system's own cache are nearly as near.

        An allocator keeps what lies below the last block that a thread still uses, so many pages are handed
        back to the system explicitly.
        """
        before = _allocated()
        self._apsw.execute("PRAGMA shrink_memory")
        if _malloc_trim is not None and before - _allocated() >= WORTH_A_TRIM:
            _malloc_trim(0)

    def close(self) -> None:
        self._apsw.close()

    def _committed(self, connection: apsw.Connection, name: str, pages: int) -> int:
        self.wal_pages = pages
        return apsw.SQLITE_OK


def _allocated() -> int:
    """Bytes that SQLite has in use in this process."""
    used, _ = apsw.status(apsw.SQLITE_STATUS_MEMORY_USED)
    return used


def bound(value: Value) -> "int | str | bytes | apsw.CArrayBinding | None":
    """A value as the client takes it."""
    if isinstance(value, tuple):
        return apsw.carray(array("q", value) if isinstance(value[0], int) else value)
    return value


def integer(first: int, width: int) -> str:
    """SQL for the integer in `width` decimal digits at byte `first` (from 1) of an array's record."""
    return f"CAST(substr(value, {first}, {width}) AS INTEGER)"


def device_key(app: int, ordinal: int) -> int:
    """The integer that names a device in the tables."""
    return app << 32 | ordinal


def device_range(app: int) -> tuple[int, int]:
    """The first and the last key that devices of an app can have."""
    return app << 32, (app << 32) | 0xFFFF_FFFF


def id_bytes(message_id: str) -> bytes:
    """A message's UUID in 16 bytes; something else, never stored, for what is not a UUID."""
    try:
        return bytes.fromhex(message_id.replace("-", ""))
    except ValueError:
        return b""
