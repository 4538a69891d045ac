"""Who waits for a lock, and who holds it: seen from the tasks, so that no lock has to note anything.

A task that waits stands in the lock's own `acquire`, whose `self` is the lock. One that holds it has entered
`async with`, and has the way out on the stack of its frame: the lock's bound `__aexit__`, as the garbage
collector sees it. So a lock is found while it is held or waited for. Of one that is taken by `acquire` alone
only those are seen that wait.

A lock goes by the attribute that it is in, such as `center.figures.overview.Overview._lock`; those of one
name, such as one an app, count together.
"""

import asyncio
import gc
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain as chain_of
from types import AsyncGeneratorType, MethodType
from typing import Final, NamedTuple

from longline.profiling.coroutines import Suspended, chain, place

MAX_TASKS: Final = 1000  # that are looked at at a time: of more, some
_OUTWARDS: Final = 4  # frames in which the owner of a lock is looked for
_KNOWN: Final = 1000  # locks whose names are remembered
_LARGEST: Final = 1024  # entries of a container that is searched
_DEEPEST: Final = 8  # context managers that enter each other
_OURS: Final = "longline."

Lock = asyncio.Lock | asyncio.Semaphore
_ACQUIRE: Final = frozenset(kind.acquire.__code__ for kind in (asyncio.Lock, asyncio.Semaphore))
_OF_LOCKS: Final = _ACQUIRE | {asyncio.Lock.__aenter__.__code__}


class TaskAtLock(NamedTuple):
    """A task at a lock, which it holds or waits for; `where` it stands."""

    lock: str
    task: asyncio.Task[object]
    holds: bool
    where: str


class Look(NamedTuple):
    """All uses of a moment, and how many tasks were not looked at."""

    uses: list[TaskAtLock]
    left_out: int


class LockNames:
    """Of locks, each worked out once, for the first thousand. These locks live for as long as this does."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Lock, str]] = {}

    def of(self, lock: Lock, users: Sequence[Suspended]) -> str:
        """The name of a lock; `users`: what runs outside it, outermost first."""
        known = self._known.get(id(lock))
        if known is not None:
            return known[1]
        name = _name(lock, users)
        if len(self._known) < _KNOWN:
            self._known[id(lock)] = (lock, name)
        return name


def look(tasks: Iterable[asyncio.Task[object]], names: LockNames) -> Look:
    """Who is at which lock now."""
    found = list(tasks)
    left_out = max(0, len(found) - MAX_TASKS)
    if left_out:
        found = random.sample(found, MAX_TASKS)
    uses: list[TaskAtLock] = []
    for task in found:
        links = chain(task)
        waited = _waited_for(links)
        if waited is not None:
            users = [link for link in links if link.frame.f_code not in _OF_LOCKS]
            uses.append(TaskAtLock(names.of(waited, users), task, False, place(links)))
        for number, link in enumerate(links):
            for lock, within in _held(link):
                if lock is not waited:  # else it is about to enter
                    name = names.of(lock, [*links[: number + 1], *within])
                    uses.append(TaskAtLock(name, task, True, place(links)))
    return Look(uses, left_out)


def _waited_for(links: Sequence[Suspended]) -> Lock | None:
    for _, frame in reversed(links):
        if frame.f_code in _ACQUIRE:
            found: Lock = frame.f_locals["self"]
            return found
    return None


def _held(
    link: Suspended, within: tuple[Suspended, ...] = ()
) -> Iterator[tuple[Lock, tuple[Suspended, ...]]]:
    """Locks whose way out is on the stack of a frame, or of a context manager that it has entered; and those
    context managers, outermost first."""
    for found in gc.get_referents(link.coroutine):
        if not isinstance(found, MethodType) or found.__name__ != "__aexit__":
            continue
        entered = found.__self__
        if isinstance(entered, (asyncio.Lock, asyncio.Semaphore)):
            yield entered, within
        # What `asynccontextmanager` makes stands at its `yield` meanwhile.
        inner = getattr(entered, "gen", None)
        if isinstance(inner, AsyncGeneratorType) and inner.ag_frame and len(within) < _DEEPEST:
            below = Suspended(inner, inner.ag_frame)
            yield from _held(below, (*within, below))


def _name(lock: Lock, users: Sequence[Suspended]) -> str:
    for _, frame in list(reversed(users))[:_OUTWARDS]:
        variables = frame.f_locals
        for owner in _owners(variables):
            for name, value in _attributes(owner):
                if value is lock or _contains(value, lock):
                    kind = type(owner)
                    return f"{kind.__module__}.{kind.__qualname__}.{name}".removeprefix(_OURS)
        for name, value in variables.items():
            if value is lock and name != "self":
                return f"{frame.f_code.co_qualname}.{name}"
    return f"a lock at {place(list(users))}"


def _owners(variables: Mapping[str, object]) -> Iterator[object]:
    """Whoever uses a lock, what of ours he has, and what of ours his variables name."""
    user = variables.get("self")
    yield user
    for found in chain_of((value for _, value in _attributes(user)), variables.values()):
        if type(found).__module__.startswith(_OURS):
            yield found


def _attributes(owner: object) -> Iterator[tuple[str, object]]:
    yield from list(getattr(owner, "__dict__", {}).items())
    for kind in type(owner).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            yield name, getattr(owner, name, None)


def _contains(value: object, lock: Lock) -> bool:
    """Whether a lock is one of several in a container."""
    if isinstance(value, dict):
        value = tuple(value.values()) if len(value) <= _LARGEST else ()
    return isinstance(value, (tuple, list)) and len(value) <= _LARGEST and any(each is lock for each in value)
