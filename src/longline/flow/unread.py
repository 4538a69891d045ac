"""What a peer has sent that was not read: the kernel counts it."""

import asyncio
import fcntl
import struct
import termios
from typing import Final, Protocol

UNKNOWN: Final = -1
COUNT: Final = struct.Struct("i")


class HasFileno(Protocol):
    """A socket, by shape: a transport has one of its own making."""

    def fileno(self) -> int: ...


def unread(transport: asyncio.Transport) -> int:
    """How many bytes have arrived and wait to be read; UNKNOWN where the kernel does not tell."""
    peer = transport.get_extra_info("socket")
    return UNKNOWN if peer is None else unread_of(peer)


def unread_of(peer: HasFileno) -> int:
    """The same of a socket."""
    try:
        told = fcntl.ioctl(peer.fileno(), termios.FIONREAD, COUNT.pack(0))
    except OSError:
        return UNKNOWN
    return int(COUNT.unpack(told)[0])
