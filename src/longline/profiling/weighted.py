"""Every kind of profile as stacks with a weight: what other tools draw as a flame graph."""

from typing import NamedTuple

from longline.profiling.content import (
    Content,
    CpuContent,
    HeapContent,
    LoopContent,
    QueuesContent,
    TaskContent,
)


class Weighted(NamedTuple):
    """`unit` of the weights, such as `samples` or `bytes`, of `what`. Stacks are outermost first."""

    what: str
    unit: str
    stacks: list[tuple[list[str], int]]


def weighted(content: Content) -> Weighted:
    """The profile as stacks: of a heap a place each, of tasks their kind and where they
    wait, of locks who waits for them."""
    match content:
        case CpuContent():
            return Weighted("cpu", "samples", [(stack.frames, stack.samples) for stack in content.stacks])
        case HeapContent():
            return Weighted("heap", "bytes", [([place.place], place.bytes) for place in content.places])
        case TaskContent():
            return Weighted(
                "tasks", "tasks", [([kind.name, kind.where], kind.count) for kind in content.kinds]
            )
        case LoopContent():
            stalls = [(stall.stack, round(1000 * stall.seconds)) for stall in content.stalls]
            return Weighted("stalls", "milliseconds", stalls)
        case QueuesContent():
            waits = [
                ([lock.name, at.task, at.where], at.looks) for lock in content.locks for at in lock.waiters
            ]
            return Weighted("waits", "looks", waits)
