"""Clients that give up meet a node that has hardly any processor: they are all let in all the same.

What counts is the law of the queue: served in the order in which they came, each connection that such a node
gets to has been given up already, and nobody is ever let in.

    LONGLINE_STORM_CLIENTS=2000 LONGLINE_STORM_PATIENCE=3 LONGLINE_STORM_CORES=0.04 LONGLINE_STORM_WORKERS=0

`CORES` is the share of a processor that the node's processes have together; `WORKERS` above 0 has as many
rooms share the port. How long it took is printed at the end.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from tests.adversity.impatient import Plan, Seen
from tests.integration.server_process import ServerProcess

pytestmark = [pytest.mark.adversity, pytest.mark.timeout(1800)]

CLIENTS = int(os.environ.get("LONGLINE_STORM_CLIENTS", "2000"))
PATIENCE = float(os.environ.get("LONGLINE_STORM_PATIENCE", "3"))
CORES = float(os.environ.get("LONGLINE_STORM_CORES", "0.04"))
WORKERS = int(os.environ.get("LONGLINE_STORM_WORKERS", "0"))
STARVED = 15.0  # s in which the node gets no processor at all
WITHIN = 120.0  # s, of an hour for which a queue in order of arrival would let nobody in
PERIOD = 0.1  # s
LISTENS = "0A"  # the state of a socket, as /proc/net/tcp has it


async def test_a_reconnect_storm_ends(tmp_path: Path, tell: Callable[[str], None]) -> None:
    arguments = ["--workers", str(WORKERS)] if WORKERS else []
    async with ServerProcess(tmp_path / "data", arguments) as server:
        async with server.center() as center:
            made = await center.create_app("storm")
        plan = Plan("127.0.0.1", server.mqtt_port, "storm", made.device_secret, CLIENTS, PATIENCE)
        limited = Limited(workers_of(server.pid, server.mqtt_port) if WORKERS else [server.pid])
        limited.stop()
        try:
            clients = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.adversity.impatient"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            assert clients.stdin is not None
            assert clients.stdout is not None
            clients.stdin.write(msgspec.json.encode(plan) + b"\n")
            starved = asyncio.get_running_loop().time() + STARVED
            turns: asyncio.Task[None] | None = None
            began = 0.0
            seen: Seen | None = None
            try:
                async with asyncio.timeout(STARVED + WITHIN):
                    async for line in clients.stdout:
                        seen = msgspec.json.decode(line, type=Seen)
                        now = asyncio.get_running_loop().time()
                        if turns is None and now >= starved:
                            began = now
                            turns = asyncio.create_task(limited.take_turns(CORES))
                        if seen.connected == CLIENTS:
                            tell(f"all {CLIENTS} connected after {now - began:.1f} s; {seen}")
                            break
                    else:
                        pytest.fail("the clients have ended")
            except TimeoutError:
                pytest.fail(f"after {WITHIN:g} s: {seen}")
            finally:
                if turns is not None:
                    turns.cancel()
                    with suppress(asyncio.CancelledError):
                        await turns
                clients.stdin.close()
                await clients.wait()
        finally:
            limited.go_on()


class Limited:
    """Processes that run for a part of each period only, all at the same time, and are stopped otherwise."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = pids

    async def take_turns(self, cores: float) -> None:
        """For ever. Each process has its share of `cores`; a turn ends when they have used up theirs."""
        share = cores / len(self._pids)
        began = time.monotonic()
        used = [cpu_seconds(pid) for pid in self._pids]
        while True:
            allowed = share * (time.monotonic() - began) + share * PERIOD
            for pid, at_first in zip(self._pids, used, strict=True):
                self._signal(pid, signal.SIGCONT if cpu_seconds(pid) - at_first < allowed else signal.SIGSTOP)
            await asyncio.sleep(PERIOD / 20)

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
    """What a process has had of a processor so far."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
