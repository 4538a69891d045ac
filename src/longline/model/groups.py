"""Groups for chat: devices that are told what is said to all of them.

What is said in a group has a *sequence*, which rises by one with each message. A message is for who is a
member when it is stored.
"""

import re
from typing import Final

import msgspec

from longline.errors import ValidationFailed
from longline.model.devices import DEVICE_NAME

# A group's name is a level of topics and a segment of URLs, as a device's is, and no longer.
GROUP_NAME: Final = DEVICE_NAME
_GROUP_NAME = re.compile(GROUP_NAME)

LEFT_GROUP: Final = "left_group"  # why what waited for a device was dropped: it is not a member any more
GROUP_DELETED: Final = "group_deleted"  # or there is no group any more


def valid_group_name(name: str) -> bool:
    """Whether a group may have this name: 1 to 128 characters, see `DEVICE_NAME` for which."""
    return _GROUP_NAME.fullmatch(name) is not None


def check_group_name(name: str, field: str) -> None:
    """`ValidationFailed` with `field` when no group can have this name."""
    if not valid_group_name(name):
        raise ValidationFailed("a group's name is not allowed", details=[(field, "not a group's name")])


class GroupBounds(msgspec.Struct, frozen=True):
    """What a group may be, and is kept of it.

    `members`: of one group; `device_groups`: of one device. Of what was said in a group, the latest
    `history_messages` are kept, and no more of them than have `history_bytes` of payload together, for
    `history_ms`.
    """

    members: int = 10_000
    device_groups: int = 1_000
    history_messages: int = 1_000
    history_bytes: int = 4 * 1024 * 1024
    history_ms: int = 2_419_200_000


class ChatGroup(msgspec.Struct, frozen=True):
    """A group of an app. `sequence` is that of the latest message; `members`, how many there are."""

    group: str
    created_at: int
    sequence: int = 0
    members: int = 0


class Saying(msgspec.Struct, frozen=True):
    """A message in the history of a group."""

    sequence: int
    message_id: str
    sender: str | None
    at: int
    content_type: str
    payload: bytes
