"""What the API counts, for the node's collector."""

from longline.telemetry.counters import Tally

GAUGES = ("requests_running", "sends_running")
LABELS = {"answers": "status", "errors": "code"}


class CenterCounters:
    """Plain numbers since the start; those in `GAUGES` go up and down.

    `answers` by HTTP status, `errors` by code. `messages_*` count messages, also those of batches.
    `replayed` counts requests answered from an Idempotency-Key. `routes_failed`: requests whose messages were
    stored but could not be handed to a node.
    """

    __slots__ = (
        "answers",
        "errors",
        "messages_accepted",
        "messages_refused",
        "replayed",
        "requests_running",
        "routes_failed",
        "sends_running",
    )

    def __init__(self) -> None:
        self.answers = Tally()
        self.errors = Tally()
        self.messages_accepted = 0
        self.messages_refused = 0
        self.replayed = 0
        self.requests_running = 0
        self.routes_failed = 0
        self.sends_running = 0
