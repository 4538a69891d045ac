"""Takes profiles of this process, one at a time, and never on the event loop."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import structlog

from longline.errors import ProfileUnderWay
from longline.model.profiles import LONGEST, ProfileKind
from longline.profiling import cpu, heap, loop, queues, tasks
from longline.profiling.content import Content
from longline.profiling.queues import Depths
from longline.profiling.stalls import StallWatch
from longline.telemetry.loop import GcPauses
from longline.telemetry.tasks import TaskWatch

SHORTEST: Final = 1.0  # s

Result = TypeVar("Result")

log = structlog.get_logger("longline.profiling")


class Captures:
    """Owned by the process, which calls `start` on its loop and `close` at its end."""

    def __init__(self, gc: GcPauses, depths: Depths, watch: TaskWatch) -> None:
        self._gc = gc
        self._depths = depths
        self._ended = threading.Event()
        self._stalls = StallWatch(paused=lambda: gc.pause_seconds.total)
        self._working = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="profile")  # made when it is needed
        self._watch = watch
        self._taken = 0

    def start(self) -> None:
        """Watches the running loop from now on."""
        self._stalls.start()

    def statistics(self) -> dict[str, int]:
        """Profiles taken, and stalls noticed, so far."""
        return {"taken": self._taken, "stalls": len(self._stalls.found) + self._stalls.forgotten}

    def close(self) -> None:
        """Cuts short what is under way."""
        self._ended.set()
        self._stalls.stop()
        self._thread.shutdown(wait=False)

    async def take(
        self, kind: ProfileKind, seconds: float, going_on: Callable[[], Awaitable[bool]] | None = None
    ) -> Content:
        """A profile over so many seconds (one to `LONGEST`); of tasks there is only a moment.

        `going_on` is asked once a second, and ends it when it says no. Raises `ProfileUnderWay` while there
        is another, and `ProfileFailed`.
        """
        if self._working:
            raise ProfileUnderWay
        seconds = min(max(seconds, SHORTEST), float(LONGEST))
        self._working = True
        try:
            content = await self._take(kind, seconds, going_on)
        finally:
            self._working = False
        self._taken += 1
        return content

    async def _take(
        self, kind: ProfileKind, seconds: float, going_on: Callable[[], Awaitable[bool]] | None
    ) -> Content:
        match kind:
            case "cpu":
                program = await asyncio.to_thread(cpu.find_py_spy)
                content, said = await self._in_thread(lambda ended: cpu.take(seconds, ended, program))
                if said:
                    log.warning("py_spy_failed", said=said)
                return content
            case "heap":
                return await self._in_thread(lambda ended: heap.take(seconds, ended), going_on)
            case "tasks":
                return tasks.take(self._watch)
            case "loop":
                return await loop.take(seconds, self._stalls, self._gc)
            case "queues":
                return await queues.take(seconds, self._depths)

    async def _in_thread(
        self,
        work: Callable[[threading.Event], Result],
        going_on: Callable[[], Awaitable[bool]] | None = None,
    ) -> Result:
        """Work in a thread of its own, which is told to end with whoever waits for it, and waited for."""
        ended = threading.Event()
        loop = asyncio.get_running_loop()
        done = asyncio.ensure_future(loop.run_in_executor(self._thread, work, ended))
        try:
            while not done.done():
                await asyncio.wait([done], timeout=1.0)
                if self._ended.is_set() or (going_on is not None and not await going_on()):
                    break
            ended.set()
            return await done
        finally:
            ended.set()
            if not done.done():
                await asyncio.wait([done])
