"""Servers that one run of the tests starts once, when first asked for, and hands out empty."""

import atexit
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.servers.redis_server import RedisCluster, RedisServer, ValkeyServer

KINDS: dict[str, Callable[[Path], RedisServer | RedisCluster]] = {
    "redis": RedisServer,
    "cluster": RedisCluster,
    "valkey": ValkeyServer,
}

# A server ends with the thread that started it: here one that lasts as long as this process.
_starting = ThreadPoolExecutor(1, "shared-servers")
_running: dict[str, RedisServer | RedisCluster] = {}


@contextmanager
def shared(kind: str) -> Iterator[RedisServer | RedisCluster]:
    """The server of a kind, empty. Whoever kills, pauses or reconfigures one starts its own instead."""
    server = _running.get(kind)
    if server is None:
        # A short path: that of a Unix socket has at most 107 bytes.
        directory = Path(tempfile.mkdtemp(prefix="ll-"))
        server = KINDS[kind](directory)
        atexit.register(_end, server, directory)
        _starting.submit(server.start).result()
        _running[kind] = server
    else:
        server.flush()
    yield server


def _end(server: RedisServer | RedisCluster, directory: Path) -> None:
    server.kill()
    shutil.rmtree(directory, ignore_errors=True)
