"""What a peer has sent that was not read: the kernel counts it."""

import asyncio
import fcntl
import struct
import termios
from typing import Final

UNKNOWN: Final = -1
COUNT: Final = struct.Struct("i")


def unread(transport: asyncio.Transport) -> int:
    """How many bytes have arrived and wait to be read; UNKNOWN where the kernel does not tell."""
    peer = transport.get_extra_info("socket")
    if peer is None:
        return UNKNOWN
    try:
        told = fcntl.ioctl(peer.fileno(), termios.FIONREAD, COUNT.pack(0))
    except OSError:
        return UNKNOWN
    return int(COUNT.unpack(told)[0])
