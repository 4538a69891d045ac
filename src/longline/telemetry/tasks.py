"""The tasks of a process by name: how many, how old, and whether a kind grows without bound or one is stuck.

Every long-lived task has a name, and tasks whose names differ in their numbers alone are of one kind; those
that nobody named go by the function that they run. asyncio does not say when a task began, and to note it as
each begins would cost every request something: its age is counted from when it was seen first.

A kind **grows** when the fewest that there were in a minute have risen from minute to minute, `GROWS_FOR`
times in a row, and there are `FEW` of them at least: load that comes and goes has minutes with few. It is
over with the first minute that has fewer than the one before.

A task is **stuck** when its owner has said within how many seconds it comes round (`expect`), and it has
waited for one and the same thing for longer than that, and a grace. Tasks that wait for what may never happen
are of no such kind.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final, final
from weakref import WeakKeyDictionary, ref

from longline.model.figures import MAX_TASKS, TaskKind
from longline.telemetry.counters import OTHER
from longline.telemetry.logs import without_secrets

MINUTE: Final = 60.0  # s
GROWS_FOR: Final = 6  # minutes in a row
FEW: Final = 20
GRACE: Final = 60.0  # s beyond what a round takes

LABELS: Final = {"growing": "name", "stuck": "name"}
"""Of what it exports: `growing`, and `stuck`, by the names of tasks."""

MAX_NAME: Final = 200  # characters
REMEMBERED: Final = 1000  # names whose kinds are known

_UNNAMED: Final = re.compile(r"Task-\d+")
_NUMBERS: Final = re.compile(r"\d+|(?<=-)[0-9a-f]{8,}\b")


class _Growth:
    """The fewest tasks of a kind in the minute under way and the one before; how often they have risen."""

    __slots__ = ("before", "fewest", "rises")

    def __init__(self, count: int) -> None:
        self.before: int | None = None
        self.fewest = count
        self.rises = 0

    def turn(self, count: int) -> None:
        """A minute is over."""
        if self.before is not None:
            self.rises = self.rises + 1 if self.fewest > self.before else 0
        self.before, self.fewest = self.fewest, count


class _Wait:
    """What a task waits for, and since when."""

    __slots__ = ("on", "since")

    def __init__(self) -> None:
        self.on: Callable[[], object] | None = None
        self.since = 0.0


@final
class TaskWatch:
    """Looks at the tasks of the running loop, or at those that `tasks` gives. `clock` in seconds.

    `growing`: kinds that grow without bound, and the fewest that there were in the latest whole minute;
    `stuck`: tasks that have not come round, by name, and for how many seconds.
    """

    __slots__ = (
        "_clock",
        "_expected",
        "_first_seen",
        "_growth",
        "_minute",
        "_tasks",
        "_waits",
        "growing",
        "stuck",
    )

    def __init__(
        self,
        clock: Callable[[], float],
        tasks: Callable[[], Iterable[asyncio.Task[object]]] = asyncio.all_tasks,
    ) -> None:
        self._clock = clock
        self._tasks = tasks
        self._first_seen: WeakKeyDictionary[asyncio.Task[object], float] = WeakKeyDictionary()
        self._growth: dict[str, _Growth] = {}
        self._minute = clock()
        self._expected: dict[str, float] = {}
        self._waits: WeakKeyDictionary[asyncio.Task[object], _Wait] = WeakKeyDictionary()
        self.growing: dict[str, int] = {}
        self.stuck: dict[str, int] = {}

    def expect(self, name: str, within: float) -> None:
        """Tasks with this name come round within so many seconds."""
        self._expected[in_kind(name)] = within

    def ages(self) -> list[tuple[asyncio.Task[object], float]]:
        """All tasks, each with how many seconds ago it was seen first."""
        now, seen = self._clock(), self._first_seen
        return [(task, now - seen.setdefault(task, now)) for task in self._tasks()]

    def look(self) -> list[TaskKind]:
        """All kinds, by name; the rarest beyond `MAX_TASKS` as one."""
        now = self._clock()
        counts: Counter[str] = Counter()
        oldest: dict[str, float] = {}
        self.stuck = {}
        for task, age in self.ages():
            name = kind_of(task)
            counts[name] += 1
            oldest[name] = max(oldest.get(name, 0.0), age)
            if name in self._expected:
                self._look_for_rounds(task, name, now)
        self._grow(counts, now)
        common = counts.most_common(MAX_TASKS - 1)
        kinds = [TaskKind(name, count, round(oldest[name], 1)) for name, count in sorted(common)]
        rest = counts.total() - sum(count for _, count in common)
        if rest:
            kinds.append(TaskKind(OTHER, rest, round(max(oldest.values()), 1)))
        return kinds

    def _look_for_rounds(self, task: asyncio.Task[object], name: str, now: float) -> None:
        wait = self._waits.setdefault(task, _Wait())
        waits_for: object = getattr(task, "_fut_waiter", None)  # what asyncio itself has of it
        if waits_for is None or wait.on is None or wait.on() is not waits_for:
            wait.on = None if waits_for is None else ref(waits_for)
            wait.since = now
        elif now - wait.since > self._expected[name] + GRACE:
            self.stuck[name] = max(self.stuck.get(name, 0), round(now - wait.since))

    def _grow(self, counts: Counter[str], now: float) -> None:
        growth = self._growth
        for name in [name for name in growth if name not in counts]:
            del growth[name]
        for name, count in counts.items():
            if name in growth:
                growth[name].fewest = min(growth[name].fewest, count)
            elif len(growth) < MAX_TASKS:
                growth[name] = _Growth(count)
        if now - self._minute >= MINUTE:
            self._minute = now
            for name, of in growth.items():
                of.turn(counts[name])
        self.growing = {
            name: of.before
            for name, of in growth.items()
            if of.rises >= GROWS_FOR and of.before is not None and of.before >= FEW
        }


def kind_of(task: asyncio.Task[object]) -> str:
    """The task's name with `*` for its numbers; the function that it runs where nobody has named it."""
    name = task.get_name()
    if _UNNAMED.fullmatch(name):
        name = getattr(task.get_coro(), "__qualname__", name)
    return in_kind(name)


@lru_cache(maxsize=REMEMBERED)  # each second, while somebody watches, of all tasks: mostly the same names
def in_kind(name: str) -> str:
    """The kind of tasks with this name."""
    return without_secrets(_NUMBERS.sub("*", name))[:MAX_NAME]
