"""Gather, wake, work, try again: the loop of every task that passes things on in batches."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from enum import Enum
from typing import Generic, NamedTuple, TypeVar

from longline.errors import LonglineError
from longline.flow.line import Portion
from longline.telemetry.faults import Faults

T = TypeVar("T")


class OnFull(Enum):
    """What happens to one item too many."""

    REFUSE = "refuse"  # `add` says False
    DROP_OLDEST = "drop the oldest"


class Retry(NamedTuple):
    """Seconds until a batch that failed is tried again: `first`, doubled each time up to `most`."""

    first: float
    most: float


class Batcher(Generic[T]):
    """Items gathered by whoever has some, worked on in batches by one task, in order.

    `work` takes up to `batch` items, waits for what has to be waited for, and returns those that are to be
    tried again, in order; none when all are done. Raising a `LonglineError` that is `retryable` says that all
    of them are. They go in front of what has come meanwhile, after a pause as `retry` says, which grows while
    nothing gets done. Anything else that `work` raises is the fault of one item: each is tried
    alone, and the one that fails is given up and noted. So `work` must bear an item that it has done before.

    Where `batch` is a `Portion`, what `work` takes decides how many are worked on together: whoever is asked
    for too much at once by too many may not answer any of them in time, and does it all again.

    At most `limit` items wait, those under way included; `lost` counts the ones that found no room, or lost
    theirs. `delay` is how many seconds a first item waits for company; a full batch waits for none.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[Sequence[T]], Awaitable[Sequence[T] | None]],
        *,
        faults: Faults,
        limit: int,
        batch: int | Portion,
        retry: Retry,
        on_full: OnFull = OnFull.REFUSE,
        delay: float = 0.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.delay = delay
        self.lost = 0
        self._work = work
        self._faults = faults
        self._limit = limit
        self._portion = Portion(batch, batch, float("inf")) if isinstance(batch, int) else batch
        self._monotonic = monotonic
        self._retry = retry
        self._on_full = on_full
        self._sleep = sleep
        self._waiting: deque[T] = deque()
        self._again = 0  # of those, how many were tried before: the first ones
        self._under_way = 0
        self._wake = asyncio.Event()
        self._enough = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._added = 0  # items so far
        self._settling: deque[tuple[int, asyncio.Future[None]]] = deque()

    def __len__(self) -> int:
        """How many are waiting or under way."""
        return len(self._waiting) + self._under_way

    @property
    def waiting(self) -> int:
        """How many are waiting, without those under way."""
        return len(self._waiting)

    def add(self, item: T) -> bool:
        """Takes an item in. False when there is no room for it."""
        waiting = len(self._waiting)
        if waiting + self._under_way >= self._limit:
            self.lost += 1
            if self._on_full is OnFull.REFUSE or not waiting:
                return False
            self._take(1)
            waiting -= 1
        self._waiting.append(item)
        self._added += 1
        if waiting == 0:
            self._wake.set()
            self._idle.clear()
        if waiting + 1 == self._portion.size:
            self._enough.set()
        return True

    async def settled(self) -> None:
        """Returns when every item taken in so far is done, given up or dropped; nobody waits for company."""
        if len(self):
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._settling.append((self._added, done))
            self._enough.set()
            await done

    async def idle(self) -> None:
        """Returns when nothing waits or is under way."""
        await self._idle.wait()

    async def run(self) -> None:
        """Works for as long as its owner lets it. What is under way when it is cancelled waits again."""
        pause = self._retry.first
        while True:
            await self._wake.wait()
            if self.delay:
                await self._gather()
            batch = self._take(self._portion.size)
            self._under_way = len(batch)
            again: Sequence[T] = batch
            begun = self._monotonic()
            try:
                again = await self._tried(batch)
            finally:
                self._under_way = 0
                self._put_back(again)
            if again:
                self._portion.failed()
            elif len(batch) >= self._portion.size:  # fewer do not show how long so many take
                self._portion.took(self._monotonic() - begun)
            self._tell()
            if not self._waiting:
                self._wake.clear()
                self._idle.set()
            if len(again) < len(batch):
                pause = self._retry.first
            if again:
                await self._sleep(pause)
                pause = min(self._retry.most, pause * 2)

    async def _gather(self) -> None:
        """Gives others `delay` seconds to come, unless there are enough, or somebody waits for these."""
        if self._settling or len(self._waiting) >= self._portion.size:
            return
        self._enough.clear()
        timer = asyncio.get_running_loop().call_later(self.delay, self._enough.set)
        try:
            await self._enough.wait()
        finally:
            timer.cancel()

    async def _tried(self, batch: Sequence[T]) -> Sequence[T]:
        """Those to be tried again."""
        try:
            return await self._work(batch) or ()
        except Exception as error:
            if isinstance(error, LonglineError) and error.retryable:
                return batch
            if len(batch) == 1:
                self._faults.note(self.name, error)
                return ()
        again: list[T] = []
        for item in batch:
            again += await self._tried([item])
        return again

    def _take(self, most: int) -> list[T]:
        """The oldest, `most` of them if there are so many."""
        waiting = self._waiting
        if len(waiting) <= most:
            taken = list(waiting)
            waiting.clear()
        else:
            taken = [waiting.popleft() for _ in range(most)]
        self._again = max(0, self._again - len(taken))
        return taken

    def _put_back(self, again: Sequence[T]) -> None:
        """In front of what came meanwhile, for which they had kept the room."""
        self._waiting.extendleft(reversed(again))
        self._again += len(again)

    def _tell(self) -> None:
        """Ends the waits of those whose items have all ended.

        While none waits that was tried before, those that wait are the youngest: all older ones have ended.
        """
        if self._again:
            return
        ended = self._added - len(self._waiting)
        while self._settling and self._settling[0][0] <= ended:
            _, done = self._settling.popleft()
            if not done.done():
                done.set_result(None)
