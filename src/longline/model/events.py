"""What happened to devices, for app servers to read."""

import msgspec


class Event(msgspec.Struct, frozen=True, gc=False):
    """Something that happened to a device, for its app server. `kind`: `presence`; `data`: a JSON object.

    `source` and `sequence` name it: a source's sequences rise, and one that is not above the highest
    recorded of its source has been recorded before.
    """

    app: int
    kind: str
    device: str
    at: int
    data: bytes
    source: str
    sequence: int
