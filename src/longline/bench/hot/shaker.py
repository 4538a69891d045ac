"""The hot loop of `handshakes`: connect, shake hands, hang up, and again."""

import time
from ssl import SSLObject

from longline.bench.hot.cipher import Cipher
from longline.bench.hot.histogram import LatencyHistogram
from longline.bench.hot.wire import Channel, Poller, reason_of


class Shakes:
    """What one process has done."""

    def __init__(self, cipher: Cipher, address: tuple[str, int]) -> None:
        self.cipher: Cipher = cipher
        self.address: tuple[str, int] = address
        self.done: int = 0
        self.resumed: int = 0
        self.versions: dict[str, int] = {}
        """Handshakes by the version of TLS that they agreed on."""
        self.failed: dict[str, int] = {}
        self.taken: LatencyHistogram = LatencyHistogram()
        """From connect() to the end of the handshake."""
        self.idle: list[ShakingClient] = []

    def turn(self, poller: Poller) -> None:
        """Has every client that is through begin anew, and serves what is ready."""
        idle = self.idle
        self.idle = []
        now = time.monotonic_ns()
        for client in idle:
            client.dialled_at = now
            client.dial(self.address, "")
        poller.turn(0.05)


class ShakingClient(Channel):
    """A connection at a time."""

    def __init__(self, poller: Poller, shakes: Shakes) -> None:
        super().__init__(poller)
        self.shakes: Shakes = shakes
        self.tls: SSLObject | None = None
        self.dialled_at: int = 0

    def connected(self) -> None:
        self.tls = self.shakes.cipher.begin()
        self.go_on(b"")

    def consume(self, data: bytes) -> int:
        self.go_on(data)
        return len(data)

    def go_on(self, data: bytes) -> None:
        """One flight of the handshake; at its end the connection is closed."""
        shakes, tls = self.shakes, self.tls
        assert tls is not None
        try:
            over = shakes.cipher.shake(tls, data)
        except OSError as error:
            shakes.cipher.take()
            self.fail(reason_of(error))
            return
        self.write(shakes.cipher.take())
        if over:
            shakes.done += 1
            shakes.resumed += bool(tls.session_reused)
            version = tls.version() or "none"
            shakes.versions[version] = shakes.versions.get(version, 0) + 1
            shakes.taken.record(time.monotonic_ns() - self.dialled_at)
            shakes.cipher.incoming.read()  # tickets that came along
            self.close()
            self.tls = None
            shakes.idle.append(self)

    def lost(self, reason: str) -> None:
        failed = self.shakes.failed
        failed[reason] = failed.get(reason, 0) + 1
        self.tls = None
        self.shakes.idle.append(self)
