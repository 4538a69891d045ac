"""What clients publish, on its way to a store: gathered, bounded, and held up while too much waits."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, Protocol, TypeVar

from longline.errors import LonglineError
from longline.flow.batcher import Batcher, Retry
from longline.room.turn import Turn
from longline.telemetry.faults import Faults


class Weighed(Protocol):
    """Something that waits, of `size` bytes."""

    size: int


T = TypeVar("T", bound=Weighed)
A = TypeVar("A")
R = TypeVar("R")


class Intake(Generic[T]):
    """Owned by the room, which runs `run` as a task. A subclass says in `_carry_out` what becomes of a batch.

    It takes everything in, and says when it is `full`: by `limit` items that wait, or `limit_bytes` of them.
    Whoever is to wait then is read from again, in a turn, when there is room.
    """

    def __init__(
        self,
        place: str,
        turn: Turn,
        faults: Faults,
        *,
        limit: int,
        limit_bytes: int,
        batch: int,
        retry: Retry,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._place = place
        self._turn = turn
        self._faults = faults
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._count = 0  # items that wait, and
        self._size = 0  # their bytes
        self._queue: Batcher[T] = Batcher(
            place, self._next, faults=faults, limit=1 << 30, batch=batch, retry=retry, sleep=sleep
        )
        self._held_up: list[Callable[[], None]] = []  # at most one a connection

    def waiting(self) -> int:
        """How many the store does not have yet."""
        return self._count

    def full(self) -> bool:
        """Whether a publisher should wait, or what it sends be dropped."""
        return self._size >= self._limit_bytes or self._count >= self._limit

    def hold_up(self, go_on: Callable[[], None]) -> None:
        """Has a publisher go on when there is room again."""
        self._held_up.append(go_on)

    async def finished(self) -> None:
        """Returns when everything taken in so far is in the store."""
        await self._queue.settled()

    async def run(self) -> None:
        """Works for as long as the room lives."""
        await self._queue.run()

    async def _carry_out(self, batch: Sequence[T]) -> Sequence[T] | None:
        """Returns those that are to be tried again; the others are `_over`."""
        raise NotImplementedError

    def _take_in(self, item: T) -> None:
        self._count += 1
        self._size += item.size
        self._queue.add(item)

    def _over(self, item: T) -> None:
        """It does not wait any more."""
        self._count -= 1
        self._size -= item.size

    async def _next(self, batch: Sequence[T]) -> Sequence[T] | None:
        again = await self._carry_out(batch)
        if self._held_up and not self.full():
            held_up, self._held_up = self._held_up, []
            for go_on in held_up:
                self._turn.later(go_on)
        return again

    async def _ask(
        self,
        ask: Callable[[Sequence[A]], Awaitable[Sequence[R]]],
        batch: Sequence[A],
        refused: Callable[[Exception], R],
    ) -> Sequence[R]:
        """What a store says of each; `refused` makes that of one which it cannot take.

        Raises what says that all of them are to be tried again. Where something is wrong with one, the others
        are asked for by themselves.
        """
        try:
            return await ask(batch)
        except Exception as error:
            if isinstance(error, LonglineError) and error.retryable:
                raise
            if len(batch) == 1:
                self._faults.note(self._place, error)
                return [refused(error)]
        return [answer for item in batch for answer in await self._ask(ask, [item], refused)]
