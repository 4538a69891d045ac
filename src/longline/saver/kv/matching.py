"""Which sessions a topic is for: first in which partitions, by the app's directory, then who there.

A filter is indexed in the partition of its session, and every publication would have to be looked up in all
partitions. So each app has a *directory* in its home partition: which filters sessions may have, and where.
It is the one place where a topic is matched; other partitions are only asked who has the filters that it
found.

An entry is noted before a session of its partition gets the filter, so what is missing in it is nowhere. When
the last session of a partition has lost the filter, that is noted there (`mv`), and some time later the entry
goes, unless a session has the filter again, or it was noted anew: whoever notes an entry has long entered the
filter by then, or has given up. Entries that are left for want of that cost a look in vain. `directories.py`
sees to it.
"""

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from longline.errors import AppNotFound, TopicTooCostly
from longline.flow.lru import LruCache
from longline.saver.kv.partitions import Partitions, script
from longline.store.redis import Reply, Word
from longline.store.scatter import divide, gathered

NOTE = script("note_filters.lua")
WANTED = script("wanted.lua")
MATCH = script("match_filters.lua")
COUNT = script("count_sessions.lua")

NOTED: Final = 10_000  # entries of directories of which it is remembered that they are there
NOTED_FOR: Final = 60.0  # s after which an entry is noted again before a filter is entered
UNUSED_FOR: Final = 20 * 60_000  # ms without a session or a note, after which one goes
TOPICS: Final = 64  # in one script
COST: Final = 4096  # of topics after which a script begins no further one

Topic = tuple[int, str]  # app, topic
Places = Mapping[int, Sequence[bytes]]  # filters that match, by the partition that has them
Found = Places | str  # or the code of the error by which a publication is declined
Shared = Mapping[str, Sequence[int]]  # groups whose filters match, and the partitions that have them
GROUPS: Final = b"$share/"  # what their filters begin with, which no topic does


class Entry(NamedTuple):
    """A filter that sessions in a partition may have."""

    app: int
    partition: int
    filter: bytes


class _Share(NamedTuple):
    """What of a topic is in one partition."""

    topic: Topic
    partition: int
    filters: Sequence[bytes]


class Matching:
    """`limit`: what a topic may cost in the directory, and how many sessions it may be for in a partition."""

    def __init__(
        self, partitions: Partitions, limit: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._partitions = partitions
        self._limit = limit
        self._clock = clock
        self._noted: LruCache[Entry, float] = LruCache(NOTED)

    def _home(self, app: int) -> int:
        return app % self._partitions.count

    # --- the directory ---

    async def note(self, entries: Sequence[Entry]) -> None:
        """Notes where sessions may have filters, before they do."""
        while True:
            now = self._clock()
            fresh = []
            for entry in dict.fromkeys(entries):
                noted = self._noted.get(entry)
                if noted is None or now - noted >= NOTED_FOR:
                    fresh.append(entry)
            if not fresh:
                return
            await self._partitions.each(
                NOTE,
                fresh,
                lambda entry: self._home(entry.app),
                lambda entry: (entry.app, entry.partition, entry.filter),
                lambda entry, reply: None,
                head=lambda: [UNUSED_FOR],
                durable=True,
            )
            for entry in fresh:
                self._noted.put(entry, now)
            if self._clock() - now < NOTED_FOR:  # else it has taken so long that it may be gone again
                return

    async def wanted(self, apps: Sequence[int]) -> list[bool]:
        """Whether apps have any entry."""
        return await self._partitions.each(
            WANTED, apps, self._home, lambda app: [app], lambda app, reply: reply == 1
        )

    # --- topics ---

    async def match(self, topics: Mapping[Topic, bool]) -> tuple[dict[Topic, Found], dict[Topic, Shared]]:
        """Where filters match each topic, and which; and groups.

        Of topics with True, and of those that are for several partitions, the sessions are counted: they will
        not be declined any more.
        """
        found, groups = await self._look_up(topics)
        shares = [
            _Share(topic, partition, filters)
            for topic, places in found.items()
            if not isinstance(places, str) and (topics[topic] or len(places) > 1)
            for partition, filters in places.items()
        ]
        costly = await self._partitions.each(
            COUNT,
            shares,
            lambda share: share.partition,
            lambda share: (share.topic[0], len(share.filters), *share.filters),
            lambda share, reply: reply == 1,
            head=lambda: [self._limit],
        )
        for share, too_many in zip(shares, costly, strict=True):
            if too_many:
                found[share.topic] = TopicTooCostly.code
        return found, groups

    async def _look_up(self, topics: Iterable[Topic]) -> tuple[dict[Topic, Found], dict[Topic, Shared]]:
        """In the directories: in one round trip, unless topics turn out to cost much."""
        asked = [
            some[start : start + TOPICS]
            for some in divide(topics, lambda topic: topic[0]).values()
            for start in range(0, len(some), TOPICS)
        ]
        found: dict[Topic, Found] = {}
        groups: dict[Topic, Shared] = {}
        while asked:
            replies = await gathered([self._ask(some) for some in asked])
            again: list[list[Topic]] = []
            for some, reply in zip(asked, replies, strict=True):
                assert isinstance(reply, list)
                looked, *entries = reply
                assert isinstance(looked, int)
                if looked < 0:
                    found |= dict.fromkeys(some, AppNotFound.code)
                    continue
                _add_places(found, groups, some[:looked], entries)
                if looked < len(some):
                    again.append(some[looked:])
            asked = again
        return found, groups

    def _ask(self, topics: Sequence[Topic]) -> Awaitable[Reply]:
        """Of topics of one app."""
        app = topics[0][0]
        args: list[Word] = [self._limit, COST, app, *(topic for _, topic in topics)]
        return self._partitions.run(self._home(app), MATCH, args)


def _add_places(
    found: dict[Topic, Found], groups: dict[Topic, Shared], topics: Sequence[Topic], entries: Sequence[Reply]
) -> None:
    """Adds entries of the directory, which came with the numbers of their topics."""
    places: list[dict[int, list[bytes]] | str] = [{} for _ in topics]
    shared: dict[Topic, dict[str, list[int]]] = {}
    for number, entry in zip(entries[::2], entries[1::2], strict=True):
        assert isinstance(number, int)
        place = places[number]
        if not isinstance(entry, bytes):
            places[number] = TopicTooCostly.code
            continue
        filter, _, partition = entry.rpartition(b"\0")
        if filter.startswith(GROUPS):
            shared.setdefault(topics[number], {}).setdefault(filter.decode(), []).append(int(partition))
        elif not isinstance(place, str):
            place.setdefault(int(partition), []).append(filter)
    found |= dict(zip(topics, places, strict=True))
    groups |= shared
