"""Brings together what was counted in the parts of the store, and forgets what is old."""

from typing import Final

from longline.model.times import wall_clock
from longline.saver.port.statistics import StatisticsStore

APPS: Final = 100  # in one step


class StatisticsDuty:
    """`round` does a step. Those who read know of what was not brought together yet."""

    def __init__(self, store: StatisticsStore) -> None:
        self._store = store

    async def round(self) -> bool:
        """True when there may be more."""
        return await self._store.gather(wall_clock(), APPS)
