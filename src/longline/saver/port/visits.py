"""The duties of what is known of devices' visits: when each was last there, and how it came."""

from collections.abc import Sequence
from typing import Protocol

from longline.model.devices import Visit


class VisitStore(Protocol):
    """The port. What holds for every port of the saver stands in the folder's first paragraph.

    That a device came is noted by `InboxStore.arrive`, and that it is gone by whoever ends its binding, both
    in steps that are there anyway.
    """

    async def find(self, app: int, ordinals: Sequence[int]) -> list[Visit]:
        """The last visit of each; an empty one of whom nothing is known."""
        ...
