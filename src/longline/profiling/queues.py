"""Queues and locks for some seconds: how full queues are, who waits for locks and who holds them.

It looks a hundred times or so, and less often where a look takes long: at most a two-hundredth of the loop's
time goes into it. What happens between two looks is not seen.
"""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from longline.profiling import locks
from longline.profiling.content import AtLock, LockUse, QueueDepth, QueuesContent
from longline.telemetry.tasks import kind_of

POINTS: Final = 120  # of each queue's depth, about
MAX_QUEUES: Final = 200
MAX_LOCKS: Final = 100
MAX_PLACES: Final = 10  # of those who wait for a lock, and of those who hold it
_SPARED: Final = 200  # times what a look takes of the processor goes by until the next

Depths = Callable[[], Mapping[str, float]]
Tasks = Callable[[], Iterable[asyncio.Task[object]]]


class _Lock:
    """One name's uses: how many waited and held at each look, who did, and for how long at most."""

    def __init__(self, looks: int) -> None:
        self.counts = {False: [0] * looks, True: [0] * looks}
        self.places: dict[bool, Counter[tuple[str, str]]] = {False: Counter(), True: Counter()}
        self.longest = {False: 0.0, True: 0.0}


class _Watch:
    """What the looks have found."""

    def __init__(self) -> None:
        self.at: list[float] = []
        self.queues: dict[str, list[float]] = {}
        self.locks: dict[str, _Lock] = {}
        self.left_out = 0
        self._names = locks.LockNames()
        self._since: dict[tuple[asyncio.Task[object], str, bool], float] = {}

    def look(self, now: float, depths: Mapping[str, float], tasks: Iterable[asyncio.Task[object]]) -> None:
        """One more, `now` seconds after the beginning."""
        before = len(self.at)
        self.at.append(round(now, 3))
        for name, depth in depths.items():
            if name in self.queues or len(self.queues) < MAX_QUEUES:
                self.queues.setdefault(name, [0.0] * before).append(depth)
        for series in self.queues.values():
            if len(series) == before:
                series.append(0.0)
        found = locks.look(tasks, self._names)
        self.left_out = max(self.left_out, found.left_out)
        self._use(now, found.uses, before)

    def _use(self, now: float, uses: Iterable[locks.TaskAtLock], before: int) -> None:
        counted: defaultdict[tuple[str, bool], int] = defaultdict(int)
        since: dict[tuple[asyncio.Task[object], str, bool], float] = {}
        for use in uses:
            if use.lock not in self.locks:
                if len(self.locks) == MAX_LOCKS:
                    continue
                self.locks[use.lock] = _Lock(before)
            lock = self.locks[use.lock]
            counted[use.lock, use.holds] += 1
            lock.places[use.holds][kind_of(use.task), use.where] += 1
            whose = (use.task, use.lock, use.holds)
            since[whose] = self._since.get(whose, now)
            lock.longest[use.holds] = max(lock.longest[use.holds], now - since[whose])
        self._since = since
        for name, lock in self.locks.items():
            for holds, counts in lock.counts.items():
                counts.append(counted[name, holds])

    def content(self) -> QueuesContent:
        """All of it; what most waited for comes first."""
        return QueuesContent(
            at=self.at,
            queues=[QueueDepth(name, depth) for name, depth in sorted(self.queues.items())],
            locks=[
                LockUse(
                    name=name,
                    waiting=lock.counts[False],
                    held=lock.counts[True],
                    longest_wait=round(lock.longest[False], 3),
                    longest_hold=round(lock.longest[True], 3),
                    waiters=_commonest(lock.places[False]),
                    holders=_commonest(lock.places[True]),
                )
                for name, lock in sorted(
                    self.locks.items(), key=lambda item: (-sum(item[1].counts[False]), item[0])
                )
            ],
            left_out=self.left_out,
        )


async def take(seconds: float, depths: Depths, tasks: Tasks = asyncio.all_tasks) -> QueuesContent:
    """Watches the running loop's tasks, and the queues whose `depths` are given."""
    watch = _Watch()
    begun = time.monotonic()
    end = begun + seconds
    while True:
        before = time.thread_time()
        watch.look(time.monotonic() - begun, depths(), tasks())
        took = time.thread_time() - before
        left = end - time.monotonic()
        if left <= 0:
            return watch.content()
        await asyncio.sleep(min(max(seconds / POINTS, _SPARED * took), left))


def _commonest(places: Counter[tuple[str, str]]) -> list[AtLock]:
    return [AtLock(task, where, looks) for (task, where), looks in places.most_common(MAX_PLACES)]
