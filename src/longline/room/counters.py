"""What a room counts. Plain integers: the collector reads them when somebody asks."""

from typing import final

from longline.telemetry.counters import WAITS, Histogram, Tally


@final
class RoomCounters:
    """Totals since the start; of `connections`, `headers_awaited` and `sessions`, how many there are now."""

    __slots__ = (
        "accepted",
        "broadcasts_left",
        "bytes_in",
        "bytes_out",
        "closed",
        "connect_wait",
        "connections",
        "headers_awaited",
        "messages_dropped_expired",
        "messages_dropped_size",
        "messages_dropped_slow",
        "messages_in",
        "messages_routed",
        "pressed",
        "publishers_paused",
        "pushes_acked",
        "pushes_late",
        "pushes_left",
        "pushes_sent",
        "rebound",
        "receipts_lost",
        "refused",
        "resyncs",
        "retained_kept",
        "retained_lost",
        "retained_refused",
        "retained_sent",
        "sessions",
        "sessions_forgotten",
        "shed",
        "takeovers_lost",
        "writes_too_late",
    )

    def __init__(self) -> None:
        self.accepted = 0  # connections so far
        self.connections = 0
        self.headers_awaited = 0  # connections from proxies that have not told yet whom they carry
        self.sessions = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.messages_in = 0  # plain publications from devices
        self.messages_routed = 0  # their deliveries to subscribers
        self.messages_dropped_slow = 0  # for subscribers that do not keep up
        self.messages_dropped_expired = 0  # that waited until their expiry
        self.messages_dropped_size = 0  # over the subscriber's Maximum Packet Size
        self.retained_kept = 0  # publications with RETAIN that are committed, those that end one included
        self.retained_refused = 0  # of these: the app has as many as it may, or the store did not take it
        self.retained_lost = 0  # of these, with QoS 0: too many waited for the store
        self.retained_sent = 0  # deliveries to who has subscribed
        self.pushes_sent = 0
        self.pushes_acked = 0
        self.pushes_left = 0  # left in the store because the window was full
        self.pushes_late = 0  # came behind what was stored after them: the store was read again
        self.receipts_lost = 0  # forgotten for want of room: these pushes will be sent again
        self.writes_too_late = 0  # to a connection that had just gone
        self.takeovers_lost = 0  # rooms that were not told that a device has come to us
        self.broadcasts_left = 0  # left in the log, for too many waited or were under way
        self.resyncs = 0  # times that commands to us were lost
        self.rebound = 0  # sessions bound anew, because the node or the session table had lost them
        self.sessions_forgotten = 0  # that the session table had lost
        self.shed = 0  # clients let go because the store was out of reach
        self.pressed = 0  # times that the stores did not keep up with us
        self.publishers_paused = 0  # connections not read from for that reason
        self.connect_wait = Histogram(WAITS)  # s from a CONNECT until it is looked at, or given up
        self.refused = Tally()  # peers' faults and refusals, by code
        self.closed = Tally()  # connections ended by us, by reason
