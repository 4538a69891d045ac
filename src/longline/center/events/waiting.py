"""Requests that wait for events: one look at the store serves all that wait for those of an app.

Somebody looks only while somebody waits.
"""

import asyncio
from collections.abc import Callable

from longline.center.counters import CenterCounters
from longline.center.gate.sharing import Ticket
from longline.saver.port.events import EventStore

LOOK_EVERY = 0.25  # s


class _Lookout:
    """The requests that wait for the events of one app, and the task that looks for them."""

    def __init__(self) -> None:
        self.waiting: set[asyncio.Future[None]] = set()
        self.task: asyncio.Task[None] | None = None


class Waiting:
    """`wait` returns when there are events.

    When `ready` is False, at shutdown, all waiting ends.
    """

    def __init__(
        self,
        events: EventStore,
        counters: CenterCounters,
        *,
        ready: Callable[[], bool],
    ) -> None:
        self._counters = counters
        self._events = events
        self._ready = ready
        self._lookouts: dict[int, _Lookout] = {}

    async def wait(self, app: int, after: str, seconds: float, ticket: Ticket) -> None:
        """Returns when the app may have events behind the cursor `after`, and at the latest after `seconds`.

        Sooner when the request has to give way to others'. It waits on the share of whose request has this
        ticket. Raises `Overloaded` when too many wait, `RateLimited` when too many of these do, and what the
        store raises.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def end() -> None:
            if not future.done():
                future.set_result(None)

        with ticket.waiting(end):
            await self._wait(app, after, seconds, future)

    async def _wait(self, app: int, after: str, seconds: float, future: asyncio.Future[None]) -> None:
        lookout = self._lookouts.get(app)
        if lookout is None:
            lookout = self._lookouts[app] = _Lookout()
            lookout.task = asyncio.create_task(self._look(app, after, lookout), name="center.events")
        lookout.waiting.add(future)
        self._counters.events_waiting += 1
        try:
            await asyncio.wait([future], timeout=seconds)
            if future.done():
                future.result()
        finally:
            self._counters.events_waiting -= 1
            lookout.waiting.discard(future)
            if not lookout.waiting:
                self._dismiss(app, lookout)

    async def _look(self, app: int, after: str, lookout: _Lookout) -> None:
        # Whoever waits has seen the end of the queue, so one cursor stands for those of all.
        failure: Exception | None = None
        found = False
        while self._ready() and not found and failure is None:
            await asyncio.sleep(LOOK_EVERY)
            try:
                found = bool((await self._events.read(app, after, 1)).events)
            except Exception as error:  # whatever it is: who waits is told, and who comes next looks anew
                failure = error
        self._forget(app, lookout)
        lookout.task = None
        for future in lookout.waiting:
            if future.done():
                continue
            if failure is None:
                future.set_result(None)
            else:
                future.set_exception(failure)
        failure = None  # its traceback has this frame

    def _dismiss(self, app: int, lookout: _Lookout) -> None:
        self._forget(app, lookout)
        if lookout.task is not None:
            lookout.task.cancel()
            lookout.task = None  # each would keep the other until the garbage collector comes

    def _forget(self, app: int, lookout: _Lookout) -> None:
        if self._lookouts.get(app) is lookout:
            del self._lookouts[app]
