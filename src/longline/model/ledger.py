"""What became of a message, device by device and in sum."""

from collections.abc import Mapping
from enum import IntEnum

import msgspec


class State(IntEnum):
    """Where one message stands for one device. PENDING may become any other.

    ACKED is what the device itself says: it takes the place of whatever was said before, and stays. No other
    changes.
    """

    PENDING = 0
    ACKED = 1
    EXPIRED = 2
    COLLAPSED = 3
    DROPPED = 4


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """How many devices of a message's audience stand where.

    `targeted` is the sum of `pending`, `acked`, `expired`, `collapsed` and all of `dropped` (by
    reason), at any moment. `routed` counts devices whose delivery was handed to a room, `sent`
    those to whose connection it was written; both are progress, not outcome.
    """

    targeted: int
    pending: int
    acked: int
    expired: int
    collapsed: int
    dropped: Mapping[str, int]
    routed: int
    sent: int


class DeliveryRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One device's row in a message's ledger; times in ms, None for what has not happened."""

    device: str
    state: State
    reason: str | None
    accepted_at: int
    sent_at: int | None
    settled_at: int | None
