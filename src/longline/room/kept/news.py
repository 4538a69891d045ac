"""Tells the rooms of sessions into whose queues something was put.

That names the devices and carries nothing else, so what waits for one room to be told is gathered by device,
and what was lost or doubled does no harm. Who is not told in time is told again, for as long as its room is
there; a room that has lost commands reads all queues anew.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from longline.bus.port import Bus
from longline.errors import LonglineError
from longline.flow.batcher import Batcher, Retry
from longline.model.commands import Filled
from longline.saver.port.queues import Queued
from longline.telemetry.faults import Faults

BATCH: Final = 5000  # devices told of at a time
LIMIT: Final = 1 << 30  # bounded by the number of devices that are connected: each is there once
PATIENCE: Final = 2.0  # s that one node may keep the others waiting
RETRY: Final = Retry(0.1, 1.0)

Notice = tuple[str, int, str]  # node, app, device


class News:
    """Owned by the room, which runs `run` as a task. `here` is told of those of this room at once."""

    def __init__(self, node: str, bus: Bus, here: Callable[[int, str], None], faults: Faults) -> None:
        self.node = node
        self._bus = bus
        self._here = here
        self._waiting: set[Notice] = set()
        self._notices: Batcher[Notice] = Batcher(
            "room.news", self._tell_all, faults=faults, limit=LIMIT, batch=BATCH, retry=RETRY
        )

    def add(self, app: int, queued: Sequence[Queued]) -> None:
        """Something is in the queues of these."""
        for item in queued:
            binding = item.binding
            if binding is None:
                continue
            if binding.node == self.node:
                self._here(app, item.device)
            else:
                notice = (binding.node, app, item.device)
                if notice not in self._waiting:
                    self._waiting.add(notice)
                    self._notices.add(notice)

    def waiting(self) -> int:
        """How many devices other rooms are not told of yet."""
        return len(self._notices)

    async def run(self) -> None:
        """Works for as long as the room lives."""
        await self._notices.run()

    async def _tell_all(self, batch: Sequence[Notice]) -> Sequence[Notice]:
        """Returns those that could not be told."""
        nodes: dict[str, dict[int, list[str]]] = {}
        for node, app, device in batch:
            nodes.setdefault(node, {}).setdefault(app, []).append(device)
        # What comes from now on is news.
        self._waiting.difference_update(batch)
        told = await asyncio.gather(*(self._tell(node, apps) for node, apps in nodes.items()))
        failed = {node for node, done in zip(nodes, told, strict=True) if not done}
        again = [notice for notice in batch if notice[0] in failed and notice not in self._waiting]
        self._waiting.update(again)
        return again

    async def _tell(self, node: str, apps: dict[int, list[str]]) -> bool:
        try:
            async with asyncio.timeout(PATIENCE):
                await self._bus.send(node, [Filled(app, tuple(devices)) for app, devices in apps.items()])
        except (LonglineError, TimeoutError):
            return False
        return True
