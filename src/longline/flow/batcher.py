"""Gather, wake, work, try again: the loop of every task that passes things on in batches."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from enum import Enum
from typing import Generic, NamedTuple, TypeVar

from longline.errors import LonglineError
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
    tried again, in order; none when all are done. Raising a `LonglineError` says that all of them are. They
    go in front of what has come meanwhile, after a pause as `retry` says. Anything else that `work`
    raises is the fault of one item: each is tried alone, and the one that fails is given up and noted.

    At most `limit` items wait, those under way included; `lost` counts the ones that found no room, or lost
    theirs. `delay` is how many seconds a first item waits for company.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[Sequence[T]], Awaitable[Sequence[T] | None]],
        *,
        faults: Faults,
        limit: int,
        batch: int,
        retry: Retry,
        on_full: OnFull = OnFull.REFUSE,
        delay: float = 0.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.name = name
        self.delay = delay
        self.lost = 0
        self._work = work
        self._faults = faults
        self._limit = limit
        self._batch = batch
        self._retry = retry
        self._on_full = on_full
        self._sleep = sleep
        self._waiting: deque[T] = deque()
        self._under_way = 0
        self._hurried = False
        self._wake = asyncio.Event()
        self._idle: asyncio.Event = asyncio.Event()
        self._idle.set()
        self._added = 0  # items so far
        self._ended = 0  # of those, how many have ended, all before them too
        self._holes = 0  # items that ended before one that was added earlier
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
        if len(self) >= self._limit:
            self.lost += 1
            if self._on_full is OnFull.REFUSE or not self._waiting:
                return False
            self._waiting.popleft()
            self._holes += 1
        self._waiting.append(item)
        self._added += 1
        if len(self._waiting) == 1:
            self._wake.set()
            self._idle.clear()
        return True

    async def settled(self) -> None:
        """Returns when every item taken in so far is done, given up or dropped; nobody waits for company."""
        if self._ended < self._added:
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._settling.append((self._added, done))
            self._hurried = True
            self._wake.set()
            await done

    async def idle(self) -> None:
        """Returns when nothing waits or is under way."""
        await self._idle.wait()

    async def run(self) -> None:
        """Works for as long as its owner lets it."""
        pause = self._retry.first
        while True:
            await self._wake.wait()
            if self.delay and not self._hurried and len(self._waiting) < self._batch:
                await self._sleep(self.delay)
            batch = [self._waiting.popleft() for _ in range(min(self._batch, len(self._waiting)))]
            self._under_way = len(batch)
            again = await self._tried(batch) if batch else []
            self._under_way = 0
            self._holes += len(batch) - len(again)
            self._put_back(again)
            if not again:
                self._ended, self._holes = self._ended + self._holes, 0
                self._tell()
            if not self._waiting:
                self._wake.clear()
                self._idle.set()
                self._hurried = False
            if again:
                await self._sleep(pause)
                pause = min(self._retry.most, pause * 2)
            else:
                pause = self._retry.first

    async def _tried(self, batch: Sequence[T]) -> Sequence[T]:
        try:
            return await self._work(batch) or ()
        except LonglineError:
            return batch
        except Exception as error:
            if len(batch) == 1:
                self._faults.note(self.name, error)
                return ()
        again: list[T] = []
        for item in batch:
            again += await self._tried([item])
        return again

    def _put_back(self, again: Sequence[T]) -> None:
        """In front of what came meanwhile, within the bound: the oldest, or the newest, are left out."""
        room = self._limit - len(self._waiting)
        if len(again) > room:
            self.lost += len(again) - room
            self._holes += len(again) - room
            again = again[:room] if self._on_full is OnFull.REFUSE else again[len(again) - room :]
        self._waiting.extendleft(reversed(again))

    def _tell(self) -> None:
        """Ends the waits of those whose items have all ended; order holds, so the first are first."""
        while self._settling and self._settling[0][0] <= self._ended:
            _, done = self._settling.popleft()
            if not done.done():
                done.set_result(None)
