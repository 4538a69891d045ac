"""Groups: each in its home, its members in their partitions; `sayings.py` says what is where."""

import asyncio
import os
from collections.abc import Awaitable, Sequence

import msgspec

from longline.errors import (
    AppNotFound,
    GroupNotFound,
    GroupTooLarge,
    Overloaded,
    QuotaExceeded,
    TooManyGroups,
)
from longline.model.groups import GROUP_DELETED, LEFT_GROUP, ChatGroup, GroupBounds, Saying
from longline.saver.kv import layout
from longline.saver.kv.apps import KvApps
from longline.saver.kv.partitions import Partitions, script
from longline.saver.kv.sayings import Sayings
from longline.saver.port.groups import GroupMember, MembersChanged
from longline.store.lanes import spread
from longline.store.redis import Reply, Script, Word
from longline.store.scatter import gathered, scatter

PUT = script("put_group.lua")
FORGET = script("forget_group.lua")
SEAT = script("seat_members.lua")
NOTE = script("note_members.lua")
JOIN = script("join_groups.lua")
LEAVE = script("leave_groups.lua")
DROP = script("drop_group.lua")
COUNT = script("count_members.lua")
MEMBERS = script("list_group.lua")
LIST = script("list_groups.lua")

NUMBER = 8  # bytes of a group's number
LOOK, DO, MEND = 0, 1, 2
ADDED, MEMBER, NO_DEVICE = 1, 0, -1
SEATED, WAIT, FULL = 1, 2, 0
KEPT = 60_000  # ms for which a change has its places: longer than it takes
PAUSE = 0.01  # s until others that are under way may be done
TRIES = 200


class KvGroups:
    """Fulfils `GroupStore`."""

    def __init__(self, partitions: Partitions, apps: KvApps, sayings: Sayings, bounds: GroupBounds) -> None:
        self._partitions = partitions
        self._apps = apps
        self._sayings = sayings
        self._bounds = bounds

    async def put(self, app: int, group: str, now: int, most: int = 0) -> bool:
        """In its home, once all homes have been asked how many there are. One that is being deleted is
        deleted first."""
        if await self._apps.name_of(app) is None:
            raise AppNotFound(f"there is no app {app}")
        if await self._sayings.find(app, group) is not None:
            return False
        if most and await self._groups_of(app) >= most:
            raise QuotaExceeded(f"the app has {most} groups, as many as it may")
        number = os.urandom(NUMBER).hex().encode()
        while True:
            home = self._sayings.home_of(app, group)
            reply = await self._partitions.run(home, PUT, [app, group, number, now], durable=True)
            if reply is None:
                raise AppNotFound(f"there is no app {app}")
            there, going = msgspec.convert(reply, tuple[bytes, int])
            if not going:
                return there == number
            await self._end(app, group, there)

    async def _groups_of(self, app: int) -> int:
        """How many groups there are."""
        calls = [
            self._partitions.call(home, b"ZCARD", b"%bgn:%d" % (layout.prefix(home), app))
            for home in range(self._partitions.count)
        ]
        return sum(msgspec.convert(await gathered(calls), list[int]))

    async def find(self, app: int, group: str) -> ChatGroup | None:
        """In its home; its members are counted where they are."""
        if await self._apps.name_of(app) is None:
            return None
        record = await self._sayings.find(app, group)
        if record is None:
            return None
        return ChatGroup(group, record.created_at, record.sequence, await self._count(app, record.number))

    async def page(self, app: int, after: str, limit: int) -> list[ChatGroup]:
        """A page of all homes. Members as of the latest change."""
        if limit <= 0 or await self._apps.name_of(app) is None:
            return []
        groups = await self._partitions.names(LIST, [app], after, limit)
        records = await gathered([self._sayings.find(app, group) for group in groups])
        return [
            ChatGroup(group, record.created_at, record.sequence, record.members)
            for group, record in zip(groups, records, strict=True)
            if record is not None
        ]

    async def members(self, app: int, group: str) -> list[GroupMember] | None:
        """All partitions are asked for theirs."""
        if await self._apps.name_of(app) is None:
            return None
        record = await self._sayings.find(app, group)
        if record is None:
            return None
        count = self._partitions.count
        members: list[GroupMember] = []
        replies = await self._partitions.run_all(MEMBERS, [app, record.number])
        for partition, reply in enumerate(replies):
            assert isinstance(reply, list)
            for place, name in zip(reply[::2], reply[1::2], strict=True):
                assert isinstance(place, int)
                assert isinstance(name, bytes)
                members.append(GroupMember(name.decode(), place * count + partition))
        return sorted(members, key=lambda member: member.device)

    async def change(
        self, app: int, group: str, add: Sequence[int], remove: Sequence[int], now: int
    ) -> MembersChanged:
        """First it is looked who comes, and the group's home gives places for them; then who leaves goes, and
        who comes is put in. A change that dies in between has its places for a while."""
        record = None if await self._apps.name_of(app) is None else await self._sayings.find(app, group)
        if record is None:
            raise GroupNotFound
        number = record.number
        wanted, going = sorted(set(add)), sorted(set(remove) - set(add))
        members = await self._count(app, number)
        looked = await self._join(app, number, wanted, LOOK)
        self._refuse_crowded(looked)
        coming = [ordinal for ordinal, code in zip(wanted, looked, strict=True) if code == ADDED]
        staying = [ordinal for ordinal, code in zip(wanted, looked, strict=True) if code == MEMBER]
        token = os.urandom(NUMBER).hex().encode()
        if coming:
            await self._seat(app, group, number, token, len(coming), going)
        await self._leave(app, number, going)
        await self._join(app, number, staying, MEND)
        joined = await self._join(app, number, coming, DO)
        if any(isinstance(code, bytes) for code in joined):  # other groups have taken one in since
            await self._leave(app, number, coming)
        after = await self._count(app, number)
        if not await self._note(app, group, number, token, after):
            await self._leave(app, number, wanted)  # it was deleted meanwhile
            raise GroupNotFound
        self._refuse_crowded(joined)
        added = len(joined) - joined.count(NO_DEVICE)
        return MembersChanged(added, max(0, members + added - after), after)

    async def _seat(
        self, app: int, group: str, number: bytes, token: bytes, coming: int, going: Sequence[int]
    ) -> None:
        """Has the home give places to who comes; waits for others that may leave some.

        Raises `GroupNotFound`, `GroupTooLarge`, and `Overloaded` when too many change it at once.
        """
        home, most = self._sayings.home_of(app, group), self._bounds.members
        counted: tuple[Word, ...] = (b"", 0, 0)
        for _ in range(TRIES):
            args = [app, group, number, token, coming, most, KEPT, *counted]
            reply = await self._partitions.run(home, SEAT, args, durable=True)
            if reply is None:
                raise GroupNotFound
            if reply == SEATED:
                return
            if reply == FULL:
                raise GroupTooLarge(details=[("members", f"at most {most} members")])
            if reply == WAIT:
                await asyncio.sleep(spread(PAUSE))
                counted = (b"", 0, 0)
            else:
                (version,) = msgspec.convert(reply, tuple[bytes])
                counted = (version, await self._count(app, number), await self._there(app, group, going))
        raise Overloaded("too many change the members of this group at once")

    async def _note(self, app: int, group: str, number: bytes, token: bytes, members: int) -> bool:
        """Notes how many members there are, and gives places back; False when the group is gone."""
        home = self._sayings.home_of(app, group)
        return await self._partitions.run(home, NOTE, [app, group, number, token, members], durable=True) == 1

    async def _there(self, app: int, group: str, ordinals: Sequence[int]) -> int:
        if not ordinals:
            return 0
        members = await self.members(app, group) or []
        return len({member.ordinal for member in members}.intersection(ordinals))

    async def _count(self, app: int, number: bytes) -> int:
        return sum(msgspec.convert(await self._partitions.run_all(COUNT, [app, number]), list[int]))

    async def _join(self, app: int, number: bytes, ordinals: Sequence[int], do: int) -> list[Reply]:
        """Puts devices in, or looks whether they can be; what `join_groups.lua` says of each."""
        return await self._each(JOIN, [app, number, self._bounds.device_groups, do], ordinals)

    def _refuse_crowded(self, codes: Sequence[Reply]) -> None:
        for code in codes:
            if isinstance(code, bytes):
                raise TooManyGroups(
                    f"a device is in {self._bounds.device_groups} groups, as many as it may",
                    details=[("members", f"{code.decode()} is in as many groups as it may")],
                )

    async def _leave(self, app: int, number: bytes, ordinals: Sequence[int]) -> None:
        await self._each(LEAVE, [app, number, LEFT_GROUP], ordinals)

    async def _each(self, work: Script, head: Sequence[Word], ordinals: Sequence[int]) -> list[Reply]:
        count = self._partitions.count

        def ask(partition: int, part: Sequence[int]) -> Awaitable[Reply]:
            args = [*head, *(ordinal // count for ordinal in part)]
            return self._partitions.run(partition, work, args, durable=True)

        def read(partition: int, part: Sequence[int], reply: Reply) -> list[Reply]:
            assert isinstance(reply, list)
            return reply

        return await scatter(ordinals, lambda ordinal: ordinal % count, ask, read) if ordinals else []

    async def delete(self, app: int, group: str, now: int) -> bool:
        """From the moment that its home says so there is none; then partition by partition."""
        if await self._apps.name_of(app) is None:
            return False
        home = self._sayings.home_of(app, group)
        number = await self._partitions.run(home, FORGET, [app, group, b""], durable=True)
        if not isinstance(number, bytes):
            return False
        await self._end(app, group, number)
        return True

    async def _end(self, app: int, group: str, number: bytes) -> None:
        await self._partitions.run_all(DROP, [app, number, GROUP_DELETED], durable=True)
        home = self._sayings.home_of(app, group)
        await self._partitions.run(home, FORGET, [app, group, number], durable=True)

    async def history(self, app: int, group: str, after: int, limit: int, now: int) -> list[Saying] | None:
        """In its home."""
        if await self._apps.name_of(app) is None:
            return None
        return await self._sayings.history(app, group, after, limit, now)
