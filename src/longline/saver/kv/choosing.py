"""Which session that is kept gets a message for a group (section 4.8.2), where rooms have no member of it.

The directory says in which partitions sessions have the group's filter; each tells of the first of them how
much their queues hold, and the one with the least is chosen. It is given the message like any other that a
room has chosen, in the plan of a QoS 2 message too: so whoever carries that out gives it to the same one.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from longline.saver.kv.matching import Shared
from longline.saver.kv.partitions import Partitions, script
from longline.saver.port.queues import Given, QueueBounds, QueuePublication
from longline.saver.publications import bytes_of
from longline.saver.subscriptions import AS_PUBLISHED
from longline.store.redis import Reply

CHOOSE = script("choose_members.lua")

LOOKED_AT: Final = 64  # members in a partition: the first that are there
ASKED: Final = 8  # groups in one script

Group = tuple[int, str]  # app, its filter as it is subscribed to


class _Part(NamedTuple):
    """A group, in one partition."""

    group: Group
    partition: int


class _Member:
    """A session of a group, and what its queue holds."""

    __slots__ = ("bytes", "entries", "identifier", "number", "options", "ordinal")

    def __init__(self, ordinal: int, row: Sequence[int]) -> None:
        self.ordinal = ordinal
        _, self.number, self.options, self.identifier, self.entries, self.bytes = row


class Choosing:
    """`bounds`: of the queues."""

    def __init__(self, partitions: Partitions, bounds: QueueBounds) -> None:
        self._partitions = partitions
        self._bounds = bounds

    async def choose(
        self, items: Sequence[QueuePublication], groups: Sequence[Shared]
    ) -> list[tuple[list[Given], int]]:
        """For each publication, whom it is given for its groups, and how many of these have no room."""
        parts: dict[_Part, int] = {}
        for item, shared in zip(items, groups, strict=True):
            for key, partitions in shared.items():
                for partition in partitions:
                    parts[_Part((item.app, key), partition)] = item.now
        members = await self._members(parts)
        return [self._choose(item, shared, members) for item, shared in zip(items, groups, strict=True)]

    async def _members(self, parts: Mapping[_Part, int]) -> dict[Group, list[_Member]]:
        now = max(parts.values(), default=0)
        count = self._partitions.count

        def read(part: _Part, reply: Reply) -> list[_Member]:
            words = msgspec.convert(reply, list[int])
            rows = [words[at : at + 6] for at in range(0, len(words), 6)]
            return [_Member(row[0] * count + part.partition, row) for row in rows]

        asked = list(parts)
        found = await self._partitions.each(
            CHOOSE,
            asked,
            lambda part: part.partition,
            lambda part: (*part.group, LOOKED_AT),
            read,
            head=lambda: [now],
            size=ASKED,
        )
        members: dict[Group, list[_Member]] = {}
        for part, some in zip(asked, found, strict=True):
            members.setdefault(part.group, []).extend(some)
        return members

    def _choose(
        self, item: QueuePublication, shared: Shared, members: Mapping[Group, list[_Member]]
    ) -> tuple[list[Given], int]:
        bounds, size = self._bounds, bytes_of(item.publication)
        chosen: list[Given] = []
        full = 0
        for key in shared:
            there = [member for member in members.get((item.app, key), ()) if member.options & 3]
            free = [
                member
                for member in there
                if member.entries < bounds.messages
                and (not member.bytes or member.bytes + size <= bounds.bytes)
            ]
            if not free:
                full += bool(there)
                continue
            to = min(free, key=lambda member: member.entries)
            to.entries += 1
            to.bytes += size
            as_published = bool(to.options & AS_PUBLISHED)
            chosen.append(Given(to.ordinal, to.number, to.options & 3, as_published, to.identifier, key))
        return chosen, full
