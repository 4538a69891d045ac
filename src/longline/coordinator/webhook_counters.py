"""What is counted of webhooks."""

from typing import Final, final

from longline.telemetry.counters import Histogram, Tally

GAUGES: Final = frozenset({"failing", "lag_seconds", "targets", "under_way"})
LABELS: Final = {"calls": "result", "given_up": "reason"}
SECONDS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@final
class WebhookCounters:
    """Of the process that sends for all apps. `failing`: targets whose last try failed."""

    __slots__ = (
        "call_seconds",
        "calls",
        "circuits_opened",
        "events_taken",
        "failing",
        "gaps",
        "given_up",
        "lag_seconds",
        "targets",
        "under_way",
    )

    def __init__(self) -> None:
        self.calls = Tally()
        self.call_seconds = Histogram(SECONDS)
        self.circuits_opened = 0
        self.events_taken = 0
        self.failing = 0
        self.gaps = 0
        self.given_up = Tally()
        self.lag_seconds = 0.0
        self.targets = 0
        self.under_way = 0
