"""Listening sockets, bound in one way for every protocol."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EADDRINUSE

from longline.errors import SettingsError
from longline.model.addresses import joined


def bound(host: str, port: int, *, reuse_port: bool) -> socket.socket:
    """A TCP socket that is bound and does not listen yet; OSError when it cannot be had.

    `::` takes connections of IPv4 too, whatever the system's default is. With `reuse_port`, other processes
    that ask for it too get a share of the port's connections.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


@contextmanager
def listening(setting: str, host: str, port: int) -> Iterator[None]:
    """Says of a listener that cannot be opened which setting it comes from."""
    try:
        yield
    except OSError as error:
        problem = refused(host, port, error)
        raise SettingsError(problem, details=[(setting, problem)]) from None


def refused(host: str, port: int, error: OSError) -> str:
    """Why nobody can listen there, in words."""
    problem = f"cannot listen on {joined(host, port)}: {error.strerror or error}"
    # Often another node, or a broker that came with the system.
    return f"{problem} by another process; set another port" if error.errno == EADDRINUSE else problem
