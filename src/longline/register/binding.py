"""Binding devices in Redis, where a call may be carried out twice, late, or without anybody hearing of it."""

import asyncio
import itertools
import os
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, TypeVar

from longline.errors import Fenced, LonglineError, StoreError, Unavailable
from longline.model.devices import Binding
from longline.model.times import wall_clock
from longline.register.layout import Partition, binding, items, number, script
from longline.register.port import Bind, Bound, Rebind, Unbind
from longline.store.redis import Reply, Store, Word
from longline.store.scatter import divide, is_of_an_item
from longline.telemetry.faults import Faults

UNSURE: Final = 10_000  # binds without an answer that are remembered until the store answers again
RETRY_AFTER: Final = 0.5  # s
SPARE: Final = 1_000  # ms that a repetition is recognised for beyond the last moment to begin

_BIND: Final = script("bind.lua")
_WITHDRAW: Final = script("withdraw.lua")


class Binder:
    """See `RedisRegister`, whose `unbind` it uses. `kept`: as there. `give_up`: ms after which nobody
    waits for a bind.

    A bind carries a token by which a repetition is recognised, and the last moment, by the clock of the
    store's server, at which it may begin. What that clock says is learnt from each answer.
    """

    def __init__(
        self,
        store: Store,
        partitions: Sequence[Partition],
        give_up: int,
        kept: int,
        unbind: Callable[[Sequence[Unbind]], Awaitable[list[bool]]],
        faults: Faults,
    ) -> None:
        self._store = store
        self._partitions = partitions
        self._give_up = give_up
        self._kept = kept
        self._unbind = unbind
        self._faults = faults
        # Of each partition, the server's clock minus ours, in ms; unknown before the first answer.
        self._ahead: list[int | None] = [None] * len(partitions)
        self._process = os.urandom(9)
        self._calls = itertools.count()
        self._unsure: deque[tuple[int, Bind]] = deque(maxlen=UNSURE)  # with when the store begins it no more
        self._withdrawing: asyncio.Task[None] | None = None

    async def bind(self, batch: Sequence[Bind]) -> list[Bound]:
        """As the port's `bind`."""
        try:
            bound, failures = await self._carry_out(batch)
        except asyncio.CancelledError:
            self._withdraw_later(batch)
            raise
        if failures:
            for part, error in failures:
                if isinstance(error, Unavailable):
                    self._withdraw_later(batch[i] for i in part)
            await self._undo(batch, bound)
            raise _foremost(failures)
        if self._unsure:
            # What an earlier bind of the same device may have left has just been replaced.
            again = {(item.app, item.device) for item in batch}
            left = [entry for entry in self._unsure if (entry[1].app, entry[1].device) not in again]
            self._unsure = deque(left, UNSURE)
        return [answer for answer in bound if answer is not None]

    async def rebind(self, batch: Sequence[Rebind]) -> list[int | None]:
        """As the port's `rebind`. Of what failed nothing is undone: it is recognised when it is repeated."""
        bound, failures = await self._carry_out(batch)
        if failures:
            raise _foremost(failures)
        return [None if answer is None else answer.binding.epoch for answer in bound]

    async def _carry_out(self, batch: Sequence[Bind | Rebind]) -> "tuple[list[Bound | None], list[_Failure]]":
        """What became of each, None where it was not bound; and which parts of the batch failed, and why."""
        parts = divide(range(len(batch)), lambda i: self._store.partition_of(batch[i].app, batch[i].device))
        calls = [self._prepare(number, [batch[i] for i in part]) for number, part in parts.items()]
        bound: list[Bound | None] = [None] * len(batch)
        failures: list[_Failure] = []
        replies = await asyncio.gather(*map(self._send, calls), return_exceptions=True)
        for call, part, reply in zip(calls, parts.values(), replies, strict=True):
            try:
                for i, answer in zip(part, await self._read(call, reply), strict=True):
                    bound[i] = answer
            except LonglineError as error:
                failures.append((part, error))
        return bound, failures

    def unsure(self) -> int:
        """How many binds there are of which it is not known whether they were carried out."""
        return len(self._unsure)

    async def close(self) -> None:
        """Stops withdrawing."""
        if self._withdrawing is not None:
            self._withdrawing.cancel()
            await asyncio.gather(self._withdrawing, return_exceptions=True)

    # --- one partition ----------------------------------------------------------------------------

    def _prepare(self, number: int, batch: Sequence[Bind | Rebind]) -> "_Call":
        partition = self._partitions[number]
        apps = _places([item.app for item in batch])
        nodes = _places([item.node for item in batch])
        keys = [
            *partition.keys,
            partition.bound(b"%b%x" % (self._process, next(self._calls))),
            *map(partition.dead, nodes),
            *map(partition.at, nodes),
            *map(partition.sessions, apps),
        ]
        args: list[Word] = [0, self._give_up + SPARE, len(nodes), *nodes, len(apps), *apps]
        for item in batch:
            epoch = item.epoch if isinstance(item, Rebind) else 0
            args += apps[item.app], nodes[item.node], item.device, item.now, epoch
        return _Call(number, batch, keys, args, _monotonic() + self._give_up)

    def _send(self, call: "_Call") -> Awaitable[Reply]:
        ahead = self._ahead[call.partition]
        call.args[0] = call.give_up + ahead if ahead is not None else 0
        call.sent = _monotonic()
        tag = self._partitions[call.partition].tag
        return self._store.run(tag, _BIND, call.keys, call.args, work=len(call.batch))

    async def _read(self, call: "_Call", reply: Reply | BaseException) -> list[Bound | None]:
        """What was bound, None where a newer session is; raises what the store raises, and `Fenced`."""
        while isinstance(reply, StoreError) and reply.word == "LATE":
            # Too late indeed, or another server, with another clock, has taken over.
            self._ahead[call.partition] = int(reply.text.split()[-1]) - call.sent
            if _monotonic() >= call.give_up:
                raise Unavailable("the store took too long")
            (reply,) = await asyncio.gather(self._send(call), return_exceptions=True)
        if isinstance(reply, StoreError) and reply.word == "FENCED":
            raise Fenced
        if isinstance(reply, BaseException):
            raise reply
        clock, *answers = items(reply)
        self._ahead[call.partition] = number(clock) - call.sent
        return [
            Bound(Binding(item.node, epoch, item.now), binding(answers[2 * n + 1]))
            if (epoch := number(answers[2 * n]))
            else None
            for n, item in enumerate(call.batch)
        ]

    # --- what must not stay bound -----------------------------------------------------------------

    async def _undo(self, batch: Sequence[Bind], bound: Sequence[Bound | None]) -> None:
        """Of a batch that failed, ends what was bound: nobody will know of it."""
        now = wall_clock()
        known = {
            item: Unbind(item.app, item.device, answer.binding.epoch, now)
            for item, answer in zip(batch, bound, strict=True)
            if answer is not None
        }
        try:
            await self._unbind([*known.values()])
        except LonglineError:
            self._withdraw_later(known)

    def _withdraw_later(self, batch: Iterable[Bind]) -> None:
        due = _monotonic() + self._give_up
        self._unsure.extend((due, item) for item in batch)
        if self._unsure and (self._withdrawing is None or self._withdrawing.done()):
            self._withdrawing = asyncio.create_task(self._withdraw(), name="register.withdraw")

    async def _withdraw(self) -> None:
        while self._unsure:
            due, item = entry = self._unsure[0]
            await asyncio.sleep(max(0, due - _monotonic()) / 1000)
            try:
                await self._end(item)
            except Exception as error:
                if isinstance(error, LonglineError) and not is_of_an_item(error):
                    await asyncio.sleep(RETRY_AFTER)
                    continue
                self._faults.note("register.withdraw", error)  # it would hold up all others for ever
            if self._unsure and self._unsure[0] is entry:
                self._unsure.popleft()

    async def _end(self, item: Bind) -> None:
        partition = self._partitions[self._store.partition_of(item.app, item.device)]
        args: list[Word] = [item.app, item.device, item.node, item.now, wall_clock(), self._kept]
        await self._store.run(partition.tag, _WITHDRAW, [*partition.keys, partition.sessions(item.app)], args)


class _Call:
    """A call of the script for one partition. `give_up` and `sent` in ms of our monotonic clock."""

    __slots__ = ("args", "batch", "give_up", "keys", "partition", "sent")

    def __init__(
        self,
        partition: int,
        batch: Sequence[Bind | Rebind],
        keys: list[bytes],
        args: list[Word],
        give_up: int,
    ) -> None:
        self.partition = partition
        self.batch = batch
        self.keys = keys
        self.args = args
        self.give_up = give_up
        self.sent = 0


_Failure = tuple[list[int], LonglineError]  # places in the batch


def _foremost(failures: Sequence[_Failure]) -> LonglineError:
    """What is to be raised of several: that this node is dead says most."""
    errors = [error for _, error in failures]
    return next((error for error in errors if isinstance(error, Fenced)), errors[0])


T = TypeVar("T", int, str)


def _places(values: Sequence[T]) -> dict[T, int]:
    """Distinct values in the order of their first appearance, each with its place."""
    return {value: place for place, value in enumerate(dict.fromkeys(values))}


def _monotonic() -> int:
    return time.monotonic_ns() // 1_000_000
