"""Command queues inside one process."""

import asyncio
from collections import deque
from collections.abc import Sequence

from longline.bus.port import Command


class _Queue:
    __slots__ = ("arrived", "commands", "taken")

    def __init__(self) -> None:
        self.commands: deque[Command] = deque()
        self.arrived = asyncio.Event()
        self.taken = asyncio.Event()


class LocalBus:
    """Fulfils `Bus` for one process. A queue holds at most `limit` commands; senders wait for room."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._queues: dict[str, _Queue] = {}

    async def open(self, node: str) -> None:
        self._queues.setdefault(node, _Queue())

    async def shut(self, node: str) -> None:
        queue = self._queues.pop(node, None)
        if queue is not None:
            queue.taken.set()

    async def nodes(self) -> list[str]:
        return list(self._queues)

    async def send(self, node: str, commands: Sequence[Command]) -> None:
        sent = 0
        while sent < len(commands):
            queue = self._queues.get(node)
            if queue is None:
                return
            room = self._limit - len(queue.commands)
            if room <= 0:
                queue.taken.clear()
                await queue.taken.wait()
                continue
            queue.commands.extend(commands[sent : sent + room])
            queue.arrived.set()
            sent += room

    async def receive(self, node: str) -> list[Command]:
        queue = self._queues[node]
        while not queue.commands:
            queue.arrived.clear()
            await queue.arrived.wait()
        commands = list(queue.commands)
        queue.commands.clear()
        queue.taken.set()
        return commands

    def waiting(self, node: str) -> int:
        """How many commands the node has not taken yet."""
        queue = self._queues.get(node)
        return len(queue.commands) if queue is not None else 0
