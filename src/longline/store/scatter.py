"""Asking many partitions: each in one call, all calls in one write, answers in the order of what was asked.

What is asked of a partition is one step there; what is asked of several is several steps, of which some may
have been carried out when another fails. So whoever asks makes calls that bear being repeated.

A script that comes upon something of another kind than it should be is cut short, and with it all items that
it was given. A `Spare` keeps that from the other items: each is tried alone, and the one that fails is
answered for.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from longline.errors import LonglineError, StoreError
from longline.store.calls import Reply
from longline.telemetry.faults import Faults

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Spare(Generic[T, R]):
    """What becomes of an item that the store refuses, or whose answer nobody can read.

    It is noted under `place`, and `instead` answers for it. Where no item at all is left by that, the store
    itself is to blame, and the error is raised.
    """

    faults: Faults
    place: str
    instead: Callable[[T], R]


async def ask_all(partitions: int, ask: Callable[[int], Awaitable[R]]) -> list[R]:
    """What every partition answers, in their order."""
    return await asyncio.gather(*map(ask, range(partitions)))


def divide(items: Iterable[T], partition_of: Callable[[T], int]) -> dict[int, list[T]]:
    """Items by their partition, in the order given."""
    parts: dict[int, list[T]] = {}
    for item in items:
        parts.setdefault(partition_of(item), []).append(item)
    return parts


async def gathered(calls: Sequence[Awaitable[R]]) -> list[R]:
    """All answers, in the order of the calls; that of a single call without a detour."""
    return [await calls[0]] if len(calls) == 1 else await asyncio.gather(*calls)


async def scatter(
    items: Sequence[T],
    partition_of: Callable[[T], int],
    ask: Callable[[int, Sequence[T]], Awaitable[Reply]],
    read: Callable[[int, Sequence[T], Reply], Iterable[R]],
    spare: Spare[T, R] | None = None,
) -> list[R]:
    """Divides items by partition, asks each partition once, and puts the answers in the order of the items.

    `ask` makes the call for the items of a partition; `read` takes its reply apart, an answer an item.
    """
    if len(items) == 1:  # where it fails, nothing is left
        partition = partition_of(items[0])
        return [*read(partition, items, await ask(partition, items))]
    parts: dict[int, tuple[list[int], list[T]]] = {}
    for index, item in enumerate(items):
        partition = partition_of(item)
        part = parts.get(partition)
        if part is None:
            part = parts[partition] = ([], [])
        part[0].append(index)
        part[1].append(item)
    calls = [ask(partition, share) for partition, (_, share) in parts.items()]
    replies: Sequence[Reply | BaseException]
    replies = await gathered(calls) if spare is None else await _tried(calls)
    answers: list[Any] = [None] * len(items)  # an `R` each in the end
    faults: dict[int, Exception] = {}
    for (partition, (indexes, share)), reply in zip(parts.items(), replies, strict=True):
        try:
            if isinstance(reply, BaseException):
                raise reply
            for index, answer in zip(indexes, read(partition, share, reply), strict=True):
                answers[index] = answer
        except Exception as error:
            if spare is None or not is_of_an_item(error):
                raise
            tried = await _one_by_one(share, partition_of, ask, read)
            for index, found in zip(indexes, tried, strict=True):
                if isinstance(found, _Fault):
                    faults[index] = found.error
                else:
                    answers[index] = found
    if faults and (spare is None or len(faults) == len(items)):
        raise next(iter(faults.values()))
    if spare is not None:
        for index, fault in faults.items():
            spare.faults.note(spare.place, fault)
            answers[index] = spare.instead(items[index])
    return answers


class _Fault(NamedTuple):
    """What became of an item instead of an answer."""

    error: Exception


async def _one_by_one(
    items: Sequence[T],
    partition_of: Callable[[T], int],
    ask: Callable[[int, Sequence[T]], Awaitable[Reply]],
    read: Callable[[int, Sequence[T], Reply], Iterable[R]],
) -> list[R | _Fault]:
    """Each asked for alone. Raises what is no fault of an item."""
    tried = await asyncio.gather(
        *(scatter([item], partition_of, ask, read) for item in items), return_exceptions=True
    )
    answers: list[R | _Fault] = []
    for answer in tried:
        if not isinstance(answer, BaseException):
            answers.append(answer[0])
        elif isinstance(answer, Exception) and is_of_an_item(answer):
            answers.append(_Fault(answer))
        else:
            raise answer from None
    return answers


def is_of_an_item(error: BaseException) -> bool:
    """Whether an error says something of what was asked, and nothing of whether the store can be reached."""
    return isinstance(error, StoreError) or not isinstance(error, LonglineError)


async def _tried(calls: Sequence[Awaitable[R]]) -> Sequence[R | BaseException]:
    """All answers, and in place of one that failed its error."""
    if len(calls) != 1:
        return await asyncio.gather(*calls, return_exceptions=True)
    try:
        return [await calls[0]]
    except Exception as error:
        return [error]
