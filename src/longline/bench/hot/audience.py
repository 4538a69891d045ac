"""The hot loop of `broadcast`: devices that count what all of them are sent.

A payload is text: the mark of this run, and the message's sequence number. Each device knows which sequence
numbers it has had, so that one delivery too few and one too many do not cancel each other out.
"""

import time
from typing import Final

from longline.bench.hot.courier import after_properties
from longline.bench.hot.wire import PUBLISH, Handshakes, LoadClient, Poller, packet_end

MARK_BYTES: Final = 8
STAMP_BYTES: Final = MARK_BYTES + 8
"""What every payload begins with, in hexadecimal: mark, sequence number."""


class Audience:
    """What one process's devices have received."""

    def __init__(self, poller: Poller, level: int, mark: bytes, messages: int) -> None:
        self.poller: Poller = poller
        self.level: int = level
        self.mark: bytes = mark
        self.messages: int = messages
        self.received: int = 0
        """Deliveries, each message to each device once."""
        self.duplicates: int = 0
        self.disordered: int = 0
        """Deliveries that came after a later message."""
        self.foreign: int = 0
        self.last_at: list[int] = [0] * messages
        """Of each message, when the last of these devices had it (ns)."""


class BroadcastDevice(LoadClient):
    """A connected device: it acknowledges all that it receives in one read with one write."""

    def __init__(self, audience: Audience, handshakes: Handshakes, hello: bytes) -> None:
        super().__init__(audience.poller, handshakes, hello, b"")
        self.audience: Audience = audience
        self.had: bytearray = bytearray(audience.messages)
        self.latest: int = -1

    def deliver(self, data: bytes) -> int:
        audience = self.audience
        now = time.monotonic_ns()
        size = len(data)
        at = 0
        acks: list[bytes] = []
        while at < size:
            end = packet_end(data, at)
            if end == 0 or end > size:
                break
            first = data[at]
            if first & 0xF0 == PUBLISH:
                body = at + 1
                while data[body] > 127:
                    body += 1
                body += 1
                payload = body + 2 + (data[body] << 8) + data[body + 1]
                if first & 6:
                    acks.append(b"\x40\x02" + data[payload : payload + 2])
                    payload += 2
                if audience.level == 5:
                    payload = after_properties(data, payload)
                self.hear(data, payload, now)
            at = end
        if acks:
            self.write(b"".join(acks))
        return at

    def hear(self, data: bytes, payload: int, now: int) -> None:
        """Counts the message whose payload begins at `payload`."""
        audience = self.audience
        number = payload + MARK_BYTES
        if data[payload:number] != audience.mark:
            audience.foreign += 1
            return
        sequence = int(data[number : number + 8], 16)
        if sequence >= audience.messages:
            audience.foreign += 1
        elif self.had[sequence]:
            audience.duplicates += 1
        else:
            self.had[sequence] = 1
            audience.received += 1
            audience.last_at[sequence] = now
            if sequence < self.latest:
                audience.disordered += 1
            else:
                self.latest = sequence
