"""The clock that all times in the model are read from: milliseconds since the Unix epoch, UTC."""

import time


def wall_clock() -> int:
    """Milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000
