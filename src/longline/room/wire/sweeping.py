"""Connections that were given up while the kernel held them: taken from it and closed, and nothing else.

To accept one in earnest, read its CONNECT and only then find out takes ten times as long. The kernel hands
connections out in the order in which they came, so who stands behind very many of these would wait for all
of that.
"""

import select
import socket
from collections.abc import Callable
from typing import Final

from longline.flow.unread import unread_of

HEADER: Final = 5  # bytes at most: a packet's first byte, and its length; section 2.1.4
ENDLESS: Final = 1 << 30


def sweep(
    listener: socket.socket, most: int, says_more: Callable[[socket.socket], bool]
) -> tuple[list[socket.socket], int]:
    """Accepts what the kernel holds, at most so many: those that are there, and how many had hung up.

    Who `says_more` than to ask to be let in has not given up, though it says nothing else.
    """
    poll = select.poll()
    accepted: dict[int, socket.socket] = {}
    while len(accepted) < most:
        try:
            peer, _ = listener.accept()
        except OSError:  # there are no more, or no more files
            break
        peer.setblocking(False)
        accepted[peer.fileno()] = peer
        poll.register(peer, select.POLLRDHUP)
    gone = [handle for handle, _ in poll.poll(0) if not says_more(accepted[handle])]
    for handle in gone:
        accepted.pop(handle).close()
    return list(accepted.values()), len(gone)


def says_more_than_connect(peer: socket.socket) -> bool:
    """Whether a client of plain MQTT has sent more than its first packet."""
    try:
        return unread_of(peer) > first_packet(peer.recv(HEADER, socket.MSG_PEEK))
    except OSError:  # it was reset
        return False


def first_packet(head: bytes) -> int:
    """How many bytes a packet has that begins like this; where that is not said, more than there can be."""
    size = 0
    for place, byte in enumerate(head[1:HEADER]):
        size |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return 2 + place + size
    return ENDLESS


def says_nothing_more(peer: socket.socket) -> bool:
    """Of a client that has to be answered before it can go on, as with TLS and WebSocket."""
    return False
