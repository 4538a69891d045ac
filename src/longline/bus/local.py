"""Command queues inside one process."""

import asyncio
from collections.abc import Mapping, Sequence

from longline.bus.held import HeldCommands
from longline.errors import Fenced
from longline.model.commands import Command


class _Queue:
    __slots__ = ("arrived", "held", "senders", "taken", "turn")

    def __init__(self, limit: int, limit_bytes: int) -> None:
        self.senders = 0  # that wait for room, or behind one who does: they keep their order
        self.turn = asyncio.Lock()
        self.held = HeldCommands(limit, limit_bytes)
        self.arrived = asyncio.Event()
        self.taken = asyncio.Event()


class LocalBus:
    """Fulfils `Bus` for one process.

    A queue holds at most `limit` commands of `limit_bytes` in all; senders wait for room. One command always
    fits into an empty queue.
    """

    def __init__(self, limit: int, limit_bytes: int = 256 * 1024 * 1024) -> None:
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._queues: dict[str, _Queue] = {}

    async def open(self, node: str) -> None:
        self._queues.setdefault(node, _Queue(self._limit, self._limit_bytes))

    async def shut(self, node: str) -> None:
        queue = self._queues.pop(node, None)
        if queue is not None:
            queue.taken.set()
            queue.arrived.set()

    async def nodes(self) -> list[str]:
        return list(self._queues)

    async def send(self, node: str, commands: Sequence[Command]) -> None:
        queue = self._queues.get(node)
        if queue is None:
            return
        sent = 0
        if not queue.senders:
            sent = self._put(queue, commands, 0)
        if sent < len(commands):
            queue.senders += 1
            try:
                async with queue.turn:
                    while self._queues.get(node) is queue:
                        sent = self._put(queue, commands, sent)
                        if sent == len(commands):
                            break
                        queue.taken.clear()
                        await queue.taken.wait()
            finally:
                queue.senders -= 1

    def _put(self, queue: _Queue, commands: Sequence[Command], first: int) -> int:
        """Puts commands from the `first` on into a queue; which is the first that there is no room for."""
        rest = queue.held.put(commands, first)
        if rest > first:
            queue.arrived.set()
        return rest

    async def receive(self, node: str) -> list[Command]:
        while (queue := self._queues.get(node)) is not None and not queue.held.commands:
            queue.arrived.clear()
            await queue.arrived.wait()
        if queue is None:
            raise Fenced
        commands = queue.held.take()
        queue.taken.set()
        return commands

    def waiting(self, node: str) -> int:
        """How many commands the node has not taken yet."""
        queue = self._queues.get(node)
        return len(queue.held.commands) if queue is not None else 0

    def statistics(self) -> Mapping[str, int]:
        """Commands that wait for all nodes; none is ever dropped."""
        return {"waiting": sum(map(self.waiting, self._queues)), "dropped": 0}
