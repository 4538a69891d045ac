"""What a room counts. Plain integers: the collector reads them when somebody asks."""

from typing import final

from longline.telemetry.counters import WAITS, Histogram, Tally


@final
class RoomCounters:
    """Totals since the start; of `attachments`, `connections`, `headers_awaited`, `sessions`,
    `clients_slowed`, `clients_parked`, `shared_groups` and `shared_members`, how many there are now.
    """

    __slots__ = (
        "accepted",
        "attached",
        "attachments",
        "broadcasts_left",
        "bytes_in",
        "bytes_out",
        "clients_freed",
        "clients_parked",
        "clients_slowed",
        "clients_struck",
        "closed",
        "connect_wait",
        "connections",
        "deposits",
        "deposits_refused",
        "gaps_told",
        "headers_awaited",
        "link_answers_too_large",
        "messages_dropped_denied",
        "messages_dropped_expired",
        "messages_dropped_size",
        "messages_dropped_slow",
        "messages_in",
        "messages_routed",
        "messages_up",
        "pressed",
        "publishers_paused",
        "publishers_slowed",
        "pushes_acked",
        "pushes_late",
        "pushes_left",
        "pushes_sent",
        "queue_sent",
        "queues_full",
        "rebound",
        "receipts_lost",
        "refused",
        "replies_lost",
        "replies_taken",
        "replies_unwanted",
        "reports_lost",
        "reports_refused",
        "reports_taken",
        "resyncs",
        "retained_kept",
        "retained_lost",
        "retained_refused",
        "retained_sent",
        "sessions",
        "sessions_forgotten",
        "sessions_opened",
        "sessions_resumed",
        "shadows_sent",
        "shadows_too_large",
        "shared_away",
        "shared_dropped",
        "shared_groups",
        "shared_members",
        "shared_returned",
        "shared_routed",
        "shed",
        "takeovers_lost",
        "talk_lost",
        "talk_refused",
        "talk_stored",
        "upstream_lost",
        "upstream_refused",
        "upstream_stored",
        "writes_too_late",
    )

    def __init__(self) -> None:
        self.accepted = 0  # connections so far
        self.connections = 0
        self.headers_awaited = 0  # connections from proxies that have not told yet whom they carry
        self.sessions = 0
        self.attachments = 0  # of these, those on the connection of another app's
        self.attached = 0  # such sessions so far
        self.link_answers_too_large = 0  # on `$link/reply`, over the client's Maximum Packet Size
        self.bytes_in = 0
        self.bytes_out = 0
        self.messages_in = 0  # plain publications from devices
        self.messages_up = 0  # publications from devices to the platform itself
        self.replies_taken = 0  # of devices to calls
        self.replies_unwanted = 0  # of these, for which nobody waits (any more)
        self.replies_lost = 0  # of these, with QoS 0: too many waited for the store
        self.reports_taken = 0  # by devices on their shadows
        self.reports_refused = 0  # of these, those that are too large, or of devices that are gone
        self.reports_lost = 0  # of these, with QoS 0: too many waited for the store
        self.shadows_sent = 0  # `shadow/desired` to devices
        self.shadows_too_large = 0  # of these, over the client's Maximum Packet Size, and not sent
        self.messages_routed = 0  # their deliveries to subscribers
        self.messages_dropped_slow = 0  # for subscribers that do not keep up
        self.messages_dropped_denied = 0  # for subscribers that the app's rules deny them by now
        self.messages_dropped_expired = 0  # that waited until their expiry
        self.messages_dropped_size = 0  # over the subscriber's Maximum Packet Size
        self.deposits = 0  # plain messages in queues of sessions that are kept, once for each
        self.deposits_refused = 0  # plain messages that the queues did not take
        self.queues_full = 0  # times that one had no room
        self.queue_sent = 0  # plain messages written from queues
        self.sessions_opened = 0  # connections whose session the store has
        self.sessions_resumed = 0  # of these, those that went on with one
        self.retained_kept = 0  # publications with RETAIN that are committed, those that end one included
        self.retained_refused = 0  # of these: the app has as many as it may, or the store did not take it
        self.retained_lost = 0  # of these, with QoS 0: too many waited for the store
        self.retained_sent = 0  # deliveries to who has subscribed
        self.pushes_sent = 0
        self.pushes_acked = 0
        self.pushes_left = 0  # left in the store because the window was full
        self.pushes_late = 0  # came behind what was stored after them: the store was read again
        self.clients_slowed = 0  # that acknowledge nothing, and are sent one push at a time or none
        self.clients_parked = 0  # of these, those that are sent none
        self.clients_freed = 0  # that have acknowledged something after all
        self.clients_struck = 0  # times that one was noted for acknowledging nothing
        self.gaps_told = 0  # times that a device was told what it has missed
        self.receipts_lost = 0  # forgotten for want of room: these pushes will be sent again
        self.writes_too_late = 0  # to a connection that had just gone
        self.takeovers_lost = 0  # rooms that were not told that a device has come to us
        self.talk_stored = 0  # messages of members to their groups that are in the store
        self.talk_refused = 0  # that it did not take: their senders are no members, or it refused them
        self.talk_lost = 0  # with QoS 0: too many waited for it
        self.upstream_stored = 0  # messages and receipts from devices that are in the store
        self.upstream_refused = 0  # that it did not take
        self.upstream_lost = 0  # with QoS 0: too many waited for it
        self.broadcasts_left = 0  # left in the log, for too many waited or were under way
        self.resyncs = 0  # times that commands to us were lost
        self.rebound = 0  # sessions bound anew, because the node or the session table had lost them
        self.sessions_forgotten = 0  # that the session table had lost
        self.shared_groups = 0  # of shared subscriptions, with members here
        self.shared_members = 0  # in all of them
        self.shared_routed = 0  # deliveries to a member, once for each group
        self.shared_returned = 0  # of these, left behind by a member that has gone, and handed out again
        self.shared_dropped = 0  # messages for a group of which no member could take them
        self.shared_away = (
            0  # messages for a group that the store has put into a queue, for want of a member here
        )
        self.shed = 0  # clients let go because the store was out of reach
        self.pressed = 0  # times that the stores did not keep up with us
        self.publishers_paused = 0  # connections not read from for that reason
        self.publishers_slowed = 0  # connections not read from until the next second: they publish too fast
        self.connect_wait = Histogram(WAITS)  # s from a CONNECT until it is looked at, or given up
        self.refused = Tally()  # peers' faults and refusals, by code
        self.closed = Tally()  # connections ended by us, by reason
