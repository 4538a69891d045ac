"""Cursors as callers have them: opaque, and safe in a URL."""

import base64


def cursor_after(key: str | int) -> str:
    """The cursor of what comes behind the item that has this key."""
    return base64.urlsafe_b64encode(str(key).encode()).rstrip(b"=").decode("ascii")
