"""The warm parent itself: loads everything, then forks a worker for each request, and outlives none of them.

It is a program of its own, without threads and without an event loop, because a fork copies neither.
"""

import gc
import importlib
import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

import msgspec

from longline.agent.warm import ENDED, LONGEST, Request

Work = Callable[[str | None, Sequence[str], dict[str, str], int], int]


def main(arguments: Sequence[str]) -> int:
    """`SOCKET MODULE:FUNCTION CONFIG MODULE…`: serves until the socket is closed and no worker is left."""
    number, target, config, *preload = arguments
    module, _, function = target.partition(":")
    work: Work = getattr(importlib.import_module(module), function)
    for name in preload:
        with suppress(ImportError):  # then workers do without it too
            importlib.import_module(name)
    # What is loaded stays for good: the collector must not touch, and so copy, pages that workers share.
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=int(number)) as agent:
        serve(agent, work, config or None)
    return 0


def serve(agent: socket.socket, work: Work, config: str | None) -> None:
    """Forks a worker for each request that comes from the agent."""
    heard, told = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(told)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # the byte in the pipe is what counts
    workers: dict[int, int] = {}  # by number, the ends of their sockets
    listening = True
    while listening or workers:
        awaited = [heard, agent.fileno()] if listening else [heard]
        ready, _, _ = select.select(awaited, [], [])
        with suppress(BlockingIOError):
            os.read(heard, 4096)
        reap(workers)
        if not listening or agent.fileno() not in ready:
            continue
        data, descriptors = b"", list[int]()
        with suppress(ConnectionResetError):  # it has closed its socket and left an answer of ours unread
            data, descriptors, _, _ = socket.recv_fds(agent, LONGEST, 1)
        if not data:
            listening = False
            continue
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            agent.close()
            os.close(heard)
            os.close(told)
            for pipe in workers.values():
                os.close(pipe)
            os._exit(run(work, config, msgspec.msgpack.decode(data, type=Request), descriptors[0]))
        workers[pid] = descriptors[0]
        # Not reaped yet, so the number is still this worker's.
        process = os.pidfd_open(pid)
        with suppress(OSError):  # the agent is gone: the next look finds its socket closed
            socket.send_fds(agent, [msgspec.msgpack.encode(pid)], [process])
        os.close(process)


def reap(workers: dict[int, int]) -> None:
    """Takes note of workers that have ended, and tells the agent how."""
    while workers:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        pipe = workers.pop(pid)
        with suppress(OSError):  # the agent is gone
            os.write(pipe, b"%b%d\n" % (ENDED, os.waitstatus_to_exitcode(status)))
        os.close(pipe)


def run(work: Work, config: str | None, request: Request, pipe: int) -> int:
    """In a worker: does the work; its exit status, 1 when it failed."""
    try:
        return work(config, request.roles, request.settings, pipe)
    except BaseException:  # whatever it is, nothing of the parent may go on in the worker
        sys.excepthook(*sys.exc_info())
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
