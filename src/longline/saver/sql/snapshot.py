"""Reading the engine's file from outside, in snapshots, while a node writes to it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from longline.errors import Unavailable
from longline.saver.sql.database import Value, bound

PATIENCE = 10_000  # ms for a lock of the one who opens or closes the file just now


class Snapshot:
    """A connection that only reads. What is read within `held` is as it was at one moment.

    A snapshot that is held keeps the write-ahead log from being started anew, so it is to be short.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._apsw = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
            self._apsw.set_busy_timeout(PATIENCE)
        except apsw.Error as error:
            raise Unavailable(f"{path} cannot be read: {error}") from error
        self._path = path

    @contextmanager
    def held(self) -> Iterator[None]:
        """One moment. Raises `Unavailable` when the file cannot be read."""
        try:
            self._apsw.execute("BEGIN")
            try:
                yield
            finally:
                self._apsw.execute("ROLLBACK")
        except apsw.Error as error:
            raise Unavailable(f"{self._path} cannot be read: {error}") from error

    def rows(self, sql: str, /, *values: Value) -> list[tuple[Any, ...]]:
        """All rows of a statement. A tuple among the values is bound for `carray(?)`, and is never empty."""
        return list(self._apsw.execute(sql, [bound(value) for value in values]))

    def number(self, sql: str, /, *values: Value) -> int:
        """The first column of the first row, an integer; 0 when there is no row or no value."""
        found = self.rows(sql, *values)
        return int(found[0][0] or 0) if found else 0

    def close(self) -> None:
        self._apsw.close()
