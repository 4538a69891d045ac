"""What a room has to tell, in the collector of its process."""

from longline.room.room import Room
from longline.telemetry.collector import NodeCollector


def room_metrics(collector: NodeCollector, room: Room) -> None:
    """Exports a room's counters and the lengths of its queues."""
    gauges = (
        *("attachments", "connections", "headers_awaited", "sessions", "clients_slowed", "clients_parked"),
        *("shared_groups", "shared_members"),
    )
    collector.add("room", room.counters, gauges=gauges)
    collector.add("authority", room.authority_counters, gauges=("waiting",))
    collector.add("routes", room.routes.counters, gauges=("neighbours", "filters", "groups"))
    for name, doc, read in (
        ("room_connects_waiting", "CONNECTs whose answer waits for a store.", room.admission.waiting),
        (
            "room_accept_queue",
            "Connections that the kernel holds and nobody has accepted yet.",
            lambda: sum(listener.backlog.held for listener in room.listeners),
        ),
        (
            "room_accept_backlog",
            "How many of these the kernel may hold at present.",
            lambda: sum(listener.backlog.size for listener in room.listeners),
        ),
        ("room_receipts_waiting", "Receipts that wait to be committed.", room.receipts.waiting),
        ("room_refills_waiting", "Sessions that wait for a read of their inbox.", room.inbox.waiting),
        ("room_retained_waiting", "Retained messages that wait to be committed.", room.retainer.waiting),
        (
            "room_deposits_waiting",
            "Plain messages on their way to the queues of sessions.",
            room.deposits.waiting,
        ),
        (
            "room_upstream_waiting",
            "Messages and receipts from devices on their way to the store.",
            room.upstream.waiting,
        ),
        (
            "room_steps_waiting",
            "Answers to messages from queues that wait to be committed.",
            room.steps.waiting,
        ),
        (
            "room_flights_waiting",
            "Packet identifiers of pushes with QoS 2 that wait to be committed.",
            room.flights.waiting,
        ),
        (
            "room_filings_waiting",
            "SUBSCRIBEs and UNSUBSCRIBEs that wait to be committed.",
            room.filings.waiting,
        ),
        ("room_queue_reads_waiting", "Sessions that wait for a read of their queue.", room.reader.waiting),
        (
            "room_news_waiting",
            "Sessions elsewhere whose room is not told yet of their queue.",
            room.news.waiting,
        ),
        (
            "room_replays_waiting",
            "Sessions that wait for a read of retained messages.",
            room.replayer.waiting,
        ),
        (
            "room_rebinding_waiting",
            "Sessions still to be bound under this node's name.",
            room.rebinding.waiting,
        ),
        ("room_departures_waiting", "Ended sessions still in the table.", room.departures.waiting),
        (
            "room_closings_waiting",
            "Ends of connections that the store is not told of yet.",
            room.closings.waiting,
        ),
        ("room_gaps_waiting", "Gaps that devices were told of, and the store not yet.", room.gaps.waiting),
        (
            "room_parking_waiting",
            "Clients slowed or freed of which the store is not told yet.",
            room.parking.waiting,
        ),
        (
            "room_replies_waiting",
            "Answers of devices to calls on their way to the store.",
            room.replies.waiting,
        ),
        (
            "room_reports_waiting",
            "Reports of devices on their shadows on their way to the store.",
            room.reported.waiting,
        ),
        (
            "room_shadows_waiting",
            "Sessions to read a shadow for, or to note as told of theirs.",
            room.desired.waiting,
        ),
        (
            "room_talk_waiting",
            "What devices said in groups on its way to the store.",
            lambda: 0 if room.talk is None else room.talk.waiting(),
        ),
        ("room_takeovers_waiting", "Rooms not told yet that a device is here now.", room.takeovers.waiting),
        (
            "room_under_pressure",
            "1 while a store does not keep up and clients that publish are not read from, else 0.",
            lambda: int(room.turn.pressed),
        ),
        (
            "room_bulk_slice",
            "Deliveries of bulk work between two turns of the loop.",
            lambda: room.pace.slice,
        ),
        (
            "room_bulk_rest",
            "Seconds that bulk work rests for each second that a slice of it took.",
            lambda: room.pace.weight,
        ),
        ("room_store_late_seconds", "How long the store takes to answer the room.", room.pace.late),
        ("routes_messages_waiting", "Messages on their way to other rooms.", room.routes.relayed.waiting),
    ):
        collector.gauge(name, doc, read)
    collector.tally(
        "room_bulk_slowed",
        "Times that bulk work was slowed: `loop` (a turn took too long), `store_late`, `store_fails`.",
        "reason",
        room.pace.slowed,
    )
