"""Command queues inside one process."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence

from longline.errors import Fenced
from longline.model.commands import Broadcast, Command, Filled, Forward, Routes, Unicast


class _Queue:
    __slots__ = ("arrived", "commands", "senders", "size", "taken", "turn")

    def __init__(self) -> None:
        self.senders = 0  # that wait for room, or behind one who does: they keep their order
        self.turn = asyncio.Lock()
        self.commands: deque[Command] = deque()
        self.size = 0  # bytes, as `size_of` counts them
        self.arrived = asyncio.Event()
        self.taken = asyncio.Event()


def size_of(command: Command) -> int:
    """What a command holds in memory beside itself, in bytes; topic filters have as many as characters."""
    if isinstance(command, Unicast):
        return len(command.message.payload)
    if isinstance(command, Broadcast):
        return len(command.message.payload) + sum(len(part.audience) for part in command.parts)
    if isinstance(command, Forward):
        return len(command.payload) + len(command.properties)
    if isinstance(command, Routes):
        return sum(len(filter) for _, filter in (*command.added, *command.removed)) + sum(
            len(filter) for _, filter, _ in command.shared
        )
    if isinstance(command, Filled):
        return sum(len(device) for device in command.devices)
    return 0


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
        self._queues.setdefault(node, _Queue())

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
            while sent < len(commands) and self._put(queue, commands[sent]):
                sent += 1
        if sent < len(commands):
            queue.senders += 1
            try:
                async with queue.turn:
                    for command in commands[sent:]:
                        while self._queues.get(node) is queue and not self._put(queue, command):
                            queue.taken.clear()
                            await queue.taken.wait()
            finally:
                queue.senders -= 1

    def _put(self, queue: _Queue, command: Command) -> bool:
        """False when there is no room."""
        size = size_of(command)
        commands = queue.commands
        if commands and (len(commands) >= self._limit or queue.size + size > self._limit_bytes):
            return False
        commands.append(command)
        queue.size += size
        queue.arrived.set()
        return True

    async def receive(self, node: str) -> list[Command]:
        while (queue := self._queues.get(node)) is not None and not queue.commands:
            queue.arrived.clear()
            await queue.arrived.wait()
        if queue is None:
            raise Fenced
        commands = list(queue.commands)
        queue.commands.clear()
        queue.size = 0
        queue.taken.set()
        return commands

    def waiting(self, node: str) -> int:
        """How many commands the node has not taken yet."""
        queue = self._queues.get(node)
        return len(queue.commands) if queue is not None else 0

    def statistics(self) -> Mapping[str, int]:
        """Commands that wait for all nodes; none is ever dropped."""
        return {"waiting": sum(map(self.waiting, self._queues)), "dropped": 0}
