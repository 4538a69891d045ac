"""Which nodes have yet to write which broadcasts.

Kept in memory only: the nodes of this engine are parts of its own process and die with it. What they left
undone needs no notes then, since devices that come back read the log, and an `online_only` broadcast ends
with its time.
"""

from collections import OrderedDict
from collections.abc import Iterable
from itertools import islice

import msgspec

BROADCASTS = 10_000  # remembered; of more, the oldest are forgotten and end as after a restart


class _Task(msgspec.Struct):
    left: set[str]
    finished: set[str]


class SubTasks:
    """Used by the loop's thread."""

    def __init__(self) -> None:
        self._tasks: OrderedDict[tuple[int, str], _Task] = OrderedDict()

    def assign(self, app: int, message_id: str, nodes: Iterable[str]) -> None:
        task = self._tasks.setdefault((app, message_id), _Task(set(), set()))
        task.left |= set(nodes) - task.finished
        if len(self._tasks) > BROADCASTS:
            self._tasks.popitem(last=False)

    def is_last(self, app: int, message_id: str, node: str) -> bool:
        """Whether nobody else but this node has a sub-task of the broadcast left."""
        task = self._tasks.get((app, message_id))
        return task is not None and task.left == {node}

    def finish(self, app: int, message_id: str, node: str) -> None:
        task = self._tasks.get((app, message_id))
        if task is not None and node in task.left:
            task.left.remove(node)
            task.finished.add(node)

    def unfinished(self, node: str, limit: int) -> list[tuple[int, str]]:
        """Broadcasts, as (app, message id), of which the node has a sub-task, oldest first."""
        return list(islice((name for name, task in self._tasks.items() if node in task.left), limit))
