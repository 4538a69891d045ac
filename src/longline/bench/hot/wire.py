"""Non-blocking sockets under one epoll, and the MQTT client side of them, at the least cost a message.

A load generator must be cheaper than what it measures, so nothing here is general: synchronous
code over `select.epoll`, one `recv` a readable socket, packets cut by their fixed header only. The
module is compiled by mypyc; it runs the same, slower, without.

- `Poller` owns the epoll and the table from file descriptor to channel.
- `Channel` is one socket with an outbox; subclasses see the bytes in `consume`.
- `LoadClient` is a channel that speaks MQTT: it dials, greets, subscribes, and is then live.
- `Handshakes` counts what became of a set of them.
"""

import errno
import os
import select
import socket
import time
from collections import deque
from collections.abc import Callable
from ssl import SSLObject
from typing import Final

from longline.bench.hot.cipher import Cipher
from longline.bench.hot.histogram import LatencyHistogram

READABLE: Final = select.EPOLLIN
WRITABLE: Final = select.EPOLLOUT

RECV_BYTES: Final = 65536
"""Asked of each `recv`. A larger read means fewer turns of the loop under load; memory is per call."""

MAX_EVENTS: Final = 1024
"""Channels served a turn. Bounds the time between two looks at the clock."""

DIALLING: Final = 0
GREETING: Final = 1
SUBSCRIBING: Final = 2
LIVE: Final = 3
CLOSED: Final = 4
SHAKING: Final = -1

CONNACK: Final = 0x20
PUBLISH: Final = 0x30
PUBACK: Final = 0x40
PUBREC: Final = 0x50
PUBREL: Final = 0x60
PUBCOMP: Final = 0x70
SUBACK: Final = 0x90
PINGRESP: Final = 0xD0
DISCONNECT: Final = 0xE0


def packet_end(data: bytes, at: int) -> int:
    """Where the packet that begins at `at` ends, or 0 when `data` does not hold its whole fixed header.

    The end may lie beyond the data. [MQTT-2.2.3] The remaining length has 1 to 4 bytes of seven bits.
    """
    size = len(data)
    length = 0
    shift = 0
    at += 1
    while at < size:
        byte = data[at]
        at += 1
        if byte < 128:
            return at + length + (byte << shift)
        length += (byte & 127) << shift
        shift += 7
        if shift > 21:
            raise ValueError("remaining length of more than four bytes")
    return 0


class Poller:
    """An epoll and the channels registered with it."""

    def __init__(self) -> None:
        self.epoll: select.epoll = select.epoll()
        self.poll: Callable[[float, int], list[tuple[int, int]]] = self.epoll.poll
        self.channels: list[Channel | None] = []

    def add(self, channel: "Channel", events: int) -> None:
        """Watches `channel` under its descriptor until `remove`."""
        fd = channel.fd
        while len(self.channels) <= fd:
            self.channels.append(None)
        self.channels[fd] = channel
        self.epoll.register(fd, events)

    def remove(self, channel: "Channel") -> None:
        """Forgets `channel`; to be called before its socket is closed, as the descriptor is used again."""
        self.channels[channel.fd] = None
        self.epoll.unregister(channel.fd)

    def turn(self, timeout: float) -> int:
        """Waits up to `timeout` seconds and serves what is ready; returns how many channels were."""
        ready = self.poll(timeout, MAX_EVENTS)
        channels = self.channels
        for fd, events in ready:
            channel = channels[fd]
            # A channel closed earlier in this turn may still have an event in the list.
            if channel is not None:
                channel.on_ready(events)
        return len(ready)

    def close(self) -> None:
        """Closes every channel, then the epoll."""
        for channel in self.channels:
            if channel is not None:
                channel.close()
        self.epoll.close()


class Channel:
    """One non-blocking stream socket: bytes in to `consume`, bytes out through `write`."""

    def __init__(self, poller: Poller) -> None:
        self.poller: Poller = poller
        self.fd: int = -1
        self.sock: socket.socket | None = None
        self.recv: Callable[[int], bytes] | None = None
        self.send: Callable[[bytes], int] | None = None
        self.carry: bytes = b""
        self.outbox: bytes = b""
        self.connecting: bool = False

    def adopt(self, sock: socket.socket, connecting: bool) -> None:
        """Takes over a non-blocking socket, whose connect may still be `connecting`."""
        self.sock = sock
        self.fd = sock.fileno()
        self.recv = sock.recv
        self.send = sock.send
        self.connecting = connecting
        self.poller.add(self, WRITABLE if connecting else READABLE)

    def dial(self, address: tuple[str, int], source: str) -> None:
        """Begins to connect to `address`, from the address `source` unless that is empty."""
        sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if source:
            # The port is chosen at connect, so that it has to be unique per pair of ends only.
            sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            sock.bind((source, 0))
        code = sock.connect_ex(address)
        if code not in (0, errno.EINPROGRESS):
            sock.close()
            self.lost(errno.errorcode.get(code, str(code)))
            return
        self.adopt(sock, True)

    def on_ready(self, events: int) -> None:
        """Serves one epoll event: finishes the connect, flushes the outbox, reads once."""
        if events & WRITABLE:
            self.on_writable()
        if events & ~WRITABLE and self.fd >= 0 and not self.connecting:
            self.on_readable()

    def on_writable(self) -> None:
        if self.connecting:
            assert self.sock is not None
            code = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                self.fail(errno.errorcode.get(code, str(code)))
                return
            self.connecting = False
            self.poller.epoll.modify(self.fd, READABLE)
            self.connected()
            return
        waiting = self.outbox
        self.outbox = b""
        self.poller.epoll.modify(self.fd, READABLE)
        self.put(waiting)

    def on_readable(self) -> None:
        recv = self.recv
        assert recv is not None
        try:
            data = recv(RECV_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self.fail(reason_of(error))
            return
        if not data:
            self.fail("closed by peer")
            return
        data = self.clear(data)
        if not data:
            return
        if self.carry:
            data = self.carry + data
            self.carry = b""
        used = self.consume(data)
        if used < len(data):
            self.carry = data[used:]

    def clear(self, data: bytes) -> bytes:
        """What has arrived, as `consume` is to see it."""
        return data

    def write(self, data: bytes) -> None:
        """Sends `data`."""
        self.put(data)

    def put(self, data: bytes) -> None:
        """Gives the socket `data` now, or as much as it takes; the rest waits in the outbox.

        The outbox needs no bound of its own: every caller sends within a window that the peer opens.
        """
        if self.fd < 0:
            return
        if self.outbox:
            self.outbox += data
            return
        send = self.send
        assert send is not None
        try:
            sent = send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self.fail(reason_of(error))
            return
        if sent < len(data):
            self.outbox = data[sent:]
            self.poller.epoll.modify(self.fd, READABLE | WRITABLE)

    def fail(self, reason: str) -> None:
        """Closes the socket and tells the subclass why."""
        if self.fd >= 0:
            self.close()
            self.lost(reason)

    def close(self) -> None:
        """Closes the socket; nothing more arrives. Idempotent."""
        if self.sock is not None:
            self.poller.remove(self)
            self.sock.close()
        self.sock = None
        self.recv = None
        self.send = None
        self.fd = -1

    def connected(self) -> None:
        """The connect has succeeded."""

    def consume(self, data: bytes) -> int:
        """Takes what has arrived and returns how many bytes were used; the rest comes again, with more."""
        return len(data)

    def lost(self, reason: str) -> None:
        """The socket failed or the peer closed it; `reason` is a name from errno or a short phrase."""


class Handshakes:
    """What became of a set of clients that were to connect; over TLS where they have a `cipher`."""

    def __init__(self, cipher: Cipher | None = None) -> None:
        self.cipher: Cipher | None = cipher
        self.pending: int = 0
        self.live: int = 0
        self.lost: int = 0
        self.refused: dict[str, int] = {}
        self.taken: LatencyHistogram = LatencyHistogram()
        """From connect() to CONNACK, or to SUBACK."""

    def refuse(self, reason: str) -> None:
        """Counts one client that never became live."""
        self.pending -= 1
        self.refused[reason] = self.refused.get(reason, 0) + 1


class LoadClient(Channel):
    """An MQTT client connection. `hello` is its CONNECT, `then` its SUBSCRIBE or empty."""

    def __init__(self, poller: Poller, handshakes: Handshakes, hello: bytes, then: bytes) -> None:
        super().__init__(poller)
        self.handshakes: Handshakes = handshakes
        self.hello: bytes = hello
        self.then: bytes = then
        self.phase: int = DIALLING
        self.dialled_at: int = 0
        self.tls: SSLObject | None = None

    def open(self, address: tuple[str, int], source: str) -> None:
        """Starts the handshake; `handshakes` hears of its end."""
        self.handshakes.pending += 1
        self.dialled_at = time.monotonic_ns()
        self.dial(address, source)

    def connected(self) -> None:
        cipher = self.handshakes.cipher
        if cipher is not None:
            self.phase = SHAKING
            self.tls = cipher.begin()
            self.shake(cipher, b"")
            return
        self.phase = GREETING
        self.write(self.hello)

    def shake(self, cipher: Cipher, data: bytes) -> bytes:
        """Goes on with the handshake of TLS, and greets at its end; what has come behind it."""
        tls = self.tls
        assert tls is not None
        try:
            over = cipher.shake(tls, data)
            self.put(cipher.take())
            if not over:
                return b""
            self.phase = GREETING
            self.write(self.hello)
            return cipher.clear(tls, b"") if cipher.incoming.pending else b""
        except OSError as error:
            cipher.take()
            self.fail(reason_of(error))
            return b""

    def clear(self, data: bytes) -> bytes:
        cipher, tls = self.handshakes.cipher, self.tls
        if cipher is None or tls is None:
            return data
        if self.phase == SHAKING:
            return self.shake(cipher, data)
        try:
            return cipher.clear(tls, data)
        except OSError as error:
            self.fail(reason_of(error))
            return b""

    def write(self, data: bytes) -> None:
        cipher, tls = self.handshakes.cipher, self.tls
        self.put(data if cipher is None or tls is None else cipher.cover(tls, data))

    def consume(self, data: bytes) -> int:
        if self.phase == LIVE:
            return self.deliver(data)
        at = 0
        while at < len(data) and self.phase != LIVE:
            end = packet_end(data, at)
            if end == 0 or end > len(data):
                return at
            self.handshake(data, at, end)
            if self.fd < 0:
                return len(data)
            at = end
        return at + self.deliver(data[at:]) if at < len(data) else at

    def handshake(self, data: bytes, start: int, end: int) -> None:
        """One packet before the client is live: the CONNACK, then the SUBACK when there is a SUBSCRIBE."""
        kind = data[start] & 0xF0
        if self.phase == GREETING and kind == CONNACK:
            # [MQTT-3.2.2] fixed header of two bytes at least, flags, code; properties follow in 5.0.
            body = start + 2 if data[start + 1] < 128 else start + 3
            code = data[body + 1]
            if code:
                self.fail(f"connack 0x{code:02x}")
            elif self.then:
                self.phase = SUBSCRIBING
                self.write(self.then)
            else:
                self.settle(time.monotonic_ns())
        elif self.phase == SUBSCRIBING and kind == SUBACK:
            if data[end - 1] >= 0x80:
                self.fail(f"suback 0x{data[end - 1]:02x}")
            else:
                self.settle(time.monotonic_ns())
        elif kind != PUBLISH:
            self.fail(f"unexpected packet 0x{data[start]:02x}")

    def settle(self, now: int) -> None:
        """The handshake is complete at `now` (ns)."""
        self.phase = LIVE
        self.handshakes.pending -= 1
        self.handshakes.live += 1
        self.handshakes.taken.record(now - self.dialled_at)

    def lost(self, reason: str) -> None:
        if self.phase == LIVE:
            self.handshakes.live -= 1
            self.handshakes.lost += 1
        elif self.phase != CLOSED:
            self.handshakes.refuse(reason)
        self.phase = CLOSED

    def deliver(self, data: bytes) -> int:
        """What arrives on a live client, whole packets or not; returns how many bytes were used."""
        at = 0
        while at < len(data):
            end = packet_end(data, at)
            if end == 0 or end > len(data):
                break
            at = end
        return at


class Dialler:
    """Opens clients: at most `at_once` handshakes in the air, at most `rate` a second (0: no limit)."""

    def __init__(
        self,
        poller: Poller,
        handshakes: Handshakes,
        address: tuple[str, int],
        at_once: int,
        rate: float,
        timeout: float,
        each_turn: Callable[[int], None],
    ) -> None:
        self.each_turn: Callable[[int], None] = each_turn
        """Called with the clock (ns) after every turn, for what must go on meanwhile."""
        self.poller: Poller = poller
        self.handshakes: Handshakes = handshakes
        self.address: tuple[str, int] = address
        self.at_once: int = at_once
        self.rate: float = rate
        self.timeout_ns: int = int(timeout * 1e9)

    def open(self, clients: list[LoadClient], sources: list[str], progress: memoryview) -> None:
        """Returns when every client is live or refused. `progress[0]` follows the number that are live.

        `sources` gives the local address of each client; an empty list leaves the choice to the kernel.
        """
        began = time.monotonic_ns()
        waiting: deque[LoadClient] = deque()
        opened = 0
        while opened < len(clients) or self.handshakes.pending:
            now = time.monotonic_ns()
            allowed = len(clients)
            if self.rate > 0:
                allowed = min(allowed, int((now - began) * self.rate / 1e9) + 1)
            while opened < allowed and self.handshakes.pending < self.at_once:
                client = clients[opened]
                client.open(self.address, sources[opened] if sources else "")
                waiting.append(client)
                opened += 1
            # One timeout for all, so the oldest is always first: no scan.
            while waiting and (waiting[0].phase >= LIVE or now - waiting[0].dialled_at > self.timeout_ns):
                client = waiting.popleft()
                if client.phase < LIVE:
                    client.fail("handshake timed out")
            self.poller.turn(0.01)
            self.each_turn(now)
            progress[0] = self.handshakes.live


def reason_of(error: OSError) -> str:
    """A short stable name for a socket error."""
    return errno.errorcode.get(error.errno, os.strerror(error.errno)) if error.errno else str(error)


# Linux's value; the socket module names it only since Python 3.12.
IP_BIND_ADDRESS_NO_PORT: Final = 24
