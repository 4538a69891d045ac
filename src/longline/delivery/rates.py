"""How many messages an app may have taken in a second, over all processes.

Each process counts by itself and never waits for anybody: an app has a second's worth, and gets its rate. Ten
times a second the process tells the store what was taken, and hears what the app has left by what all of them
took. So the longer it lasts the more exact it is: whatever was taken too much, because two processes did not
know of each other, is owed, and nothing is taken until that is paid. Beyond a second's worth, an app can have
taken in what the other processes took within a tenth of a second; in one process, nothing.

A request goes whole or not at all. One that is more than a second's worth goes when nothing is owed and
nothing was taken lately, and the app owes the rest.

Where the store does not answer, each process goes by what it knows; nothing can be stored then.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import structlog

from longline.delivery.limits import LimitsOfApps
from longline.errors import LonglineError, MessageRateExceeded
from longline.flow.bucket import OwingBucket
from longline.flow.lru import LruCache
from longline.model.apps import App
from longline.saver.port.rates import RateStore, Spending

MESSAGES: Final = "messages"
EVERY: Final = 0.1  # s: how often the store is told
SLACK: Final = 1e-6  # messages: what sums of parts are off
IDLE: Final = 20  # rounds with nothing to tell, after which nobody does
REMEMBERED: Final = 10_000  # apps

log = structlog.get_logger("longline.delivery")


class _Bucket(OwingBucket):
    """What an app has, as far as it is known here, of `rate` a second. `spent`: of this, untold."""

    __slots__ = ("rate", "spent")

    def __init__(self, rate: int, now: float) -> None:
        super().__init__(rate, now)
        self.rate = rate
        self.spent = 0


class Quota(NamedTuple):
    """How an app stands: it may have `rate` messages a second; `left` at once; all of them in `full` s."""

    rate: int
    left: int
    full: float


class MessageRates:
    """One for a process's pipeline; `close` ends what it does by itself. `refused` counts requests."""

    def __init__(
        self,
        store: RateStore,
        limits: LimitsOfApps,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.refused = 0
        self._store = store
        self._limits = limits
        self._monotonic = monotonic
        self._sleep = sleep
        self._buckets: LruCache[int, _Bucket] = LruCache(REMEMBERED)
        self._task: asyncio.Task[None] | None = None

    def bounds(self, app: App) -> bool:
        """Whether an app has a limit now."""
        return self._limits.messages_per_second(app) > 0

    def take(self, app: App, messages: int) -> None:
        """So many messages of an app are to be taken in. Raises `MessageRateExceeded`."""
        rate = self._limits.messages_per_second(app)
        if not rate or not messages:
            return
        bucket = self._bucket(app, rate)
        wanted = min(messages, rate)
        if bucket.level + SLACK < wanted:
            self.refused += 1
            raise MessageRateExceeded(
                f"the app may send {rate} messages a second",
                rate=rate,
                left=_whole(bucket.level),
                full=(rate - bucket.level) / rate,
                retry_after=(wanted - bucket.level) / rate,
            )
        bucket.level -= messages
        bucket.spent += messages
        self._begin()

    def give_back(self, app: App, messages: int) -> None:
        """Messages that were taken in were there already."""
        bucket = self._buckets.get(app.number)
        if bucket is not None:
            bucket.level += messages
            bucket.spent -= messages

    def quota(self, app: App) -> Quota | None:
        """How an app stands now; None where it has no limit."""
        rate = self._limits.messages_per_second(app)
        if not rate:
            return None
        bucket = self._bucket(app, rate)
        return Quota(rate, _whole(bucket.level), (rate - bucket.level) / rate)

    async def close(self) -> None:
        """Tells nobody any more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _bucket(self, app: App, rate: int) -> _Bucket:
        now = self._monotonic()
        bucket = self._buckets.get(app.number)
        if bucket is None:
            bucket = _Bucket(rate, now)
            self._buckets.put(app.number, bucket)
        bucket.rate = rate
        bucket.refill(rate, now)
        return bucket

    # --- telling the store ---

    def _begin(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._tell_all(), name="delivery.rates")

    async def _tell_all(self) -> None:
        idle = 0
        while idle < IDLE:
            # Also what has nothing to tell, while it is not full: others may have taken of it.
            some = {
                number: bucket
                for number, bucket in self._buckets.items()
                if bucket.spent or bucket.refill(bucket.rate, self._monotonic()) < bucket.rate
            }
            idle = 0 if some else idle + 1
            try:
                await self._tell(some)
            except LonglineError as error:
                log.debug("rates_not_told", code=error.code)
            await self._sleep(EVERY)

    async def _tell(self, some: dict[int, _Bucket]) -> None:
        if not some:
            return
        batch = [Spending(number, MESSAGES, bucket.rate, bucket.spent) for number, bucket in some.items()]
        levels = await self._store.spend(batch)
        now = self._monotonic()
        for bucket, item, level in zip(some.values(), batch, levels, strict=True):
            bucket.spent -= item.amount
            bucket.level = level - bucket.spent
            bucket.seen = now


def _whole(level: float) -> int:
    return max(0, int(level + SLACK))
