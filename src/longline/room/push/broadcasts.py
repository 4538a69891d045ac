"""Writes broadcasts to the sessions that they are for.

A broadcast visits every session of its app: it goes through them in slices and lets the loop serve
heartbeats, unicasts and new connections in between. Broadcasts that have gathered meanwhile go through them
together, so that a device gets what there is for it with one write; each device sees them in their order.

Whoever brings a broadcast never waits. When `WAITING` wait already, or as many paced ones are under way as
may be, the next is left in the log: the sessions of its app are looked at in turn, and read it there.

What is written is this room's sub-task of the broadcast; the store is told when it is done. A store that does
not answer delays that, but not the broadcasts behind it, up to `UNTOLD` of them.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from pyroaring import BitMap

from longline.errors import LonglineError
from longline.flow.batcher import Batcher, OnFull, Retry
from longline.flow.lru import LruCache
from longline.model.commands import Broadcast
from longline.model.times import wall_clock
from longline.room.counters import RoomCounters
from longline.room.push.frames import Frames
from longline.room.push.pushes import Pushes
from longline.room.push.receipts import Receipts
from longline.room.push.spreading import Spreading
from longline.room.session.session import Session
from longline.saver.port.routing import RoutingStore
from longline.telemetry.faults import Faults

WAITING: Final = 64
TOGETHER: Final = 16  # broadcasts that go through the sessions together
UNTOLD: Final = 10_000
TOLD_TOGETHER: Final = 64  # sub-tasks that the store is told of at a time
REMEMBERED: Final = 10_000  # online_only broadcasts that are known when they come again
RETRY: Final = Retry(0.2, 5.0)

_Done = tuple[str, Broadcast]  # and whose sub-task it is


class Broadcasts:
    """Owned by the room, which runs `run`, `spreading.run` and `told.run` as tasks.

    `sessions` lists all sessions of an app that are here; who comes later reads the log.
    """

    def __init__(
        self,
        node: str,
        store: RoutingStore,
        faults: Faults,
        *,
        pushes: Pushes,
        receipts: Receipts,
        sessions: Callable[[int], list[Session]],
        fanout_slice: int,
    ) -> None:
        self._node = node
        self._store = store
        self._faults = faults
        self._pushes = pushes
        self._receipts = receipts
        self._sessions = sessions
        self.fanout_slice = fanout_slice
        self._waiting: deque[_Pass] = deque()
        self._left: dict[int, None] = {}  # apps with broadcasts that were left in the log
        self._wake = asyncio.Event()
        self._under_way: dict[tuple[int, str], bool] = {}  # and whether it was cancelled
        self._seen: LruCache[tuple[int, str], None] = LruCache(REMEMBERED)
        self.spreading = Spreading(faults)
        self.told: Batcher[_Done] = Batcher(
            "room.broadcasts-done",
            self._tell,
            faults=faults,
            limit=UNTOLD,
            batch=TOLD_TOGETHER,
            retry=RETRY,
            on_full=OnFull.DROP_OLDEST,
        )

    @property
    def counters(self) -> RoomCounters:
        """The room's."""
        return self._pushes.counters

    def add(self, command: Broadcast) -> None:
        """Takes a broadcast in, or leaves it in the log when too many wait."""
        name = (command.app, command.message.id)
        # One that is only for who is connected cannot be asked about afterwards: it is not written twice.
        if command.message.online_only and not self._seen.add(name, None):
            self.told.add((self._node, command))
            return
        each = _Pass(self._node, command)
        if len(self._waiting) >= WAITING:
            self._leave(each)
            return
        self._under_way.setdefault(name, False)
        self._waiting.append(each)
        self._wake.set()

    def cancel(self, app: int, message_id: str) -> None:
        """Writes no more of it; nothing when it is not waiting or under way here."""
        if (app, message_id) in self._under_way:
            self._under_way[app, message_id] = True

    def rename(self, node: str) -> None:
        """Leaves everything that came for the former node: its sub-tasks are not this one's."""
        self._node = node

    async def run(self) -> None:
        """Writes broadcasts for as long as the room lives."""
        while True:
            await self._wake.wait()
            batch = [self._waiting.popleft() for _ in range(min(TOGETHER, len(self._waiting)))]
            together: dict[int, list[_Pass]] = {}
            for each in batch:
                if each.command.message.spread_over:
                    self._pace(each)
                else:
                    together.setdefault(each.command.app, []).append(each)
            for app, passes in together.items():
                try:
                    await self._write(self._sessions(app), passes)
                except Exception as error:
                    self._faults.note("room.broadcasts", error)
                for each in passes:
                    self._over(each)
            left, self._left = self._left, {}
            for app in left:
                await self._look(app)
            if not self._waiting and not self._left:
                self._wake.clear()

    def _pace(self, each: "_Pass") -> None:
        """Has a broadcast written bit by bit over the time that its sender asked for."""
        sessions = self._sessions(each.command.app)
        seconds = each.command.message.spread_over
        if not self.spreading.add(
            sessions, seconds, lambda some: self._write(some, [each]), lambda: self._over(each)
        ):
            self._under_way.pop(each.name, None)
            self._leave(each)

    def _leave(self, each: "_Pass") -> None:
        """There is no place for a broadcast: devices read it from the log, if it is there."""
        self.counters.broadcasts_left += 1
        if not each.command.message.online_only:
            self._left[each.command.app] = None
            self._wake.set()
        self.told.add((each.node, each.command))

    async def _look(self, app: int) -> None:
        """Has every session of an app look into the log, in its turn."""
        for done, session in enumerate(self._sessions(app), 1):
            try:
                self._pushes.lost(session)
            except Exception as error:  # this session's: the others look
                self._faults.note("room.broadcasts", error)
            if done % self.fanout_slice == 0:
                await asyncio.sleep(0)

    def _over(self, each: "_Pass") -> None:
        self._under_way.pop(each.name, None)
        if each.node == self._node:
            self.told.add((each.node, each.command))

    async def _write(self, sessions: Sequence[Session], passes: list["_Pass"]) -> bool:
        """Writes broadcasts to sessions; False when all of them were cancelled, or left to another node."""
        step = max(1, self.fanout_slice // len(passes))
        passes = self._going_on(passes)
        for start in range(0, len(sessions), step):
            if not passes:
                break
            now = wall_clock()
            for session in sessions[start : start + step]:
                if session.window.fresh():
                    session.window.lost()  # it is just connecting: it reads these from the log
                    continue
                try:
                    for each in passes:
                        position = each.position_for(session.ordinal)
                        if position:
                            self._pushes.offer(session, each.frames, position, True, now)
                except Exception as error:  # this session's: the others go on
                    self._faults.note("room.broadcasts", error)
            await asyncio.sleep(0)
            passes = self._going_on(passes)
        return bool(passes)

    def _going_on(self, passes: list["_Pass"]) -> list["_Pass"]:
        return [each for each in passes if each.node == self._node and not self._under_way.get(each.name)]

    async def _tell(self, batch: Sequence[_Done]) -> Sequence[_Done]:
        """Tells the store which sub-tasks are done; returns those that it could not be told of."""
        if any(command.message.online_only for _, command in batch):
            # What was not noted as written by then is over for its devices.
            self._receipts.note_all()
            await self._receipts.settled()
        told = await asyncio.gather(*(self._finish(node, command) for node, command in batch))
        return [item for item, done in zip(batch, told, strict=True) if not done]

    async def _finish(self, node: str, command: Broadcast) -> bool:
        now = wall_clock()
        try:
            await self._store.finish(command.app, command.message.id, node, now)
        except LonglineError:
            return now > command.message.expires_at  # over by itself
        return True


class _Pass:
    """A broadcast on its way through the sessions."""

    __slots__ = ("_audiences", "_parts", "command", "frames", "name", "node")

    def __init__(self, node: str, command: Broadcast) -> None:
        self.node = node  # whose sub-task it is
        self.command = command
        self.name = (command.app, command.message.id)
        self.frames = Frames(command.message)
        self._parts = command.parts
        # Each is read when the first device of its part comes up.
        self._audiences: list[BitMap | None] = [None] * len(command.parts)

    def position_for(self, ordinal: int) -> int:
        """Where the broadcast stands in the log of a device; 0 when it is not for it."""
        place, part = divmod(ordinal, len(self._parts))
        audience = self._audiences[part]
        if audience is None:
            audience = self._audiences[part] = BitMap.deserialize(self._parts[part].audience)
        return self._parts[part].position if place in audience else 0
