"""Calls: in memory. Their callers are in this process, and end with it."""

import time
from collections.abc import Callable, Sequence

from longline.saver.port.calls import CallResult, DeviceCall


class _Waiting:
    """A call, until when it waits, and its answer."""

    __slots__ = ("answer", "call", "until")

    def __init__(self, call: DeviceCall, until: float) -> None:
        self.call = call
        self.until = until
        self.answer: CallResult | None = None


class LocalCalls:
    """Fulfils `CallStore` for one process. Bounded by the requests that may wait there."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._waiting: dict[tuple[int, str], _Waiting] = {}

    async def open(self, call: DeviceCall) -> None:
        """An entry, which `close` removes."""
        until = self._monotonic() + call.timeout / 1000
        self._waiting[call.app, call.message_id] = _Waiting(call, until)

    async def answer(self, batch: Sequence[CallResult]) -> list[bool]:
        """The first answer stays."""
        return [self._answer(answer) for answer in batch]

    def _answer(self, answer: CallResult) -> bool:
        waiting = self._waiting.get((answer.app, answer.message_id))
        if waiting is None or waiting.call.ordinal != answer.ordinal or self._monotonic() >= waiting.until:
            return False
        if waiting.answer is None:
            waiting.answer = answer
        return waiting.answer.payload == answer.payload

    async def answers(self, calls: Sequence[DeviceCall]) -> list[CallResult | None]:
        """Looks each up."""
        found = [self._waiting.get((call.app, call.message_id)) for call in calls]
        return [None if waiting is None else waiting.answer for waiting in found]

    async def close(self, call: DeviceCall) -> None:
        """Removes the entry."""
        self._waiting.pop((call.app, call.message_id), None)
