"""What an application has posted, from `post` until the server has taken it, or never will."""

import logging
from collections.abc import Callable
from typing import Final

from longline import errors
from longline.model.topics import UP_PREFIX
from longline.sdk.clock import Clock, ClockTimer
from longline.sdk.state import DeviceMemory, PostedMessage
from longline.sdk.topics import checked_topic
from longline.sdk.unforeseen import told

OUTBOX_BYTES: Final = 1024 * 1024  # of all that was posted and not sent, names and payloads
POST_AGAIN: Final = 5.0  # seconds, after the server has refused for now what was posted

_log = logging.getLogger("longline.sdk")

OnRefused = Callable[[str, bytes, errors.LonglineError], None]


class Posts:
    """At most `most` messages, kept in `memory`. `again` is to send one that was refused for now."""

    __slots__ = ("_again", "_clock", "_memory", "_most", "_on_refused", "_timers", "_under_way")

    def __init__(
        self,
        memory: DeviceMemory,
        most: int,
        on_refused: OnRefused | None,
        again: Callable[[PostedMessage], None],
        clock: Clock,
    ) -> None:
        self._memory = memory
        self._most = most
        self._on_refused = on_refused
        self._again = again
        self._clock = clock
        self._under_way: dict[int, PostedMessage] = {}  # by the number of the call
        self._timers: list[ClockTimer] = []

    async def keep(self, name: str, payload: bytes) -> PostedMessage:
        """Keeps one, on the disk where there is one; raises `OutboxFull`, `Unavailable` when that refuses."""
        memory, topic = self._memory, checked_topic(UP_PREFIX + name)
        waiting = len(memory.outbox)
        if waiting >= self._most or memory.waiting + len(topic) + len(payload) > OUTBOX_BYTES:
            raise errors.OutboxFull(f"{waiting} messages of {memory.waiting} bytes wait to be sent")
        try:
            return await memory.post(topic, payload)
        except OSError as error:
            raise errors.Unavailable(f"the message cannot be kept: {error}") from error

    def sent(self, call: int, posted: PostedMessage) -> None:
        """One is on its way, as this call."""
        self._under_way[call] = posted

    def answered(self, call: int, error: errors.LonglineError | None) -> bool:
        """The server has answered a call; False: it is none of these."""
        posted = self._under_way.pop(call, None)
        if posted is None:
            return False
        if error is not None and error.retryable:
            self._later(posted)
            return True
        self._memory.settled(posted.number)
        if error is not None:
            self._refused(posted, error)
        return True

    def end(self) -> None:
        """Nothing is sent any more."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def _refused(self, posted: PostedMessage, error: errors.LonglineError) -> None:
        name = posted.topic.removeprefix(UP_PREFIX)
        _log.warning("the server does not take %r, which was posted: %s", name, error)
        if self._on_refused is not None:
            told(self._on_refused, "on_refused", name, posted.payload, error)

    def _later(self, posted: PostedMessage) -> None:
        def due() -> None:
            self._timers.remove(timer)
            self._again(posted)

        timer = self._clock.call_later(POST_AGAIN, due)
        self._timers.append(timer)
