"""The bus of a cluster: a stream for each node, in Redis or Valkey."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from longline.bus.incoming import NODES, Incoming
from longline.bus.outgoing import Outgoing, Producer
from longline.bus.wire import pack
from longline.errors import Fenced, Unavailable
from longline.model.commands import Broadcast, Command, Resync, Routes
from longline.store.redis import Script, Store

TOLD: Final = 86_400  # s for which a reader is told that its queue was shut

_SHUT: Final = Script("longline.bus.lua", "shut.lua")


class RedisBus:
    """Fulfils `Bus` for many processes. `lua/queue.lua` says what a queue is made of.

    A queue holds at most `limit` commands of `limit_bytes` in all, packed; one batch always fits into an
    empty one. When it stays full for `patience` seconds, its oldest commands are dropped, and its reader
    sees the gap.

    `urgent` is the same store by connections of its own, which have no bulk work. Senders wait until their
    commands are in the queue. And a reader that waits too long for the upkeep of its own takes its commands
    for lost, and has all inboxes read again, when there is too much to do already.
    """

    def __init__(
        self,
        store: Store,
        *,
        urgent: Store | None = None,
        limit: int,
        limit_bytes: int,
        patience: float,
    ) -> None:
        self._store = urgent or store
        self._producer = Producer(self._store, limit, limit_bytes, patience)
        self._outgoing: dict[str, Outgoing] = {}  # nodes to which something is under way, or that are stuck
        self._incoming: dict[str, Incoming] = {}  # nodes of this process
        self._packed: tuple[Command | None, bytes] = (None, b"")  # the broadcast packed last

    async def open(self, node: str) -> None:
        incoming = self._incoming.setdefault(node, Incoming(self._store, node))
        await incoming.open()

    async def shut(self, node: str) -> None:
        incoming = self._incoming.pop(node, None)
        if incoming is not None:
            incoming.close(Fenced())
        tag = b"n:" + node.encode()
        keys = [b"{%b}%b" % (tag, name) for name in (b"open", b"q", b"shut")]
        # The list of nodes comes last: while a queue is listed, somebody may still find it and shut it.
        await self._store.run(tag, _SHUT, keys, [TOLD])
        await self._store.call(NODES[0], b"SREM", NODES[1], node)

    async def nodes(self) -> list[str]:
        found = await self._store.call(NODES[0], b"SMEMBERS", NODES[1])
        names = (
            [name.decode() for name in found if isinstance(name, bytes)] if isinstance(found, list) else []
        )
        # What is remembered of a node that was stuck, and is gone, nobody will ask for again.
        for node in self._outgoing.keys() - names:
            if not self._outgoing[node].busy():
                del self._outgoing[node]
        return names

    async def send(self, node: str, commands: Sequence[Command]) -> None:
        if not commands:
            return
        outgoing = self._outgoing.get(node)
        if outgoing is None:
            outgoing = self._outgoing[node] = Outgoing(self._producer, node, self._outgoing)
        await outgoing.send(
            [
                (0 if isinstance(command, Routes | Resync) else command.app, self._pack(command))
                for command in commands
            ]
        )

    async def receive(self, node: str) -> list[Command]:
        incoming = self._incoming.get(node)
        if incoming is None:
            raise Fenced
        return await incoming.receive()

    async def close(self) -> None:
        """Ends what waits with `Unavailable`. Queues stay as they are."""
        for incoming in self._incoming.values():
            incoming.close(Unavailable("the bus is closed"))
        await asyncio.gather(*(outgoing.close() for outgoing in list(self._outgoing.values())))

    def waiting(self, node: str) -> int:
        """How many commands to a node are still in this process."""
        outgoing = self._outgoing.get(node)
        return outgoing.waiting() if outgoing is not None else 0

    def statistics(self) -> Mapping[str, int]:
        """Commands that wait in this process, and those dropped because their node was stuck."""
        return {
            "waiting": sum(outgoing.waiting() for outgoing in self._outgoing.values()),
            "dropped": self._producer.dropped,
        }

    def _pack(self, command: Command) -> bytes:
        """A broadcast goes to every node, and is large: it is packed once."""
        if not isinstance(command, Broadcast):
            return pack(command)
        if self._packed[0] is not command:
            self._packed = (command, pack(command))
        return self._packed[1]
