"""Processes that get a part of a processor only, and which ones those are that serve a port."""

import asyncio
import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

PERIOD = 0.1  # s
LOOK_EVERY = 0.005  # s
LISTENS = "0A"  # the state of a socket, as /proc/net/tcp has it


class Limited:
    """Processes that run for a part of each `period` (s), at the same time, and are stopped otherwise."""

    def __init__(self, pids: Sequence[int], period: float = PERIOD) -> None:
        self._pids = pids
        self._period = period
        self.had = 0.0  # seconds of a processor in their turns so far, together

    async def take_turns(self, cores: float) -> None:
        """For ever. Each process has its share of `cores`; a turn ends when they have used up theirs."""
        share = cores / len(self._pids)
        began = time.monotonic()
        used = [cpu_seconds(pid) for pid in self._pids]
        while True:
            turns = int((time.monotonic() - began) / self._period) + 1
            allowed = share * self._period * turns
            had = [cpu_seconds(pid) - at_first for pid, at_first in zip(self._pids, used, strict=True)]
            for pid, so_far in zip(self._pids, had, strict=True):
                self._signal(pid, signal.SIGCONT if so_far < allowed else signal.SIGSTOP)
            self.had = sum(had)
            await asyncio.sleep(LOOK_EVERY)

    def stop(self) -> None:
        for pid in self._pids:
            self._signal(pid, signal.SIGSTOP)

    def go_on(self) -> None:
        for pid in self._pids:
            self._signal(pid, signal.SIGCONT)

    def _signal(self, pid: int, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def workers_of(pid: int, port: int) -> list[int]:
    """The processes below an agent that have the port in common."""
    found: list[int] = []
    waiting = [pid]
    while waiting:
        for task in Path(f"/proc/{waiting.pop()}/task").iterdir():
            children = [int(child) for child in (task / "children").read_text().split()]
            waiting += children
            found += [child for child in children if listens_on(child, port)]
    return found


def listens_on(pid: int, port: int) -> bool:
    """Whether a process has a socket that listens on this port."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {row[9] for row in rows if row[3] == LISTENS and int(row[1].partition(":")[2], 16) == port}
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            kind, _, inode = os.readlink(file).partition(":")
            if kind == "socket" and inode.strip("[]") in inodes:
                return True
    return False


def cpu_seconds(pid: int) -> float:
    """What the threads of a process have had of a processor so far."""
    used = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):  # it has ended
            used += int((task / "schedstat").read_text().split()[0])
    return used / 1e9
