"""Connections that do nothing but stay: they ping as often as they promised, and no more.

All promise the same interval, so they become due in the order in which they were last due: one
queue, its head looked at once a turn, and never a scan.
"""

from collections import deque

from longline.bench.hot.wire import Handshakes, LoadClient, Poller

PINGREQ = b"\xc0\x00"


class KeepAlive:
    """The queue of clients by when they must ping next."""

    def __init__(self, interval: float) -> None:
        self.interval_ns: int = int(interval * 1e9)
        """Between two pings of one client; 0 means that nothing has been promised."""
        self.queue: deque[tuple[int, IdleClient]] = deque()
        self.pings: int = 0

    def join(self, client: "IdleClient", now: int) -> None:
        """Begins to count for a client that has just become live, at `now` (ns)."""
        if self.interval_ns:
            self.queue.append((now + self.interval_ns, client))

    def ping(self, now: int) -> None:
        """Sends every ping that is due."""
        queue = self.queue
        while queue and queue[0][0] <= now:
            _, client = queue.popleft()
            # A client that is lost leaves the queue here.
            if client.fd >= 0:
                client.write(PINGREQ)
                self.pings += 1
                queue.append((now + self.interval_ns, client))


class IdleClient(LoadClient):
    """A client that only answers for its keep alive; whatever it receives is discarded."""

    def __init__(self, poller: Poller, handshakes: Handshakes, keep_alive: KeepAlive, hello: bytes) -> None:
        super().__init__(poller, handshakes, hello, b"")
        self.keep_alive: KeepAlive = keep_alive

    def settle(self, now: int) -> None:
        super().settle(now)
        # Nothing is sent twice, and what is kept here times a million counts.
        self.hello = b""
        self.keep_alive.join(self, now)
