"""Times as the API writes them: RFC 3339, UTC, milliseconds; and as it reads them, with any offset."""

import re
from datetime import datetime
from typing import Final

from longline.errors import ValidationFailed
from longline.model.times import rfc3339 as rfc3339  # part of what this module writes

# RFC 3339, section 5.6; a leap second is read as the one before it.
_TIME: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:)(\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)


def rfc3339_or_none(at: int | None) -> str | None:
    """The same, or None for what has not happened."""
    return None if at is None else rfc3339(at)


def moment(text: str, field: str) -> int:
    """A time in ms, 0 for all before 1970; `ValidationFailed`, which names the field."""
    found = _TIME.fullmatch(text)
    try:
        if found is None:
            raise ValueError(text)
        date, minute, second, fraction, offset = found.groups()
        whole = f"{date}T{minute}{'59' if second == '60' else second}{offset.upper()}"
        told = datetime.fromisoformat(whole).timestamp()
    except (ValueError, OverflowError):
        raise ValidationFailed(
            "a time is not one", details=[(field, "a date and a time with an offset, as in RFC 3339")]
        ) from None
    return max(int(told) * 1000 + int((fraction or "").ljust(3, "0")[:3]), 0)
