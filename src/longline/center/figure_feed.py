"""What all processes tell, for everybody who watches here: one look at the store a second serves all of them.

Somebody looks only while somebody watches, and what is read is handed on as it is.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from longline.center.times import rfc3339
from longline.errors import LonglineError
from longline.model.figures import FiguresNow
from longline.saver.port.figures import FigureStore

EVERY: Final = 1.0  # s


class FigureFeed:
    """One for a center. `woken` is called when somebody begins to watch."""

    def __init__(self, store: FigureStore, ready: Callable[[], bool]) -> None:
        self.woken: Callable[[], None] = lambda: None
        self._store = store
        self._ready = ready
        self._waiting: set[asyncio.Future[FiguresNow]] = set()
        self._task: asyncio.Task[None] | None = None

    async def now(self) -> FiguresNow:
        """What the store has at this moment; who looks watches for a while."""
        self.woken()
        return await self._store.watch()

    async def next(self, seconds: float) -> FiguresNow | None:
        """What is read next, once a second for all; None when that is not within so many seconds."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[FiguresNow] = loop.create_future()
        self._waiting.add(future)
        if self._task is None:
            self._task = asyncio.create_task(self._look(), name="center.figures")
        try:
            await asyncio.wait([future], timeout=seconds)
            return future.result() if future.done() else None
        finally:
            self._waiting.discard(future)

    async def _look(self) -> None:
        clock = asyncio.get_running_loop().time
        idle = 0
        try:
            while self._ready() and idle < 2:  # who takes a frame comes back before the next one
                due = clock() + EVERY
                idle = 0 if self._waiting else idle + 1
                try:
                    found = await self._store.watch()
                except LonglineError:
                    pass  # streams wait until the store is back
                else:
                    waiting, self._waiting = self._waiting, set()
                    for future in waiting:
                        if not future.done():
                            future.set_result(found)
                await asyncio.sleep(max(0.0, due - clock()))
        finally:
            self._task = None

    async def close(self) -> None:
        """Watches no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


def as_json(now: FiguresNow) -> bytes:
    """A `FiguresView`, of samples that are JSON already."""
    nodes = b",".join(heard.sample for heard in now.heard)
    return b'{"at":"%b","nodes":[%b]}' % (rfc3339(now.at).encode(), nodes)
