"""The hot loop of `unicast` and `drain`: messages go in over HTTP, devices receive them and acknowledge.

One process holds some devices and some keep-alive connections to the API, and posts only to its own
devices, so nothing has to be agreed between processes. Bodies are joined from pieces made beforehand; of
an answer only the status, the length and the number of message ids are read.

A payload is text: the mark of this run, the time at which its batch was posted, its sequence number,
and padding. The sequence number makes a duplicate recognisable, the mark what an earlier run has left.
"""

import time
from collections import deque
from typing import Final

from longline.bench.hot.histogram import LatencyHistogram
from longline.bench.hot.wire import PUBLISH, Channel, Handshakes, LoadClient, Poller, packet_end

MARK_BYTES: Final = 8
STAMP_BYTES: Final = MARK_BYTES + 16 + 16
"""What every payload begins with, in hexadecimal: mark, monotonic nanoseconds, sequence number."""

PAUSE_NS: Final = 100_000_000
"""How long a connection stays silent after the API has refused a batch as a whole."""

NO_RATE: Final = 0.0

SAMPLES: Final = 200
"""Message ids that a process remembers, to ask for their ledgers in the end."""


class Courier:
    """What one process has posted and received, and the window between the two."""

    def __init__(
        self,
        poller: Poller,
        level: int,
        mark: bytes,
        size: int,
        batch: int,
        window: int,
        single: bool = False,
        rate: float = NO_RATE,
    ) -> None:
        self.poller: Poller = poller
        self.level: int = level
        self.mark: bytes = mark
        self.suffix: bytes = b"x" * (size - STAMP_BYTES) + b'"}'
        self.batch: int = 1 if single else batch
        self.single: bool = single
        """Each request is one message, not a batch of them."""
        self.rate: float = rate
        """Messages a second at most; 0 for no limit."""
        self.paced_from: int = 0
        """When the first of them was posted (ns)."""
        self.window: int = window
        self.openings: list[bytes] = []
        """For each device, a message's JSON up to and including its payload's opening quote."""
        self.next_device: int = 0
        self.idle: deque[Poster] = deque()
        self.paused: deque[Poster] = deque()
        self.budget: int = 0
        """Messages that may still be posted; 0 stops."""
        self.posted: int = 0
        self.answered: int = 0
        self.accepted: int = 0
        self.refused: dict[str, int] = {}
        self.received: int = 0
        """Different messages of this run."""
        self.duplicates: int = 0
        self.foreign: int = 0
        self.seen: bytearray = bytearray()
        self.message_ids: list[bytes] = []
        self.receipts: LatencyHistogram = LatencyHistogram()
        """From POST to the arrival of the message at its device."""
        self.answers: LatencyHistogram = LatencyHistogram()
        """From POST to its answer."""
        self.last_receipt: int = 0

    def turn(self, timeout: float) -> int:
        """Serves what is ready and posts what the window and the rate allow; returns the clock (ns)."""
        if self.rate and self.budget > 0:
            now = time.monotonic_ns()
            timeout = max(0.0, min(timeout, (self.due(now) - now) / 1e9))
        self.poller.turn(timeout)
        now = time.monotonic_ns()
        while self.paused and self.paused[0].resume_at <= now:
            self.idle.append(self.paused.popleft())
        while self.idle and self.budget > 0:
            count = min(self.batch, self.budget)
            if self.posted - self.gone() + count > self.window or (self.rate and self.due(now) > now):
                break
            self.budget -= count
            self.idle.popleft().post(self.body(count, now), count, now)
        return now

    def due(self, now: int) -> int:
        """When the rate allows the next request (ns)."""
        if not self.posted:
            self.paced_from = now
        return self.paced_from + int(self.posted * 1e9 / self.rate)

    def gone(self) -> int:
        """How many of the posted messages are no longer on their way."""
        return self.received + self.answered - self.accepted

    def body(self, count: int, now: int) -> bytes:
        """The JSON of a batch to the next `count` devices in turn, or of the one message to the next."""
        pieces: list[bytes] = [] if self.single else [b'{"messages":[']
        openings = self.openings
        suffix = self.suffix
        stamp = self.mark + now.to_bytes(8, "big").hex().encode()
        at = self.next_device
        for sequence in range(self.posted, self.posted + count):
            pieces.append(openings[at])
            pieces.append(stamp)
            pieces.append(sequence.to_bytes(8, "big").hex().encode())
            pieces.append(suffix)
            pieces.append(b",")
            at += 1
            if at == len(openings):
                at = 0
        pieces[-1] = b"" if self.single else b"]}"
        self.next_device = at
        self.posted += count
        self.seen.extend(bytes(count))
        return b"".join(pieces)

    def answer(self, poster: "Poster", status: bytes, body: bytes, now: int) -> None:
        """The API has answered a batch."""
        self.answers.record(now - poster.posted_at)
        self.answered += poster.count
        if status != b"202":
            self.refuse(status.decode("ascii", "replace"), poster.count)
            poster.resume_at = now + PAUSE_NS
            self.paused.append(poster)
            return
        accepted = body.count(b'"message_id"')
        self.accepted += accepted
        if accepted < poster.count:
            self.refuse("in a batch", poster.count - accepted)
        if accepted and len(self.message_ids) < SAMPLES:
            self.message_ids.append(first_message_id(body))
        self.idle.append(poster)

    def refuse(self, reason: str, count: int) -> None:
        """Counts messages that the API has not taken."""
        self.refused[reason] = self.refused.get(reason, 0) + count

    def receive(self, data: bytes, payload: int, now: int) -> None:
        """A device has received the message whose payload begins at `payload`."""
        sent = payload + MARK_BYTES
        if data[payload:sent] != self.mark:
            self.foreign += 1
            return
        sequence = int(data[sent + 16 : sent + 32], 16)
        if sequence >= len(self.seen):
            self.foreign += 1
        elif self.seen[sequence]:
            self.duplicates += 1
        else:
            self.seen[sequence] = 1
            self.received += 1
            self.last_receipt = now
            self.receipts.record(now - int(data[sent : sent + 16], 16))


class UnicastDevice(LoadClient):
    """A connected device: it acknowledges all that it receives in one read with one write."""

    def __init__(self, courier: Courier, handshakes: Handshakes, hello: bytes) -> None:
        super().__init__(courier.poller, handshakes, hello, b"")
        self.courier: Courier = courier

    def deliver(self, data: bytes) -> int:
        courier = self.courier
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
                if courier.level == 5:
                    payload = after_properties(data, payload)
                courier.receive(data, payload, now)
            at = end
        if acks:
            self.write(b"".join(acks))
        return at


class Poster(Channel):
    """A keep-alive HTTP/1.1 connection to the API with at most one request on it."""

    def __init__(self, courier: Courier, head: bytes) -> None:
        super().__init__(courier.poller)
        self.courier: Courier = courier
        self.head: bytes = head
        """The request up to the value of Content-Length, which comes last."""
        self.count: int = 0
        self.posted_at: int = 0
        self.resume_at: int = 0
        self.failure: str = ""

    def connected(self) -> None:
        self.courier.idle.append(self)

    def post(self, body: bytes, count: int, now: int) -> None:
        """Sends a batch of `count` messages."""
        self.count = count
        self.posted_at = now
        self.write(b"%b%d\r\n\r\n%b" % (self.head, len(body), body))

    def consume(self, data: bytes) -> int:
        start = data.find(b"\r\n\r\n")
        if start < 0:
            return 0
        length = content_length(data[:start])
        if length < 0:
            self.fail("an HTTP answer without Content-Length")
            return len(data)
        start += 4
        if len(data) - start < length:
            return 0
        self.courier.answer(self, data[9:12], data[start : start + length], time.monotonic_ns())
        return start + length

    def lost(self, reason: str) -> None:
        self.failure = reason


def content_length(head: bytes) -> int:
    """The length of the body that an HTTP response head announces, or -1."""
    at = head.lower().find(b"\r\ncontent-length:")
    if at < 0:
        return -1
    at += 17
    end = head.find(b"\r\n", at)
    return int(head[at:end] if end >= 0 else head[at:])


def after_properties(data: bytes, at: int) -> int:
    """[MQTT-2.2.2] Where the payload begins behind the property list at `at`."""
    length = 0
    shift = 0
    while data[at] > 127:
        length += (data[at] & 127) << shift
        shift += 7
        at += 1
    return at + 1 + length + (data[at] << shift)


def first_message_id(body: bytes) -> bytes:
    """The first `"message_id"` of a JSON body that has one."""
    at = body.find(b'"', body.find(b":", body.find(b'"message_id"'))) + 1
    return body[at : body.find(b'"', at)]
