"""What the API tells of groups for chat."""

from datetime import datetime

import msgspec


class GroupInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A group: `sequence` is that of the latest message in it, `size` how many members it has."""

    group: str
    created_at: datetime
    sequence: int
    size: int


class GroupMembers(GroupInfo, frozen=True, kw_only=True):
    """A group, who is a member, and which of them are connected."""

    members: tuple[str, ...] = ()
    online: tuple[str, ...] = ()


class GroupMessage(msgspec.Struct, frozen=True, kw_only=True):
    """What was said in a group. `sender`: the member who said it; None: the app server."""

    sequence: int
    message_id: str
    sender: str | None
    at: datetime
    content_type: str
    payload: bytes
