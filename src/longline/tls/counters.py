"""What the listeners with TLS count."""

from typing import Final, final

from longline.telemetry.counters import Tally

GAUGES: Final = ("handshaking",)


@final
class TlsCounters:
    """Totals since the start, except `handshaking`, which is how many there are now."""

    __slots__ = ("failed", "handshakes", "handshaking", "reload_failures", "reloads", "resumed")

    def __init__(self) -> None:
        self.handshakes = 0  # that succeeded
        self.resumed = 0  # of these, with a ticket
        self.handshaking = 0  # from the first byte of a connection, or before it, to the end of its handshake
        self.failed = Tally()  # by kind
        self.reloads = 0  # certificates that were put to use since the start
        self.reload_failures = 0  # that could not be
