"""Times as the API writes them: RFC 3339, UTC, milliseconds."""

from datetime import UTC, datetime


def rfc3339(at: int) -> str:
    """`2026-01-31T12:00:00.250Z` for a time in ms."""
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at % 1000:03d}Z"


def rfc3339_or_none(at: int | None) -> str | None:
    """The same, or None for what has not happened."""
    return None if at is None else rfc3339(at)
