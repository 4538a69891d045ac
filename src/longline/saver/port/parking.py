"""The duties of what is remembered of devices that take messages and acknowledge none.

A *strike* is a connection on which a device was written pushes and acknowledged nothing, or a long time of
that. They are counted in a row, whichever rooms see them; an acknowledgement, or an operator, ends the count.
A device with many is *parked*. One that acknowledges has no row, and costs nothing.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec


class Standing(msgspec.Struct, frozen=True, gc=False):
    """Strikes in a row; when the latest was, and since when the device is parked (ms, 0 while it is not)."""

    strikes: int
    at: int
    parked_since: int = 0


class Strike(msgspec.Struct, frozen=True, gc=False):
    """One more, at a moment (ms). The device is parked by it when it has `parks_at` of them then."""

    app: int
    ordinal: int
    at: int
    parks_at: int


class Release(msgspec.Struct, frozen=True, gc=False):
    """The device has acknowledged something, or somebody vouches for it."""

    app: int
    ordinal: int


class ParkingStore(Protocol):
    """The port. What holds for every port of the saver stands in the folder's first paragraph.

    What a device has is told by `InboxStore.arrive`, too. It ends with the device.
    """

    async def strike(self, batch: Sequence[Strike]) -> None:
        """Counts strikes; nothing for a device that is no more. One that is not later than the latest is told
        again."""
        ...

    async def release(self, batch: Sequence[Release]) -> None:
        """Forgets what there is."""
        ...

    async def standings(self, app: int, ordinals: Sequence[int]) -> list[Standing | None]:
        """What each device has, None for nothing."""
        ...
