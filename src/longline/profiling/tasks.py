"""What waits on the event loop: its tasks by name, how many, how old, and where.

A task does not say when it began. To note it as each begins would cost every request something; so they are
looked at every ten seconds, and a task is as old as the first look that found it.
"""

import asyncio
import gc
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from types import AsyncGeneratorType, CoroutineType, FrameType, GeneratorType
from typing import Final, final
from weakref import WeakKeyDictionary

from longline.profiling.content import MAX_FRAME, MAX_KINDS, TaskContent, TaskKind
from longline.profiling.frames import in_words, is_own
from longline.telemetry.logs import without_secrets

LOOK_EVERY: Final = 10.0  # s
NOWHERE: Final = "?"
_DEEPEST: Final = 200  # coroutines that wait for each other
_NUMBERS: Final = re.compile(r"\d+|(?<=-)[0-9a-f]{8,}\b")


@final
class TaskAges:
    """When each task was first seen. The node runs `run` as a task of its own."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: WeakKeyDictionary[asyncio.Task[object], float] = WeakKeyDictionary()

    async def run(self) -> None:
        """Looks at them again and again, until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_EVERY)

    def look(self) -> list[tuple[asyncio.Task[object], float]]:
        """The tasks alive on the running loop, each with how many seconds ago it was first seen."""
        now = self._clock()
        seen = self._seen
        return [(task, now - seen.setdefault(task, now)) for task in asyncio.all_tasks()]


def take(ages: TaskAges) -> TaskContent:
    """The tasks of the running loop."""
    found: defaultdict[str, list[tuple[asyncio.Task[object], float]]] = defaultdict(list)
    for task, age in ages.look():
        found[kind_of(task)].append((task, age))
    ranked = sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
    kinds = [
        TaskKind(name, len(tasks), round(max(age for _, age in tasks), 3), _most_wait(tasks))
        for name, tasks in ranked[:MAX_KINDS]
    ]
    return TaskContent(kinds=kinds, left_out=sum(len(tasks) for _, tasks in ranked[MAX_KINDS:]))


def kind_of(task: asyncio.Task[object]) -> str:
    """The task's name with `*` for its numbers; that of its coroutine where nobody gave it one."""
    name = task.get_name()
    if name.startswith("Task-"):
        name = getattr(task.get_coro(), "__qualname__", name)
    return without_secrets(_NUMBERS.sub("*", name))[:MAX_FRAME]


def _most_wait(tasks: list[tuple[asyncio.Task[object], float]]) -> str:
    """Where most of them are: of a crowd, those that are oldest are looked at."""
    oldest = sorted(tasks, key=lambda item: -item[1])[:100]
    places = Counter(where(task) for task, _ in oldest)
    return places.most_common(1)[0][0]


def where(task: asyncio.Task[object]) -> str:
    """The innermost frame of Longline's own that the task waits in, else the innermost of all."""
    own = innermost = NOWHERE
    for frame in _chain(task.get_coro()):
        innermost = in_words(frame)
        if is_own(frame.f_code.co_filename):
            own = innermost
    return innermost if own == NOWHERE else own


def _chain(awaited: object) -> list[FrameType]:
    """The frames of coroutines that wait for each other, outermost first."""
    frames: list[FrameType] = []
    for _ in range(_DEEPEST):
        frame: FrameType | None
        if isinstance(awaited, CoroutineType):
            frame, awaited = awaited.cr_frame, awaited.cr_await
        elif isinstance(awaited, GeneratorType):
            frame, awaited = awaited.gi_frame, awaited.gi_yieldfrom
        elif isinstance(awaited, AsyncGeneratorType):
            frame, awaited = awaited.ag_frame, awaited.ag_await
        else:
            # What drives an asynchronous generator does not say which, and only the collector knows.
            frame, awaited = None, next(filter(_runs, gc.get_referents(awaited)), None)
            if awaited is None:
                break
        if frame is not None:
            frames.append(frame)
    return frames


def _runs(found: object) -> bool:
    return isinstance(found, (CoroutineType, GeneratorType, AsyncGeneratorType))
