"""The TCP sockets that clients connect to."""

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Final, cast

from longline.flow.listening import bound
from longline.room.wire.connection import Connection

# s until the kernel probes a silent peer: finds the dead ones that have no MQTT keep alive
KEEPALIVE_IDLE: Final = 600
HELD: Final = struct.Struct("24xI")  # of tcp_info: what is not accepted yet, of a socket that listens


async def serve(listener: socket.socket, accept: Callable[[], Connection], backlog: int) -> asyncio.Server:
    """Has a connection made for everyone who connects, until the server is closed."""
    return await asyncio.get_running_loop().create_server(
        cast(Callable[[], asyncio.BaseProtocol], accept),  # by shape: it is compiled
        sock=listener,
        backlog=backlog,
    )


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
