"""What this room knows of the others: which topic filters have subscribers there.

A neighbour is in *doubt* from when it is met until its whole table has been read, and again whenever commands
may have been lost: until it has told its table anew, every message goes to it. So too much is sent for a
moment, and nothing is missed. A table that is read again is compared with what was known: only what
has changed touches the index.

At most `limit` filters are kept of all neighbours together, with `DEEP` times as many levels. A neighbour
whose next filter would be one too many is taken to want all of that app: as if it had subscribed to `#`. So
is each while it takes too many looks to know who wants a topic.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

from longline.room.pubsub.subscriptions import Subscriber, Subscriptions

SLICE: Final = 1000  # filters removed before the loop may serve others
EVERYTHING: Final = "#"
DEEP: Final = 2
LOOKS: Final = 10_000  # for one topic

Filters = dict[int, set[str]]  # by app


class Neighbour:
    """Another room. `heard_at` and `asked_at` in seconds; `asked` counts questions without an answer."""

    __slots__ = (
        "asked",
        "asked_at",
        "doubtful",
        "filters",
        "heard_at",
        "name",
        "overfull",
        "reading",
        "stale",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.doubtful = True
        self.reading = False  # its whole table has begun and not ended
        self.filters: Filters = {}
        self.stale: Filters = {}  # those of its last table that were not seen in the one being read
        self.overfull: set[int] = set()  # apps of which we could not keep all its filters
        self.heard_at = 0.0
        self.asked_at = float("-inf")
        self.asked = 0


class Neighbours:
    """The other rooms by name, and the index of their filters. `size`: filters in the index; `levels`: of the
    index. `visited`: what the latest `takers` has cost.
    """

    def __init__(self, limit: int) -> None:
        self.by_name: dict[str, Neighbour] = {}
        self.doubtful: list[Neighbour] = []
        self.size = 0
        self.levels = 0
        self.visited = 0
        self._limit = limit
        self._apps: dict[int, Subscriptions[Neighbour]] = {}
        self._stale: deque[Neighbour] = deque()  # some of whose filters are to go
        self._work = asyncio.Event()

    @property
    def half_empty(self) -> bool:
        """Whether there is room again for filters that there was none for."""
        return 2 * self.size < self._limit and 2 * self.levels < DEEP * self._limit

    def takers(self, app: int, topic: str) -> Sequence[str]:
        """The names of the rooms that a message must go to."""
        index = self._apps.get(app)
        found: Sequence[Subscriber[Neighbour]] = ()
        self.visited = 0
        if index is not None:
            known = index.match(topic, LOOKS)
            self.visited = index.visited
            if known is None:
                return list(self.by_name)
            found = known
        if not self.doubtful:
            return [subscriber.who.name for subscriber in found]
        certain = [subscriber.who.name for subscriber in found if not subscriber.who.doubtful]
        return certain + [neighbour.name for neighbour in self.doubtful]

    def meet(self, name: str) -> Neighbour:
        """A room that nothing is known of yet."""
        neighbour = self.by_name[name] = Neighbour(name)
        self.doubtful.append(neighbour)
        return neighbour

    def doubt(self, neighbour: Neighbour) -> None:
        """What is known of it may be wrong. A table under way may have lost its beginning."""
        neighbour.reading = False
        neighbour.asked = 0
        if not neighbour.doubtful:
            neighbour.doubtful = True
            self.doubtful.append(neighbour)

    def begin(self, neighbour: Neighbour) -> None:
        """Its whole table follows: `learn` until `complete`."""
        neighbour.reading = True
        neighbour.overfull = set()
        for app, filters in neighbour.filters.items():
            neighbour.stale.setdefault(app, set()).update(filters)
        neighbour.filters = {}

    def learn(self, neighbour: Neighbour, filters: Iterable[tuple[int, str]]) -> None:
        """It has subscribers for these."""
        for app, filter in filters:
            if app in neighbour.overfull:
                continue
            known = neighbour.filters.get(app)
            if known is None:
                known = neighbour.filters[app] = set()
            if filter in known:
                continue
            stale = neighbour.stale.get(app)
            if stale is not None and filter in stale:
                stale.remove(filter)
                known.add(filter)
                continue
            if self.size >= self._limit or self.levels >= DEEP * self._limit:
                neighbour.overfull.add(app)
                filter = EVERYTHING
                if filter in known:
                    continue
            known.add(filter)
            self._enter(app, filter, neighbour)

    def unlearn(self, neighbour: Neighbour, filters: Iterable[tuple[int, str]]) -> None:
        """It has no subscribers for these any more."""
        for app, filter in filters:
            if app in neighbour.overfull and filter == EVERYTHING:
                continue
            for known in (neighbour.filters, neighbour.stale):
                of_app = known.get(app)
                if of_app is not None and filter in of_app:
                    of_app.remove(filter)
                    if not of_app:
                        del known[app]
                    self._leave(app, filter, neighbour)

    def complete(self, neighbour: Neighbour) -> None:
        """Its whole table has been read: what was not in it is to go, and all doubt."""
        if not neighbour.reading:
            return  # the end of a table that was begun before a doubt
        neighbour.reading = False
        neighbour.asked = 0
        if neighbour.doubtful:
            neighbour.doubtful = False
            self.doubtful.remove(neighbour)
        self._sweep_soon(neighbour)

    def part(self, name: str) -> None:
        """The room is gone, and its filters are to go."""
        neighbour = self.by_name.pop(name)
        if neighbour.doubtful:
            self.doubtful.remove(neighbour)
        self.begin(neighbour)
        neighbour.reading = False
        self._sweep_soon(neighbour)

    def _sweep_soon(self, neighbour: Neighbour) -> None:
        if neighbour.stale:
            self._stale.append(neighbour)
            self._work.set()

    async def sweep(self) -> None:
        """Waits for something that is stale, and takes it out of the index, in slices."""
        await self._work.wait()
        self._work.clear()
        while self._stale:
            await self._clear(self._stale.popleft())

    async def _clear(self, neighbour: Neighbour) -> None:
        """Until another table of this room begins: then it is not known any more what is stale."""
        done = 0
        while neighbour.stale and not neighbour.reading:
            app, of_app = next(iter(neighbour.stale.items()))
            if not of_app:
                del neighbour.stale[app]
                continue
            self._leave(app, of_app.pop(), neighbour)
            done += 1
            if done % SLICE == 0:
                await asyncio.sleep(0)

    def _enter(self, app: int, filter: str, neighbour: Neighbour) -> None:
        index = self._apps.get(app)
        if index is None:
            index = self._apps[app] = Subscriptions()
        self.levels -= index.levels
        self.size += index.add(filter, Subscriber(neighbour, 1))
        self.levels += index.levels

    def _leave(self, app: int, filter: str, neighbour: Neighbour) -> None:
        index = self._apps.get(app)
        if index is not None:
            self.levels -= index.levels
            self.size -= index.remove(filter, neighbour)
            self.levels += index.levels
            if not index.size:
                del self._apps[app]
