"""The clock that all times in the model are read from, milliseconds since the Unix epoch, UTC; and how such a
time is written.
"""

import time
from datetime import UTC, datetime
from functools import lru_cache


def wall_clock() -> int:
    """Milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000


def rfc3339(at: int) -> str:
    """`2026-01-31T12:00:00.250Z` for a time in ms."""
    second, rest = divmod(at, 1000)
    return f"{_second(second)}.{rest:03d}Z"


@lru_cache(maxsize=1024)  # the rows of a list are mostly of the same few seconds
def _second(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S")
