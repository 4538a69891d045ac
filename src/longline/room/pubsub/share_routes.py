"""Which groups of shared subscriptions have members where: what the other rooms are told, and what they tell.

A number is told when it is off by more than an eighth of what was told before: more at once, and fewer after
a while, for most members come right back, and a room that has no member for a message hands it on. So members
that come and go cost other rooms little.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

from longline.model.commands import ForGroups
from longline.room.pubsub.groups import Allotment, OtherRoom
from longline.room.pubsub.neighbours import EVERYTHING, Neighbour, Neighbours
from longline.room.pubsub.relay import RouteCounters
from longline.room.pubsub.shared import Groups

NEAR: Final = 8  # one part in so many
SLICE: Final = 1000  # groups removed before the loop may serve others

Share = tuple[int, str, int]  # app, filter, and how many members
Key = tuple[int, str]


class ShareNews:
    """What the other rooms are told of the groups here."""

    def __init__(self, shares: Groups) -> None:
        self._shares = shares
        self._told: dict[Key, int] = {}
        self._news: dict[Key, None] = {}  # to be told
        self._fewer: dict[Key, None] = {}  # with fewer members, lately
        self._fewer_still: dict[Key, None] = {}  # the same, for longer

    def changed(self, app: int, key: str, members: int) -> bool:
        """A group has so many members here; True when that is to be told at once."""
        told = self._told.get((app, key), 0)
        if not _off(members, told):  # again
            self._fewer.pop((app, key), None)
            self._fewer_still.pop((app, key), None)
            return False
        if members > told:
            self._news[app, key] = None
            return True
        if (app, key) not in self._fewer_still:
            self._fewer[app, key] = None
        return False

    def lapse(self) -> bool:
        """Some time has passed; True when some are to be told for it."""
        self._news.update(self._fewer_still)
        self._fewer_still, self._fewer = self._fewer, {}
        return bool(self._news)

    def hurry(self) -> None:
        """Nobody comes back any more: everything is to be told."""
        for _ in range(2):
            self.lapse()

    @property
    def lapsing(self) -> bool:
        """Whether `lapse` is to be called once more."""
        return bool(self._fewer or self._fewer_still)

    def __bool__(self) -> bool:
        return bool(self._news)

    def take(self) -> list[Share]:
        """What is to be told now, to those who know the rest."""
        taken: list[Share] = []
        for app, key in self._news:
            members = self._shares.members(app, key)
            if _off(members, self._told.get((app, key), 0)):
                taken.append((app, key, members))
                if members:
                    self._told[app, key] = members
                else:
                    del self._told[app, key]
        self._news = {}
        return taken

    def everything(self) -> list[Share]:
        """All that was told, for who knows nothing."""
        for app, key in self._shares.here():
            if (app, key) not in self._told and (app, key) not in self._news:
                self._told[app, key] = self._shares.members(app, key)
        return [(app, key, members) for (app, key), members in self._told.items()]

    def clear(self) -> None:
        """Nobody is there to be told."""
        for gathered in (self._told, self._news, self._fewer, self._fewer_still):
            gathered.clear()


def _off(members: int, told: int) -> bool:
    """Whether a number is too far from what was told. None, and the first few, are exact."""
    return members != told and (not members or abs(members - told) * NEAR > told)


class TheirGroups:
    """What one neighbour has told."""

    __slots__ = ("groups", "overfull", "reading", "room", "stale")

    def __init__(self, name: str) -> None:
        self.room = OtherRoom(name)
        self.groups: set[Key] = set()
        self.stale: set[Key] = set()  # those of its last table that were not seen in the one being read
        self.reading = False  # its whole table has begun and not ended
        self.overfull = False  # we could not keep all of them


class GroupsOfOthers:
    """What the other rooms have told of their groups: of all of them, `limit` are kept.

    A room whose next group would be one too many is asked with every message of that app whether there is
    anything for it to serve.
    """

    def __init__(self, shares: Groups, table: Neighbours, counters: RouteCounters, limit: int) -> None:
        self._counters = counters  # and how many there are
        self._shares = shares
        self._table = table
        self._limit = limit
        self._of: dict[Neighbour, TheirGroups] = {}
        self._overfull: list[Neighbour] = []
        self._stale: deque[TheirGroups] = deque()
        self._work = asyncio.Event()

    def begin(self, neighbour: Neighbour) -> None:
        """Its whole table follows: `learn` until `complete`."""
        told = self._of.get(neighbour)
        if told is not None:
            told.reading = True
            told.stale |= told.groups
            told.groups = set()
            if told.overfull:
                told.overfull = False
                self._overfull.remove(neighbour)

    def learn(self, neighbour: Neighbour, shared: Iterable[Share]) -> None:
        """It has so many members of these groups."""
        told = self._of.get(neighbour)
        for app, key, members in shared:
            if told is None:
                told = self._of[neighbour] = TheirGroups(neighbour.name)
            known = (app, key) in told.groups or (app, key) in told.stale
            told.stale.discard((app, key))
            if members:
                if not known and self._counters.groups >= self._limit:
                    self._too_many(neighbour, told, app)
                    continue
                told.groups.add((app, key))
                self._counters.groups += not known
                self._shares.told(told.room, app, key, members)
            elif known:
                told.groups.discard((app, key))
                self._forget(told, app, key)

    def complete(self, neighbour: Neighbour) -> None:
        """Its whole table has been read."""
        told = self._of.get(neighbour)
        if told is not None and told.reading:
            self._sweep_soon(told)

    def part(self, neighbour: Neighbour) -> None:
        """The room is gone: from now on nothing is for it."""
        self.begin(neighbour)
        told = self._of.pop(neighbour, None)
        if told is not None:
            told.room.gone = True
            self._sweep_soon(told)

    def unsure(self) -> bool:
        """Whether a room may have groups that it has not told of, or that were too many to be kept."""
        return bool(self._table.doubtful or self._overfull)

    def tell(self, nodes: Sequence[str], allotted: Allotment | None) -> dict[str, ForGroups] | None:
        """What a publication that goes to `nodes` says of groups, to each room to which it says something."""
        doubtful = self._table.doubtful
        if allotted is None and not doubtful and not self._overfull:
            return None
        unsure = [neighbour.name for neighbour in doubtful]
        unsure += [room.name for room in self._overfull if not room.doubtful and room.name in nodes]
        keys = {} if allotted is None else allotted.rooms
        told = {name: ForGroups(tuple(keys[name]), only=name not in nodes) for name in keys}
        for name in unsure:
            told[name] = ForGroups(
                tuple(keys.get(name, ())),
                unsure=tuple(unsure),
                served=() if allotted is None else tuple(allotted.all),
            )
        return told

    def room_again(self) -> list[Neighbour]:
        """Those that should be asked again, for now there is room for what they tell."""
        return self._overfull[:] if self._counters.groups < self._limit // 2 else []

    async def sweep(self) -> None:
        """Takes out what is stale, in slices, for as long as the room lives."""
        done = 0
        while True:
            await self._work.wait()
            while self._stale:
                told = self._stale.popleft()
                while told.stale and not told.reading:
                    self._forget(told, *told.stale.pop())
                    done += 1
                    if done % SLICE == 0:
                        await asyncio.sleep(0)
            self._work.clear()

    def _forget(self, told: TheirGroups, app: int, key: str) -> None:
        self._counters.groups -= 1
        self._shares.told(told.room, app, key, 0)

    def _too_many(self, neighbour: Neighbour, told: TheirGroups, app: int) -> None:
        self._table.learn(neighbour, [(app, EVERYTHING)])
        if not told.overfull:
            told.overfull = True
            self._overfull.append(neighbour)

    def _sweep_soon(self, told: TheirGroups) -> None:
        told.reading = False
        if told.stale:
            self._stale.append(told)
            self._work.set()
