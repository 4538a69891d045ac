"""The way of messages of plain publish/subscribe to other rooms.

A publisher waits for nobody here: its message joins a queue, which goes to the bus in batches, all rooms of a
batch at once and one batch after the other. So messages of one publisher reach each room in their order. A
message with QoS 1 is acknowledged to its publisher once the bus has taken it, and is sent again until then;
one with QoS 0 is sent once. When the queue is full, QoS 0 is dropped and counted, and who publishes QoS 1 is
not read from.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, NamedTuple

import structlog

from longline.bus.port import Bus
from longline.errors import LonglineError
from longline.model.commands import Forward
from longline.room.wire.connection import Answer, Connection

BATCH: Final = 1000  # messages
RETRY_AFTER: Final = 0.2  # s
OVERHEAD: Final = 200  # bytes that a message takes besides its topic, payload and properties

log = structlog.get_logger()


class RouteCounters:
    """Totals since the start, but `neighbours` and `filters`: other rooms, and their filters, at present."""

    __slots__ = (
        "doubts",
        "filters",
        "messages_dropped",
        "messages_received",
        "messages_relayed",
        "neighbours",
        "publishers_paused",
    )

    def __init__(self) -> None:
        self.neighbours = 0
        self.filters = 0
        self.doubts = 0  # times that another room's table could not be trusted
        self.messages_relayed = 0  # once for each room they went to
        self.messages_received = 0  # from other rooms
        self.messages_dropped = 0  # with QoS 0, for want of room or of a bus
        self.publishers_paused = 0


class Owed(NamedTuple):
    """Who is told that the bus has taken a message; `paused`: and is not read from until then."""

    connection: Connection
    answer: Answer
    paused: bool


class Relayed(NamedTuple):
    """A message on its way to other rooms. `size` in bytes."""

    nodes: Sequence[str]
    forward: Forward
    owed: Owed | None
    size: int


class Relay:
    """Owned by the route table, which runs `run` as a task. Holds `limit` bytes and a message a publisher."""

    def __init__(
        self,
        bus: Bus,
        counters: RouteCounters,
        *,
        limit: int,
        known: Callable[[str], bool],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._bus = bus
        self._counters = counters
        self._limit = limit
        self._known = known
        self._sleep = sleep
        self._queue: deque[Relayed] = deque()
        self._size = 0  # with what is being sent
        self._wake = asyncio.Event()

    @property
    def full(self) -> bool:
        """Whether a message should be dropped, or its publisher wait."""
        return self._size >= self._limit

    def waiting(self) -> int:
        """How many messages are not yet being sent."""
        return len(self._queue)

    def put(self, nodes: Sequence[str], forward: Forward, owed: Owed | None) -> None:
        """Takes a message, also when it is one too many."""
        size = OVERHEAD + len(forward.topic) + len(forward.payload) + len(forward.properties)
        self._size += size
        self._queue.append(Relayed(nodes, forward, owed, size))
        self._wake.set()

    async def run(self) -> None:
        """Sends for as long as the room lives."""
        while True:
            if not self._queue:
                self._wake.clear()
            await self._wake.wait()
            batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
            commands: dict[str, list[Forward]] = {}
            for message in batch:
                for node in message.nodes:
                    commands.setdefault(node, []).append(message.forward)
            await self._send(commands)
            for message in batch:
                self._size -= message.size
                if message.owed is not None:
                    message.owed.connection.settle(message.owed.answer, 0)
            for message in batch:
                if message.owed is not None and message.owed.paused:
                    message.owed.connection.go_on()

    async def _send(self, commands: Mapping[str, list[Forward]]) -> None:
        """Returns when the bus has everything that is to be acknowledged."""
        told = False
        while commands:
            results = await asyncio.gather(
                *(self._bus.send(node, batch) for node, batch in commands.items()), return_exceptions=True
            )
            left: dict[str, list[Forward]] = {}
            for (node, batch), result in zip(commands.items(), results, strict=True):
                if result is None:
                    self._counters.messages_relayed += len(batch)
                elif not isinstance(result, LonglineError):
                    raise result
                else:
                    if not told:
                        told = True
                        log.warning("relay_failed", code=result.code, error=result.message)
                    left[node] = [forward for forward in batch if forward.qos]
                    self._counters.messages_dropped += len(batch) - len(left[node])
            if left:
                await self._sleep(RETRY_AFTER)
            commands = {node: batch for node, batch in left.items() if batch and self._known(node)}
