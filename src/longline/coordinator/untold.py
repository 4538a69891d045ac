"""Tells rooms of sessions that have something in their queues of which nobody has told them.

A room puts a message into the queues of sessions and then tells their rooms. When it dies in between, the
store still knows which connected sessions were sent nothing since.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from longline.bus.port import Bus
from longline.errors import LonglineError
from longline.model.commands import Filled
from longline.model.times import wall_clock
from longline.saver.port.queues import QueueStore

BATCH: Final = 500  # sessions
PATIENCE: Final = 2.0  # s that a room may keep the others waiting

log = structlog.get_logger("longline.coordinator")


class UntoldDuty:
    """`round` takes up what is older than `after` seconds, a batch at most. `told` counts sessions."""

    def __init__(self, queues: QueueStore, bus: Bus, *, after: float) -> None:
        self.told = 0
        self.after = int(after * 1000)
        self._queues = queues
        self._bus = bus

    async def round(self) -> bool:
        """True when there may be more. A room that cannot be told is told when the store says so again."""
        found = await self._queues.untold(wall_clock() - self.after, BATCH)
        rooms: dict[str, dict[int, list[str]]] = {}
        for app, queued in found:
            if queued.binding is not None:
                rooms.setdefault(queued.binding.node, {}).setdefault(app, []).append(queued.device)
        await asyncio.gather(*(self._tell(node, [*apps.items()]) for node, apps in rooms.items()))
        return len(found) >= BATCH

    async def _tell(self, node: str, apps: Sequence[tuple[int, list[str]]]) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                await self._bus.send(node, [Filled(app, tuple(devices)) for app, devices in apps])
        except (LonglineError, TimeoutError) as error:
            log.warning("room_not_told", to=node, error=str(error))
        else:
            self.told += sum(len(devices) for _, devices in apps)
