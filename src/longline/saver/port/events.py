"""The duties of the queues of events, from which app servers read."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from longline.model.events import Event


class EventPage(msgspec.Struct, frozen=True):
    """Events with their cursors, oldest first. `gap`: some behind the cursor asked for were removed unread.

    A cursor is a decimal number of at most 18 digits. Those of an app that was deleted are behind all of a
    new one of its name.
    """

    events: list[tuple[str, Event]]
    gap: bool


class EventStore(Protocol):
    """The port. What holds for every port of the saver stands in the folder's first paragraph.

    Each event is kept once, and those of one source are read in the order of their sequences. Several
    sources, and several readers, have nothing to do with each other.

    The queue of an app is bounded. When it is full, the oldest events go for which later ones of their device
    stand (`Event.state`), so that a device that comes and goes all the time pushes out no other's; only where
    there are none, the oldest.
    """

    async def append(self, batch: Sequence[Event]) -> None:
        """Appends events to their apps' queues, those of one source in the order given, each once."""
        ...

    async def read(self, app: int, after: str, limit: int) -> EventPage:
        """Those behind the cursor `after` ("" for the oldest kept)."""
        ...
