"""What a room counts. Plain integers: the collector reads them when somebody asks."""

from typing import final


@final
class RoomCounters:
    """Totals since the start, except `connections` and `sessions`, which are how many there are now."""

    __slots__ = (
        "bytes_in",
        "bytes_out",
        "closed",
        "connections",
        "messages_dropped_size",
        "messages_dropped_slow",
        "messages_in",
        "messages_routed",
        "pushes_acked",
        "pushes_left",
        "pushes_sent",
        "receipts_lost",
        "refused",
        "sessions",
        "writes_too_late",
    )

    def __init__(self) -> None:
        self.connections = 0
        self.sessions = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.messages_in = 0  # plain publications from devices
        self.messages_routed = 0  # their deliveries to subscribers
        self.messages_dropped_slow = 0  # for subscribers that do not keep up
        self.messages_dropped_size = 0  # over the subscriber's Maximum Packet Size
        self.pushes_sent = 0
        self.pushes_acked = 0
        self.pushes_left = 0  # left in the store because the window was full
        self.receipts_lost = 0  # forgotten for want of room: these pushes will be sent again
        self.writes_too_late = 0  # to a connection that had just gone
        self.refused: dict[str, int] = {}  # peers' faults and refusals, by code
        self.closed: dict[str, int] = {}  # connections ended by us, by reason
