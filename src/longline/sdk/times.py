"""Durations as the SDK takes them, and moments as it gives them: aware datetimes in UTC."""

import math
from datetime import UTC, datetime, timedelta

Duration = float | timedelta
"""A timedelta, or a number of seconds."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def seconds(duration: Duration) -> float:
    """A duration in seconds."""
    return duration.total_seconds() if isinstance(duration, timedelta) else duration


def whole_seconds(duration: Duration) -> int:
    """The same for the API and for MQTT, which count whole seconds: a part of one is a whole one."""
    return math.ceil(seconds(duration))


def moment(milliseconds: str) -> datetime | None:
    """The time that is written as milliseconds since the Unix epoch; None for what is none."""
    if not (milliseconds.isascii() and milliseconds.isdigit()):
        return None
    try:
        return _EPOCH + timedelta(milliseconds=int(milliseconds))
    except (OverflowError, ValueError):  # beyond the year 9999, or more digits than Python reads
        return None
