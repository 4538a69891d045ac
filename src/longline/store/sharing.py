"""Bounded work, shared among partitions by how much of it waits in each."""

import random
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from longline.store.calls import Reply
from longline.store.scatter import ask_all, gathered


def shares(counts: Sequence[int], limit: int, first: int) -> dict[int, int]:
    """How much of `limit` each partition gets in which something waits: as much as others, or all it has.

    `counts`: how much waits in each. Where there is not enough for one apiece, those from `first` on get
    some; it is another each time, so that nobody always has to stand back.
    """
    some = [partition for partition in (*range(first, len(counts)), *range(first)) if counts[partition]]
    some = sorted(some[:limit], key=counts.__getitem__)
    parts: dict[int, int] = {}
    for left, partition in zip(range(len(some), 0, -1), some, strict=True):
        part = parts[partition] = min(counts[partition], -(-limit // left))
        limit -= part
    return parts


async def work_off(
    partitions: int,
    limit: int,
    size: int,
    waiting: Callable[[int], Awaitable[Reply]],
    work: Callable[[int, int], Awaitable[Reply]],
) -> int:
    """Has partitions do at most `limit` of what waits in them; how much was done.

    `waiting` asks one how much that is. `work` has it do some of that, and say how much it did: at most
    `size` in one call, which so holds up nobody for long. Where that is less than its share, all are asked
    again, unless nobody did anything.
    """
    done = 0
    while done < limit:
        counts = msgspec.convert(await ask_all(partitions, waiting), list[int])
        parts = shares(counts, limit - done, random.randrange(partitions))
        calls = [work(partition, min(part, size)) for partition, part in parts.items()]
        took = sum(msgspec.convert(await gathered(calls), list[int]))
        done += took
        if not took or all(part <= size for part in parts.values()):
            break
    return done
