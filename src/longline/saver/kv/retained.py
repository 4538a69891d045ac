"""Retained messages: those of an app in eight partitions, each in that of its topic.

- `rt:<app>` ZSET of topics, all with score 0: so they stand in the order of their bytes.
- `rb:<app>` HASH topic → message, as `saver/publications.py` packs it.
- `re:<app>` ZSET topic → when it is over (ms), of those that ever are. `rd` ZSET app → the soonest of these.
- `rn` HASH app → what its messages here count in bytes. `rm` STRING: how many there are here of all apps.
- `rg:<app>` HASH name of a device that is gone → up to when (ms) what it has published goes; with how far
  that has come under the empty name. `rq` ZSET of apps that have any such.
- `ra` SET of apps that may have any; an app is there in the first of its partitions, from before its first
  message on. So an app that uses none of this costs who subscribes one look.

A filter without wildcards is one read in one partition. One with wildcards is a walk in all eight, which
looks at a bounded number of topics in each; what they find is put in order up to where all of them have
looked. Bodies are only read of what goes on the page. With more partitions to an app, writes would be spread
further than any one app needs, and each walk would cost more.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from zlib import crc32

import msgspec

from longline.errors import StoreError
from longline.flow.lru import LruCache
from longline.model.pubsub import Publication
from longline.saver.kv import layout
from longline.saver.kv.apps import KvApps
from longline.saver.kv.partitions import Partitions, script
from longline.saver.kv.routing import a_token
from longline.saver.port.retained import FindRetained, Retain, RetainedPage
from longline.saver.publications import OVERHEAD, pack_publication, unpack_publication
from longline.saver.topic_order import NOWHERE, first_topic, has_wildcards
from longline.store.redis import Reply, Word
from longline.store.scatter import Spare, scatter
from longline.telemetry.faults import Faults

MARK = script("mark_retained.lua")
KEEP = script("keep_retained.lua")
WALK = script("walk_retained.lua")
READ = script("read_retained.lua")
COUNT = script("count_retained.lua")
EXPIRE = script("expire_retained.lua")
NOTE_GONE = script("note_gone_senders.lua")
CLEAR_GONE = script("clear_gone_senders.lua")

SPREAD: Final = 8  # partitions of an app
LOOKS: Final = 2000  # topics that one call looks at, in all partitions, and FEWEST for each walk in any case
FEWEST: Final = 16
WALKS: Final = 32  # filters in one script, so that it holds up nobody for long
SPARE: Final = 8  # topics that a partition is asked for beyond its part of a page
APPS: Final = 10_000  # of which it is remembered what they have
MARKED_FOR: Final = 60.0  # s after which an app is noted again among those that have any
KNOWN_FOR: Final = 600.0  # s that what an app has is believed of partitions that nothing was written to; and
DOUBTED: Final = 1.0  # s where it has half of what it may, or more


class _Item(NamedTuple):
    """What is to be kept, and where."""

    partition: int
    retain: Retain
    topic: bytes
    stored: bytes

    @property
    def size(self) -> int:
        """Bytes that it counts, about."""
        return OVERHEAD + len(self.topic) + len(self.stored) if self.stored else 0


@dataclass
class _Holdings:
    """What an app has in each of its partitions, as far as this process knows: messages and bytes."""

    parts: dict[int, tuple[int, int]]
    asked_at: float
    most: int  # that it may have, and what they may add up to
    most_bytes: int
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)  # of whoever fills the last of its room

    def total(self) -> tuple[int, int]:
        return sum(messages for messages, _ in self.parts.values()), sum(
            used for _, used in self.parts.values()
        )


class _Walk(NamedTuple):
    """One filter in one partition; `script` tells those apart that are in different ones there."""

    partition: int
    script: int
    find: FindRetained
    share: int
    looks: int


class _Place(NamedTuple):
    """A topic of an app, in its partition."""

    partition: int
    app: int
    topic: str


_Walked = tuple[str, list[tuple[str, int]]]  # where to go on, topics and what each counts in bytes
_Chosen = tuple[list[str], str]  # topics of a page, and where the next one begins


class KvRetained:
    """Fulfils `RetainedStore`. `max_messages` and `max_bytes` are those of an app.

    Each partition keeps them by what this process knows of the others: what the last script there answered,
    or what it asked for. Topics are spread evenly, so who writes many hears of all partitions. Far from the
    bounds, they work at once; where a batch could go over them, one after the other.
    """

    def __init__(
        self,
        partitions: Partitions,
        apps: KvApps,
        faults: Faults,
        *,
        max_messages: int,
        max_bytes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._partitions = partitions
        self._apps = apps
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._clock = clock
        self._marked: LruCache[int, float] = LruCache(APPS)
        self._holdings: LruCache[int, _Holdings] = LruCache(APPS)
        place = "saver.retained"
        self._not_kept: Spare[_Item, str | None] = Spare(faults, place, lambda item: StoreError.code)
        self._not_walked: Spare[_Walk, _Walked] = Spare(faults, place, lambda walk: (NOWHERE, []))
        self._not_read: Spare[_Place, bytes | None] = Spare(faults, place, lambda place: None)

    def _partitions_of(self, app: int) -> list[int]:
        """All that an app's messages may be in, its home first."""
        count = self._partitions.count
        spread = min(SPREAD, count)
        return [(app + part * count // spread) % count for part in range(spread)]

    def _partition_of(self, app: int, topic: str) -> int:
        partitions = self._partitions_of(app)
        return partitions[crc32(topic.encode()) % len(partitions)]

    async def _held(self, app: int) -> dict[int, tuple[int, int]]:
        """What an app has in each of its partitions."""
        partitions = self._partitions_of(app)
        replies = await asyncio.gather(*(self._partitions.run(each, COUNT, [app]) for each in partitions))
        return dict(zip(partitions, msgspec.convert(replies, list[tuple[int, int]]), strict=True))

    # --- keeping ---

    async def keep(self, batch: Sequence[Retain]) -> list[str | None]:
        """One script a partition, and for apps that may go over their bounds one after the other."""
        numbers = {item.app for item in batch}
        names = await asyncio.gather(*map(self._apps.name_of, numbers))
        known = {app for app, name in zip(numbers, names, strict=True) if name is not None}
        await asyncio.gather(*map(self._mark, known), *map(self._look, known))
        items: dict[int, list[tuple[int, _Item]]] = {}
        for index, retain in enumerate(batch):
            if retain.app in known:
                self._bound(retain)
                items.setdefault(retain.app, []).append((index, self._item(retain)))
        at_once: list[tuple[int, _Item]] = []
        in_turn: list[list[tuple[int, _Item]]] = []
        for app, some in items.items():
            if self._has_room(app, [item for _, item in some]):
                at_once += some
            else:
                in_turn.append(some)
        codes: list[str | None] = ["app_not_found"] * len(batch)
        for some, found in zip(
            [at_once, *in_turn],
            await asyncio.gather(
                self._put([item for _, item in at_once]),
                *(self._put_in_turn([item for _, item in some]) for some in in_turn),
            ),
            strict=True,
        ):
            for (index, _), code in zip(some, found, strict=True):
                codes[index] = code
        return codes

    def _bound(self, retain: Retain) -> None:
        """Notes what the app may have now."""
        holdings = self._holdings.get(retain.app)
        if holdings is not None:
            holdings.most = retain.most or self._max_messages
            holdings.most_bytes = retain.most_bytes or self._max_bytes

    def _item(self, retain: Retain) -> _Item:
        publication = retain.publication
        over = not publication.payload or 0 < publication.expires_at <= retain.now
        return _Item(
            self._partition_of(retain.app, publication.topic),
            retain,
            publication.topic.encode(),
            b"" if over else pack_publication(publication),
        )

    async def _mark(self, app: int) -> None:
        """Notes that an app may have retained messages, before it has any."""
        now = self._clock()
        marked = self._marked.get(app)
        if marked is None or now - marked >= MARKED_FOR:
            await self._partitions.run(self._partitions_of(app)[0], MARK, [app], durable=True)
            self._marked.put(app, now)

    async def _look(self, app: int) -> _Holdings:
        """What an app has, asked for anew when that may be wrong by now."""
        holdings = self._holdings.get(app)
        now = self._clock()
        if holdings is not None:
            messages, used = holdings.total()
            scarce = 2 * messages > holdings.most or 2 * used > holdings.most_bytes
            if now - holdings.asked_at < (DOUBTED if scarce else KNOWN_FOR):
                return holdings
        parts = await self._held(app)
        if holdings is None:
            holdings = _Holdings(parts, now, self._max_messages, self._max_bytes)
            self._holdings.put(app, holdings)
        else:
            holdings.parts, holdings.asked_at = parts, now
        return holdings

    def _has_room(self, app: int, items: Sequence[_Item]) -> bool:
        """Whether an app stays within its bounds whatever these messages replace."""
        holdings = self._holdings.get(app)
        if holdings is None:
            return False
        messages, used = holdings.total()
        new = sum(item.stored != b"" for item in items)
        size = sum(item.size for item in items)
        return messages + new <= holdings.most and used + size <= holdings.most_bytes

    async def _put(self, items: Sequence[_Item]) -> list[str | None]:
        if not items:
            return []
        return await scatter(
            items, lambda item: item.partition, self._ask_to_keep, self._read_codes, self._not_kept
        )

    async def _put_in_turn(self, items: Sequence[_Item]) -> list[str | None]:
        """Partition by partition, so that each knows what those before it took."""
        holdings = await self._look(items[0].retain.app)
        codes: dict[int, str | None] = {}
        async with holdings.turn:
            for partition in dict.fromkeys(item.partition for item in items):
                some = [index for index, item in enumerate(items) if item.partition == partition]
                codes.update(zip(some, await self._put([items[index] for index in some]), strict=True))
        return [codes[index] for index in range(len(items))]

    def _ask_to_keep(self, partition: int, part: Sequence[_Item]) -> Awaitable[Reply]:
        args: list[Word] = []
        for app, items in _by_app(part).items():
            holdings = self._holdings.get(app)
            messages, used = (0, 0) if holdings is None else holdings.total()
            here = (0, 0) if holdings is None else holdings.parts[partition]
            last = items[-1].retain
            args += app, len(items), last.most or self._max_messages, last.most_bytes or self._max_bytes
            args += messages - here[0], used - here[1]
            for item in items:
                args += item.topic, item.retain.publication.expires_at, item.stored
        return self._partitions.run(partition, KEEP, args, durable=True)

    def _read_codes(self, partition: int, part: Sequence[_Item], reply: Reply) -> list[str | None]:
        replies = msgspec.convert(reply, list[list[int] | None])
        codes: dict[int, Iterator[str | None]] = {}
        for (app, items), told in zip(_by_app(part).items(), replies, strict=True):
            if told is None:
                codes[app] = iter(["app_not_found"] * len(items))
                continue
            messages, used, *refused = told
            holdings = self._holdings.get(app)
            if holdings is not None:
                holdings.parts[partition] = messages, used
            codes[app] = iter(["quota_exceeded" if no else None for no in refused])
        return [next(codes[item.retain.app]) for item in part]

    # --- finding ---

    async def find(self, batch: Sequence[FindRetained]) -> list[RetainedPage]:
        """A look at which apps have any; then walks; then bodies: a round trip each."""
        apps = await self._with_any({item.app for item in batch})
        wild = [item for item in batch if item.app in apps and has_wildcards(item.filter)]
        walked = iter(await self._walk(wild))
        chosen: list[_Chosen] = []
        for item in batch:
            if item.app not in apps:
                chosen.append(([], NOWHERE))
            elif has_wildcards(item.filter):
                chosen.append(_choose(item, next(walked)))
            else:
                chosen.append(([item.filter] if item.filter >= item.start else [], NOWHERE))
        places = [
            _Place(self._partition_of(item.app, topic), item.app, topic)
            for item, (topics, _) in zip(batch, chosen, strict=True)
            for topic in topics
        ]
        bodies = iter(await self._read(places))
        pages = []
        for item, (topics, following) in zip(batch, chosen, strict=True):
            found: list[Publication] = []
            for topic in topics:
                stored = next(bodies)
                if stored is not None:  # else it ended a moment ago
                    publication = unpack_publication(topic, stored)
                    if not 0 < publication.expires_at <= item.now:
                        found.append(publication)
            pages.append(RetainedPage(tuple(found), following))
        return pages

    async def _with_any(self, apps: set[int]) -> set[int]:
        """Those of these apps that may have retained messages."""
        unknown = [app for app in apps if app not in self._marked]
        homes = [self._partitions_of(app)[0] for app in unknown]
        replies = await asyncio.gather(
            *(
                self._partitions.call(home, "SISMEMBER", layout.prefix(home) + b"ra", app)
                for app, home in zip(unknown, homes, strict=True)
            )
        )
        none = {app for app, reply in zip(unknown, replies, strict=True) if reply != 1}
        for app in set(unknown) - none:
            self._marked.put(app, self._clock() - MARKED_FOR)  # remembered, and noted again by who keeps one
        return apps - none

    async def _walk(self, finds: Sequence[FindRetained]) -> list[list[_Walked]]:
        """For each filter, what it finds in each partition."""
        if not finds:
            return []
        count = self._partitions.count
        spread = min(SPREAD, count)
        looks = max(FEWEST, LOOKS // (spread * len(finds)))
        walks = [
            _Walk(partition, index // WALKS, find, 2 * find.limit // spread + SPARE, looks)
            for index, find in enumerate(finds)
            for partition in self._partitions_of(find.app)
        ]
        found = await scatter(
            walks,
            lambda walk: walk.script * count + walk.partition,
            self._ask_to_walk,
            self._read_walks,
            self._not_walked,
        )
        return [found[start : start + spread] for start in range(0, len(found), spread)]

    def _ask_to_walk(self, place: int, part: Sequence[_Walk]) -> Awaitable[Reply]:
        args: list[Word] = [part[0].looks]
        for walk in part:
            find = walk.find
            args += find.app, find.filter, max(find.start, first_topic(find.filter)), walk.share
        return self._partitions.run(place % self._partitions.count, WALK, args)

    def _read_walks(self, place: int, part: Sequence[_Walk], reply: Reply) -> list[_Walked]:
        found: list[_Walked] = []
        for words in msgspec.convert(reply, list[list[bytes | int]]):
            at, *topics = [word.decode() for word in words if isinstance(word, bytes)]
            sizes = [word for word in words if isinstance(word, int)]
            found.append((at, list(zip(topics, sizes, strict=True))))
        return found

    async def _read(self, places: Sequence[_Place]) -> Sequence[bytes | None]:
        """What is stored of topics."""
        if not places:
            return ()

        def ask(partition: int, part: Sequence[_Place]) -> Awaitable[Reply]:
            args: list[Word] = []
            for place in part:
                args += place.app, place.topic
            return self._partitions.run(partition, READ, args)

        def read(partition: int, part: Sequence[_Place], reply: Reply) -> list[bytes | None]:
            return msgspec.convert(reply, list[bytes | None])

        return await scatter(places, lambda place: place.partition, ask, read, self._not_read)

    async def count(self, app: int) -> int:
        """Asks all partitions of the app."""
        return sum(messages for messages, _ in (await self._held(app)).values())

    # --- what is over ---

    async def leave(self, app: int, devices: Sequence[str], now: int) -> None:
        """These devices are gone, or about to be: what they have published by `now` (ms) goes, in slices."""
        if devices and app in await self._with_any({app}):
            await self._partitions.each(
                NOTE_GONE,
                [(partition, device) for partition in self._partitions_of(app) for device in devices],
                lambda place: place[0],
                lambda place: (app, place[1], now),
                lambda place, reply: None,
                durable=True,
            )

    async def sweep(self, partition: int, now: int, limit: int) -> int:
        """Removes some that are over, or left by devices that are gone; how many it has looked at."""
        removed = msgspec.convert(await self._partitions.run(partition, EXPIRE, [now, limit, a_token()]), int)
        if removed < limit:
            left = await self._partitions.run(partition, CLEAR_GONE, [limit - removed, a_token()])
            removed += msgspec.convert(left, int)
        if removed:
            self._holdings.clear()
        return removed


def _by_app(items: Sequence[_Item]) -> Mapping[int, list[_Item]]:
    apps: dict[int, list[_Item]] = {}
    for item in items:
        apps.setdefault(item.retain.app, []).append(item)
    return apps


def _choose(item: FindRetained, parts: Sequence[_Walked]) -> _Chosen:
    """What goes on a page: in order, no further than every partition has looked, as much as there is room
    for."""
    ends = [at for at, _ in parts if at != NOWHERE]
    end = min(ends, default=NOWHERE)
    found = sorted(
        (topic, size) for _, topics in parts for topic, size in topics if end == NOWHERE or topic < end
    )
    used = 0
    for index, (topic, size) in enumerate(found):
        used += size
        if index == item.limit or (index and used > item.limit_bytes):
            return [topic for topic, _ in found[:index]], topic
    return [topic for topic, _ in found], end
