"""What takes a larger part of one profile than of another.

Each sample counts for one function: the innermost that is somebody's source. What runs below it in C, an
allocation or a sum, is its doing. Lines are left out, because they are others in the next release.
"""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Final, NamedTuple

from longline.errors import ProfilesDiffer
from longline.profiling.content import (
    Content,
    CpuContent,
    HeapContent,
    LoopContent,
    QueuesContent,
    TaskContent,
    kind_of,
)

MOST: Final = 1000  # changes that are told

_SOURCE: Final = re.compile(r"\(([^()]*\.pyx?(?::\d+)?|compiled)\)$")
_LINE: Final = re.compile(r":\d+\)$")


class FrameChange(NamedTuple):
    """Of `frame`, its part in the base and in the other, 0 to 1. `place`: the line most of it is at,
    there."""

    frame: str
    base_share: float
    share: float
    place: str


def compare(base: Content, content: Content) -> list[FrameChange]:
    """What changed, the largest growth first. Raises `ProfilesDiffer` for different kinds."""
    if kind_of(base) != kind_of(content):
        raise ProfilesDiffer(f"one profile is of kind {kind_of(base)}, the other of {kind_of(content)}")
    before, _ = _shares(base)
    after, places = _shares(content)
    changes = [
        FrameChange(frame, before.get(frame, 0.0), after.get(frame, 0.0), places.get(frame, frame))
        for frame in before.keys() | after.keys()
    ]
    changes.sort(key=lambda change: (change.base_share - change.share, change.frame))
    if len(changes) > MOST:  # those that grew most, and those that shrank most
        changes = changes[: MOST // 2] + changes[-MOST // 2 :]
    return changes


def function_of(frames: Iterable[str]) -> str:
    """The frame that a sample counts for."""
    last = "?"
    source = ""
    for frame in frames:
        last = frame
        if _SOURCE.search(frame):
            source = frame
    return source or last


def _shares(content: Content) -> tuple[dict[str, float], dict[str, str]]:
    counted: Counter[str] = Counter()
    lines: dict[str, Counter[str]] = {}
    for place, weight in _weights(content):
        frame = _LINE.sub(")", place)
        counted[frame] += weight
        lines.setdefault(frame, Counter())[place] += weight
    total = counted.total() or 1
    shares = {frame: round(weight / total, 6) for frame, weight in counted.items()}
    return shares, {frame: found.most_common(1)[0][0] for frame, found in lines.items()}


def _weights(content: Content) -> list[tuple[str, int]]:
    match content:
        case CpuContent():
            return [(function_of(stack.frames), stack.samples) for stack in content.stacks]
        case HeapContent():
            return [(place.place, max(place.grown, 0)) for place in content.places]
        case TaskContent():
            return [(kind.name, kind.count) for kind in content.kinds]
        case LoopContent():
            return [(function_of(stall.stack), round(1000 * stall.seconds)) for stall in content.stalls]
        case QueuesContent():  # what waits; bytes of what waits would be all that there is
            queues = [each for each in content.queues if not each.name.endswith("_bytes")]
            return [
                *((queue.name, round(sum(queue.depth))) for queue in queues),
                *((lock.name, sum(lock.waiting)) for lock in content.locks),
            ]
