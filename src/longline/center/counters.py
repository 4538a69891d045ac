"""What the API counts, for the node's collector."""

from longline.delivery.counters import DeliveryCounters
from longline.telemetry.counters import ANSWERS, Histogram, Tally

GAUGES = ("calls_waiting", "event_streams", "events_waiting", "requests_running", "sends_running")
LABELS = {"answers": "status", "errors": "code"}


class CenterCounters(DeliveryCounters):
    """Plain numbers since the start, with those of its pipeline; those in `GAUGES` go up and down.

    `answers` by HTTP status, `errors` by code. `events_waiting`: requests that wait for events.
    `event_streams`: answers that go on with each event. `changes_begun`: entries of the audit log, and
    `changes_unended`: of these, those whose outcome could not be stored. `request_seconds`: until the answer
    to a request began, but for those that waited for events or for a device.
    """

    __slots__ = (
        "answers",
        "calls_waiting",
        "changes_begun",
        "changes_unended",
        "errors",
        "event_streams",
        "events_waiting",
        "request_seconds",
        "requests_running",
    )

    def __init__(self) -> None:
        super().__init__()
        self.answers = Tally()
        self.errors = Tally()
        self.calls_waiting = 0
        self.changes_begun = 0
        self.changes_unended = 0
        self.event_streams = 0
        self.events_waiting = 0
        self.request_seconds = Histogram(ANSWERS)
        self.requests_running = 0
