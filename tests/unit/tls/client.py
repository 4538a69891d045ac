"""A server's connection with TLS in memory, and a client of OpenSSL's at its other end."""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import cast

from longline.telemetry.faults import Faults
from longline.tls.certificates import server_context
from longline.tls.connection import TlsConnection
from longline.tls.counters import TlsCounters
from longline.tls.handshakes import TlsHandshakes
from tests.certificates import Authority, Pair
from tests.unit.room.fixture import PEER, FakeTransport, Turns


class Above(asyncio.Protocol):
    """What speaks in clear: keeps what it is told."""

    def __init__(self, *, half_open: bool = False) -> None:
        self.transport: asyncio.Transport | None = None
        self.made = False
        self.got: list[bytes] = []
        self.ended = False
        self.lost = False
        self.paused = False
        self.half_open = half_open
        self.on_data: Callable[[bytes], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.made = True
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.got.append(data)
        if self.on_data is not None:
            self.on_data(data)

    def eof_received(self) -> bool:
        self.ended = True
        return self.half_open

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self.transport = None

    @property
    def text(self) -> bytes:
        return b"".join(self.got)


class Loop:
    """`call_soon` and `call_later` by hand."""

    def __init__(self, turns: Turns) -> None:
        self.call_soon = turns.soon
        self.later: list[tuple[float, Callable[[], object]]] = []

    def call_later(self, delay: float, callback: Callable[[], object]) -> None:
        self.later.append((delay, callback))

    def tick(self) -> None:
        """What waits for its time has its time."""
        waiting, self.later = self.later, []
        for _, callback in waiting:
            callback()


class Site:
    """The handshakes of one listener, in a time that the test moves."""

    def __init__(
        self,
        folder: Path,
        *,
        limit: int = 100,
        timeout: float = 10.0,
        client_ca: Path | None = None,
        pair: Pair | None = None,
    ) -> None:
        self.authority = Authority(folder)
        self.pair = pair or self.authority.server()
        self.server = server_context("room.tls", *self.pair, client_ca)
        self.turns = Turns()
        self.loop = Loop(self.turns)
        self.now = 1000.0
        self.clock: Callable[[], float] = lambda: self.now
        self.context: Callable[[bytes], ssl.SSLContext] = lambda hello: self.server
        self.counters = TlsCounters()
        self.faults = Faults()
        self.reports: list[tuple[str, str, str]] = []
        self.handshakes = TlsHandshakes(
            self.counters,
            lambda hello: self.context(hello),
            lambda code, peer, message: self.reports.append((code, peer, message)),
            self.faults,
            limit=limit,
            timeout=timeout,
            loop=cast(asyncio.AbstractEventLoop, self.loop),
            clock=lambda: self.clock(),
        )

    def client_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.authority.ca)
        return context

    def client(
        self,
        context: ssl.SSLContext | None = None,
        above: Above | None = None,
        session: ssl.SSLSession | None = None,
    ) -> "Client":
        return Client(self, context or self.client_context(), above or Above(), session)


class Client:
    """One end of a connection, whose other end is the server's. Bytes move only when the test says so."""

    def __init__(
        self, site: Site, context: ssl.SSLContext, above: Above, session: ssl.SSLSession | None
    ) -> None:
        self.site = site
        self.above = above
        self.wire = FakeTransport(site.turns, PEER)
        self.connection = cast(TlsConnection, site.handshakes.secure(above))
        self.wire.protocol = self.connection
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(
            self.incoming, self.outgoing, server_hostname="localhost", session=session
        )
        self._read = 0
        self.connection.connection_made(cast(asyncio.Transport, self.wire))

    def send(self, data: bytes) -> None:
        """The client says something, in clear; it is on its way."""
        self.tls.write(data)

    def deliver(self, step: int = 1 << 20) -> None:
        """What the client has said reaches the server, in pieces of so many bytes."""
        data = self.outgoing.read()
        for at in range(0, len(data), step):
            if self.wire.protocol is not None and not self.wire.closing:
                self.connection.data_received(data[at : at + step])

    def fetch(self) -> None:
        """What the server has written reaches the client."""
        for data in self.wire.writes[self._read :]:
            self.incoming.write(data)
        self._read = len(self.wire.writes)

    def shake(self, step: int = 1 << 20) -> None:
        """A whole handshake; raises what is wrong with it from the client's side."""
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                before = self._read
                self.deliver(step)
                self.site.turns.settle()
                self.fetch()
                if self._read == before:
                    raise
            else:
                break
        self.deliver(step)
        self.site.turns.settle()
        self.fetch()

    def receive(self) -> bytes:
        """What the server has said, in clear; b"" at its good-bye."""
        self.site.turns.settle()
        self.fetch()
        data = b""
        try:
            while True:
                piece = self.tls.read(1 << 20)
                if not piece:
                    return data
                data += piece
        except ssl.SSLWantReadError:
            return data

    @property
    def over(self) -> bool:
        """Whether the server's end is gone."""
        self.site.turns.settle()
        return self.above.lost


def shaken(site: Site) -> Client:
    """A client that is through with its handshake."""
    client = site.client()
    client.shake()
    return client
