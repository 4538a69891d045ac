"""The hot loop of `fanout`: publishers held to a window by what their subscribers have received.

A broker that is given more than it can deliver drops, queues without bound, or slows its publishers,
each in its own way, and then three figures are compared that mean different things. So the loop is
closed: a message leaves only when fewer than `window` messages of its topic are still on their way to
some subscriber. No broker has to drop, the queue in it is at most `window` a subscriber, and what
is measured is how fast it can turn messages round.

Counting is by position. Each subscriber receives the messages of its topic one after the other, so
its n-th message and everyone's n-th message are one row of a ring; the row holds how many subscribers have
yet to reach it, and at zero the window moves. Nothing is looked up by message, and bodies are skipped:
only one in `SAMPLE` is opened for its send time.

When a topic's subscribers are spread over processes, each process finds its own rows complete and
tells the topic's home process by a `CreditLine`; the window moves with the slowest.

At QoS 2 a message counts when its PUBLISH arrives, as at the others; the rest of its exchange, on both
sides, is the broker's work all the same, and one that is left open is found at the end.
"""

import struct
import time
from typing import Final

from longline.bench.hot.histogram import LatencyHistogram
from longline.bench.hot.wire import (
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBREC,
    PUBREL,
    Channel,
    Handshakes,
    LoadClient,
    Poller,
    packet_end,
)

SAMPLE: Final = 16
"""One message in this many has its latency taken."""

STAMP: Final = struct.Struct("!QQ")
"""What a payload begins with: the send time in monotonic nanoseconds, the sequence number in its topic."""

GAP: Final = {4: b"", 5: b"\x00"}
"""What stands between packet identifier and payload in a PUBLISH of ours: in 5.0, an empty property list."""

CREDIT: Final = struct.Struct("!HHQ")
"""On a credit line: process, topic, rows that this process has completed."""

IDENTIFIERS: Final = 65535

NAP: Final = 0.0001
"""Seconds of sleep between two turns while at least `CROWD` deliveries are on their way.

A generator that waits in epoll is woken by nearly every packet, and the waking is paid for by the
broker's core: measured, a fifth of what a broker could deliver. Asleep instead, it reads more at once.
"""

NEVER: Final = 1 << 62

CROWD: Final = 200
"""Deliveries on their way. With fewer, a broker of two million a second would run dry during a nap."""


class Pump:
    """What one process counts, and the topics that may have room to publish after this turn."""

    def __init__(self, poller: Poller, level: int) -> None:
        self.poller: Poller = poller
        self.level: int = level
        self.received: int = 0
        self.published: int = 0
        self.on_their_way: int = 0
        """Deliveries still to come for what this process has published, to its own subscribers."""
        self.surplus: int = 0
        self.disordered: int = 0
        self.unfinished: int = 0
        """Exchanges of QoS 2, sent or received, that have begun and not ended."""
        self.until_sample: int = SAMPLE
        self.latencies: LatencyHistogram = LatencyHistogram()
        self.moved: list[LoadTopic] = []
        self.loaded: list[PublishingClient] = []

    def turn(self, timeout: float) -> int:
        """Serves what is ready, then publishes where a window has moved; returns the clock (ns)."""
        if self.on_their_way >= CROWD:
            time.sleep(NAP)
        self.poller.turn(timeout)
        now = time.monotonic_ns()
        if self.moved:
            moved = self.moved
            self.moved = []
            for topic in moved:
                topic.advance(now)
            loaded = self.loaded
            self.loaded = []
            for publisher in loaded:
                publisher.depart()
        return now

    def sample(self, data: bytes, body: int, first: int, topic: "LoadTopic", row: int) -> None:
        """Takes the latency of the PUBLISH whose variable header begins at `body`."""
        self.until_sample = SAMPLE
        at = body + 2 + (data[body] << 8) + data[body + 1]
        if first & 6:
            at += 2
        if self.level == 5:
            if data[at] > 127:
                return
            at += 1 + data[at]
        if at + STAMP.size > len(data):
            return
        sent, sequence = STAMP.unpack_from(data, at)
        self.latencies.record(time.monotonic_ns() - sent)
        # With one publisher a topic the row is the sequence number, or the broker lost or reordered.
        if topic.sequenced and sequence != row:
            self.disordered += 1


class LoadTopic:
    """One topic in one process: its local subscribers' progress and, in its home process, its window."""

    def __init__(self, pump: Pump, number: int, window: int, subscribers: int) -> None:
        self.pump: Pump = pump
        self.number: int = number
        self.window: int = window
        self.subscribers: int = subscribers
        self.ring: list[int] = [subscribers] * window
        self.sequenced: bool = True
        self.published: int = 0
        """Messages sent, in the home; elsewhere 0."""
        self.done: int = 0
        """Rows that every local subscriber has received."""
        self.parts: list[int] = [0]
        """In the home: rows that each process has received, or `NEVER` for one without subscribers."""
        self.head: bytes = b""
        self.tail: bytes = b""
        """The PUBLISH around its identifier, gap and stamp."""
        self.publishers: list[PublishingClient] = []
        self.next_publisher: int = 0
        self.home_line: CreditLine | None = None
        self.process: int = 0
        self.marked: bool = False
        self.paused: bool = False

    def mark(self) -> None:
        """Has `advance` called at the end of this turn."""
        if not self.marked:
            self.marked = True
            self.pump.moved.append(self)

    def arrived(self, row: int, count: int) -> None:
        """A subscriber has received `count` messages, the first of them its `row`-th (from 0)."""
        ring = self.ring
        window = self.window
        for position in range(row, row + count):
            slot = position % window
            left = ring[slot] - 1
            if left == 0:
                ring[slot] = self.subscribers
                self.done += 1
                self.mark()
            else:
                ring[slot] = left

    def credit(self, process: int, done: int) -> None:
        """Another process has completed `done` rows."""
        self.parts[process] = done
        self.mark()

    def advance(self, now: int) -> None:
        """Tells the home of local progress, or, as the home, publishes what the window allows."""
        self.marked = False
        if self.home_line is not None:
            self.home_line.write(CREDIT.pack(self.process, self.number, self.done))
            return
        if self.subscribers:
            self.parts[self.process] = self.done
        if self.paused:
            return
        room = self.window - (self.published - min(self.parts))
        # Each publisher takes an equal share of the room, at least one, starting where the last turn ended.
        share = -(-room // len(self.publishers)) if room > 0 else 0
        for _ in range(len(self.publishers)):
            if room <= 0:
                break
            publisher = self.publishers[self.next_publisher]
            self.next_publisher = (self.next_publisher + 1) % len(self.publishers)
            sent = publisher.publish(self, self.published, min(share, room), now)
            self.published += sent
            self.pump.published += sent
            self.pump.on_their_way += sent * self.subscribers
            room -= sent


class SubscribingClient(LoadClient):
    """Receives one topic and counts."""

    def __init__(
        self, pump: Pump, topic: LoadTopic, handshakes: Handshakes, hello: bytes, then: bytes
    ) -> None:
        super().__init__(pump.poller, handshakes, hello, then)
        self.pump: Pump = pump
        self.topic: LoadTopic = topic
        self.rows: int = 0
        self.exchanges: set[int] = set()
        """Identifiers of the exchanges of QoS 2 that no PUBREL has ended."""

    def deliver(self, data: bytes) -> int:
        pump = self.pump
        size = len(data)
        at = 0
        count = 0
        until_sample = pump.until_sample
        acks: list[bytes] = []
        while at + 2 < size:
            first = data[at]
            length = data[at + 1]
            body = at + 2
            # Lengths of one and two bytes are read here, which spares the call for nearly every message.
            if length > 127:
                length = (length & 127) + (data[body] << 7)
                body += 1
                if length > 16383:
                    end = packet_end(data, at)
                    if end == 0:
                        break
                    body = body_at(data, at)
                    length = end - body
            if body + length > size:
                break
            if first & 0xF0 == PUBLISH:
                until_sample -= 1
                if until_sample == 0:
                    pump.sample(data, body, first, self.topic, self.rows + count)
                    until_sample = pump.until_sample
                if first & 6:
                    count += self.begin(first, data, body + 2 + (data[body] << 8) + data[body + 1], acks)
                else:
                    count += 1
            elif first & 0xF0 == PUBREL:
                self.finish(data, body, acks)
            at = body + length
        pump.until_sample = until_sample
        if count:
            topic = self.topic
            pump.received += count
            if topic.home_line is None:
                pump.on_their_way -= count
            excess = self.rows + count - topic.done - topic.window
            if excess > 0:
                # More than can have been published: a duplicate, or another publisher on the topic.
                pump.surplus += excess
                count -= excess
            topic.arrived(self.rows, count)
            self.rows += count
        if acks:
            self.write(b"".join(acks))
        return at

    def begin(self, first: int, data: bytes, at: int, acks: list[bytes]) -> int:
        """Answers a PUBLISH of QoS 1 or 2, its identifier at `at`; 0 for a message that it has already."""
        if first & 2:
            acks.append(b"\x40\x02" + data[at : at + 2])
            return 1
        acks.append(b"\x50\x02" + data[at : at + 2])
        identifier = (data[at] << 8) + data[at + 1]
        if identifier in self.exchanges:
            self.pump.surplus += 1
            return 0
        self.exchanges.add(identifier)
        self.pump.unfinished += 1
        return 1

    def finish(self, data: bytes, at: int, acks: list[bytes]) -> None:
        """Answers a PUBREL: a PUBLISH with its identifier is a new message from now on."""
        acks.append(b"\x70\x02" + data[at : at + 2])
        identifier = (data[at] << 8) + data[at + 1]
        if identifier in self.exchanges:
            self.exchanges.remove(identifier)
            self.pump.unfinished -= 1


class PublishingClient(LoadClient):
    """Sends one topic or several; what they have for it in one turn leaves in one write."""

    def __init__(self, pump: Pump, handshakes: Handshakes, hello: bytes, qos: int, quota: int) -> None:
        super().__init__(pump.poller, handshakes, hello, b"")
        self.pump: Pump = pump
        self.topics: list[LoadTopic] = []
        self.qos: int = qos
        self.gap: bytes = GAP[pump.level]
        self.quota: int = quota
        """[MQTT-3.2.2.3.3] Receive Maximum of the broker: messages that may lack their PUBACK or PUBCOMP."""
        self.unacked: int = 0
        self.identifier: int = 0
        self.pieces: list[bytes] = []

    def publish(self, topic: LoadTopic, sequence: int, count: int, now: int) -> int:
        """Takes up to `count` messages numbered from `sequence`, to leave at `depart`; returns how many."""
        head = topic.head
        tail = topic.tail
        pieces = self.pieces
        if self.qos:
            count = min(count, self.quota - self.unacked)
            self.unacked += count
            if self.qos == 2:
                self.pump.unfinished += count
        if count and not pieces:
            self.pump.loaded.append(self)
        for number in range(sequence, sequence + count):
            pieces.append(head)
            if self.qos:
                self.identifier = self.identifier % IDENTIFIERS + 1
                pieces.append(self.identifier.to_bytes(2, "big"))
            pieces.append(self.gap)
            pieces.append(STAMP.pack(now, number))
            pieces.append(tail)
        return count

    def depart(self) -> None:
        """Writes what was published in this turn."""
        self.write(b"".join(self.pieces))
        self.pieces.clear()

    def deliver(self, data: bytes) -> int:
        size = len(data)
        at = 0
        acked = 0
        releases: list[bytes] = []
        while at < size:
            end = packet_end(data, at)
            if end == 0 or end > size:
                break
            kind = data[at] & 0xF0
            if kind in (PUBACK, PUBCOMP):
                acked += 1
            elif kind == PUBREC:
                # [MQTT-4.3.3-4] A PUBREC of 5.0 that refuses ends the exchange: it has no PUBREL.
                if end - at > 4 and data[at + 4] >= 0x80:
                    acked += 1
                else:
                    releases.append(b"\x62\x02" + data[at + 2 : at + 4])
            at = end
        if releases:
            self.write(b"".join(releases))
        if acked:
            if self.qos == 2:
                self.pump.unfinished -= acked
            # A publisher at its quota is what may hold its topics back.
            if self.unacked >= self.quota:
                for topic in self.topics:
                    topic.mark()
            self.unacked -= acked
        return at


class CreditLine(Channel):
    """Progress from one process to another, over one end of a stream socket pair."""

    def __init__(self, pump: Pump, topics: list[LoadTopic]) -> None:
        super().__init__(pump.poller)
        self.topics: list[LoadTopic] = topics

    def consume(self, data: bytes) -> int:
        at = 0
        while at + CREDIT.size <= len(data):
            process, number, done = CREDIT.unpack_from(data, at)
            self.topics[number].credit(process, done)
            at += CREDIT.size
        return at


def body_at(data: bytes, at: int) -> int:
    """Where the variable header of the packet at `at` begins; its fixed header is whole."""
    at += 1
    while data[at] > 127:
        at += 1
    return at + 1
