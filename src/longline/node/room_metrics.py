"""What a room has to tell, in the collector of its process."""

from longline.room.room import Room
from longline.telemetry.collector import NodeCollector


def room_metrics(collector: NodeCollector, room: Room) -> None:
    """Exports a room's counters and the lengths of its queues."""
    collector.add("room", room.counters, gauges=("connections", "sessions"))
    collector.add("routes", room.routes.counters, gauges=("neighbours", "filters"))
    for name, doc, read in (
        ("room_connects_waiting", "CONNECTs whose answer waits for a store.", room.admission.waiting),
        ("room_receipts_waiting", "Receipts that wait to be committed.", room.receipts.waiting),
        ("room_refills_waiting", "Sessions that wait for a read of their inbox.", room.inbox.waiting),
        (
            "room_rebinding_waiting",
            "Sessions still to be bound under this node's name.",
            room.rebinding.waiting,
        ),
        ("room_departures_waiting", "Ended sessions still in the table.", room.departures.waiting),
        ("room_takeovers_waiting", "Rooms not told yet that a device is here now.", room.takeovers.waiting),
        ("routes_messages_waiting", "Messages on their way to other rooms.", room.routes.relayed.waiting),
    ):
        collector.gauge(name, doc, read)
