"""What the store counts."""

from typing import final

from longline.telemetry.counters import ANSWERS, Histogram


@final
class AnswerTimes:
    """How long the store takes: seconds from a call to its answer, of one call of all whose answers come at
    once, so that it costs nothing however many they are.
    """

    __slots__ = ("call_seconds",)

    def __init__(self) -> None:
        self.call_seconds = Histogram(ANSWERS)


class Figures:
    """Plain counters; bytes are those of connections that ended. `answers`: how long they take."""

    __slots__ = ("answers", "bytes_in", "bytes_out", "calls", "moved", "reconnects", "repeated")

    def __init__(self) -> None:
        self.answers = AnswerTimes()
        self.calls = 0
        self.repeated = 0
        self.reconnects = 0
        self.moved = 0
        self.bytes_in = 0
        self.bytes_out = 0
