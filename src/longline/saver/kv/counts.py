"""What is counted for each app: in the partition of what is counted, in its step; then at the app's home.

In a partition:

- `ac:<app>` HASH `<hour><kind>` → count since the last batch was made, `an` SET of apps that have any. Hours
  are those since 1970; kinds `m` messages, `d` deliveries, `s` shown, `o` opened, `n` new, `g` gone, `a` who
  was there in the hour, and `A` in the day that begins with it.
- `ab:<app>` HASH: the batch that is to be carried, and `aq` HASH app → the number of its latest batch.
- `ah:<app>:<hour>`, `ad:<app>:<day>` STRING: bitmaps of places that were there, until that is over; `ao` ZSET
  of `h:<app>:<hour>`, `d:<app>:<day>` → the hour at which it is.

At an app's home:

- `st:<app>:<day>` HASH `<hour><kind>` → count, `sm:<app>:<day / 31>` HASH `<day><kind>` → count; each goes by
  itself. `sk:<app>` ZSET of these keys → when they go (s); so do their names here.
- `sq:<app>` HASH partition → number of the latest batch of it that was added: so each is added once, and
  whoever reads knows which of a partition's counts are there already.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Final

import msgspec

from longline.model.statistics import DAY, HOUR, Counted, Counts, KeepCounts
from longline.saver.kv.partitions import SLICE, Partitions, script
from longline.saver.port.statistics import Seen
from longline.store.redis import Reply, Word
from longline.store.scatter import gathered, scatter

DRAIN = script("drain_counts.lua")
KEEP = script("keep_counts.lua")
OPEN = script("open_counts.lua")
READ = script("read_counts.lua")
NOTE_THERE = script("note_there.lua")

KINDS: Final = {
    "m": Counted.MESSAGES,
    "d": Counted.DELIVERIES,
    "s": Counted.SHOWN,
    "o": Counted.OPENED,
    "n": Counted.NEW,
    "g": Counted.GONE,
    "a": Counted.ACTIVE,
}
DAYS: Final = 31  # in one key
READINGS: Final = 5  # of one that batches are carried in the middle of

_Fields = list[bytes]
_Open = tuple[int, _Fields, _Fields, list[bytes | int]]
_Found = dict[int, list[int]]  # by time, one count a kind


class KvCounts:
    """Fulfils `StatisticsStore`."""

    def __init__(self, partitions: Partitions, keep: KeepCounts) -> None:
        self._partitions = partitions
        self._keep = keep
        self._carried: dict[int, list[Word]] = {}  # by partition: app and number of batches that it may

    async def seen(self, batch: Sequence[Seen], now: int) -> None:
        """One script a partition and slice, app by app."""
        count = self._partitions.count
        for item in batch:
            app = item.app

            def ask(partition: int, part: Sequence[int], app: int = app) -> Awaitable[Reply]:
                places = [ordinal // count for ordinal in part]
                return self._partitions.run(partition, NOTE_THERE, [app, now, *places])

            for first in range(0, len(item.ordinals), SLICE):
                await scatter(
                    item.ordinals[first : first + SLICE],
                    lambda ordinal: ordinal % count,
                    ask,
                    lambda partition, part, reply: [None] * len(part),
                )

    async def gather(self, now: int, limit: int) -> bool:
        """Carries batches from all partitions to where they belong. What is old goes by itself."""
        carried, self._carried = self._carried, {}
        replies = await gathered(
            [
                self._partitions.run(
                    partition, DRAIN, [now, limit, *carried.get(partition, ())], durable=True
                )
                for partition in range(self._partitions.count)
            ]
        )
        calls = [
            self._carry(partition, int(app), number, fields)
            for partition, reply in enumerate(replies)
            for app, number, fields in msgspec.convert(reply, list[tuple[bytes, bytes, _Fields]])
        ]
        await asyncio.gather(*calls)
        return len(calls) > 0

    async def _carry(self, partition: int, app: int, number: bytes, fields: _Fields) -> None:
        args: list[Word] = [app, partition, number, self._keep.hours, self._keep.days, *fields]
        await self._partitions.run(self._home_of(app), KEEP, args, durable=True)
        self._carried.setdefault(partition, []).extend((app, number))

    async def read(self, app: int, first: int, last: int, *, by_day: bool, now: int) -> list[Counts]:
        """The partitions, then the home, which tells what has come there from each meanwhile."""
        opened: list[_Open] = []
        added: dict[int, int] = {}
        kept: _Fields = []
        for _ in range(READINGS):
            replies = await self._partitions.run_all(OPEN, [app, now])
            opened = [msgspec.convert(reply, _Open) for reply in replies]
            added, kept = await self._at_home(app, first, last, by_day)
            if all(added.get(partition, 0) <= part[0] for partition, part in enumerate(opened)):
                break
        found: _Found = {}
        _add(found, kept, DAY if by_day else HOUR)
        for partition, (number, batch, fresh, there) in enumerate(opened):
            if added.get(partition, 0) < number:
                _add_hours(found, batch, by_day)
            if added.get(partition, 0) <= number:
                _add_hours(found, fresh, by_day)
                _add_there(found, there, by_day)
        return [Counts(at, *counted) for at, counted in sorted(found.items()) if first <= at < last]

    async def _at_home(self, app: int, first: int, last: int, by_day: bool) -> tuple[dict[int, int], _Fields]:
        """The number of the latest batch of each partition, and what is kept."""
        span = DAY * DAYS if by_day else DAY
        kind = b"sm:" if by_day else b"st:"
        args: list[Word] = [app, kind, first // span, (last - 1) // span]
        reply = await self._partitions.run(self._home_of(app), READ, args)
        added, kept = msgspec.convert(reply, tuple[_Fields, _Fields])
        return dict(zip(map(int, added[::2]), map(int, added[1::2]), strict=True)), kept

    def _home_of(self, app: int) -> int:
        return app % self._partitions.count


def _note(found: _Found, at: int, kind: str, count: int) -> None:
    found.setdefault(at, [0] * len(Counted))[KINDS[kind]] += count


def _add(found: _Found, fields: _Fields, span: int) -> None:
    """Fields that begin with the number of an hour, or of a day."""
    for field, count in zip(fields[::2], fields[1::2], strict=True):
        name = field.decode()
        _note(found, int(name[:-1]) * span, name[-1], int(count))


def _add_hours(found: _Found, fields: _Fields, by_day: bool) -> None:
    """Fields of hours, to those of hours or of days."""
    for field, count in zip(fields[::2], fields[1::2], strict=True):
        name = field.decode()
        at, kind = int(name[:-1]) * HOUR, name[-1]
        if kind != ("a" if by_day else "A"):
            _note(found, at // DAY * DAY if by_day else at, kind.lower(), int(count))


def _add_there(found: _Found, there: Sequence[bytes | int], by_day: bool) -> None:
    for span, period, count in zip(there[::3], there[1::3], there[2::3], strict=True):
        if (span == b"d") == by_day:
            _note(found, int(period) * (DAY if by_day else HOUR), "a", int(count))
