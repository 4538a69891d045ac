"""What happened to devices, for app servers to read."""

import msgspec

PRESENCE = "presence"
OFFLINE = "offline"  # the state of a device of which nothing more is to be told; see `Event.state`


class Event(msgspec.Struct, frozen=True, gc=False):
    """Something that happened to a device, for its app server. `kind`: `presence`; `data`: a JSON object.

    `source` and `sequence` name it: a source's sequences rise, and one that is not above the highest
    recorded of its source has been recorded before. `state`, of a kind that tells of states: what its device
    is from then on, so where not all can be kept, it stands for those before it of its device. `missed`:
    some of these were left out before they were recorded.
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
