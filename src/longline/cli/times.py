"""Times as people type and read them."""

from datetime import UTC, datetime, timedelta
from typing import Final

from longline.cli.usage import UsageError

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def shown(at: datetime) -> str:
    """A moment as commands print it for people: in UTC, to the second; local time as it is."""
    return at.isoformat() if at.tzinfo is None else f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def seconds(text: str) -> int:
    """A length of time in seconds: 3600, or 90d, 12h, 30m, 10s."""
    if text.isascii() and text.isdigit():
        return int(text)
    return int(span(text).total_seconds())


def span(text: str) -> timedelta:
    """A length of time: 90d, 12h, 30m, 10s."""
    found = _span(text)
    if found is None:
        raise UsageError(f"{text!r} is no length of time, such as 90d, 12h, 30m")
    return found


def moment(text: str) -> datetime:
    """A date, which is its first moment; a time, UTC where it has no offset; or how far back, as 7d."""
    back = _span(text)
    if back is not None:
        return datetime.now(UTC) - back
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no date, no date and time, and no length of time such as 7d") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _span(text: str) -> timedelta | None:
    number, unit = text[:-1], text[-1:]
    if not (number.isascii() and number.isdigit() and len(number) <= 6 and unit in _UNITS):
        return None
    return timedelta(seconds=int(number) * _UNITS[unit])
