"""What an application says and hears as a device of an app, whichever connection that uses."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from typing import Literal, Self, TypeVar

import msgspec

from longline import errors
from longline.model.topics import EVENT_PREFIX, GROUP_PREFIX, REPLY_PREFIX, SHADOW_REPORTED, UP_PREFIX
from longline.sdk.handlers import Handler, Handlers
from longline.sdk.message import Message
from longline.sdk.signal import Signal

AnyHandler = TypeVar("AnyHandler", bound=Handler)


class Speaker(ABC):
    """A device of an app: on a connection of its own (`Device`), or on another one's (`AttachedApp`)."""

    __slots__ = ("_arrived", "_handlers", "_inbox")

    def __init__(self) -> None:
        self._inbox: list[Message] = []
        self._arrived = Signal()  # a message, or the end
        self._handlers: Handlers | None = None  # when there is the first function for one of them

    @property
    @abstractmethod
    def closed(self) -> bool:
        """Whether it was ended by the application, and did not stop because it had to."""

    @abstractmethod
    async def publish(self, topic: str, payload: bytes | str, *, qos: Literal[0, 1] = 1) -> None:
        """Sends a message to a topic."""

    @abstractmethod
    async def subscribe(self, filter: str, *, qos: Literal[0, 1] = 1) -> None:
        """Asks for a topic filter."""

    @abstractmethod
    def _check_alive(self) -> None:
        """Raises what has ended it."""

    @abstractmethod
    def _took(self) -> None:
        """A message was taken out of the inbox."""

    @abstractmethod
    async def _hand_out(self, message: Message) -> bool:
        """Whether a message is for the application: no copy of one that it was done with."""

    # --- messages ---------------------------------------------------------------------------------

    async def receive(self) -> Message:
        """The next message, to be acknowledged with `await message.ack()`.

        Raises what stopped it, or `Unavailable` when the application has ended it.
        """
        while True:
            while not self._inbox:
                self._check_alive()
                await self._arrived.wait()
            message = self._inbox.pop(0)
            self._took()
            if await self._hand_out(message):
                return message

    def __aiter__(self) -> AsyncIterator[Message]:
        return _Consumer(self)

    def on_call(self, handler: AnyHandler) -> AnyHandler:
        """Has calls answered by a function, for which `Center.call` waits: to be used as a decorator.

            @device.on_call
            async def blink(call: Message) -> dict[str, bool]: ...

        What it returns is the answer: bytes, text, or what can be JSON. It may be a coroutine function; up to
        16 run at once. A call is acknowledged when it is answered, or when the function raises: that is
        logged, and the caller gets no answer. Calls are no longer handed out to who iterates.
        """
        self._made_handlers().on_call = handler
        return handler

    def on_desired(self, handler: AnyHandler) -> AnyHandler:
        """Has a function be told what is desired of the device, whole, after each change: as a decorator.

        Its message is JSON, acknowledged when the function is done; one at a time, in order. What it returns,
        unless that is None, is reported, as by `report_state`.
        """
        self._made_handlers().on_desired = handler
        return handler

    def _made_handlers(self) -> Handlers:
        if self._handlers is None:
            self._handlers = Handlers(self, self._hand_out)
        return self._handlers

    def _taken(self, message: Message) -> bool:
        """Whether a function takes a message that has come."""
        return self._handlers is not None and self._handlers.take(message)

    def _put(self, message: Message) -> None:
        """A message has come, for whoever asks for the next one."""
        self._inbox.append(message)
        self._arrived.set()

    def _clear_inbox(self) -> None:
        """It is at its end, and whoever waits for a message hears of it."""
        self._inbox.clear()
        self._arrived.set()

    def _running(self) -> list[asyncio.Task[None]]:
        """The functions that run."""
        return [] if self._handlers is None else self._handlers.running

    # --- sending ----------------------------------------------------------------------------------

    async def send(self, name: str, payload: object, *, qos: Literal[0, 1] = 1) -> None:
        """Sends a message to the app server, which sees it as `up/` and this name: `alarm`, `rooms/7/alarm`.

        Bytes travel as they are, a string as its UTF-8 text, anything else as its JSON. QoS 1 returns when
        the server has it on disk; see `publish`.
        """
        await self.publish(UP_PREFIX + name, encoded(payload), qos=qos)

    async def say(self, group: str, payload: object, *, qos: Literal[0, 1] = 1) -> None:
        """Says something in a group, to all members, this device included. The payload is as in `send`.

        QoS 1 returns when the server has it on disk; see `publish`. Raises `Forbidden` where there is no
        such group or this device is not a member, which MQTT 3.1.1 cannot tell.
        """
        await self.publish(GROUP_PREFIX + group, encoded(payload), qos=qos)

    async def report(self, message: Message | str, name: str) -> None:
        """Tells the app server what became of a push, by the message or its id: `shown`, `opened`, …"""
        id = message if isinstance(message, str) else message.id
        if id is None:
            raise ValueError("only a push can be reported on")
        await self.publish(f"{EVENT_PREFIX}{id}/{name}", b"")

    async def report_state(self, changes: Mapping[str, object]) -> None:
        """Merges `changes` into what the server knows of this device, its shadow: None for a name removes it.

        Returns when that is stored; raises the server's refusal. What is desired of the device comes with the
        other messages, whole, on the topic `shadow/desired`: after a change, and when it was away meanwhile.
        """
        await self.publish(SHADOW_REPORTED, msgspec.json.encode(dict(changes)))

    async def answer(self, call: Message, payload: object) -> None:
        """Answers a message whose sender waits: `Message.wants_answer`, which MQTT 3.1.1 cannot say.

        The payload is as in `send`.
        """
        if call.id is None:
            raise ValueError("only a push can be answered")
        await self.publish(REPLY_PREFIX + call.id, encoded(payload))


def encoded(payload: object) -> bytes:
    """Bytes as they are, a string as its UTF-8 text, anything else as its JSON."""
    if isinstance(payload, bytes):
        return payload
    return payload.encode("utf-8") if isinstance(payload, str) else msgspec.json.encode(payload)


class _Consumer:
    """One `async for` over a device: asking for the next message acknowledges the one before it."""

    def __init__(self, speaker: Speaker) -> None:
        self._speaker = speaker
        self._current: Message | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        if self._current is not None:
            await self._current.ack()
            self._current = None
        try:
            self._current = await self._speaker.receive()
        except errors.Unavailable:
            if self._speaker.closed:
                raise StopAsyncIteration from None
            raise
        return self._current
