"""The agent's side of the warm parent: a process that has loaded everything and started nothing.

Workers are forked from it (`parent.py`), so what it has loaded are pages that all workers of the host share,
and a worker is up in the time of a fork. A rolling restart begins with a new parent, which loads the code as
it is then. A worker and its agent are joined by a socket: when that closes, the agent is gone, and the worker
ends itself in good order. How a worker ended only its parent learns, which writes it into that socket.
"""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from longline.errors import Unavailable

# glibc: give freed memory back, and keep few arenas; docs/operations.md has what it saves.
MALLOC = {
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": "1048576",
    "MALLOC_TRIM_THRESHOLD_": "1048576",
    "MALLOC_TOP_PAD_": "262144",
}
LONGEST = 64 * 1024  # bytes of a request or an answer
ENDED = b"!"  # begins the parent's word of a worker's end; no node's name has one
LOADED_WITHIN = 120.0  # s: the first fork waits until everything is loaded
CLOSE_WITHIN = 5.0  # s


class Request(msgspec.Struct, frozen=True):
    """Asks for a worker with these roles and settings (by dotted name); a socket's end comes with it."""

    roles: tuple[str, ...]
    settings: dict[str, str]


class ForkedWorker(NamedTuple):
    """A worker that was forked.

    `process` is a file descriptor of it (pidfd_open(2)), which never is another process's; `pipe` is that of
    our end of the socket, on which it says that it is ready, and its parent how it ended.
    """

    pid: int
    process: int
    pipe: int


class WarmParent:
    """Forks workers that run `target` (`module:function`) with `config`. Owned by the agent."""

    def __init__(self, target: str, config: str | None, preload: Sequence[str]) -> None:
        self._arguments = [target, config or "", *preload]
        self._processes: list[subprocess.Popen[bytes]] = []  # the present one, and former ones that live on
        self._socket: socket.socket | None = None
        self._forking = asyncio.Lock()

    async def fork(self, roles: Sequence[str], settings: Mapping[str, str]) -> ForkedWorker:
        """A new worker. Takes milliseconds; the first of a parent waits until it has loaded everything.

        Raises `Unavailable` when the parent is gone; the next call starts another one.
        """
        request = msgspec.msgpack.encode(Request(tuple(roles), dict(settings)))
        async with self._forking:
            mine, theirs = socket.socketpair()
            try:
                if self._socket is None:
                    self._socket = self._start()
                with theirs:
                    socket.send_fds(self._socket, [request], [theirs.fileno()])
                pid, process = await _answer(self._socket)
            except BaseException as error:
                # Also when we are cancelled: an answer that nobody waits for would be taken for that of the
                # next request. A worker that was forked for this one finds its socket closed, and ends.
                mine.close()
                self._let_go()
                if isinstance(error, OSError):
                    raise Unavailable("the parent of the workers is gone") from None
                raise
            return ForkedWorker(pid, process, mine.detach())

    async def close(self) -> None:
        """Lets the parent end, which it does after its workers; one that has not soon is ended first."""
        self._let_go()
        for process in self._processes:
            try:
                await asyncio.to_thread(process.wait, CLOSE_WITHIN)
            except subprocess.TimeoutExpired:  # it is loading still, or a worker takes long
                process.kill()
                await asyncio.to_thread(process.wait)

    def _let_go(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _start(self) -> socket.socket:
        self._processes = [process for process in self._processes if process.poll() is None]
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        mine.setblocking(False)
        try:
            with theirs:
                process = subprocess.Popen(
                    [sys.executable, "-m", "longline.agent.parent", str(theirs.fileno()), *self._arguments],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    env={**MALLOC, **os.environ},
                    start_new_session=True,  # Ctrl-C is for the agent, which ends the others in good order
                )
        except OSError:
            mine.close()
            raise
        self._processes.append(process)
        return mine


async def _answer(parent: socket.socket) -> tuple[int, int]:
    """A worker's number and file descriptor; OSError when the parent is gone."""
    loop = asyncio.get_running_loop()
    heard = asyncio.Event()
    loop.add_reader(parent, heard.set)
    try:
        async with asyncio.timeout(LOADED_WITHIN):
            await heard.wait()
    finally:
        loop.remove_reader(parent)
    data, descriptors, _, _ = socket.recv_fds(parent, LONGEST, 1)
    if not data or not descriptors:
        raise ConnectionResetError
    return msgspec.msgpack.decode(data, type=int), descriptors[0]
