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
MAX_LABEL = 64  # characters
PRIORITIES = ("normal", "high")


class Said(msgspec.Struct, frozen=True):
    """What a message to a group has besides: its place in what is said there, and who said it.

    `sequence` rises by one in its group, from 1; 0 before the store has given it. `sender` is a member's
    name, None for the app server.
    """

    group: str
    sequence: int = 0
    sender: str | None = None


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One push as it travels; the same object for every device that gets it.

    `id` is a UUIDv7 in its 36-character form. `content_type` is a MIME type. An `online_only`
    message is for who is connected at the moment of sending and is never kept for later. One to everyone is
    written to those who are connected over `spread_over` seconds, evenly. With a `call` its sender waits for
    the device's answer on `reply/{id}`, which no engine knows of: such a message is not kept either.

    `topic`: where the device has asked for it to go, with the `correlation` data that it is to carry; None
    for `push/{id}`.
    `said`: of a message to a group.
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
    call: bool = False
    topic: str | None = None
    correlation: bytes | None = None
    said: Said | None = None


class Envelope(msgspec.Struct, frozen=True):
    """A message and whom it is for. `label`: a word of the sender's, by which it finds it again."""

    message: Message
    audience: Audience
    label: str | None = None
