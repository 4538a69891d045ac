"""Lists that are read page by page: `limit`, and a `cursor` that says where the last page ended.

A cursor is opaque to callers. It holds the key of the last item seen, so a list that changes meanwhile
neither repeats nor skips what was there all the time.
"""

import base64
import binascii

from longline.errors import BadRequest


def cursor_after(key: str | int) -> str:
    """The cursor of a page whose last item has this key."""
    return base64.urlsafe_b64encode(str(key).encode()).rstrip(b"=").decode("ascii")


def after_name(cursor: str | None) -> str:
    """The name a page begins after, "" for the first page; `BadRequest`."""
    if cursor is None:
        return ""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        name = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except (UnicodeError, binascii.Error):
        raise BadRequest("the cursor is not one that this list gave", details=[_FIELD]) from None
    if not name:
        raise BadRequest("the cursor is not one that this list gave", details=[_FIELD])
    return name


def after_ordinal(cursor: str | None) -> int:
    """The ordinal a page begins after, -1 for the first page; `BadRequest`."""
    if cursor is None:
        return -1
    digits = after_name(cursor)
    # Ordinals fit in 32 bits; a longer number is not from us and may not fit into a store's integer.
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 10):
        raise BadRequest("the cursor is not one that this list gave", details=[_FIELD])
    return int(digits)


def after_event(cursor: str) -> str:
    """The event a page begins after; `BadRequest`."""
    digits = after_name(cursor)
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 18):
        raise BadRequest("the cursor is not one that this list gave", details=[_FIELD])
    return digits


_FIELD = ("cursor", "not a cursor of this list")
