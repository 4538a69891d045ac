"""Times as the API writes them: RFC 3339, UTC, milliseconds."""

from datetime import UTC, datetime
from functools import lru_cache


def rfc3339(at: int) -> str:
    """`2026-01-31T12:00:00.250Z` for a time in ms."""
    second, rest = divmod(at, 1000)
    return f"{_second(second)}.{rest:03d}Z"


@lru_cache(maxsize=1024)  # the rows of a list are mostly of the same few seconds
def _second(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def rfc3339_or_none(at: int | None) -> str | None:
    """The same, or None for what has not happened."""
    return None if at is None else rfc3339(at)
