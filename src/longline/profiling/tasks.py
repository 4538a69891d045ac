"""What waits on the event loop: its tasks by name, how many, how old, and where."""

import asyncio
from collections import Counter, defaultdict

from longline.profiling.content import MAX_KINDS, TaskContent, TasksOfKind
from longline.profiling.coroutines import chain, place
from longline.telemetry.tasks import TaskWatch, kind_of


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
    return place(chain(task))
