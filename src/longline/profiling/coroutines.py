"""Coroutines that wait for each other: where a task is, and what it has on the way there."""

import asyncio
import gc
from types import AsyncGeneratorType, CoroutineType, FrameType, GeneratorType
from typing import Final, NamedTuple

from longline.profiling.frames import in_words, is_own

NOWHERE: Final = "?"
_DEEPEST: Final = 200  # coroutines that wait for each other


class Suspended(NamedTuple):
    """A coroutine, or a generator, and its frame."""

    coroutine: object
    frame: FrameType


def chain(task: asyncio.Task[object]) -> list[Suspended]:
    """Those of a task that wait for each other, outermost first."""
    awaited: object = task.get_coro()
    links: list[Suspended] = []
    for _ in range(_DEEPEST):
        frame: FrameType | None
        found = awaited
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
            links.append(Suspended(found, frame))
    return links


def place(links: list[Suspended]) -> str:
    """The innermost frame of Longline's own, else the innermost of all."""
    own = innermost = NOWHERE
    for _, frame in links:
        innermost = in_words(frame)
        if is_own(frame.f_code.co_filename):
            own = innermost
    return innermost if own == NOWHERE else own


def _runs(found: object) -> bool:
    return isinstance(found, (CoroutineType, GeneratorType, AsyncGeneratorType))
