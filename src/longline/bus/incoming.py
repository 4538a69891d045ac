"""The receiving half of a node's queue in the store: reads in order, and sees what was lost."""

import asyncio
from collections.abc import Awaitable
from typing import Final

import structlog

from longline.bus.wire import unpack
from longline.errors import Fenced, LonglineError, Unavailable
from longline.model.commands import Command, Resync
from longline.store.redis import BlockingCalls, Reply, Script, Store

AT_ONCE: Final = 16  # batches taken by one read: a few megabytes at most, which the loop has to take apart
BLOCK: Final = 2.0  # s that a read waits, and that pass between two looks at the queue itself
RETRY_AFTER: Final = 0.2  # s
NODES: Final = (b"nodes", b"{nodes}bus")  # tag and key of the set of nodes that have a queue

_OPEN: Final = Script("longline.bus.lua", "open.lua")
_DONE: Final = Script("longline.bus.lua", "done.lua")

log = structlog.get_logger("longline.bus")


class Incoming:
    """The queue of a node of this process. One reader at a time.

    What was handed over is taken out of the queue once more is asked for: a reader that is repeated by the
    store, or looks elsewhere for a while, loses nothing. Nobody waits for that but who has no place in a full
    queue: a store that is busy with an app's thousands would hold up what is read meanwhile.
    """

    def __init__(self, store: Store, node: str) -> None:
        self._store = store
        self._node = node
        self._tag = b"n:" + node.encode()
        prefix = b"{%b}" % self._tag
        self._queue = prefix + b"q"
        self._keys = [prefix + b"open", self._queue, prefix + b"shut"]
        self._blocking: BlockingCalls | None = None
        self._opened = 0  # when the queue was opened that this reader knows; 0 before it has looked
        self._last = 0  # sequence of the batch handed over last
        self._header = (b"0", b"0")  # commands and bytes in its header
        self._over = (0, self._header)  # of the last batch that the reader is done with
        self._done = 0  # sequence of the last batch taken out of the queue
        self._taking_out: asyncio.Task[None] | None = None
        self._look_at = 0.0  # loop time
        self._lost = False  # commands, which the reader is still to be told
        self._end: LonglineError | None = None

    async def open(self) -> None:
        """Makes the queue when there is none, and tells that it is there."""
        await self._look(reopen=True)
        await self._list()

    async def receive(self) -> list[Command]:
        """As `Bus.receive`. While the store is out of reach it waits."""
        loop = asyncio.get_running_loop()
        while self._end is None:
            try:
                if loop.time() >= self._look_at:
                    await self._look(reopen=False)
                    # Not waited for: the list may be on another server, which may be out of reach.
                    asyncio.ensure_future(self._list()).add_done_callback(_forget)
                if self._lost:
                    self._lost = False
                    return [Resync()]
                self._go_past(self._last, self._header)
                reply = await self._read()
            except Fenced:
                raise
            except LonglineError as error:
                if self._end is not None:
                    break
                log.warning("bus_out_of_reach", node=self._node, code=error.code)
                self._look_at = 0.0
                self._lost = (
                    True  # who sent in this time may have given up, and noted its command as handed over
                )
                await asyncio.sleep(RETRY_AFTER)
                continue
            if commands := self._commands(reply):
                return commands
        raise self._end

    def close(self, reason: LonglineError) -> None:
        """Ends a `receive` that waits with `reason`."""
        self._end = reason
        if self._taking_out is not None:
            self._taking_out.cancel()
        if self._blocking is not None:
            self._blocking.close()

    async def _look(self, reopen: bool) -> None:
        """Sees that the queue is there, and whether commands were lost without leaving a gap.

        A store that lost its data has no queue, and one that lost its latest writes has one whose end this
        reader is ahead of. Raises `Fenced` when others have shut the queue.
        """
        match await self._store.run(self._tag, _OPEN, self._keys, [int(reopen)]):
            case [int() as opened, int() as read, int() as last]:
                pass
            case reply:
                raise Unavailable(f"the store answered {reply!r} instead of a queue's place")
        if not opened:
            # Whoever shut it has taken it off the list; this reader may have put it there once more since.
            await self._store.call(NODES[0], b"SREM", NODES[1], self._node)
            raise Fenced
        self._look_at = asyncio.get_running_loop().time() + BLOCK
        if not self._opened:
            self._last = self._done = read
        elif opened != self._opened or last < self._last:
            log.warning("bus_lost", node=self._node, reason="the store lost commands, or the whole queue")
            self._last = self._done = last
            self._lost = True
        self._opened = opened

    def _list(self) -> Awaitable[Reply]:
        return self._store.call(NODES[0], b"SADD", NODES[1], self._node)

    async def _read(self) -> Reply:
        if self._blocking is None:
            self._blocking = self._store.blocking(self._tag)
        return await self._blocking.call(
            b"XREAD",
            b"COUNT",
            AT_ONCE,
            b"BLOCK",
            int(BLOCK * 1000),
            b"STREAMS",
            self._queue,
            b"%d-0" % self._last,
            wait=BLOCK,
        )

    def _go_past(self, last: int, header: tuple[bytes, bytes]) -> None:
        """The reader is done with this batch: it is taken out of the queue meanwhile."""
        self._over = (last, header)
        if self._done < last and (self._taking_out is None or self._taking_out.done()):
            self._taking_out = asyncio.create_task(self._take_out(), name=f"bus.take-out {self._node}")

    async def _take_out(self) -> None:
        while self._done < self._over[0]:
            last, header = self._over
            try:
                await self._store.run(self._tag, _DONE, self._keys[:2], [last, *header])
            except LonglineError:
                return  # with the next
            self._done = last

    def _commands(self, reply: Reply) -> list[Command]:
        commands: list[Command] = []
        match reply:
            case [[_, [*batches]]]:
                pass
            case _:
                return commands
        for batch in batches:
            match batch:
                case [bytes() as name, [bytes() as header, bytes() as packed]]:
                    before, count, size = header.split(b" ")
                    if int(before) != self._last:
                        log.warning("bus_gap", node=self._node, reason="commands were dropped, or lost")
                        commands.append(Resync())
                    self._last = int(name.partition(b"-")[0])
                    self._header = (count, size)
                    commands += unpack(packed)
        return commands


def _forget(listed: "asyncio.Future[Reply]") -> None:
    """It is tried again with the next look."""
    if not listed.cancelled():
        listed.exception()
