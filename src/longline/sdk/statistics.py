"""What an app's statistics answer."""

from datetime import datetime
from typing import TYPE_CHECKING, Literal

import msgspec

By = Literal["hour", "day"]
if TYPE_CHECKING:
    Told = By
else:
    Told = str  # whatever a later version says


class DeviceCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Devices that were registered, distinct ones that were connected, and those that were deleted or
    retired."""

    new: int
    active: int
    gone: int


class CountedSpan(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted in the hour, or the day, of UTC that began at `at`."""

    at: datetime
    messages: int
    deliveries: int
    shown: int
    opened: int
    devices: DeviceCounts


class AppStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """One row for each hour, or day, the first first."""

    by: Told
    statistics: list[CountedSpan]
