"""The duties of the queues of events, one an app."""

from collections.abc import Sequence
from typing import Protocol

from longline.model.events import Event


class EventStore(Protocol):
    """The port. What holds for every port of the saver stands in the folder's first paragraph.

    Each event is kept once, and those of one source are read in the order of their sequences. Several
    sources, and several readers, have nothing to do with each other.
    """

    async def append(self, batch: Sequence[Event]) -> None:
        """Appends events to their apps' queues, those of one source in the order given, each once."""
        ...

    async def read(self, app: int, after: str, limit: int) -> list[tuple[str, Event]]:
        """Events with their cursors, those behind the cursor `after` ("" for the oldest kept).

        The queue of an app is bounded; the oldest events go first.
        """
        ...
