"""Which nodes have yet to write which broadcasts.

Kept in memory only: the nodes of this engine are parts of its own process and die with it. What they left
undone needs no notes then, since devices that come back read the log, and an `online_only` broadcast ends
with its time.
"""

from collections.abc import Sequence
from itertools import islice

import msgspec

from longline.flow.lru import LruCache
from longline.model.commands import Broadcast, Unicast
from longline.saver.sql.broadcasts import DROPPED, BroadcastLedgers
from longline.saver.sql.database import Database, id_bytes
from longline.saver.sql.expiry import OFFLINE
from longline.saver.sql.worker import Worker

BROADCASTS = 10_000  # remembered; of more, the oldest are forgotten and end as after a restart


class _Task(msgspec.Struct):
    left: set[str]
    finished: set[str]


class SqlRouting:
    """Fulfils `RoutingStore`."""

    def __init__(self, writer: Worker, database: Database, broadcasts: BroadcastLedgers) -> None:
        self._writer = writer
        self._database = database
        self._broadcasts = broadcasts
        self._tasks: LruCache[tuple[int, str], _Task] = LruCache(BROADCASTS)

    async def assign(self, app: int, message_id: str, nodes: Sequence[str]) -> None:
        """Notes it in memory."""
        task = self._tasks.get((app, message_id))
        if task is None:
            task = _Task(set(), set())
            self._tasks.put((app, message_id), task)
        task.left |= set(nodes) - task.finished

    async def finish(self, app: int, message_id: str, node: str, at: int) -> None:
        """The last node's end is one transaction, and only then is its sub-task over."""
        task = self._tasks.get((app, message_id))
        if task is None or node not in task.left:
            return
        if task.left == {node}:
            await self._writer.call(self._end_unwritten, (app, message_id))
        task.left.discard(node)
        task.finished.add(node)

    def _end_unwritten(self, calls: list[tuple[int, str]]) -> list[None]:
        """(app, message id): ends an `online_only` broadcast for every device to which it was not written."""
        for app, message_id in calls:
            position = self._database.number(
                "SELECT log.position FROM messages CROSS JOIN log ON log.position = messages.position"
                " WHERE messages.app = ?1 AND messages.id = ?2 AND NOT log.kept",
                app,
                id_bytes(message_id),
            )
            if position is not None:
                ledger = self._broadcasts.get(position, self._database)
                unwritten = ledger.pending() - ledger.written()
                self._broadcasts.settle(position, DROPPED + OFFLINE, unwritten, self._database)
        return [None] * len(calls)

    async def unfinished(self, node: str, limit: int) -> list[tuple[int, str]]:
        """Those used least lately first."""
        return list(islice((name for name, task in self._tasks.items() if node in task.left), limit))

    async def unrouted(self, before: int, limit: int) -> list[Unicast | Broadcast]:
        """None: who was to route them has died with the sessions of all devices, which read their inboxes."""
        return []

    async def complete(self, before: int, limit: int) -> list[Unicast | Broadcast]:
        """None: a submission is one transaction."""
        return []
