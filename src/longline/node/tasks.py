"""The tasks that live for as long as the process does."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import structlog

from longline.flow.kept import kept
from longline.telemetry.faults import Faults
from longline.telemetry.tasks import TaskWatch

log = structlog.get_logger("longline.node")


class Tasks:
    """Those of one process. `watch` hears how long each may wait for one thing."""

    def __init__(self, watch: TaskWatch, faults: Faults) -> None:
        self._watch = watch
        self._faults = faults
        self._tasks: list[asyncio.Task[None]] = []

    def own(self, name: str, work: Callable[[], Awaitable[None]], *, within: float | None = None) -> None:
        """Does work until `end`; `within`: how many seconds it may wait for one thing."""
        if within is not None:
            self._watch.expect(name, within)
        self._tasks.append(asyncio.create_task(kept(name, work, self._faults), name=name))

    def adopt(self, tasks: Iterable[asyncio.Task[None]]) -> None:
        """Has these for its own, which a part has started."""
        self._tasks += tasks

    async def failed(self) -> None:
        """Returns when one of them has ended."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            log.critical("part_failed", part=task.get_name(), exc_info=task.exception())

    async def end(self) -> None:
        """Cancels them, and waits until they are over."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
