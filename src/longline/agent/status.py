"""What an agent tells of a process that it keeps."""

import msgspec


class ChildStatus(msgspec.Struct, frozen=True):
    """A process as the status tells of it; `state` is `starting`, `ready`, `ending` or `pausing`."""

    kind: str
    node: str | None
    pid: int
    state: str
    restarts: int
