"""What a room has to tell, in the collector of its process."""

from longline.room.room import Room
from longline.telemetry.collector import NodeCollector


def room_metrics(collector: NodeCollector, room: Room) -> None:
    """Exports a room's counters and the lengths of its queues."""
    collector.add("room", room.counters, gauges=("connections", "sessions"))
    collector.add("routes", room.routes.counters, gauges=("neighbours", "filters"))
    for name, doc, read in (
        ("room_connects_waiting", "CONNECTs whose answer waits for a store.", room.admission.waiting),
        (
            "room_accept_queue",
            "Connections that the kernel holds and nobody has accepted yet.",
            lambda: room.backlog.held if room.backlog else 0,
        ),
        (
            "room_accept_backlog",
            "How many of these the kernel may hold at present.",
            lambda: room.backlog.size if room.backlog else 0,
        ),
        ("room_receipts_waiting", "Receipts that wait to be committed.", room.receipts.waiting),
        ("room_refills_waiting", "Sessions that wait for a read of their inbox.", room.inbox.waiting),
        ("room_departures_waiting", "Ended sessions still in the table.", room.departures.waiting),
        ("room_takeovers_waiting", "Rooms not told yet that a device is here now.", room.takeovers.waiting),
        ("routes_messages_waiting", "Messages on their way to other rooms.", room.routes.relayed.waiting),
    ):
        collector.gauge(name, doc, read)
