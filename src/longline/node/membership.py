"""Keeps this process a member of the cluster, and says what it is like to the others.

A name stands for one life: whoever was taken for dead, be it that it was paused or cut off, has lost its
devices to others, and goes on under a new name. Whether it was, it learns from the keeper, or from the store,
which refuses binds of dead nodes and has shut its queue.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

import msgspec
import structlog

from longline.bus.port import Bus
from longline.errors import LonglineError
from longline.keeper.port import Keeper, Load, Node
from longline.model.nodes import unique

log = structlog.get_logger("longline.node")

RETRY_AFTER = 0.5  # s
NEWS = 3.0  # s until a member must have heard of its own joining
CPU_STEP = 0.05
LAG_STEP = 0.01  # s


class Cpu:
    """What this process used of one core since it was last asked, 0 to 1 (more with threads)."""

    def __init__(self) -> None:
        self._used = time.process_time()
        self._at = time.monotonic()

    def __call__(self) -> float:
        used, at = time.process_time(), time.monotonic()
        share = (used - self._used) / max(1e-6, at - self._at)
        self._used, self._at = used, at
        return round(share, 3)


class Membership:
    """Owned by the process, which runs `run` as a task.

    `describe` gives what is to be told, under the name at hand; `has_queue` says that the name is to have a
    queue on the bus. `fallen` is awaited when others took this process for dead, `renamed` when it is a
    member again, under another name; if that raises, it is called again under yet another one. With
    `lasting` the name is `base` itself, for a process that is alone.
    """

    def __init__(
        self,
        base: str,
        keeper: Keeper,
        bus: Bus,
        *,
        describe: Callable[[str], Node],
        has_queue: bool,
        fallen: Callable[[], Awaitable[None]],
        renamed: Callable[[str], Awaitable[None]],
        interval: float,
        lasting: bool,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.name = base if lasting else unique(base)
        self.renames = 0
        self.fallen = False  # taken for dead, and without a new name yet
        self._base = base
        self._keeper = keeper
        self._bus = bus
        self._describe = describe
        self._has_queue = has_queue
        self._fallen = fallen
        self._renamed = renamed
        self._fenced = asyncio.Event()
        self._interval = interval
        self._monotonic = monotonic
        self._sleep = sleep
        self._told: Node | None = None
        self._joined_at = 0.0

    async def join(self) -> None:
        """Becomes a member; raises what the keeper raises."""
        await self._tell(self._describe(self.name))

    async def leave(self) -> None:
        """Is no member any more, as far as the keeper can be reached."""
        await self._leave(self.name)

    async def tell(self) -> None:
        """Tells the others at once what has changed here; if that fails, `run` tells it later."""
        try:
            await self._tell(self._describe(self.name))
        except LonglineError as error:
            log.warning("not_told", code=error.code, error=error.message)

    def fenced(self, name: str) -> None:
        """Somebody was refused as this name, for the others took it for dead.

        What is heard late of a former name says nothing of the present one.
        """
        if name == self.name:
            self._fenced.set()

    async def run(self) -> None:
        """Works for as long as the process lives."""
        while True:
            await self._wait()
            try:
                # Also where the last try to rise ended in what nobody foresaw.
                if self.fallen or self._fenced.is_set() or await self._taken_for_dead():
                    await self._rise()
                elif self._keeper.in_touch():
                    node = self._describe(self.name)
                    if node != self._told:
                        await self._tell(node)
            except LonglineError as error:
                log.warning("membership_failed", code=error.code, error=error.message)
                await self._sleep(RETRY_AFTER)

    async def _wait(self) -> None:
        """For the next time to look, or until this process was refused as dead."""
        pause = asyncio.ensure_future(self._sleep(self._interval))
        refused = asyncio.ensure_future(self._fenced.wait())
        try:
            await asyncio.wait([pause, refused], return_when=asyncio.FIRST_COMPLETED)
        finally:
            pause.cancel()
            refused.cancel()

    async def _tell(self, node: Node) -> None:
        await self._keeper.join(node)
        if self._told is None or self._told.node != node.node:
            self._joined_at = self._monotonic()
        self._told = node

    async def _leave(self, name: str) -> None:
        try:
            await self._keeper.leave(name)
        except LonglineError as error:
            log.warning("leave_failed", code=error.code, error=error.message)

    async def _taken_for_dead(self) -> bool:
        if self._keeper.in_touch():
            if self._monotonic() - self._joined_at < NEWS:
                return False
            return all(member.node != self.name for member in await self._keeper.members())
        return self._has_queue and self.name not in await self._bus.nodes()

    async def _rise(self) -> None:
        """Goes on under a new name."""
        former = self.name
        self.fallen = True
        log.warning("fallen", reason="the others took this process for dead")
        await self._fallen()
        while not await self._risen():
            await self._sleep(RETRY_AFTER)
        self.fallen = False
        self.renames += 1
        log.warning("renamed", was=former, now=self.name)
        await self.tell()

    async def _risen(self) -> bool:
        """One try, with a name of its own: one that the others have half heard of may have died meanwhile."""
        before, self.name = self.name, unique(self._base)
        self._fenced.clear()
        try:
            await self._tell(msgspec.structs.replace(self._describe(self.name), draining=True))
            await self._renamed(self.name)
        except LonglineError as error:
            log.warning("join_failed", code=error.code, error=error.message)
            return False
        finally:
            await self._leave(before)
        return True


def describe_load(connections: int, capacity: int, cpu: float, lag: float) -> Load:
    """What the dispatcher ranks by; rounded, so that a quiet node has nothing to tell."""
    return Load(
        connections=connections,
        capacity=capacity,
        cpu=round(round(cpu / CPU_STEP) * CPU_STEP, 2),
        lag=round(round(lag / LAG_STEP) * LAG_STEP, 2),
    )
