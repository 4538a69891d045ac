"""The duties of the command queues, one a node."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from longline.model.commands import Command


class Bus(Protocol):
    """The port. Commands of one sender that are of the same app, or of none, reach a node in the order sent,
    each once.

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
