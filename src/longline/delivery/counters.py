"""What the pipeline counts."""


class DeliveryCounters:
    """Plain numbers since the start; `sends_running` goes up and down.

    `messages_*` count messages, also those of batches. `replayed` counts requests answered from an
    idempotency key. `routes_failed`: commands to nodes that could not be handed over; what they spoke of is
    stored. `circuit_opened`: how often the store was left alone because it failed again and again;
    `refused_early`: requests refused meanwhile.
    """

    __slots__ = (
        "circuit_opened",
        "messages_accepted",
        "messages_refused",
        "refused_early",
        "replayed",
        "routes_failed",
        "sends_running",
    )

    def __init__(self) -> None:
        self.circuit_opened = 0
        self.messages_accepted = 0
        self.messages_refused = 0
        self.refused_early = 0
        self.replayed = 0
        self.routes_failed = 0
        self.sends_running = 0
