"""What waits on the event loop: its tasks by name, how many, how old, and where."""

import asyncio
import gc
from collections import Counter, defaultdict
from types import AsyncGeneratorType, CoroutineType, FrameType, GeneratorType
from typing import Final

from longline.profiling.content import MAX_KINDS, TaskContent, TasksOfKind
from longline.profiling.frames import in_words, is_own
from longline.telemetry.tasks import TaskWatch, kind_of

NOWHERE: Final = "?"
_DEEPEST: Final = 200  # coroutines that wait for each other


def take(watch: TaskWatch) -> TaskContent:
    """The tasks that are watched."""
    found: defaultdict[str, list[tuple[asyncio.Task[object], float]]] = defaultdict(list)
    for task, age in watch.ages():
        found[kind_of(task)].append((task, age))
    ranked = sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
    kinds = [
        TasksOfKind(name, len(tasks), round(max(age for _, age in tasks), 3), _most_wait(tasks))
        for name, tasks in ranked[:MAX_KINDS]
    ]
    return TaskContent(kinds=kinds, left_out=sum(len(tasks) for _, tasks in ranked[MAX_KINDS:]))


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
