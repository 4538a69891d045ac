"""Opens a process's part of the connections, within the file limit and the ports of this host."""

import resource
from collections.abc import Callable

from longline.bench.hot.station import Station
from longline.bench.hot.wire import Dialler, Handshakes, LoadClient
from longline.bench.targets import BenchFailed, source_of

AT_ONCE = 128
"""Handshakes in the air, per process: enough to keep a server busy, few enough for its accept queue."""

HANDSHAKE_SECONDS = 30.0

SPARE_FILES = 100
"""Descriptors for everything that is not a connection."""


def raise_file_limit(wanted: int) -> None:
    """Allows this process `wanted` connections; raises BenchFailed when the hard limit forbids them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + SPARE_FILES
    if needed <= soft:
        return
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise BenchFailed(
            f"{wanted:,} connections in a process with a file limit of {hard:,}: use --processes"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def dial(
    station: Station,
    handshakes: Handshakes,
    address: tuple[str, int],
    clients: list[LoadClient],
    total: int,
    rate: float,
    at_once: int,
    each_turn: Callable[[int], None],
) -> None:
    """Opens all clients; `handshakes` says how that went. `total` is how many all processes open together.

    `rate` is in connections per second, 0 for as fast as they are accepted; `at_once` handshakes are in the
    air at most.
    """
    raise_file_limit(len(clients))
    # Numbered across the processes, so that no two take the same address for themselves.
    sources = [source_of(station.index + at * station.of, total, address[0]) for at in range(len(clients))]
    dialler = Dialler(station.poller, handshakes, address, at_once, rate, HANDSHAKE_SECONDS, each_turn)
    dialler.open(clients, sources, station.counters[2:3])


def dial_all(
    station: Station, handshakes: Handshakes, address: tuple[str, int], clients: list[LoadClient], total: int
) -> None:
    """Opens all clients; raises BenchFailed unless every one becomes live."""
    dial(station, handshakes, address, clients, total, 0.0, AT_ONCE, nothing)
    if handshakes.refused:
        reasons = ", ".join(f"{count} × {reason}" for reason, count in handshakes.refused.items())
        raise BenchFailed(f"not every connection could be made: {reasons}")


def nothing(now: int) -> None:
    """For clients that ask for nothing while others are opened."""
