"""Messages from app servers to devices.

A *position* is the place of a message in the order in which an engine accepted messages; it only ever grows,
for one device as for one app.
"""

import msgspec

from longline.model.audience import Audience

MAX_PAYLOAD = 256 * 1024  # bytes
MAX_TTL = 2_419_200  # seconds: four weeks
MAX_SPREAD = 86_400  # seconds: a day
MAX_COLLAPSE_KEY = 64  # characters
PRIORITIES = ("normal", "high")


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One push as it travels; the same object for every device that gets it.

    `id` is a UUIDv7 in its 36-character form. `content_type` is a MIME type. An `online_only`
    message is for who is connected at the moment of sending and is never kept for later. One to everyone is
    written to those who are connected over `spread_over` seconds, evenly.
    """

    id: str
    app: str
    payload: bytes
    content_type: str
    created_at: int
    expires_at: int
    qos: int = 1
    priority: str = "normal"
    collapse_key: str | None = None
    online_only: bool = False
    spread_over: int = 0


class Envelope(msgspec.Struct, frozen=True):
    """A message and whom it is for."""

    message: Message
    audience: Audience
