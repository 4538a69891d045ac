"""The functions of an application that take messages of a device, or of an app that is attached to one: its
calls, and what is desired of it. They run beside the messages that are handed out.
"""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Final, Protocol

from longline import errors
from longline.model.topics import SHADOW_DESIRED
from longline.sdk.message import Message
from longline.sdk.unforeseen import let_end

MAX_CALLS: Final = 16  # that are answered at once; further calls wait
MAX_TAKEN: Final = 100  # messages in functions or before them; further ones are handed out as others are

Handler = Callable[[Message], object]

_log = logging.getLogger("longline.sdk")


class Speaking(Protocol):
    """Whose messages they are, as far as it is needed here."""

    async def answer(self, call: Message, payload: object) -> None:
        """As `Speaker.answer`."""

    async def report_state(self, changes: Mapping[str, object]) -> None:
        """As `Speaker.report_state`."""


class Handlers:
    """See above. `hand_out` says whether a message is for the application: no copy of one that it has had."""

    __slots__ = ("_answering", "_desiring", "_hand_out", "_speaker", "_tasks", "on_call", "on_desired")

    def __init__(self, speaker: Speaking, hand_out: Callable[[Message], Awaitable[bool]]) -> None:
        self.on_call: Handler | None = None
        self.on_desired: Handler | None = None
        self._speaker = speaker
        self._hand_out = hand_out
        self._answering = asyncio.Semaphore(MAX_CALLS)
        self._desiring = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []

    def take(self, message: Message) -> bool:
        """Has a function take a message, if there is one for it."""
        work = self._work(message)
        if work is None or len(self._tasks) >= MAX_TAKEN:
            return False
        task = asyncio.create_task(work(message), name="longline-device-handler")
        self._tasks.append(task)
        task.add_done_callback(self._tasks.remove)
        return True

    def cancel(self) -> None:
        """Ends what runs, but for a function that is itself what ends it."""
        own = asyncio.current_task()
        for task in self.running:
            if task is not own:
                task.cancel()

    @property
    def running(self) -> list[asyncio.Task[None]]:
        """What runs, a list of its own."""
        return [*self._tasks]

    def _work(self, message: Message) -> Callable[[Message], Coroutine[None, None, None]] | None:
        if message.wants_answer and self.on_call is not None:
            return self._answer
        if message.topic == SHADOW_DESIRED and self.on_desired is not None:
            return self._desire
        return None

    async def _answer(self, call: Message) -> None:
        async with self._answering:
            if not await self._hand_out(call):
                return
            try:
                assert self.on_call is not None
                await self._speaker.answer(call, await _result(self.on_call, call))
            except errors.LonglineError as error:
                _log.warning("%r could not be answered: %s", call, error)
            except (Exception, asyncio.CancelledError) as error:  # the application's: the connection goes on
                let_end(error)
                _log.exception("on_call has failed for %r", call)
            await call.ack()

    async def _desire(self, desired: Message) -> None:
        async with self._desiring:
            if not await self._hand_out(desired):
                return
            try:
                assert self.on_desired is not None
                reported = await _result(self.on_desired, desired)
                if isinstance(reported, Mapping):
                    await self._speaker.report_state(reported)
            except errors.LonglineError as error:
                _log.warning("the state of %s could not be reported: %s", desired.app, error)
            except (Exception, asyncio.CancelledError) as error:
                let_end(error)
                _log.exception("on_desired has failed for %r", desired)
            await desired.ack()


async def _result(handler: Handler, message: Message) -> object:
    """What the application's function gives, or the coroutine that it makes."""
    result = handler(message)
    return await result if inspect.isawaitable(result) else result
