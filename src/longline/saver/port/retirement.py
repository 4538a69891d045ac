"""The duties of taking devices away that have not come for long."""

from typing import Final, Protocol

import msgspec

DONE: Final = -1


class Retired(msgspec.Struct, frozen=True):
    """`devices`: how many were retired. `after`: where to go on; DONE: all of the app were looked at."""

    devices: int
    after: int


class RetirementStore(Protocol):
    """The port. What holds for every port of the saver stands in the folder's first paragraph."""

    async def retire(self, app: int, after: int, before: int, now: int, limit: int) -> Retired:
        """Looks at some devices of an app, `limit` about, on from `after` (0 for the first), and removes
        those that were last there before `before` (ms), or that have never come and were registered before.

        One is removed as by `DeviceStore.delete`, with `device_retired` for what is pending, in one step with
        the look at it: never one that is bound, has a session kept that is to end later than `now`, or a will
        that is not published. A device that comes meanwhile was removed before it came, or is there.
        """
        ...
