"""What is counted for each app, by hour and by day of UTC."""

from enum import IntEnum
from typing import Final

import msgspec

HOUR: Final = 3_600_000  # ms
DAY: Final = 24 * HOUR


class Counted(IntEnum):
    """What is counted; the numbers are stored."""

    MESSAGES = 0  # accepted
    DELIVERIES = 1  # acknowledged by a device
    SHOWN = 2  # as applications on devices say, in `event/{message_id}/shown`
    OPENED = 3
    NEW = 4  # devices that were registered
    GONE = 5  # devices that were deleted or retired
    ACTIVE = 6  # distinct devices that were there


class Counts(msgspec.Struct, frozen=True):
    """What was counted in an hour, or a day, that began at `at` (ms)."""

    at: int
    messages: int = 0
    deliveries: int = 0
    shown: int = 0
    opened: int = 0
    new: int = 0
    gone: int = 0
    active: int = 0


class KeepCounts(msgspec.Struct, frozen=True):
    """For how long they are kept: those of hours, and those of days, both in days."""

    hours: int = 14
    days: int = 400
