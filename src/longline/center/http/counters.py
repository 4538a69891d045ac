"""What is counted of HTTP connections, for the node's collector."""

from longline.telemetry.counters import Tally

CONNECTION_GAUGES = ("connections",)
CONNECTION_LABELS = {"refused": "code"}


class ConnectionCounters:
    """Plain numbers of HTTP connections since the start; `connections` goes up and down.

    `displaced`: idle ones that were closed to make room for others. `refused`, by code: what ended
    connections before a request of theirs was looked at, and those that were idle for too long or did not
    read their answers.
    """

    __slots__ = ("connections", "displaced", "refused")

    def __init__(self) -> None:
        self.connections = 0
        self.displaced = 0
        self.refused = Tally()
