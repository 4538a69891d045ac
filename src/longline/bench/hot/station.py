"""A worker's line to the process that conducts the run.

Workers and conductor move in step: a worker reports, goes on serving its sockets, and takes the order that
the conductor gives when all have reported. The line is one more channel of the worker's poller, so
waiting for an order never stops the load.
"""

import time
from typing import Final

from longline.bench.hot.wire import Channel, Poller

HEADER_BYTES: Final = 4

REPORT: Final = b"="
FAILURE: Final = b"!"

COUNTERS: Final = 4
"""Numbers that each worker shows while it runs, in shared memory; what they mean is the mode's."""


def frame(body: bytes) -> bytes:
    """One message on a line: its length in four bytes, then the message."""
    return len(body).to_bytes(HEADER_BYTES, "big") + body


def unframe(data: bytes, at: int) -> int:
    """Where the message that begins at `at` ends, or 0 when it is not all there."""
    if at + HEADER_BYTES > len(data):
        return 0
    end = at + HEADER_BYTES + int.from_bytes(data[at : at + HEADER_BYTES], "big")
    return end if end <= len(data) else 0


class Station(Channel):
    """The worker's end: who it is, how it reports, what it was told."""

    def __init__(self, poller: Poller, index: int, of: int, counters: memoryview) -> None:
        super().__init__(poller)
        self.index: int = index
        self.of: int = of
        self.counters: memoryview = counters
        """`COUNTERS` signed 64-bit numbers that the conductor reads at any time."""
        self.orders: list[bytes] = []
        self.alone: bool = False
        """The conductor is gone: there is nobody to measure for."""

    def report(self, body: bytes) -> None:
        """Tells the conductor; the answer comes to `orders`."""
        self.write(frame(REPORT + body))

    def give_up(self, reason: str) -> None:
        """Tells the conductor that this worker has failed, which ends the run."""
        self.write(frame(FAILURE + reason.encode()))
        deadline = time.monotonic() + 5.0
        while self.outbox and self.fd >= 0 and time.monotonic() < deadline:
            self.poller.turn(0.1)

    def consume(self, data: bytes) -> int:
        at = 0
        end = unframe(data, at)
        while end:
            self.orders.append(data[at + HEADER_BYTES : end])
            at = end
            end = unframe(data, at)
        return at

    def lost(self, reason: str) -> None:
        self.alone = True

    def ordered(self) -> bool:
        """Whether an order waits to be taken. Raises ConnectionError when the conductor is gone."""
        if self.alone:
            raise ConnectionError("the conducting process is gone")
        return bool(self.orders)

    def take(self) -> bytes:
        """The oldest order."""
        return self.orders.pop(0)
