"""Requests that wait for devices' answers: one look at the store serves all of them.

Somebody looks only while somebody waits.
"""

import asyncio
from collections.abc import Callable

from longline.center.counters import CenterCounters
from longline.center.gate.sharing import Ticket
from longline.errors import LonglineError
from longline.saver.port.calls import CallResult, CallStore, DeviceCall

LOOK_EVERY = 0.02  # s
LOOK_LATER = 0.5  # s, after a look that failed


class Callers:
    """`wait` returns what a device has answered. When `ready` is False, at shutdown, all waiting ends."""

    def __init__(self, store: CallStore, counters: CenterCounters, *, ready: Callable[[], bool]) -> None:
        self._store = store
        self._counters = counters
        self._ready = ready
        self._waiting: dict[DeviceCall, asyncio.Future[CallResult | None]] = {}
        self._task: asyncio.Task[None] | None = None

    async def wait(self, call: DeviceCall, ticket: Ticket) -> CallResult | None:
        """The answer to a call; None when there was none in its time, or others need the place.

        It waits on the share of whose request has this ticket. Raises `Overloaded` when too many wait,
        `RateLimited` when too many of these do.
        """
        future: asyncio.Future[CallResult | None] = asyncio.get_running_loop().create_future()

        def end() -> None:
            if not future.done():
                future.set_result(None)

        with ticket.waiting(end):
            self._waiting[call] = future
            self._counters.calls_waiting += 1
            if self._task is None:
                self._task = asyncio.create_task(self._look(), name="center.calls")
            try:
                await asyncio.wait([future], timeout=call.timeout / 1000)
                return future.result() if future.done() else None
            finally:
                self._counters.calls_waiting -= 1
                del self._waiting[call]
                if not self._waiting and self._task is not None:
                    self._task.cancel()
                    self._task = None

    async def _look(self) -> None:
        while self._ready():
            calls = list(self._waiting)
            pause = LOOK_EVERY
            try:
                answers = await self._store.answers(calls)
            except LonglineError:  # who waits has a time of his own
                answers = []
                pause = LOOK_LATER
            for call, answer in zip(calls, answers, strict=False):
                future = self._waiting.get(call)
                if answer is not None and future is not None and not future.done():
                    future.set_result(answer)
            await asyncio.sleep(pause)
        self._task = None
        for future in self._waiting.values():
            if not future.done():
                future.set_result(None)
