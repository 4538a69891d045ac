"""The way of messages of plain publish/subscribe to other rooms.

A publisher waits for nobody here: its message joins the queues of the rooms that want it, each of which goes
to the bus in batches, one after the other. So messages of one publisher reach each room in their order, and a
room that takes nothing holds up no other. A message with QoS 1 is acknowledged to its publisher once the bus
has taken it for every room, and is sent again until then; one with QoS 0 is sent once. When a room's queue is
full, QoS 0 for it is dropped and counted, and who publishes QoS 1 to it is not read from.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, NamedTuple

import structlog
from msgspec.structs import replace

from longline.bus.port import Bus
from longline.errors import LonglineError
from longline.flow.batcher import Batcher, Retry
from longline.model.commands import ForGroups, Forward
from longline.room.pubsub.rooms import Publisher
from longline.room.wire.answers import Answer
from longline.telemetry.faults import Faults

BATCH: Final = 1000  # messages
RETRY: Final = Retry(0.2, 0.2)
MESSAGES: Final = 1 << 30  # the bound is in bytes
OVERHEAD: Final = 200  # bytes that a message takes besides its topic, payload and properties

log = structlog.get_logger()


class RouteCounters:
    """Totals since the start, but `neighbours`, `filters` and `groups`: other rooms, and what they have, at
    present.
    """

    __slots__ = (
        "arrivals_dropped",
        "doubts",
        "filters",
        "groups",
        "messages_dropped",
        "messages_received",
        "messages_relayed",
        "neighbours",
        "publishers_paused",
    )

    def __init__(self) -> None:
        self.neighbours = 0
        self.filters = 0
        self.groups = 0  # of shared subscriptions, once for each room
        self.doubts = 0  # times that another room's table could not be trusted
        self.messages_relayed = 0  # once for each room they went to
        self.messages_received = 0  # from other rooms
        self.arrivals_dropped = 0  # of these, with either QoS: more came than could be distributed
        self.messages_dropped = 0  # with QoS 0, for want of room or of a bus, once for each room
        self.publishers_paused = 0


class Owed(NamedTuple):
    """Who is told that the bus has taken a message; `paused`: and is not read from until then."""

    publisher: Publisher
    answer: Answer
    paused: bool


class Relayed:
    """A message on its way to other rooms, `left` of which still have to get it. `size` in bytes.

    `shares` is what it says of groups, to each of the rooms to which it says something.
    """

    __slots__ = ("forward", "left", "owed", "shares", "size")

    def __init__(
        self, forward: Forward, left: int, owed: Owed | None, shares: Mapping[str, ForGroups] | None
    ) -> None:
        self.forward = forward
        self.shares = shares
        self.left = left
        self.owed = owed
        self.size = OVERHEAD + len(forward.topic) + len(forward.payload) + len(forward.properties)
        if shares is not None:
            for share in shares.values():
                self.size += sum(map(len, share.groups)) + sum(map(len, share.served))

    def to(self, node: str) -> Forward:
        """As it goes to one of the rooms."""
        share = None if self.shares is None else self.shares.get(node)
        return self.forward if share is None else replace(self.forward, share=share)


class RoomQueue:
    """The way to one room. `size` in bytes, with what is being sent."""

    def __init__(self, node: str, relay: "Relay") -> None:
        self.node = node
        self.size = 0
        self.queue: Batcher[Relayed] = Batcher(
            "room.relay",
            self._send,
            faults=relay.faults,
            limit=MESSAGES,
            batch=BATCH,
            retry=RETRY,
            sleep=relay.sleep,
        )
        self._relay = relay
        self._told = False  # that the bus does not take what it is given for this room

    def put(self, message: Relayed) -> None:
        self.size += message.size
        self.queue.add(message)

    async def _send(self, batch: Sequence[Relayed]) -> Sequence[Relayed]:
        """Returns the messages that the bus has not taken, and that have to be sent again."""
        error = await self._send_all([message.to(self.node) for message in batch])
        again: list[Relayed] = []
        done: Sequence[Relayed] = batch
        if error is None:
            self._told = False
        else:
            counters = self._relay.counters
            counters.messages_dropped += sum(not message.forward.qos for message in batch)
            if self._relay.known(self.node):
                again = [message for message in batch if message.forward.qos]
                done = [message for message in batch if not message.forward.qos]
        if not self._relay.known(self.node):  # a bus says nothing when there is no such room
            for message in done:
                if message.shares is not None:
                    self._relay.failed(self.node, message.to(self.node))
        self.size -= sum(message.size for message in done)
        settled = []
        for message in done:
            message.left -= 1
            if not message.left and message.owed is not None:
                settled.append(message.owed)
        for owed in settled:
            owed.publisher.settle(owed.answer, 0)
        for owed in settled:
            if owed.paused:
                owed.publisher.go_on()
        return again

    async def _send_all(self, forwards: Sequence[Forward]) -> LonglineError | None:
        """Returns what keeps the bus from taking these, for now."""
        relay = self._relay
        try:
            await relay.bus.send(self.node, forwards)
        except LonglineError as error:
            if not self._told:
                self._told = True
                log.warning("relay_failed", to=self.node, code=error.code, error=error.message)
            return error
        except Exception as error:
            if len(forwards) == 1:
                relay.faults.note("room.relay", error)  # given up
                return None
        else:
            relay.counters.messages_relayed += len(forwards)
            return None
        for forward in forwards:  # something is wrong with one of them
            failed = await self._send_all([forward])
            if failed is not None:
                return failed
        return None


class Relay:
    """Owned by the route table, which runs `run` as a task.

    All queues together hold `limit` bytes, each an equal part of it, and a message a publisher. `known` says
    whether there still is a room of a name; `failed` is told, with that, of messages for groups that it did
    not get because there is none.
    """

    def __init__(
        self,
        bus: Bus,
        counters: RouteCounters,
        faults: Faults,
        *,
        limit: int,
        known: Callable[[str], bool],
        failed: Callable[[str, Forward], None],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self.bus = bus
        self.counters = counters
        self.faults = faults
        self.known = known
        self.failed = failed
        self.sleep = sleep
        self._limit = limit
        self._queues: dict[str, RoomQueue] = {}
        self._tasks: dict[RoomQueue, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()

    def full(self, nodes: Sequence[str]) -> list[str]:
        """Those of these rooms for which a message should be dropped, or its publisher wait."""
        queues = self._queues
        share = self._limit / max(1, len(queues))
        return [node for node in nodes if node in queues and queues[node].size >= share]

    def waiting(self) -> int:
        """How many messages the bus does not have yet, once for each room."""
        return sum(len(room.queue) for room in self._queues.values())

    def put(
        self,
        nodes: Sequence[str],
        forward: Forward,
        owed: Owed | None,
        shares: Mapping[str, ForGroups] | None = None,
    ) -> None:
        """Takes a message for these rooms, also when it is one too many."""
        message = Relayed(forward, len(nodes), owed, shares)
        for node in nodes:
            room = self._queues.get(node)
            if room is None:
                room = self._queues[node] = RoomQueue(node, self)
                self._changed.set()
            room.put(message)

    async def settled(self) -> None:
        """Returns when everything taken in so far is with the bus, or was dropped."""
        await asyncio.gather(*(room.queue.settled() for room in self._queues.values()))

    def look(self) -> None:
        """Gives up the queues of rooms that are gone, once they are empty."""
        for node, room in list(self._queues.items()):
            if not self.known(node) and not len(room.queue):
                del self._queues[node]
                self._changed.set()

    async def run(self) -> None:
        """Sends for as long as the room lives."""
        tasks = self._tasks
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    self._changed.clear()
                    for room in [room for room in tasks if self._queues.get(room.node) is not room]:
                        tasks.pop(room).cancel()
                    for room in self._queues.values():
                        if room not in tasks:
                            name = f"room.routes.relay.{room.node}"
                            tasks[room] = group.create_task(room.queue.run(), name=name)
                    await self._changed.wait()
        finally:
            tasks.clear()
