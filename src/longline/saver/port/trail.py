"""The duties of the store of what was changed through the API."""

from collections.abc import Sequence
from typing import Protocol

from longline.model.trail import TrailEntry


class TrailStore(Protocol):
    """The port. What holds for every port of the saver stands in the folder's first paragraph.

    It is bounded by `TrailBounds`. Where there are too many entries the oldest go: about one app first of all
    those about it, so that who changes much in one app pushes out nothing of another. Entries outlive the app
    that they are about.
    """

    async def put(self, entry: TrailEntry) -> None:
        """Stores an entry, in the place of the one with its id where there is one."""
        ...

    async def latest(self, app: str | None, least: str, before: str, limit: int) -> Sequence[TrailEntry]:
        """Entries, the latest first: from the id `least` on, before the id `before` ("": all).

        `app`: those about it alone.
        """
        ...
