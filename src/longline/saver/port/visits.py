"""The duties of what is known of devices' visits: when each was last there, how it came, and the connections
that it had before.
"""

from collections.abc import Sequence
from typing import Protocol

from longline.model.devices import ConnectionRecord, Visit


class VisitStore(Protocol):
    """The port. What holds for every port of the saver stands in the folder's first paragraph.

    That a device came is noted by `InboxStore.arrive`, and that it is gone by whoever ends its binding, both
    in steps that are there anyway.
    """

    async def find(self, app: int, ordinals: Sequence[int]) -> list[Visit]:
        """The last visit of each; an empty one of whom nothing is known."""
        ...

    async def connections(self, app: int, ordinal: int, now: int) -> list[ConnectionRecord]:
        """The latest connections of a device, as many and for as long as `ConnectionBounds` say, the latest
        first.

        An end counts for the latest connection whose epoch is not above its own: a session may have got
        another one since it came. Of a connection that another took the place of, no end is told.
        """
        ...
