"""What happened to devices, and what they sent, for app servers to read."""

from typing import Final

import msgspec

PRESENCE: Final = "presence"
UPSTREAM: Final = "upstream"  # what a device sent to its app server
RECEIPT: Final = "receipt"  # what became of a message, as the application on the device tells
DEVICE: Final = "device"  # what became of a device itself: one of the three that follow

REGISTERED: Final = "registered"
RETIRED: Final = "retired"  # it has not come for so long
DELETED: Final = "deleted"

OFFLINE: Final = "offline"  # the state of a device of which nothing more is to be told; see `Event.state`
FLEETING: Final = "~"  # see `Event.source`


SEND_ID: Final = "send-id"  # a user property: by what name a device knows what it sends to its app server


class Event(msgspec.Struct, frozen=True, gc=False):
    """Something that happened to a device, for its app server. `kind`: one of those above; `data`: a JSON
    object, whose fields are those of its kind; `payload`: what the device sent.

    `source` and `sequence` name it: a source's sequences rise, and one that is not above the highest
    recorded of its source has been recorded before. A source whose name begins with `FLEETING` lives as long
    as a process, and is forgotten some minutes after its last event. One without a source is another event
    each time that it is appended.

    `state`, of a kind that tells of states: what its device is from then on, so where not all can be kept, it
    stands for those before it of its device. `missed`: some of these were left out before they were recorded.
    """

    app: int
    kind: str
    device: str
    at: int
    data: bytes
    source: str
    sequence: int
    state: str = ""
    missed: bool = False
    payload: bytes = b""


class EventBounds(msgspec.Struct, frozen=True):
    """What is kept of the events of an app: at most `events`, of `bytes` as they are stored.

    `of_device`: of those that tell of no state, so many of each device, the latest, are the last to go.
    """

    events: int = 100_000
    bytes: int = 256 * 1024 * 1024
    of_device: int = 16


class DeviceData(msgspec.Struct, frozen=True):
    """What an event says that a device is from then on: REGISTERED, RETIRED or DELETED."""

    state: str


class UpstreamData(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an event says of a message from a device, besides its payload.

    `id`: two events with the same one are the same message, stored twice. `repeated`: the device says that it
    may have sent it before. `reply_to`: see `delivery/replies.py`. `send_id`: the device's own id for it, the
    same each time that it sends it.
    """

    id: str
    topic: str
    content_type: str | None = None
    user_properties: list[tuple[str, str]] = []
    reply_to: str | None = None
    repeated: bool = False
    send_id: str | None = None


class ReceiptData(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an event says of a receipt: what became of which message, and the rest as above."""

    id: str
    topic: str
    message_id: str
    name: str
    repeated: bool = False
    send_id: str | None = None
