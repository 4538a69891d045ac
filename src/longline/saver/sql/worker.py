"""A thread that serves what has gathered since it last looked, as one group.

Group commit falls out of this: while one group is being synced the next one gathers, so the busier the
node, the more requests share a sync. A group calls into the loop once, which then resolves so many futures
in each turn.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, TypeVar

import structlog

from longline.errors import LonglineError, Overloaded, Unavailable
from longline.telemetry.counters import ANSWERS, Histogram

Clock = Callable[[], float]

IDLE = 0.5  # s without a call, from where on a worker is idle
SLICE = 50  # calls that are answered in one turn of the loop: whoever made them all go on in the next

log = structlog.get_logger("longline.saver")

A = TypeVar("A")
R = TypeVar("R")

# Serves the arguments of several calls at once; one result a call, in order. A `LonglineError` among the
# results is that call's own failure, and a `Later` is none yet. The queue mixes operations, so only
# `Worker.call` knows the types.
Operation = Callable[[list[Any]], Sequence[Any]]


class DatabaseTimes:
    """How long the database takes: seconds from a call to its answer, of one call of all that are served
    together, so that it costs nothing however many they are. What is written is on the disk by then.
    """

    __slots__ = ("read_seconds", "write_seconds")

    def __init__(self, read_seconds: Histogram, write_seconds: Histogram) -> None:
        self.read_seconds = read_seconds
        self.write_seconds = write_seconds


class Later(NamedTuple):
    """A call was served in part: with this argument it goes on in the next group, before all others."""

    argument: object


class Job:
    """One call on its way through the thread."""

    __slots__ = ("argument", "asked_at", "future", "operation", "result", "size", "weight")

    def __init__(
        self,
        operation: Operation,
        argument: object,
        weight: int,
        size: int,
        future: asyncio.Future[Any],
        asked_at: float = 0.0,
    ) -> None:
        self.asked_at = asked_at
        self.operation = operation
        self.argument = argument
        self.weight = weight
        self.size = size
        self.future = future
        self.result: object = None

    def goes_on(self) -> bool:
        """Whether it was served in part; then it is as if it had not been served, but for its argument."""
        if isinstance(self.result, Later):
            self.argument, self.result = self.result.argument, None
            return True
        return False


class Worker:
    """Owns one thread and its bounded queue.

    `limit` bounds the sum of the weights (in items) of calls that wait or are being served, `byte_limit` that
    of their sizes; a call over it raises `Overloaded`, except when nothing waits, so that a single large
    call can pass. A group is closed when it weighs `group_limit`. `process` is called in the thread and sets
    each job's `result`; those that have none when it raises are `Unavailable`. `rest` is called after each
    group, `idle` once when none follows for a while. `seconds` has how long it takes from a call to its
    answer, of the one of each group that has waited longest.
    """

    def __init__(
        self,
        name: str,
        limit: int,
        byte_limit: int,
        group_limit: int,
        process: Callable[[list[Job]], None],
        rest: Callable[[], None] | None = None,
        idle: Callable[[], None] | None = None,
        *,
        clock: Clock = time.monotonic,
    ) -> None:
        self._name = name
        self._limit = limit
        self._byte_limit = byte_limit
        self._group_limit = group_limit
        self._process = process
        self._rest = rest
        self._idle = idle
        self._worked = False  # since it was idle
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._closed = False
        self._answers: deque[Job] = deque()  # served, and not told yet
        self.waiting = 0  # changed only by the loop's thread, as the next is, so they need no lock
        self.waiting_bytes = 0
        self._clock = clock
        self.groups = 0
        self.served = 0
        self.seconds = Histogram(ANSWERS)
        # A daemon, so that a program that dies without `close` is not held back by an idle thread.
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def call(
        self,
        operation: Callable[[list[A]], Sequence[R | LonglineError | Later]],
        argument: A,
        weight: int = 1,
        size: int = 0,
    ) -> "asyncio.Future[R]":
        """Queues one call. Raises `Unavailable` when closed and `Overloaded` when the queue is full."""
        if self._closed:
            raise Unavailable("the store is closed")
        if self.waiting and (
            self.waiting + weight > self._limit or self.waiting_bytes + size > self._byte_limit
        ):
            raise Overloaded("the store's queue is full", retry_after=1.0)
        self.waiting += weight
        self.waiting_bytes += size
        future: asyncio.Future[R] = self._loop.create_future()
        self._queue.put(Job(operation, argument, weight, size, future, self._clock()))
        return future

    async def close(self) -> None:
        """Serves what was queued, then ends the thread."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _serve(self) -> None:
        queue = self._queue
        ended = False
        jobs: list[Job] = []
        while jobs or not ended:
            weight = sum([job.weight for job in jobs])
            while not ended and weight < self._group_limit and not (jobs and queue.empty()):
                job = self._next()
                if job is None:
                    ended = True
                else:
                    jobs.append(job)
                    weight += job.weight
            jobs = self._work(jobs)

    def _next(self) -> Job | None:
        """The next call; None for the end."""
        if self._idle is not None and self._worked:
            try:
                return self._queue.get(timeout=IDLE)
            except Empty:
                self._worked = False
                self._upkeep(self._idle)
        return self._queue.get()

    def _work(self, jobs: list[Job]) -> list[Job]:
        """Serves jobs; those that go on later. Whatever is raised here, the thread lives: without it every
        call would wait for ever."""
        if not jobs:
            return jobs
        try:
            self._process(jobs)
        except Exception as error:
            log.error("store_group_failed", requests=len(jobs), exc_info=error)
            failure = Unavailable("the store could not do this")
            failure.__cause__ = error
            for job in jobs:
                if job.result is None:
                    job.result = failure
        later: list[Job] = []
        done: list[Job] = []
        for job in jobs:
            (later if job.goes_on() else done).append(job)
        self._loop.call_soon_threadsafe(self._resolve, done)
        self._worked = True
        if self._rest is not None:
            self._upkeep(self._rest)
        return later

    def _upkeep(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            log.error("store_upkeep_failed", exc_info=error)

    def _resolve(self, jobs: list[Job]) -> None:
        """A group was served."""
        self.groups += 1
        self.served += len(jobs)
        if jobs:
            self.seconds.observe(self._clock() - jobs[0].asked_at)
        answering = bool(self._answers)
        self._answers += jobs
        if not answering:
            self._answer()

    def _answer(self) -> None:
        answers = self._answers
        for _ in range(min(len(answers), SLICE)):
            job = answers.popleft()
            self.waiting -= job.weight
            self.waiting_bytes -= job.size
            if job.future.done():  # its caller was cancelled; what was asked for is done all the same
                continue
            if isinstance(job.result, Exception):
                job.future.set_exception(job.result)
            else:
                job.future.set_result(job.result)
        if answers:
            self._loop.call_soon(self._answer)


def by_operation(jobs: list[Job]) -> dict[Operation, list[Job]]:
    """Jobs of each operation, operations in the order of their first job.

    Calls that wait at the same time are concurrent, so which operation goes first is free; calls of the
    same operation keep their order.
    """
    grouped: dict[Operation, list[Job]] = {}
    for job in jobs:
        grouped.setdefault(job.operation, []).append(job)
    return grouped


def perform(jobs: list[Job]) -> None:
    """Serves jobs operation by operation; whatever an operation raises comes out."""
    for operation, group in by_operation(jobs).items():
        results = operation([job.argument for job in group])
        for job, result in zip(group, results, strict=True):
            job.result = result
