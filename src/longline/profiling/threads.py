"""For how long each thread of this process has had a processor, by the kernel's clock."""

import os
import threading
from collections.abc import Mapping
from typing import NamedTuple

from longline.profiling.content import MAX_THREADS, ThreadTime


class Used(NamedTuple):
    """Seconds of a processor so far."""

    name: str
    seconds: float


def used(number: int) -> float:
    """By a thread, by its number in the kernel; 0.0 when it has ended.

    From the kernel's file, since asking for the clock of a thread that has just ended
    (pthread_getcpuclockid) is asking for a crash.
    """
    try:
        with open(f"/proc/self/task/{number}/schedstat", "rb") as file:
            return int(file.read().split()[0]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def used_by_all() -> dict[int, Used]:
    """By every thread: those of Python by the names that they have there, others by the kernel's."""
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    try:
        numbers = [int(name) for name in os.listdir("/proc/self/task")]
    except OSError:
        return {}
    return {number: Used(names.get(number) or _name(number), used(number)) for number in numbers}


def between(before: Mapping[int, Used], after: Mapping[int, Used]) -> list[ThreadTime]:
    """What each has used meanwhile, the busiest first; those that used nothing are left out."""
    found = [
        ThreadTime(name, round(seconds - (before[number].seconds if number in before else 0.0), 3))
        for number, (name, seconds) in after.items()
    ]
    busiest = sorted(found, key=lambda each: (-each.seconds, each.name))[:MAX_THREADS]
    return [each for each in busiest if each.seconds > 0]


def _name(number: int) -> str:
    try:
        with open(f"/proc/self/task/{number}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return "?"
