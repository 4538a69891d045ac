"""The duties of the queues of events, from which app servers read."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from longline.model.events import Event


class EventPage(msgspec.Struct, frozen=True):
    """Events with their cursors, oldest first. `gap`: some behind the cursor asked for were removed unread.

    A cursor is a decimal number of at most 18 digits, which rises. Those of an app that was deleted are
    behind all of a new one of its name.
    """

    events: list[tuple[str, Event]]
    gap: bool


class EventStore(Protocol):
    """The port. What holds for every port of the saver stands in the folder's first paragraph.

    Each event is kept once. Those of a device are read in the order in which they were appended, and all
    readers of an app see one order: behind a cursor that a reader was given, nothing comes up any more that
    it has not seen. In which order those of several devices are that were appended about the same time, an
    engine may say: it may keep an app in lanes, of which each has a part of the devices, and its part of what
    may be kept. Several sources, and several readers, have nothing to do with each other.

    The queue of an app is bounded (`EventBounds`). When it is full, those events go first for which later
    ones of their device stand: of those that tell of states (`Event.state`) all but the latest of each
    device, of the others all but the latest few. Of these the oldest go first; and where there are none, the
    oldest of all. So a device that sends, or comes and goes, all the time pushes out no other's. What tells
    of devices themselves (`DEVICE`) goes before all that: who has missed it, lists the devices.

    Whatever registers or removes a device appends an event of that, in the same step or a moment later. What
    was told of a device before it was removed is read by nobody after that, and goes in slices.
    """

    async def append(self, batch: Sequence[Event]) -> None:
        """Appends events to their apps' queues, those of a device in the order given, each once.

        Those of apps that do not exist are left out. Of a call that fails, some may have been appended:
        whoever repeats it names their sources.
        """
        ...

    async def read(self, app: int, after: str, limit: int) -> EventPage:
        """Those behind the cursor `after` ("" for the oldest kept), at most `limit`.

        Fewer also where they are large: about a mebibyte, one always. None: there are no more. Whoever reads
        again behind the same cursor gets the same, but for what was removed meanwhile and what was added.
        """
        ...

    async def end(self, app: int) -> str:
        """The cursor behind which there is nothing yet, also of a queue that nothing was ever appended to.

        Whoever reads from there on is told of a gap when what comes is removed unread.
        """
        ...

    async def ends(self, apps: Sequence[int]) -> list[str]:
        """Cursors at the ends of queues, behind which there is nothing yet; "" where there never was any.

        Such a cursor is the last event's, or beyond it; it stays the same while nothing is appended.
        """
        ...

    async def carry(self, limit: int) -> int:
        """Carries on what other steps have left to do: at most `limit` events that are not in their queues
        yet, and as many of removed devices that still are. How many it did; 0: there are no more."""
        ...
