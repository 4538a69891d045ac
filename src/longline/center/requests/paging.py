"""Lists that are read page by page: `limit`, and a `cursor` that says where the last page ended.

A cursor is opaque to callers. It holds the key of the last item seen, so a list that changes meanwhile
neither repeats nor skips what was there all the time.
"""

import base64
import binascii
import re

from longline.errors import BadRequest
from longline.model.cursors import cursor_after as cursor_after  # the other half of what is here


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


def after_message(cursor: str | None) -> str | None:
    """The id of the message a page begins after, None for the first page; `BadRequest`."""
    if cursor is None:
        return None
    message_id = after_name(cursor)
    if _MESSAGE_ID.fullmatch(message_id) is None:
        raise BadRequest("the cursor is not one that this list gave", details=[_FIELD])
    return message_id


_MESSAGE_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_FIELD = ("cursor", "not a cursor of this list")
