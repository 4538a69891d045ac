"""The duties of the command queues, one a node, and the commands that go through them."""

from collections.abc import Sequence
from enum import Enum
from typing import Protocol

import msgspec

from longline.saver.port import Broadcast, Unicast


class Why(Enum):
    """Why a connection is ended by the server."""

    TAKEN_OVER = "taken_over"
    KICKED = "kicked"
    BANNED = "banned"
    DEVICE_DELETED = "device_deleted"
    APP_DELETED = "app_deleted"
    KEY_ROTATED = "key_rotated"


class Close(msgspec.Struct, frozen=True):
    """End a device's connection, if it still is the one with this epoch."""

    app: int
    device: str
    epoch: int
    why: Why


class AppChanged(msgspec.Struct, frozen=True):
    """An app was changed or deleted: forget what is remembered of it.

    `why` ends the app's connections too (it was deleted); None leaves them.
    """

    app: int
    name: str
    why: Why | None = None


class Resync(msgspec.Struct, frozen=True):
    """Commands were lost: read again what is pending for every connected device."""


Command = Unicast | Broadcast | Close | AppChanged | Resync


class Bus(Protocol):
    """The port. Commands of one sender reach a node in the order sent, each once.

    An engine that may have lost some (a trimmed queue, a restart) puts a `Resync` where the gap was.
    """

    async def send(self, node: str, commands: Sequence[Command]) -> None:
        """Puts commands into a node's queue; waits while the queue is full.

        A node that does not exist has no queue: its commands are dropped, since no device is bound
        to it and whatever they speak of is in the store.
        """
        ...

    async def receive(self, node: str) -> list[Command]:
        """Waits for commands to the node and takes all there are, at most a queue's length."""
        ...

    async def nodes(self) -> list[str]:
        """Nodes that have a queue: whom a broadcast goes to."""
        ...

    async def open(self, node: str) -> None:
        """Gives the node a queue."""
        ...

    async def shut(self, node: str) -> None:
        """Takes the node's queue away with what is in it."""
        ...
