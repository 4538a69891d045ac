"""The sending half of a node's queue in the store: gathers what this process has for the node.

What waits is taken in turns of the apps that it is of, as in `flow/turns.py`: so what one app has in great
number, or of great size, goes beside the single command of another, and not before it.
"""

import asyncio
import itertools
import os
from collections import deque
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from typing import Final, Self, TypeAlias

import structlog

from longline.bus.wire import MAX_BATCH, join
from longline.errors import Unavailable
from longline.store.redis import Script, Store

BATCH: Final = 500  # commands
BATCH_BYTES: Final = 256 * 1024
TURN: Final = 16 * 1024  # bytes of an app before it is another one's turn
COMMAND: Final = 64  # bytes that a command is worth besides its own
REMEMBERED: Final = 600_000  # ms: a repetition comes within `store.timeout`, which is at most two minutes
FIRST_DELAY: Final = 0.002  # s
LAST_DELAY: Final = 0.1  # s

_SEND: Final = Script("longline.bus.lua", "send.lua")
_FULL: Final = 0

log = structlog.get_logger("longline.bus")


class Producer:
    """This process, to all queues that it sends to. See `RedisBus` for the limits."""

    def __init__(self, store: Store, limit: int, limit_bytes: int, patience: float) -> None:
        self.store = store
        self.limit = limit
        self.limit_bytes = limit_bytes
        self.patience = patience
        self.name = os.urandom(9)
        self.numbers: Iterator[int] = itertools.count(1)  # of batches; no number is used twice
        self.batch = min(limit, BATCH, MAX_BATCH)
        self.batch_bytes = min(limit_bytes, BATCH_BYTES)
        self.dropped = 0  # commands, because a node was stuck


class _Call:
    """Commands that somebody waits for until they are in the queue: `left` are not yet."""

    __slots__ = ("done", "left")

    def __init__(self, left: int) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.left = left


_Waiting: TypeAlias = tuple[bytes, _Call]  # a packed command, and what it belongs to


class Outgoing:
    """Commands on their way to one node.

    One batch is under way at a time, so those of an app arrive in order; what is sent meanwhile goes with the
    next. What waits is bounded by the callers, each of which waits for its own. It takes itself out of
    `all_nodes` when nothing is left that must be remembered of the node.
    """

    def __init__(self, producer: Producer, node: str, all_nodes: MutableMapping[str, Self]) -> None:
        self._producer = producer
        self._node = node
        self._all = all_nodes
        self._tag = b"n:" + node.encode()
        prefix = b"{%b}" % self._tag
        self._keys = [prefix + b"open", prefix + b"q", b"%bfrom:%b" % (prefix, producer.name)]
        self._lines: dict[int, deque[_Waiting]] = {}  # by app: the first is whose turn it is
        self._work: asyncio.Task[None] | None = None
        # What had been read when commands were dropped last: until more is, no batch waits for `patience`.
        self._stuck_at: int | None = None

    async def send(self, commands: Sequence[tuple[int, bytes]]) -> None:
        """Returns when all of them are in the queue, or dropped because there is none.

        Each is packed, and of the app of that number; 0 for one that is of none.
        """
        call = _Call(len(commands))
        for app, packed in commands:
            line = self._lines.get(app)
            if line is None:
                line = self._lines[app] = deque()
            line.append((packed, call))
        if self._work is None:
            self._work = asyncio.create_task(self._run(), name=f"bus.send {self._node}")
        await call.done

    def busy(self) -> bool:
        """Whether anything is under way."""
        return self._work is not None

    def waiting(self) -> int:
        """How many commands are still in this process."""
        return sum(map(len, self._lines.values()))

    async def close(self) -> None:
        """Ends every call that waits with `Unavailable`."""
        if self._work is not None:
            self._work.cancel()
            await asyncio.gather(self._work, return_exceptions=True)
        self._give_up(())  # for work that was cancelled before it began

    async def _run(self) -> None:
        batch: list[_Waiting] = []
        try:
            while batch := self._next():
                try:
                    await self._deliver(join([command for command, _ in batch]), len(batch))
                except Exception as error:  # whatever it is, it is this batch's: those that wait go on
                    for _, call in batch:
                        if not call.done.done():
                            call.done.set_exception(error)
                else:
                    for _, call in batch:
                        call.left -= 1
                        if not call.left and not call.done.done():
                            call.done.set_result(None)
        finally:
            self._work = None
            self._give_up(batch)
            if self._stuck_at is None:
                self._all.pop(self._node, None)

    def _give_up(self, batch: Iterable[_Waiting]) -> None:
        """Who still waits when the work ends waits in vain."""
        for _, call in itertools.chain(batch, *self._lines.values()):
            if not call.done.done():
                call.done.set_exception(Unavailable("the bus is closed"))
        self._lines.clear()

    def _next(self) -> list[_Waiting]:
        """The next batch. Whose call has failed or was given up is left out: the rest of it has no use."""
        batch: list[_Waiting] = []
        producer, lines = self._producer, self._lines
        left = producer.batch_bytes
        while lines and len(batch) < producer.batch:
            app = next(iter(lines))
            line = lines[app]
            credit = TURN
            while line and credit > 0 and len(batch) < producer.batch:
                command, call = line[0]
                if not call.done.done():
                    if batch and len(command) > left:
                        return batch
                    left -= len(command)
                    credit -= len(command) + COMMAND
                    batch.append(line[0])
                line.popleft()
            del lines[app]
            if line:
                lines[app] = line  # to the end of the circle
        return batch

    async def _deliver(self, batch: bytes, commands: int) -> None:
        producer = self._producer
        loop = asyncio.get_running_loop()
        number = next(producer.numbers)
        give_up: float | None = None
        delay = FIRST_DELAY
        without_room: str | int = "wait" if self._stuck_at is None else self._stuck_at
        while True:
            reply = await producer.store.run(
                self._tag,
                _SEND,
                self._keys,
                [number, commands, producer.limit, producer.limit_bytes, REMEMBERED, without_room, batch],
            )
            match reply:
                case [int() as answer, int() as read]:
                    pass
                case _:
                    raise Unavailable(f"the store answered {reply!r} instead of a queue's state")
            if answer != _FULL:
                break
            if give_up is None:
                give_up = loop.time() + producer.patience
            await asyncio.sleep(min(delay, max(0.0, give_up - loop.time())))
            delay = min(2 * delay, LAST_DELAY)
            without_room = "wait" if loop.time() < give_up else "drop"
        dropped = max(0, answer - 1)
        producer.dropped += dropped
        if dropped and self._stuck_at is None:
            log.warning("node_stuck", node=self._node, reason="its queue is full: the oldest commands go")
        self._stuck_at = read if dropped else None
