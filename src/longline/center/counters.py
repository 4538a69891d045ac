"""What the API counts, for the node's collector."""

from longline.telemetry.counters import Tally

GAUGES = ("events_waiting", "requests_running", "sends_running")
LABELS = {"answers": "status", "errors": "code"}


class CenterCounters:
    """Plain numbers since the start; those in `GAUGES` go up and down.

    `answers` by HTTP status, `errors` by code. `messages_*` count messages, also those of batches.
    `replayed` counts requests answered from an Idempotency-Key. `routes_failed`: commands to nodes
    that could not be handed over; what they spoke of is stored. `circuit_opened`: how often the store was
    left alone because it failed again and again; `refused_early`: requests refused meanwhile.
    `events_waiting`: requests that wait for events.
    """

    __slots__ = (
        "answers",
        "circuit_opened",
        "errors",
        "events_waiting",
        "messages_accepted",
        "messages_refused",
        "refused_early",
        "replayed",
        "requests_running",
        "routes_failed",
        "sends_running",
    )

    def __init__(self) -> None:
        self.answers = Tally()
        self.circuit_opened = 0
        self.errors = Tally()
        self.events_waiting = 0
        self.messages_accepted = 0
        self.messages_refused = 0
        self.refused_early = 0
        self.replayed = 0
        self.requests_running = 0
        self.routes_failed = 0
        self.sends_running = 0
