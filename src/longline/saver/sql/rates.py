"""Rates: in memory. Whoever counts is in this process."""

import time
from collections.abc import Callable, Sequence
from typing import Final

from longline.flow.bucket import OwingBucket
from longline.flow.lru import LruCache
from longline.saver.port.rates import Spending

REMEMBERED: Final = 100_000  # buckets


class LocalRates:
    """Fulfils `RateStore` for one process."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._buckets: LruCache[tuple[int, str], OwingBucket] = LruCache(REMEMBERED)

    async def spend(self, batch: Sequence[Spending]) -> list[float]:
        """A bucket for each app."""
        return [self._spend(item) for item in batch]

    def _spend(self, item: Spending) -> float:
        now = self._monotonic()
        bucket = self._buckets.get((item.app, item.what))
        if bucket is None:
            bucket = OwingBucket(item.rate, now)
            self._buckets.put((item.app, item.what), bucket)
        bucket.refill(item.rate, now)
        bucket.level -= item.amount
        return bucket.level
