"""The duties of the command queues, one a node, and the commands that go through them."""

from collections.abc import Mapping, Sequence
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


class Forward(msgspec.Struct, frozen=True):
    """A message of plain publish/subscribe, for the subscribers on this node.

    `properties` are those that go on to subscribers, encoded as in an MQTT 5 PUBLISH (section 2.2.2) without
    their length; empty for none.
    """

    app: int
    topic: str
    payload: bytes
    qos: int
    properties: bytes = b""


class Routes(msgspec.Struct, frozen=True):
    """Which topic filters have subscribers on `node`: `added` and `removed`, as (app, filter).

    A `whole` table replaces what was known of the node: it begins with this command, goes on with what the
    next ones add, and ends with one that says nothing. `wanted`: the node asks for the whole table of the one
    that it sends this to.
    """

    node: str
    added: tuple[tuple[int, str], ...] = ()
    removed: tuple[tuple[int, str], ...] = ()
    whole: bool = False
    wanted: bool = False


class Cancelled(msgspec.Struct, frozen=True):
    """A message was cancelled: stop writing it."""

    app: int
    message_id: str


class Resync(msgspec.Struct, frozen=True):
    """Commands were lost: read again what is pending for every connected device."""


Command = Unicast | Broadcast | Close | AppChanged | Forward | Routes | Cancelled | Resync


class Bus(Protocol):
    """The port. Commands of one sender reach a node in the order sent, each once.

    An engine that may have lost some (a trimmed queue, a restart) puts a `Resync` where the gap was.
    """

    async def send(self, node: str, commands: Sequence[Command]) -> None:
        """Puts commands into a node's queue; waits while the queue is full.

        How long, the engine decides: one whose nodes are other processes does not let a node that is
        stuck hold up its senders for long, but drops the oldest commands, which the node is told by a
        `Resync`.

        A node that does not exist has no queue: its commands are dropped, since no device is bound
        to it and whatever they speak of is in the store.
        """
        ...

    async def receive(self, node: str) -> list[Command]:
        """Waits for commands to the node and takes all there are, at most a queue's length.

        An engine that cannot be reached is waited for. Raises `Fenced` when the node has no queue (any more):
        others shut it, because they take the node for dead.
        """
        ...

    async def nodes(self) -> list[str]:
        """Nodes that have a queue, at this moment and not a moment ago: whom a broadcast goes to."""
        ...

    async def open(self, node: str) -> None:
        """Gives the node a queue."""
        ...

    async def shut(self, node: str) -> None:
        """Takes the node's queue away with what is in it."""
        ...

    def statistics(self) -> Mapping[str, int]:
        """Plain figures for the metrics: commands that wait, and those that were dropped."""
        ...
