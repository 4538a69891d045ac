"""One page of the events of an app, put together from its lanes.

What is on a page depends on nothing but the cursor, the limit and what there is: the first events behind the
cursor, by number, up to the limit or to the one with which they are large. So whoever reads it again gets the
same one. Lanes are asked for a little more than their part of it, and for more where that was not enough.
Then those that end before the page does are brought up to its end, see `event_lanes.py`.
"""

from collections.abc import Sequence
from math import inf
from typing import Any, Final

from longline.saver.kv.partitions import Partitions, script
from longline.store.scatter import gathered

READ = script("read_events.lua")

PAGE: Final = 1024 * 1024  # bytes of events after which a page ends
PART: Final = 64 * 1024  # bytes that a lane is asked for at least
READING: Final = 32  # units of the store's work that a page of a lane is, if there is something
SPARE: Final = 16  # events of a lane beyond its part, as lanes are never quite alike

Row = tuple[int, bytes]  # an event by its number, as it is stored


class _Lane:
    """What is known of one: all `rows` up to the number `behind`, and with `more` there may be others above
    that; else those are above `last`, whenever they come."""

    __slots__ = ("begun", "behind", "home", "last", "more", "removed", "rows")

    def __init__(self, home: int, behind: int) -> None:
        self.home = home
        self.behind = behind
        self.last = self.begun = self.removed = 0
        self.more = True
        self.rows: list[Row] = []


class EventReading:
    """Reads one page, of at most `limit` events behind the number `behind`."""

    def __init__(
        self, partitions: Partitions, app: int, homes: Sequence[int], behind: int, limit: int
    ) -> None:
        self._partitions = partitions
        self._app = app
        self._behind = behind
        self._limit = limit
        self._lanes = [_Lane(home, behind) for home in homes]

    async def page(self) -> list[Row]:
        """Its events; none, when there are none behind the cursor."""
        lanes = self._lanes
        part = self._limit if self._limit == 1 else -(-self._limit // len(lanes)) + SPARE * (len(lanes) > 1)
        await self._ask(lanes, part)
        ceiling = inf  # a page never reaches beyond the number that lanes were brought up to
        while True:
            horizon = min((lane.behind for lane in lanes if lane.more), default=inf)
            rows, full = self._cut(min(horizon, ceiling))
            if not full and horizon < ceiling:
                short = [lane for lane in lanes if lane.more and lane.behind <= horizon]
                await self._ask(short, min(part, self._limit - len(rows)))
                continue
            end = rows[-1][0] if rows else max(lane.last for lane in lanes)
            low = [lane for lane in lanes if not lane.more and lane.last < end]
            if not low:
                return rows
            ceiling = end
            await self._ask(low, SPARE, end)

    @property
    def gap(self) -> bool:
        """When it was read: whether events behind the cursor were removed, or are of another queue."""
        begun = min((lane.begun for lane in self._lanes if lane.begun), default=0)
        return 0 < self._behind < max(begun, *(lane.removed for lane in self._lanes))

    def _cut(self, most: float) -> tuple[list[Row], bool]:
        """The page, as far as it is known up to a number; whether that is all of it."""
        size = 0
        known = [row for lane in self._lanes for row in lane.rows if row[0] <= most]
        if len(self._lanes) > 1:
            known.sort()
        for count, (_, member) in enumerate(known, 1):
            size += len(member)
            if size >= PAGE or count == self._limit:
                return known[:count], True
        return known, False

    async def _ask(self, lanes: Sequence[_Lane], limit: int, floor: int = 0) -> None:
        """Has lanes tell what comes next in them, and with a `floor` take it for their last number."""
        size = max(PART, PAGE // len(lanes))
        replies = await gathered(
            [
                self._partitions.run(
                    lane.home, READ, [self._app, lane.behind, limit, size, floor], work=READING
                )
                for lane in lanes
            ]
        )
        for lane, reply in zip(lanes, replies, strict=True):
            found: Any = reply
            lane.last, lane.begun, lane.removed, more, lane.behind, words = found
            lane.more = more == 1
            lane.rows += zip(map(int, words[1::2]), words[::2], strict=True)
