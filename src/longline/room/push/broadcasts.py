"""Writes broadcasts to the sessions that they are for.

A broadcast visits every session of its app: it goes through them in slices and lets the loop serve
heartbeats, unicasts and new connections in between. Broadcasts that have gathered meanwhile go through them
together, so that a device gets what there is for it with one write; each device sees them in their order.
`WAITING` may wait, and then the room stops taking commands, which makes their senders wait.

What is written is this room's sub-task of the broadcast; the store is told when it is done. A store that does
not answer delays that, but not the broadcasts behind it, up to `UNTOLD` of them.
"""

import asyncio
from collections.abc import Sequence

from pyroaring import BitMap

from longline.errors import LonglineError
from longline.model.commands import Broadcast
from longline.model.times import wall_clock
from longline.room.broker import Broker
from longline.room.push.frames import Frames
from longline.room.push.pacing import Pacing
from longline.room.push.receipts import Receipts
from longline.room.push.recent import Recent
from longline.room.session.session import UNKNOWN, Session
from longline.saver.bundle import Saver

WAITING = 64
TOGETHER = 16  # broadcasts that go through the sessions together
UNTOLD = 10_000
TOLD_TOGETHER = 64  # sub-tasks that the store is told of at a time
REMEMBERED = 10_000  # online_only broadcasts that are known when they come again
RETRY_AFTER = 0.2  # s, doubled up to RETRY_MOST
RETRY_MOST = 5.0


class Broadcasts:
    """Owned by the room, which runs `run` and `tell` as tasks."""

    def __init__(
        self, node: str, *, broker: Broker, saver: Saver, receipts: Receipts, fanout_slice: int
    ) -> None:
        self._node = node
        self._broker = broker
        self._saver = saver
        self._receipts = receipts
        self.fanout_slice = fanout_slice
        self._waiting: asyncio.Queue[tuple[str, Broadcast]] = asyncio.Queue(WAITING)  # and whose sub-task
        self._cancelled: dict[tuple[int, str], bool] = {}  # of those that wait or run
        self._done: asyncio.Queue[tuple[str, Broadcast]] = asyncio.Queue(UNTOLD)
        self._seen = Recent(REMEMBERED)
        self.pacing = Pacing()

    async def add(self, command: Broadcast) -> None:
        """Takes a broadcast in; waits while too many are waiting."""
        self._cancelled.setdefault((command.app, command.message.id), False)
        await self._waiting.put((self._node, command))

    def cancel(self, app: int, message_id: str) -> None:
        """Writes no more of it; nothing when it is not waiting or under way here."""
        if (app, message_id) in self._cancelled:
            self._cancelled[app, message_id] = True

    def rename(self, node: str) -> None:
        """Leaves everything that came for the former node: its sub-tasks are not this one's."""
        self._node = node

    async def run(self) -> None:
        """Writes broadcasts for as long as the room lives."""
        while True:
            batch = [await self._waiting.get()]
            while len(batch) < TOGETHER and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            passes: dict[int, list[_Pass]] = {}
            for node, command in batch:
                # One that is only for who is connected cannot be asked about afterwards: it is not written
                # twice.
                name = (command.app, command.message.id)
                if command.message.online_only and not self._seen.add(name):
                    continue
                if command.message.spread_over:
                    await self._pace(node, command)
                else:
                    passes.setdefault(command.app, []).append(_Pass(node, command))
            for app, together in passes.items():
                await self._write(self._sessions(app), together)
            for node, command in batch:
                if not command.message.spread_over:
                    await self._over(node, command)

    async def _pace(self, node: str, command: Broadcast) -> None:
        """Has a broadcast written bit by bit over the time that its sender asked for."""
        passes = [_Pass(node, command)]
        await self.pacing.add(
            self._sessions(command.app),
            command.message.spread_over,
            lambda sessions: self._write(sessions, passes),
            lambda: self._over(node, command),
        )

    async def _over(self, node: str, command: Broadcast) -> None:
        self._cancelled.pop((command.app, command.message.id), None)
        if node == self._node:
            await self._done.put((node, command))

    def _sessions(self, app: int) -> list[Session]:
        """All sessions of an app; who comes later reads the log."""
        tenant = self._broker.tenants.get(app)
        return [] if tenant is None else list(tenant.sessions.values())

    async def _write(self, sessions: Sequence[Session], passes: list["_Pass"]) -> bool:
        """Writes broadcasts to sessions; False when all of them were cancelled, or left to another node."""
        step = max(1, self.fanout_slice // len(passes))
        passes = self._going_on(passes)
        for start in range(0, len(sessions), step):
            if not passes:
                break
            now = wall_clock()
            for session in sessions[start : start + step]:
                ordinal = session.ordinal
                if ordinal == UNKNOWN:
                    session.missed = True  # it is just connecting: it reads these from the log
                    continue
                for each in passes:
                    position = each.position_for(ordinal)
                    if position:
                        self._broker.offer(session, each.frames, position, True, now)
            await asyncio.sleep(0)
            passes = self._going_on(passes)
        return bool(passes)

    def _going_on(self, passes: list["_Pass"]) -> list["_Pass"]:
        return [each for each in passes if each.node == self._node and not self._cancelled.get(each.name)]

    async def tell(self) -> None:
        """Tells the store which sub-tasks are done, for as long as the room lives."""
        while True:
            batch = [await self._done.get()]
            while len(batch) < TOLD_TOGETHER and not self._done.empty():
                batch.append(self._done.get_nowait())
            if any(command.message.online_only for _, command in batch):
                # What was not noted as written by then is over for its devices.
                self._receipts.note_all()
                await self._receipts.settled()
            pause = RETRY_AFTER
            while True:
                told = await asyncio.gather(*(self._tell(node, command) for node, command in batch))
                batch = [item for item, done in zip(batch, told, strict=True) if not done]
                if not batch:
                    break
                await asyncio.sleep(pause)
                pause = min(RETRY_MOST, pause * 2)

    async def _tell(self, node: str, command: Broadcast) -> bool:
        now = wall_clock()
        try:
            await self._saver.routing.finish(command.app, command.message.id, node, now)
        except LonglineError:
            return now > command.message.expires_at  # over by itself
        return True


class _Pass:
    """A broadcast on its way through the sessions."""

    __slots__ = ("_audiences", "_parts", "frames", "name", "node")

    def __init__(self, node: str, command: Broadcast) -> None:
        self.node = node  # whose sub-task it is
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
