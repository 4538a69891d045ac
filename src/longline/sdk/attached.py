"""`AttachedApp`: another app on the connection of a `Device`.

    async with Device("127.0.0.1", 1883, app="news", device="d1", token=token) as device:
        weather = await device.attach("weather", "d1", another_token)
        async for message in weather:
            print(message.text)

It has its own messages, subscriptions and receipts, and is otherwise used as a device is. All apps on a
connection share what may be under way on it (`receive_maximum`): whoever does not take its messages holds up
the others.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Final, Literal, Protocol, Self

from longline import errors
from longline.model.topics import prefix_of
from longline.mqtt.reasons import ReasonCode
from longline.sdk.backoff import Backoff, Random
from longline.sdk.clock import Clock
from longline.sdk.link_answer import LinkAnswer
from longline.sdk.message import Message
from longline.sdk.missed import Missed
from longline.sdk.refusals import Verdict, judge
from longline.sdk.signal import Signal
from longline.sdk.speaking import Speaker
from longline.sdk.tokens import Token, Tokens
from longline.sdk.unforeseen import let_end, unforeseen

BASE: Final = 0.5  # s within which a request that was refused for now is made again, and twice that, up to
CAP: Final = 60.0
ANSWER_WITHIN: Final = 30.0  # s, after which a request is made again


class Carrier(Protocol):
    """The device on whose connection it is."""

    @property
    def closed(self) -> bool:
        """Whether the application has closed it."""

    async def ask(self, app: str, device: str, token: str) -> None:
        """Sends a request to attach; `AttachedApp.told` hears the answer."""

    async def let_go(self, app: str, reason: errors.LonglineError) -> None:
        """The app is not attached any more: what waits for it fails with the reason."""

    def made_room(self) -> None:
        """A message was taken out of the inbox."""

    async def hand_out(self, message: Message) -> bool:
        """Whether a message is for the application: no copy of one that it was done with."""

    async def publish(self, topic: str, payload: bytes | str, *, qos: Literal[0, 1] = 1) -> None:
        """As `Device.publish`."""

    async def subscribe(self, filter: str, *, qos: Literal[0, 1] = 1) -> None:
        """As `Device.subscribe`."""


class AttachedApp(Speaker):
    """Made by `Device.attach`, and in use until `detach`; also as a context.

    It is attached again whenever the device has a new connection. It stops for good, and iteration,
    `publish` and `subscribe` raise, when that cannot help: `BadToken` (when one more token is refused, too),
    `Banned`, `TakenOver` when the same device of the app connects elsewhere, or what stopped the device
    itself. One that is kicked from the connection comes back to it, unless it is banned.
    """

    def __init__(
        self,
        carrier: Carrier,
        app: str,
        device: str,
        token: Token,
        random: Random,
        on_gap: Callable[[Missed], None] | None,
    ) -> None:
        super().__init__()
        self.app = app
        self.device = device
        self.on_gap = on_gap
        self.task: asyncio.Task[None] | None = None  # while the device is connected
        self._carrier = carrier
        self._prefix = prefix_of(app)
        self._tokens = Tokens(token)
        self._backoff = Backoff(base=BASE, cap=CAP, random=random)
        self._attached = False
        self._over = False
        self._failure: errors.LonglineError | None = None
        self._answer: LinkAnswer | None = None
        self._answered = asyncio.Event()
        self._changed = Signal()  # for those who wait until it is attached

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.detach()

    # --- its life ---------------------------------------------------------------------------------

    @property
    def attached(self) -> bool:
        """Whether the server has let it in, as far as is known."""
        return self._attached

    @property
    def closed(self) -> bool:
        return self._over and self._failure is None

    async def wait_attached(self) -> None:
        """Returns once it is attached; raises when it never will be."""
        while not self._attached:
            self._check_alive()
            await self._changed.wait()

    async def detach(self) -> None:
        """Ends it. What was not acknowledged comes again, when the app is attached the next time."""
        if self._over:
            return
        self._stop(None)
        await self._carrier.let_go(self.app, errors.Unavailable("this app is detached"))

    # --- messages ---------------------------------------------------------------------------------

    async def publish(self, topic: str, payload: bytes | str, *, qos: Literal[0, 1] = 1) -> None:
        """As `Device.publish`, in this app."""
        self._check_alive()
        if qos == 0:
            await self.wait_attached()
        await self._carrier.publish(self._prefix + topic, payload, qos=qos)

    async def subscribe(self, filter: str, *, qos: Literal[0, 1] = 1) -> None:
        """As `Device.subscribe`, in this app."""
        self._check_alive()
        await self._carrier.subscribe(self._prefix + filter, qos=qos)

    # --- what the device tells --------------------------------------------------------------------

    async def keep(self, clock: Clock) -> None:
        """Has it attached for as long as the connection lasts."""
        while not self._over:
            try:
                token = await self._tokens.current()
                self._answered.clear()
                await self._carrier.ask(self.app, self.device, token)
                with suppress(TimeoutError):
                    async with asyncio.timeout(ANSWER_WITHIN):
                        await self._answered.wait()
                if not self._attached and self._answer is None:
                    continue
                while self._attached:
                    self._answered.clear()
                    await self._answered.wait()
                wait = self._judge()
            except errors.LonglineError:  # from the token's source, which logs it
                wait = True
            except (Exception, asyncio.CancelledError) as error:
                let_end(error)
                unforeseen(error, self.app)
                wait = True
            if self._failure is not None:
                await self._fail(self._failure)
            elif wait and not self._over:
                await clock.sleep(self._backoff.next())

    def told(self, answer: LinkAnswer) -> None:
        """The server has said something of it."""
        self._answer = answer
        self._attached = answer.status == "attached"
        if self._attached:
            self._tokens.taken()
            self._backoff.reset()
        self._answered.set()
        self._changed.set()

    def lost(self) -> None:
        """The connection is gone, and it with it."""
        self._attached = False
        if self.task is not None:
            self.task.cancel()
            self.task = None

    def ended(self, reason: Exception) -> None:
        """The device is not coming back."""
        failure = reason if isinstance(reason, errors.LonglineError) else errors.Unavailable(str(reason))
        self._stop(None if self._carrier.closed else failure)

    def _judge(self) -> bool:
        """Makes of what the server said what to do; whether to wait before asking again."""
        answer = self._answer
        if answer is None or self._over:
            return False
        self._answer = None
        said = f"{answer.code}: {answer.message}" if answer.message else answer.code
        error, verdict = judge(answer.reason, said)
        if verdict is Verdict.REFRESH and answer.code in _OUR_OWN:
            self._failure = errors.Forbidden(said)
        elif verdict is Verdict.REFRESH or answer.reason == ReasonCode.MAXIMUM_CONNECT_TIME:
            if not self._tokens.refused():
                self._failure = errors.BadToken(said)
            return False
        elif verdict is Verdict.STOP or (answer.status == "refused" and not answer.retryable):
            self._failure = error
        return True

    async def _fail(self, error: errors.LonglineError) -> None:
        self._stop(error)
        await self._carrier.let_go(self.app, error)

    def _stop(self, failure: errors.LonglineError | None) -> None:
        self._over = True
        self._attached = False
        self._failure = failure
        self._clear_inbox()
        if self._handlers is not None:
            self._handlers.cancel()
        self._answered.set()
        self._changed.set()

    def _took(self) -> None:
        self._carrier.made_room()

    async def _hand_out(self, message: Message) -> bool:
        return await self._carrier.hand_out(message)

    def _check_alive(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._over:
            raise errors.Unavailable("this app is detached")


# What no other token can help against, though the reason is the same.
_OUR_OWN: Final = frozenset(["app_attached", "attached_to_itself", "not_attached", "attachments_off"])
