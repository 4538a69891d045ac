"""A process per core, conducted in step.

The conductor forks the workers, shows one progress line, and knows three words: gather everybody's
report, tell everybody the next order, and close. Workers never wait for each other otherwise.
"""

import gc
import mmap
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import TypeVar

import msgspec

from longline.bench.hot.station import COUNTERS, FAILURE, HEADER_BYTES, Station, frame, unframe
from longline.bench.hot.wire import Poller
from longline.bench.targets import BenchFailed

LIMIT_SHARE = 0.9
"""Of one core: from here on a worker was busy rather than waiting, and measured itself."""

PROGRESS_SECONDS = 0.2
"""Between two looks at the counters."""

T = TypeVar("T")

Show = Callable[[Sequence[int]], str]
"""Makes the progress line out of the workers' counters, added up."""


@dataclass(frozen=True, kw_only=True)
class Crew:
    """How many processes generate load and where, and whom they watch meanwhile."""

    processes: int = 1
    """Load processes."""
    cpus: str = ""
    """Cores to pin them to in turn, such as 1 or 2,3."""
    server_pid: tuple[int, ...] = ()
    """Process of the server, to be weighed; may be given again."""

    def check(self) -> None:
        """Raises ValueError for what makes no sense."""
        positive(processes=self.processes)
        self.cores()

    def cores(self) -> tuple[int, ...]:
        """What `cpus` lists."""
        try:
            return tuple(int(core) for core in self.cpus.split(",") if core)
        except ValueError:
            raise ValueError("--cpus is a list such as 1 or 2,3") from None


def positive(**counts: int) -> None:
    """Raises ValueError unless each is one or more."""
    for flag, value in counts.items():
        if value < 1:
            raise ValueError(f"--{flag.replace('_', '-')} is at least 1")


class Order(msgspec.Struct, frozen=True):
    """When to begin and to end, in monotonic nanoseconds, which all processes of a host share."""

    begin: int
    measure: int
    end: int


class Effort:
    """How much of its core this process used between two moments."""

    def __init__(self) -> None:
        self.wall = time.monotonic()
        self.cpu = time.process_time()

    def share(self) -> float:
        """CPU seconds, user and system, per second since this was made."""
        wall = time.monotonic() - self.wall
        return (time.process_time() - self.cpu) / wall if wall > 0 else 0.0


class Member:
    """The conductor's end of one worker's line."""

    def __init__(self, process: BaseProcess, line: socket.socket) -> None:
        self.process = process
        self.line = line
        self.buffer = b""
        self.reports: list[bytes] = []
        self.gone = False

    def read(self) -> None:
        """Takes what has arrived; raises BenchFailed for a worker that failed or died."""
        data = self.line.recv(1 << 20)
        if not data:
            self.gone = True
            # A worker that has made its last report leaves; one that owes a report has died.
            if not self.reports:
                raise BenchFailed(f"load process {self.process.name} died")
        self.buffer += data
        at = 0
        while end := unframe(self.buffer, at):
            body = self.buffer[at + HEADER_BYTES : end]
            if body[:1] == FAILURE:
                raise BenchFailed(body[1:].decode())
            self.reports.append(body[1:])
            at = end
        self.buffer = self.buffer[at:]


class Fleet:
    """The workers of one run, as a context manager that leaves none behind."""

    def __init__(self, crew: Crew, work: Callable[[Station], None]) -> None:
        self.crew = crew
        self.work = work
        self.shared = mmap.mmap(-1, 8 * COUNTERS * crew.processes)
        self.members: list[Member] = []
        self.selector = selectors.DefaultSelector()
        self.talks = sys.stderr.isatty()

    def __enter__(self) -> "Fleet":
        context = get_context("fork")
        for index in range(self.crew.processes):
            ours, theirs = socket.socketpair()
            others = [member.line for member in self.members] + [ours]
            process = context.Process(
                target=worker_main, args=(self, index, theirs, others), name=f"bench-{index}", daemon=True
            )
            process.start()
            theirs.close()
            member = Member(process, ours)
            self.members.append(member)
            self.selector.register(ours, selectors.EVENT_READ, member)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.talks:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
        for member in self.members:
            member.line.close()
            if kind is not None:
                member.process.terminate()
            member.process.join(timeout=10)
            if member.process.is_alive():
                member.process.kill()
                member.process.join()
        self.selector.close()

    def counters(self, index: int) -> memoryview:
        """The shared numbers of one worker."""
        return memoryview(self.shared).cast("q")[index * COUNTERS : (index + 1) * COUNTERS]

    def gather(self, show: Show) -> list[bytes]:
        """One report of every worker, in their order; the progress line follows until they have come."""
        while not all(member.reports for member in self.members):
            for key, _ in self.selector.select(PROGRESS_SECONDS):
                key.data.read()
                if key.data.gone:
                    self.selector.unregister(key.fileobj)
            self.progress(show)
        return [member.reports.pop(0) for member in self.members]

    def reports(self, kind: type[T], show: Show) -> list[T]:
        """The same, each read as a `kind`."""
        return [msgspec.json.decode(report, type=kind) for report in self.gather(show)]

    def begin(self, warm_up: float, seconds: float) -> None:
        """Orders a load that is measured for `seconds`, after a while, and returns when that begins."""
        begin = time.monotonic_ns() + 50_000_000
        measure = begin + int(warm_up * 1e9)
        self.tell(msgspec.json.encode(Order(begin, measure, measure + int(seconds * 1e9))))
        time.sleep((measure - time.monotonic_ns()) / 1e9)

    def tell(self, body: bytes = b"") -> None:
        """Gives every worker the same order."""
        for member in self.members:
            member.line.sendall(frame(body))

    def progress(self, show: Show) -> None:
        """Redraws the progress line, on a terminal only."""
        if self.talks:
            numbers = memoryview(self.shared).cast("q")
            totals = [sum(numbers[at::COUNTERS]) for at in range(COUNTERS)]
            sys.stderr.write(f"\r\x1b[K{show(totals)}")
            sys.stderr.flush()


def worker_main(fleet: Fleet, index: int, line: socket.socket, others: list[socket.socket]) -> None:
    """What a worker process runs: it takes its core and its line, works, and reports a failure as one."""
    # Ctrl-C reaches the whole group; the conductor ends the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for other in others:
        other.close()
    if cores := fleet.crew.cores():
        os.sched_setaffinity(0, {cores[index % len(cores)]})
    # The hot loops make no cycles; a collection would only be a pause in the middle of a measurement.
    gc.disable()
    poller = Poller()
    station = Station(poller, index, fleet.crew.processes, fleet.counters(index))
    line.setblocking(False)
    station.adopt(line, False)
    try:
        fleet.work(station)
    except (BenchFailed, OSError) as error:
        station.give_up(str(error))
    except Exception:
        station.give_up(traceback.format_exc())
    finally:
        poller.close()


def limit_reached(shares: Sequence[float]) -> bool:
    """Whether any worker was so busy that the figures are its own rather than the server's."""
    return any(share >= LIMIT_SHARE for share in shares)
