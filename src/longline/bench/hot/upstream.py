"""The hot loop of `upstream`: devices that publish to their app server, each with so many on their way.

A payload is text: the mark of this run and the message's number, by which the app server's side tells
afterwards which were stored. A device's PUBACKs come in the order of its messages [MQTT-4.6.0-2], so the time
of each is taken from the front of a queue.
"""

import time
from collections import deque
from typing import Final

from longline.bench.hot.histogram import LatencyHistogram
from longline.bench.hot.pump import GAP, IDENTIFIERS
from longline.bench.hot.wire import PUBACK, Handshakes, LoadClient, Poller, packet_end

MARK_BYTES: Final = 8
STAMP_BYTES: Final = MARK_BYTES + 16
"""What every payload begins with, in hexadecimal: mark, number."""

REFUSED: Final = 0x80
"""Reasons from here on say that a message was not taken (MQTT 5, section 3.4.2.1)."""


class Uplink:
    """What one process's devices have published, and what of it is acknowledged."""

    def __init__(self, poller: Poller, level: int, mark: bytes, window: int) -> None:
        self.poller: Poller = poller
        self.gap: bytes = GAP[level]
        self.mark: bytes = mark
        self.window: int = window
        self.going: bool = False
        """Whether devices go on publishing as their messages are acknowledged."""
        self.published: int = 0
        self.acknowledged: int = 0
        self.refused: int = 0
        self.latencies: LatencyHistogram = LatencyHistogram()
        """From PUBLISH to PUBACK."""

    def turn(self, timeout: float) -> int:
        """Serves what is ready; returns the clock (ns)."""
        self.poller.turn(timeout)
        return time.monotonic_ns()


class UplinkDevice(LoadClient):
    """A connected device. `head` and `tail`: its PUBLISH up to the packet identifier, and after the stamp."""

    def __init__(
        self, uplink: Uplink, handshakes: Handshakes, hello: bytes, head: bytes, tail: bytes
    ) -> None:
        super().__init__(uplink.poller, handshakes, hello, b"")
        self.uplink: Uplink = uplink
        self.head: bytes = head
        self.tail: bytes = tail
        self.identifier: int = 0
        self.sent: deque[int] = deque()

    def publish(self, count: int, now: int) -> None:
        """Sends so many messages in one write."""
        uplink = self.uplink
        pieces: list[bytes] = []
        for number in range(uplink.published, uplink.published + count):
            self.identifier = self.identifier % IDENTIFIERS + 1
            self.sent.append(now)
            pieces.append(self.head)
            pieces.append(self.identifier.to_bytes(2, "big"))
            pieces.append(uplink.gap)
            pieces.append(uplink.mark)
            pieces.append(number.to_bytes(8, "big").hex().encode())
            pieces.append(self.tail)
        uplink.published += count
        self.write(b"".join(pieces))

    def deliver(self, data: bytes) -> int:
        uplink = self.uplink
        now = time.monotonic_ns()
        size = len(data)
        at = 0
        answered = 0
        while at < size:
            end = packet_end(data, at)
            if end == 0 or end > size:
                break
            if data[at] & 0xF0 == PUBACK and self.sent:
                uplink.latencies.record(now - self.sent.popleft())
                answered += 1
                if end - at > 4 and data[at + 4] >= REFUSED:
                    uplink.refused += 1
                else:
                    uplink.acknowledged += 1
            at = end
        if answered and uplink.going:
            self.publish(answered, now)
        return at
