"""The sockets that clients connect to."""

import asyncio
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final, cast

from longline.flow.listening import bound
from longline.room.wire.backlog import Backlog, Crowd
from longline.room.wire.sweeping import says_more_than_connect, says_nothing_more, sweep
from longline.settings.listeners import Port

# s until the kernel probes a silent peer: finds the dead ones that have no MQTT keep alive
KEEPALIVE_IDLE: Final = 600
HELD: Final = struct.Struct("24xI")  # of tcp_info: what is not accepted yet, of a socket that listens

Accept = Callable[[str | None], object]
"""Makes what deals with one connection: an asyncio protocol by shape, for it may be compiled. It is told the
client's address where that is not the peer's."""

Unwrap = Callable[[Accept], object]
"""Puts what reads the header of a proxy between a socket and what then deals with the connection."""

Secure = Callable[[object], object]
"""Puts TLS between a socket and what deals with the connection; both are protocols by shape."""


class Listener:
    """One port: bound when it is made (OSError when it is not to be had), open from `open` to `close`.

    `accept` makes what deals with a connection, from its first byte; on a port with TLS, from the first one
    that `secure` has deciphered; behind proxies, from the first one after the header that `unwrap` reads.
    `crowd`: who waits in the room to be let in; `gave_up` is told how many had gone before they were
    accepted. The room runs `run` as a task.
    """

    def __init__(
        self,
        port: Port,
        host: str,
        accept: Accept,
        *,
        backlog: int,
        crowd: Callable[[], Crowd],
        gave_up: Callable[[int], None],
        reuse_port: bool = False,
        secure: Secure | None = None,
        unwrap: Unwrap | None = None,
    ) -> None:
        self.port = port
        self.accepted = 0
        self._accept = accept
        self._secure = secure
        self._unwrap = unwrap
        self._most = backlog
        self._gave_up = gave_up
        self._server: asyncio.Server | None = None
        self._socket = listen(host, port.number, reuse_port=reuse_port)
        self.backlog = Backlog(
            backlog,
            held=partial(held, self._socket),
            accepted=lambda: self.accepted,
            crowd=crowd,
            resize=partial(resize, self._socket),
            sweep=self._sweep,
            clock=time.monotonic,
        )
        self.run = self.backlog.run

    async def open(self) -> None:
        """Has a connection made for everyone who connects, until `close`."""
        self._server = await asyncio.get_running_loop().create_server(
            cast(Callable[[], asyncio.BaseProtocol], self._connected), sock=self._socket, backlog=self._most
        )

    def close(self) -> None:
        """Takes no new connections; those that are there stay."""
        if self._server is not None:
            self._server.close()
        else:
            self._socket.close()

    async def _sweep(self, most: int) -> int:
        if self._unwrap is not None:
            return 0  # what proxies hold open is theirs to give up
        plain = self.port.transport == "tcp"
        there, gone = sweep(self._socket, most, says_more_than_connect if plain else says_nothing_more)
        if gone:
            self._gave_up(gone)
        loop = asyncio.get_running_loop()
        accept = cast(Callable[[], asyncio.BaseProtocol], self._connected)
        await asyncio.gather(
            *(loop.connect_accepted_socket(accept, peer) for peer in there), return_exceptions=True
        )
        return gone

    def _connected(self) -> object:
        self.accepted += 1
        return self._made(None) if self._unwrap is None else self._unwrap(self._made)

    def _made(self, origin: str | None) -> object:
        connection = self._accept(origin)
        return connection if self._secure is None else self._secure(connection)


def listen(host: str, port: int, *, reuse_port: bool) -> socket.socket:
    """A bound TCP socket whose connections the kernel probes when they are silent for long.

    With `reuse_port`, other processes that ask for it too get a share of the port's connections.
    """
    listener = bound(host, port, reuse_port=reuse_port)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE)
    return listener


def held(listener: socket.socket) -> int:
    """How many connections the kernel holds that are not accepted yet, where it tells; else none."""
    try:
        told = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, HELD.size)
    except OSError:
        return 0
    return int(HELD.unpack(told)[0]) if len(told) == HELD.size else 0


def resize(listener: socket.socket, backlog: int) -> None:
    """Has the kernel hold at most so many connections that are not accepted yet, from now on."""
    with suppress(OSError):  # it was closed: nobody comes any more
        listener.listen(backlog)
