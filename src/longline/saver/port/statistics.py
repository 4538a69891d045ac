"""The duties of what is counted for each app, by hour and by day."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from longline.model.statistics import Counts


class Seen(msgspec.Struct, frozen=True):
    """Devices of an app, by their ordinals, that are connected now."""

    app: int
    ordinals: Sequence[int]


class StatisticsStore(Protocol):
    """The port. What holds for every port of the saver stands in the folder's first paragraph.

    Whatever is counted is counted by the store in the step that stores it, and so exactly once: a message by
    `enqueue`, an acknowledgement by `settle`, what an application tells by `append`, a device that comes to
    be or goes by what registers or removes it. Only of who was there an engine may lose the last few seconds
    when its process dies: who connects has been there (`arrive`), and so has whom `seen` names.
    """

    async def read(self, app: int, first: int, last: int, *, by_day: bool, now: int) -> list[Counts]:
        """The hours, or days, that begin at `first` or later and before `last` (ms) and in which anything was
        counted, in their order."""
        ...

    async def seen(self, batch: Sequence[Seen], now: int) -> None:
        """These devices are there at this moment."""
        ...

    async def gather(self, now: int, limit: int) -> bool:
        """Does what is to be done from time to time, for at most `limit` apps: brings what was counted
        together, and forgets what is not kept any longer. True: there may be more."""
        ...
