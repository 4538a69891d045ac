"""What the operations need of a database connection.

The connection gives the interpreter lock back around every step of a statement, and under a busy event
loop it costs up to milliseconds to get it again (docs/adr/0005). So a group of requests is served by few
statements over many rows, never by a statement a row:

- rows go in as one bound *array* (a tuple), either of integers or of byte strings: texts in UTF-8, or
  records of fixed-width fields that `substr` takes apart. It is read without the interpreter lock;
- rows come out as one JSON text, made by `json_group_array`.
"""

from typing import Protocol

Value = int | str | bytes | None | tuple[int, ...] | tuple[bytes, ...]


class Database(Protocol):
    """One connection, used by one thread at a time. A tuple is bound for `carray(?)` and is never empty."""

    def run(self, sql: str, /, *values: Value) -> int:
        """Executes a statement without a result; returns how many rows it changed."""
        ...

    def text(self, sql: str, /, *values: Value) -> str:
        """The first column of the first row, a JSON text; `null` when there is no row or no value."""
        ...

    def number(self, sql: str, /, *values: Value) -> int | None:
        """The first column of the first row, an integer; None when there is no row or no value."""
        ...


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
