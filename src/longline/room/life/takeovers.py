"""Tells other rooms that a device has come to this one, so that they end its connection there.

No CONNECT waits for it, and nothing depends on it: the session table knows the owner already, and what an
earlier owner still says of the device is not heard. So the oldest notices go first when more than `LIMIT`
wait, and the connection that was not told of ends by its keep alive.
"""

import asyncio
from collections import deque

from longline.bus.port import Bus
from longline.errors import LonglineError
from longline.model.commands import Close, CloseReason
from longline.model.devices import Binding
from longline.room.counters import RoomCounters

LIMIT = 50_000
BATCH = 5000  # notices handed to the bus at a time
PATIENCE = 2.0  # s that one node may keep the others waiting
RETRY_AFTER = 0.5  # s


class Takeovers:
    """Owned by the room, which runs `run` as a task."""

    def __init__(self, bus: Bus, counters: RoomCounters) -> None:
        self._bus = bus
        self._counters = counters
        self._waiting: deque[tuple[str, Close]] = deque()
        self._wake = asyncio.Event()

    def add(self, app: int, device: str, previous: Binding) -> None:
        """The device was connected elsewhere."""
        if len(self._waiting) >= LIMIT:
            self._waiting.popleft()
            self._counters.takeovers_lost += 1
        self._waiting.append((previous.node, Close(app, device, previous.epoch, CloseReason.TAKEN_OVER)))
        self._wake.set()

    def waiting(self) -> int:
        return len(self._waiting)

    async def run(self) -> None:
        """Works for as long as the room lives."""
        while True:
            await self._wake.wait()
            nodes: dict[str, list[Close]] = {}
            for _ in range(min(BATCH, len(self._waiting))):
                node, notice = self._waiting.popleft()
                nodes.setdefault(node, []).append(notice)
            if not self._waiting:
                self._wake.clear()
            told = await asyncio.gather(*(self._tell(node, notices) for node, notices in nodes.items()))
            failed = [
                (node, notice)
                for (node, notices), done in zip(nodes.items(), told, strict=True)
                if not done
                for notice in notices
            ]
            if failed:
                # Within the bound, in front of what came meanwhile.
                kept = failed[max(0, len(failed) + len(self._waiting) - LIMIT) :]
                self._counters.takeovers_lost += len(failed) - len(kept)
                self._waiting.extendleft(reversed(kept))
                self._wake.set()
                await asyncio.sleep(RETRY_AFTER)

    async def _tell(self, node: str, notices: list[Close]) -> bool:
        try:
            async with asyncio.timeout(PATIENCE):
                await self._bus.send(node, notices)
        except (LonglineError, TimeoutError):
            return False
        return True
