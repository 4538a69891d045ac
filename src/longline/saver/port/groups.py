"""The duties of the store of groups: who is a member, and what was said.

A message to a group (`InGroup`) is a broadcast to who is a member at the commit, which gives it its sequence.
A group is of its app, a membership of its device: they go with these, and a later group or device of the same
name has none of it. Who leaves a group gets nothing more of it: what waits there for the device is dropped.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from longline.model.groups import ChatGroup, Saying


class GroupMember(msgspec.Struct, frozen=True, gc=False):
    """A device that is a member of a group."""

    device: str
    ordinal: int


class MembersChanged(msgspec.Struct, frozen=True):
    """How many have come and gone, and how many members there are."""

    added: int
    removed: int
    members: int


class GroupStore(Protocol):
    """The port. What holds for every port of the saver stands in the folder's first paragraph."""

    async def put(self, app: int, group: str, now: int, most: int = 0) -> bool:
        """Makes a group without members; False when there is one of this name, which stays as it is.

        `most`: groups that the app may have; 0 for any number. Raises `AppNotFound`, and `QuotaExceeded` when
        it has as many, about.
        """
        ...

    async def find(self, app: int, group: str) -> ChatGroup | None:
        """The group, None when there is none."""
        ...

    async def page(self, app: int, after: str, limit: int) -> list[ChatGroup]:
        """At most `limit` groups whose names come after `after`, in the order of their bytes."""
        ...

    async def members(self, app: int, group: str) -> list[GroupMember] | None:
        """All members, by name; None when there is no such group."""
        ...

    async def change(
        self, app: int, group: str, add: Sequence[int], remove: Sequence[int], now: int
    ) -> MembersChanged:
        """Takes members out, and in; who is, or is not, a member already stays so.

        `add` and `remove` are ordinals; of a device that is gone nothing becomes of it. Of those that are
        taken out, what waits for them of the group is dropped, `left_group`. Bounds hold whoever else changes
        it at the same moment. Raises `GroupNotFound`, `GroupTooLarge`, `TooManyGroups`, and where very many
        do so `Overloaded`; then nobody was taken in.
        """
        ...

    async def delete(self, app: int, group: str, now: int) -> bool:
        """Deletes a group with its history; what waits for its members is dropped, `group_deleted`.

        False: there is none. To be repeated when it is interrupted: until then there is no such group for
        anybody else, and nothing can be said in it.
        """
        ...

    async def history(self, app: int, group: str, after: int, limit: int, now: int) -> list[Saying] | None:
        """What was said after a sequence, at most `limit`, as far as it is kept; None: there is no such
        group.

        Only what was stored: a sequence that is missing was never said, or is not kept any more.
        """
        ...
