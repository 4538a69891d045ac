"""The duties towards what is not with the rooms yet: sub-tasks of broadcasts, and what was left undone."""

from collections.abc import Sequence
from typing import Protocol

from longline.model.commands import Broadcast, Unicast


class RoutingStore(Protocol):
    """The port. What holds for every port of the saver stands in the folder's first paragraph.

    What is returned here is to be routed by whoever asked; being routed twice is safe, and so is asking from
    several processes at once. One entry that cannot be carried out holds up no other.
    """

    async def assign(self, app: int, message_id: str, nodes: Sequence[str]) -> None:
        """Notes which nodes have a broadcast's sub-task: to write it to their own devices.

        Until then, the broadcast is among those that `unrouted` returns. Nodes that finished already stay so.
        """
        ...

    async def finish(self, app: int, message_id: str, node: str, at: int) -> None:
        """A node's sub-task is done: written to all of its devices that it could be written to.

        When the last one is, an `online_only` broadcast is dropped, `offline`, for every device to which
        it was not written. A node without a sub-task of it changes nothing.
        """
        ...

    async def unfinished(self, node: str, limit: int) -> list[tuple[int, str]]:
        """App and message id of broadcasts whose sub-task a node still has; for one that is dead."""
        ...

    async def unrouted(self, before: int, limit: int) -> list[Unicast | Broadcast]:
        """Messages stored before `before` (ms) that are pending for connected devices, though nobody said
        they were written: whoever was to route them may have died.

        Of what waits for a device it is the newest, by which its room finds the others; of what is only for
        who is connected, each. It is returned once in a while only, and `limit` at most at once: broadcasts
        are half of that or less. An engine whose centers and rooms die together has none.
        """
        ...

    async def complete(self, before: int, limit: int) -> list[Unicast | Broadcast]:
        """Carries out submissions that were begun before `before` (ms) and interrupted; what to route."""
        ...
