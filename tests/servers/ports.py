"""Loopback ports for servers that tests start."""

import fcntl
import itertools
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path

# The system hands out those from net.ipv4.ip_local_port_range on by itself: while much else connects on this
# machine, one of them is taken again before the server that it was found for has it.
# And 10,080 is the last one that browsers refuse (fetch.spec.whatwg.org, "bad port").
FIRST, LAST = 10_240, 32_767
A_PROCESS = 512  # ports: more than its tests need at a time


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago; all different, and of no other process that runs tests."""
    with ExitStack() as taken:
        found: list[int] = []
        for port in _own():
            with suppress(OSError):
                taken.enter_context(socket.create_server(("127.0.0.1", port)))
                found.append(port)
            if len(found) == count:
                return found
    raise AssertionError("unreachable: the ports go round")


@cache
def _own() -> Iterator[int]:
    """The ports of this process, round and round."""
    folder = Path(tempfile.gettempdir(), f"longline-test-ports-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    for first in range(FIRST, LAST + 2 - A_PROCESS, A_PROCESS):
        claim = os.open(folder / str(first), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)  # until this process ends
        except OSError:
            os.close(claim)
        else:
            return itertools.cycle(range(first, first + A_PROCESS))
    raise AssertionError(f"{folder}: more than {(LAST - FIRST) // A_PROCESS} processes run tests")
