"""The way of messages of plain publish/subscribe to other rooms.

A publisher waits for nobody here: its message joins a queue, which goes to the bus in batches, all rooms of a
batch at once and one batch after the other. So messages of one publisher reach each room in their order. A
message with QoS 1 is acknowledged to its publisher once the bus has taken it, and is sent again until then;
one with QoS 0 is sent once. When the queue is full, QoS 0 is dropped and counted, and who publishes QoS 1 is
not read from.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

import structlog

from longline.bus.port import Bus
from longline.errors import LonglineError
from longline.flow.batcher import Batcher, Retry
from longline.model.commands import Forward
from longline.room.pubsub.rooms import Publisher
from longline.room.wire.answers import Answer
from longline.telemetry.faults import Faults

BATCH: Final = 1000  # messages
RETRY: Final = Retry(0.2, 0.2)
MESSAGES: Final = 1 << 30  # the bound is in bytes
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

    publisher: Publisher
    answer: Answer
    paused: bool


class Relayed:
    """A message on its way to other rooms, with those that still have to get it. `size` in bytes."""

    __slots__ = ("forward", "nodes", "owed", "size")

    def __init__(self, nodes: Sequence[str], forward: Forward, owed: Owed | None) -> None:
        self.nodes = nodes
        self.forward = forward
        self.owed = owed
        self.size = OVERHEAD + len(forward.topic) + len(forward.payload) + len(forward.properties)


class Relay:
    """Owned by the route table, which runs `run` as a task. Holds `limit` bytes and a message a publisher."""

    def __init__(
        self,
        bus: Bus,
        counters: RouteCounters,
        faults: Faults,
        *,
        limit: int,
        known: Callable[[str], bool],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._bus = bus
        self._counters = counters
        self._faults = faults
        self._limit = limit
        self._known = known
        self._queue: Batcher[Relayed] = Batcher(
            "room.relay", self._send, faults=faults, limit=MESSAGES, batch=BATCH, retry=RETRY, sleep=sleep
        )
        self._size = 0  # with what is being sent
        self._told = False  # that the bus does not take what it is given

    @property
    def full(self) -> bool:
        """Whether a message should be dropped, or its publisher wait."""
        return self._size >= self._limit

    def waiting(self) -> int:
        """How many messages the bus does not have yet."""
        return len(self._queue)

    def put(self, nodes: Sequence[str], forward: Forward, owed: Owed | None) -> None:
        """Takes a message, also when it is one too many."""
        message = Relayed(nodes, forward, owed)
        self._size += message.size
        self._queue.add(message)

    async def run(self) -> None:
        """Sends for as long as the room lives."""
        await self._queue.run()

    async def _send(self, batch: Sequence[Relayed]) -> Sequence[Relayed]:
        """Returns the messages that the bus has not taken for all their rooms, and that have to be."""
        commands: dict[str, list[Forward]] = {}
        for message in batch:
            for node in message.nodes:
                commands.setdefault(node, []).append(message.forward)
        errors = await asyncio.gather(*(self._send_to(node, forwards) for node, forwards in commands.items()))
        failed = {node for node, error in zip(commands, errors, strict=True) if error is not None}
        if not failed:
            self._told = False
        again: list[Relayed] = []
        done: list[Relayed] = []
        for message in batch:
            missed = [node for node in message.nodes if node in failed]
            if missed and not message.forward.qos:
                self._counters.messages_dropped += len(missed)
                missed = []
            message.nodes = [node for node in missed if self._known(node)]
            (again if message.nodes else done).append(message)
        for message in done:
            self._size -= message.size
            if message.owed is not None:
                message.owed.publisher.settle(message.owed.answer, 0)
        for message in done:
            if message.owed is not None and message.owed.paused:
                message.owed.publisher.go_on()
        return again

    async def _send_to(self, node: str, forwards: Sequence[Forward]) -> LonglineError | None:
        """Returns what keeps the bus from taking these, for now."""
        try:
            await self._bus.send(node, forwards)
        except LonglineError as error:
            if not self._told:
                self._told = True
                log.warning("relay_failed", code=error.code, error=error.message)
            return error
        except Exception as error:
            if len(forwards) == 1:
                self._faults.note("room.relay", error)  # given up
                return None
        else:
            self._counters.messages_relayed += len(forwards)
            return None
        for forward in forwards:  # something is wrong with one of them
            failed = await self._send_to(node, [forward])
            if failed is not None:
                return failed
        return None
