"""The partitions of the store, as this engine's scripts are run in them."""

import os
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, TypeVar

import msgspec

from longline.saver.kv import layout
from longline.store.calls import SOME
from longline.store.redis import Reply, Script, Store, Word
from longline.store.scatter import Spare, ask_all, gathered, scatter
from longline.store.sharing import work_off

LUA = "longline.saver.kv.lua"
TOKEN: Final = 8  # bytes that tell a call that is carried out again from another call
SPARE: Final = 1_000  # ms for which an answer is kept beyond that
SLICE: Final = 256  # items that one call of a script gets, so that it holds up nobody for long

K = TypeVar("K", int, bytes)
T = TypeVar("T")
R = TypeVar("R")


class Partitions:
    """A store in parts, numbered from 0. Errors as those of `Store`."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.count = store.partitions
        self._tags = [layout.tag(partition) for partition in range(store.partitions)]
        self._keys = [[layout.prefix(partition)] for partition in range(store.partitions)]
        self._remembered = int(store.longest_call * 1000) + SPARE

    def of(self, app: int, device: str) -> int:
        """The partition of a device, by its name."""
        return self.store.partition_of(app, device)

    def place_from(self, partition: int, ordinal: int) -> int:
        """The first place in a partition whose ordinal is not below this one."""
        return -((partition - ordinal) // self.count)

    def run(
        self,
        partition: int,
        script: Script,
        args: Sequence[Word],
        *,
        durable: bool = False,
        work: int = SOME,
    ) -> Awaitable[Reply]:
        """Carries a script out in one partition. `work`: about how many items it goes through there."""
        tag, keys = self._tags[partition], self._keys[partition]
        return self.store.run(tag, script, keys, args, durable=durable, work=work)

    async def run_all(self, script: Script, args: Sequence[Word], *, durable: bool = False) -> list[Reply]:
        """Carries a script out in every partition, each one step; to be repeated when it is interrupted."""
        return await ask_all(self.count, lambda partition: self.run(partition, script, args, durable=durable))

    def repeatable(self) -> list[Word]:
        """What `repeated.lua` wants of a call: a token, and for how long (ms) it may be carried out again."""
        return [os.urandom(TOKEN), self._remembered]

    async def each(
        self,
        script: Script,
        items: Sequence[T],
        partition_of: Callable[[T], int],
        words: Callable[[T], Iterable[Word]],
        read: Callable[[T, Reply], R],
        *,
        head: Callable[[], Sequence[Word]] = tuple,
        size: int = SLICE,
        spare: Spare[T, R] | None = None,
        durable: bool = False,
    ) -> list[R]:
        """Gives a script its items, at most `size` of a partition in one call; what it says of each.

        Its reply is a list, of which `read` takes one. `head`: words that come before those of the items.
        """
        if not items:
            return []
        count = self.count
        asked: dict[int, int] = {}  # items of each partition
        slots: list[tuple[int, T]] = []
        for item in items:
            partition = partition_of(item)
            before = asked.get(partition, 0)
            asked[partition] = before + 1
            slots.append((before // size * count + partition, item))

        def ask(slot: int, part: Sequence[tuple[int, T]]) -> Awaitable[Reply]:
            args = [*head(), *(word for _, item in part for word in words(item))]
            return self.run(slot % count, script, args, durable=durable, work=len(part))

        def take(slot: int, part: Sequence[tuple[int, T]], reply: Reply) -> list[R]:
            assert isinstance(reply, list)
            return [read(item, one) for (_, item), one in zip(part, reply, strict=True)]

        of_slot: Spare[tuple[int, T], R] | None = None
        if spare is not None:
            instead = spare.instead
            of_slot = Spare(spare.faults, spare.place, lambda slot: instead(slot[1]))
        return await scatter(slots, lambda slot: slot[0], ask, take, of_slot)

    async def page(
        self,
        script: Script,
        partitions: Iterable[int],
        start: K,
        limit: int,
        words: Callable[[int, K, int], Sequence[Word]],
        read: Callable[[int, Reply], tuple[Iterable[T], K | None]],
        key: Callable[[T], K],
    ) -> list[T]:
        """The first items that a script finds in partitions, by `key`: `limit` of them, which is 1 at least.

        Nobody knows beforehand how much of a page is in which partition. So all are asked side by side for a
        share of it, and those that lag behind the page that came of this again, for twice as much, until
        nothing that they have not told can be on it.

        `words`: what the script gets to tell at most so many items of a partition, from a key on, which is
        `start` at first. `read` takes a reply apart: the items, and the key to go on from, below which all is
        told; None where the partition has no more. A script that looks at a part of what there is may tell
        fewer items than it was asked for, or none, and go on.
        """
        places = dict.fromkeys(partitions, start)
        asked = list(places)
        share = limit // max(1, len(asked)) + 2
        items: list[T] = []
        while asked:
            most = min(share, limit)
            replies = await gathered(
                [self.run(at, script, words(at, places[at], most), work=most) for at in asked]
            )
            for partition, reply in zip(asked, replies, strict=True):
                told, following = read(partition, reply)
                items += told
                if following is None:
                    del places[partition]
                else:
                    places[partition] = following
            items.sort(key=key)
            del items[limit:]
            end = key(items[-1]) if len(items) == limit else None
            asked = [partition for partition, place in places.items() if end is None or place < end]
            share *= 2
        return items

    async def names(self, script: Script, head: Sequence[Word], after: str, limit: int) -> list[str]:
        """A page of names, by their bytes, those after the name `after` ("" for the first).

        The script takes `head`, the name after which to begin, and how many; its reply has the last name when
        there may be more, and the names.
        """

        def words(partition: int, behind: bytes, most: int) -> list[Word]:
            return [*head, behind, most]

        def read(partition: int, reply: Reply) -> tuple[list[bytes], bytes | None]:
            last, names = msgspec.convert(reply, tuple[bytes | None, list[bytes]])
            return names, last

        found = await self.page(script, range(self.count), after.encode(), limit, words, read, bytes)
        return [name.decode() for name in found]

    async def share(
        self,
        limit: int,
        waiting: Callable[[int], Awaitable[Reply]],
        work: Callable[[int, int], Awaitable[int]],
        size: int = SLICE,
    ) -> int:
        """Has partitions do at most `limit` of what waits in them, as `work_off` says."""
        return await work_off(self.count, limit, size, waiting, work)

    def call(self, partition: int, *command: Word) -> Awaitable[Reply]:
        """Carries one command out in a partition."""
        return self.store.call(self._tags[partition], *command)


def script(name: str) -> Script:
    """One of this engine's scripts."""
    return Script(LUA, name)
