"""Rates: for each app in one partition, by the clock of the store's server.

`qt:<app>:<what>` HASH: l what it has, t when that was so (microseconds). It ends by itself when it would be
full.
"""

from collections.abc import Sequence

from longline.saver.kv.partitions import Partitions, script
from longline.saver.port.rates import Spending
from longline.store.redis import Reply

SPEND = script("spend.lua")


class KvRates:
    """Fulfils `RateStore`."""

    def __init__(self, partitions: Partitions) -> None:
        self._partitions = partitions

    async def spend(self, batch: Sequence[Spending]) -> list[float]:
        """One script in each partition."""
        return await self._partitions.each(
            SPEND,
            batch,
            lambda item: item.app % self._partitions.count,
            lambda item: (item.app, item.what, item.rate, item.amount),
            _level,
            head=self._partitions.repeatable,
        )


def _level(item: Spending, reply: Reply) -> float:
    assert isinstance(reply, bytes)
    return float(reply)
