"""What became of a message, device by device and in sum."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

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


# Every reason of a drop, for people. Whoever adds a reason says here what it means; a test looks for it.
REASONS: Final[Mapping[str, str]] = {
    "device_not_found": "No device had this name when the message was accepted.",
    "offline": "It was only for devices that were connected, and this one was not.",
    "busy": "It was only for who could take it at once, and the device had others to take or to acknowledge "
    "first.",
    "late": "It was only for who could take it at once, and newer ones had been written before it came.",
    "disconnected": "It was only for devices that were connected, and the connection ended before it was "
    "acknowledged.",
    "inbox_full": "More waited for the device than may wait (inbox_messages, inbox_bytes). The oldest "
    "without high priority go then, and this was one of them.",
    "too_large_for_client": "It is larger than the device's program takes: the Maximum Packet Size that it "
    "gave when it connected.",
    "refused_by_client": "The device's program has refused it: it acknowledged it with a reason code of 0x80 "
    "or more.",
    "cancelled": "It was cancelled before the device had it.",
    "device_deleted": "The device was deleted while it waited.",
    "device_retired": "The device was retired while it waited: it had not come for too long.",
    "left_group": "The device left the group while it waited.",
    "group_deleted": "The group was deleted while it waited.",
}
STATES_IN_WORDS: Final[Mapping[State, str]] = {
    State.PENDING: "The device has not acknowledged it yet.",
    State.ACKED: "The device has it.",
    State.EXPIRED: "Its time to live was over before the device had acknowledged it.",
    State.COLLAPSED: "A newer message with the same collapse key took its place while it waited.",
    State.DROPPED: "It was dropped.",
}


def in_words(state: State, reason: str | None) -> str:
    """What became of a message for a device, in a sentence."""
    return REASONS.get(reason or "") or STATES_IN_WORDS[state]
