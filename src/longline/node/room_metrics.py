"""What a room has to tell, in the collector of its process."""

from longline.room.room import Room
from longline.telemetry.collector import NodeCollector


def room_metrics(collector: NodeCollector, room: Room) -> None:
    """Exports a room's counters and the lengths of its queues."""
    collector.add("room", room.counters, gauges=("connections", "headers_awaited", "sessions"))
    collector.add("routes", room.routes.counters, gauges=("neighbours", "filters"))
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
        ("room_takeovers_waiting", "Rooms not told yet that a device is here now.", room.takeovers.waiting),
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
