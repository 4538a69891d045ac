"""What all processes tell, for everybody who watches here: one look at the store a second serves all of them,
and all are given the same bytes.

Somebody looks only while somebody watches.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from longline.center.requests.times import rfc3339
from longline.errors import LonglineError
from longline.model.figures import FiguresNow, unpacked
from longline.saver.port.figures import FigureStore

EVERY: Final = 1.0  # s


class FigureFeed:
    """One for a center. `woken` is called when somebody begins to watch."""

    def __init__(self, store: FigureStore, ready: Callable[[], bool]) -> None:
        self.woken: Callable[[], None] = lambda: None
        self._store = store
        self._ready = ready
        self._waiting: list[asyncio.Future[bytes]] = []
        self._task: asyncio.Task[None] | None = None

    async def now(self) -> bytes:
        """What the store has at this moment, as JSON; who looks watches for a while."""
        self.woken()
        return as_json(await self._store.watch())

    def next(self) -> asyncio.Future[bytes]:
        """What is read next, once a second for all; to be cancelled by who has no use for it any more."""
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        if self._task is None:
            self._task = asyncio.create_task(self._look(), name="center.figures")
        return future

    async def _look(self) -> None:
        clock = asyncio.get_running_loop().time
        idle = 0
        try:
            # Who takes a frame comes back before the next one.
            while self._ready() and (self._waiting or idle < 2):
                due = clock() + EVERY
                idle = 0 if self._waiting else idle + 1
                try:
                    said = as_json(await self._store.watch())
                except LonglineError:
                    pass  # streams wait until the store is back
                else:
                    waiting, self._waiting = self._waiting, []
                    for future in waiting:
                        if not future.done():
                            future.set_result(said)
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
    told = (unpacked(heard.sample) for heard in now.heard)
    nodes = b",".join(sample for sample in told if sample is not None)
    return b'{"at":"%b","nodes":[%b]}' % (rfc3339(now.at).encode(), nodes)
