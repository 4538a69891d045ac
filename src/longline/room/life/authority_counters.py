"""What is counted of those outside who say whom to let in."""

from typing import final

from longline.telemetry.counters import WAITS, Histogram, Tally


@final
class AuthorityCounters:
    """Totals since the start; of `waiting`, how many there are now."""

    __slots__ = (
        "breaker_opened",
        "call_seconds",
        "calls",
        "key_sets_failed",
        "key_sets_read",
        "waiting",
    )

    def __init__(self) -> None:
        self.calls = Tally()  # of the callback, by what came of them
        self.call_seconds = Histogram(WAITS)
        self.breaker_opened = 0
        self.key_sets_read = 0
        self.key_sets_failed = 0
        self.waiting = 0  # CONNECTs that wait for one of them
