"""What a queue inside one process holds, within its bounds.

Compiled: every delivery comes by here.
"""

from collections.abc import Sequence
from typing import final

from longline.model.commands import Broadcast, Command, Filled, Forward, Routes, Unicast


@final
class HeldCommands:
    """At most `limit` commands of `limit_bytes` in all, and one whatever its size."""

    __slots__ = ("_bytes", "_limit", "_limit_bytes", "commands")

    def __init__(self, limit: int, limit_bytes: int) -> None:
        self.commands: list[Command] = []
        self._bytes = 0
        self._limit = limit
        self._limit_bytes = limit_bytes

    def put(self, commands: Sequence[Command], first: int) -> int:
        """Takes in commands from the `first` on; which is the first that there is no room for."""
        held = self.commands
        for place in range(first, len(commands)):
            command = commands[place]
            size = size_of(command)
            if held and (len(held) >= self._limit or self._bytes + size > self._limit_bytes):
                return place
            held.append(command)
            self._bytes += size
        return len(commands)

    def take(self) -> list[Command]:
        """All of them, which are held no more."""
        taken = self.commands
        self.commands = []
        self._bytes = 0
        return taken


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
