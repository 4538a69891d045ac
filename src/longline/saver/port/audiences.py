"""The duties of a store towards who asks for an audience before anything is sent to it."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from longline.model.audience import Expression


class Described(msgspec.Struct, frozen=True):
    """How many devices an expression describes, and the names of some of them.

    These are all that there are, or as many as were asked for, spread evenly over the order in which the
    devices were registered. Where there are at least twice as many, and to read them takes too long, they may
    be fewer.
    """

    devices: int
    some: tuple[str, ...]


class AudienceStore(Protocol):
    """The port. What holds for every port of the saver stands in the folder's first paragraph.

    What an expression describes follows from the profiles that `DeviceStore` was given. A change that
    returned is seen by whoever asks afterwards, and by `MessageStore.enqueue`, which finds the same devices.
    What an answer costs rises with the length of the expression, and with no number of devices that would
    have to be looked at one by one.
    """

    async def describe(self, app: int, expression: Expression, limit: int) -> Described:
        """Counts the devices that an expression describes now, and names at most about `limit` of them."""
        ...

    async def holders(self, app: int, aliases: Sequence[str], limit: int) -> list[list[str]]:
        """The names of the devices that have each alias now, at most `limit`; in no certain order."""
        ...
