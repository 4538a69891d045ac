"""Tells other rooms that a device has come to this one, so that they end its connection there.

No CONNECT waits for it, and nothing depends on it: the session table knows the owner already, and what an
earlier owner still says of the device is not heard. So the oldest notices go first when more than `LIMIT`
wait, and the connection that was not told of ends by its keep alive.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from longline.bus.port import Bus
from longline.errors import LonglineError
from longline.flow.batcher import Batcher, OnFull, Retry
from longline.model.commands import Close, CloseReason
from longline.model.devices import Binding
from longline.room.counters import RoomCounters
from longline.telemetry.faults import Faults

LIMIT: Final = 50_000
BATCH: Final = 5000  # notices handed to the bus at a time
PATIENCE: Final = 2.0  # s that one node may keep the others waiting
RETRY: Final = Retry(0.5, 0.5)

Notice = tuple[str, Close]  # and the node that it goes to


class Takeovers:
    """Owned by the room, which runs `run` as a task."""

    def __init__(self, bus: Bus, counters: RoomCounters, faults: Faults) -> None:
        self._bus = bus
        self._counters = counters
        self._notices: Batcher[Notice] = Batcher(
            "room.takeovers",
            self._tell_all,
            faults=faults,
            limit=LIMIT,
            batch=BATCH,
            retry=RETRY,
            on_full=OnFull.DROP_OLDEST,
        )

    def add(self, app: int, device: str, previous: Binding) -> None:
        """The device was connected elsewhere."""
        self._notices.add((previous.node, Close(app, device, previous.epoch, CloseReason.TAKEN_OVER)))
        self._counters.takeovers_lost = self._notices.lost

    def waiting(self) -> int:
        return len(self._notices)

    async def run(self) -> None:
        """Works for as long as the room lives."""
        await self._notices.run()

    async def _tell_all(self, batch: Sequence[Notice]) -> Sequence[Notice]:
        """Returns those that could not be told."""
        nodes: dict[str, list[Close]] = {}
        for node, notice in batch:
            nodes.setdefault(node, []).append(notice)
        told = await asyncio.gather(*(self._tell(node, notices) for node, notices in nodes.items()))
        failed = {node for node, done in zip(nodes, told, strict=True) if not done}
        return [notice for notice in batch if notice[0] in failed]

    async def _tell(self, node: str, notices: list[Close]) -> bool:
        try:
            async with asyncio.timeout(PATIENCE):
                await self._bus.send(node, notices)
        except (LonglineError, TimeoutError):
            return False
        return True
