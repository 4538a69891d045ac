"""`Device`: a device's end of Longline, on asyncio.

    async with Device("127.0.0.1", 1883, app="news", device="d1", token=token) as device:
        async for message in device:
            print(message.text)

Over TLS: `Device("mqtts://push.example.org", …)`; over WebSocket: `Device("wss://push.example.org/mqtt", …)`.
In a cluster, a device asks dispatchers where to connect:
`Device(dispatchers=["https://push.example.org"], …)`.

A message is acknowledged when the next one is asked for, or by `await message.ack()`. So a handler that
raises leaves its message unacknowledged, and the server sends it again on the next connection; so does a
`break`, unless `ack` came before it. Delivery is at least once, and copies of what was handled are dropped;
with `state`, a file, also when the process was started again meanwhile.
"""

import asyncio
import contextlib
import inspect
import logging
import random as random_module
import ssl
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from functools import partial
from ipaddress import ip_address
from types import TracebackType
from typing import TYPE_CHECKING, Final, Literal, Self, TypeVar

from longline import errors
from longline.model.addresses import joined
from longline.model.apps import valid_app_name
from longline.model.devices import valid_device_name
from longline.model.topics import SHADOW_DESIRED, UP_PREFIX
from longline.sdk.attached import AttachedApp
from longline.sdk.backoff import Backoff, Random
from longline.sdk.clock import Clock, ClockTimer, LoopClock
from longline.sdk.endpoints import Endpoint, Endpoints
from longline.sdk.heartbeat import LearntHeartbeat
from longline.sdk.link_answer import LinkAnswer
from longline.sdk.message import Message
from longline.sdk.missed import Missed
from longline.sdk.mqtt_client import (
    Answered,
    AppMissed,
    Ended,
    Event,
    Identity,
    MqttClient,
    Opened,
    Statistics,
)
from longline.sdk.racing import addresses, race
from longline.sdk.refusals import Verdict
from longline.sdk.signal import Signal
from longline.sdk.speaking import Speaker, encoded
from longline.sdk.state import DeviceMemory, FoundEndpoints, PostedMessage
from longline.sdk.times import Duration, seconds, whole_seconds
from longline.sdk.tokens import Token, Tokens
from longline.sdk.trust import PORTS, File, Transport, parsed, trust
from longline.sdk.websocket import open_websocket
from longline.websocket.upgrade import PATH

CHUNK: Final = 64 * 1024  # bytes read at once
MAX_UNANSWERED: Final = 100  # publishes with QoS 1 at once; further ones wait
OUTBOX_BYTES: Final = 1024 * 1024  # of all that was posted and not sent, names and payloads
POST_AGAIN: Final = 5.0  # seconds, after the server has refused for now what was posted
PROBED: Final = 3  # endpoints that are tried at the same time
MAX_HANDLERS: Final = 16  # of calls, at once; further calls wait
STABLE_AFTER: Final = 10.0  # seconds a connection must live before the next failure counts as the first

HANG_UP: Final = 1.0  # seconds for the last word and the end of the stream
# Seconds in which a room that was paused or cut off may still carry out a CONNECT that we gave up.
HAUNTED: Final = 60.0
KEEP_ALIVE: Final = 60  # seconds, unless the caller or a dispatcher says otherwise
LONGEST_AFTER: Final = 3600.0  # seconds that a dispatcher may keep a device waiting

if TYPE_CHECKING:
    from longline.sdk.dispatch import Dispatch, Dispatchers

CACHED: Final = 8  # endpoints of a network that are remembered

_log = logging.getLogger("longline.sdk")

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Handler = Callable[[Message], object]
AnyHandler = TypeVar("AnyHandler", bound=Handler)


class Device(Speaker):
    """One device of an app, connected as long as the context lasts.

    `token` is a token, or a coroutine function that gives one: it is asked again when the server refuses the
    one at hand. What it raises is taken for a failure that passes, and it is asked again after a wait, unless
    it is an error of Longline that is not `retryable`, such as `Unauthorized`. `protocol` is 5 (MQTT 5.0) or
    4 (3.1.1). `keep_alive` bounds how long a dead connection goes unnoticed; None: what a dispatcher
    recommends, or 60 seconds. At most `receive_maximum` messages wait for the consumer; then nothing more is
    read from the network. Durations are timedeltas, or numbers of seconds. `session_expiry`: how long the
    server keeps a session for the device when it is away, that is its subscriptions, and what is published to
    them with QoS 1 and 2; pushes are kept whatever it is.

    `host` may be a URL, `mqtt://HOST:PORT`, `mqtts://HOST:PORT`, `ws://HOST:PORT/PATH` or
    `wss://HOST:PORT/PATH`; else `transport` says which of them (`tcp`, `tls`, `ws`, `wss`), for dispatchers
    too. With TLS the server is verified: by the authorities in the PEM file `ca`, or by the system's where
    there is none. `certificate` and `key` are PEM files of what the device shows of itself; where the app
    takes that for a token, `token` can be left out.

    Whatever breaks the connection, the device comes back: after a wait drawn from [0, `backoff_base`), then
    from twice that, up to `backoff_cap`; the logger `longline.sdk` is told. A server that wants the device
    elsewhere says where and when; if nobody lets it in there, it comes back to its `endpoints`: `host` and
    `port`, those given, and from then on whatever is fed to it. With `dispatchers` (URLs, see docs/api.md) it
    asks them before it connects, again when what they said has expired or none of it works, and goes by their
    word on the waits too; while none answers it goes on with what it has. It stops for good, and iteration,
    `publish`, `subscribe` and `wait_connected` raise, when coming back cannot help: `BadToken` (when one more
    token is refused, too), `Banned`, `NotSupported`, and `TakenOver` when the same device connects elsewhere.
    A device that is kicked comes back, unless it is banned.

    `state` is a file, best one for each device, in which it keeps what is to survive its process: the ids of
    pushes that were handled, what was posted and not sent, and what it has learnt of its networks. A disk
    that is full, or refuses, costs only that. `outbox` is how many messages `post` keeps at most. `network`
    names the network that the device is on, or is a function that does, such as the SSID: what dispatchers
    said, and how long a connection may be idle, is remembered for each of the latest 16.

    How often an idle connection is tried is learnt, unless `keep_alive` is given: seldom as long as
    connections survive that, more often where they do not, within what the server allows.

    `on_gap` is called when the server says that messages have ended without reaching this device, before the
    next message is handed in: with how many were dropped, expired or collapsed, and since when. `on_refused`
    is called with what was posted and the server will never take: its name, its payload, and why.
    """

    __slots__ = (
        "_alarm",
        "_arrived",
        "_attached",
        "_backoff",
        "_calls",
        "_client",
        "_dead",
        "_desiring",
        "_dispatchers",
        "_failure",
        "_handlers",
        "_handling",
        "_heartbeat",
        "_identity",
        "_inbox",
        "_kept",
        "_known_until",
        "_moved",
        "_network",
        "_on_call",
        "_on_desired",
        "_on_gap",
        "_on_network",
        "_on_refused",
        "_opened",
        "_outbox",
        "_over",
        "_owner",
        "_path",
        "_posted",
        "_publishing",
        "_reader",
        "_recommended",
        "_room",
        "_state",
        "_timers",
        "_tls",
        "_tokens",
        "_unanswered",
        "_writer",
        "endpoints",
    )

    # What a test puts in their place, in a subclass.
    _random: Random = random_module.random
    _clock: Clock = LoopClock()

    def __init__(
        self,
        host: str | None = None,
        port: int | None = None,
        *,
        app: str,
        device: str,
        token: Token | None = None,
        transport: Transport | None = None,
        ca: File | None = None,
        certificate: File | None = None,
        key: File | None = None,
        endpoints: Sequence[Endpoint] = (),
        dispatchers: Sequence[str] = (),
        protocol: Literal[4, 5] = 5,
        keep_alive: Duration | None = None,
        receive_maximum: int = 100,
        session_expiry: Duration = 0,
        connect_timeout: Duration = 10.0,
        backoff_base: Duration = 0.5,
        backoff_cap: Duration = 60.0,
        state: File | None = None,
        outbox: int = 1000,
        network: str | Callable[[], str] = "",
        on_gap: Callable[[Missed], None] | None = None,
        on_refused: Callable[[str, bytes, errors.LonglineError], None] | None = None,
    ) -> None:
        if protocol not in (4, 5):
            raise ValueError("protocol is 4 (MQTT 3.1.1) or 5 (MQTT 5.0)")
        if not 0 < receive_maximum <= 65_535:
            raise ValueError("receive_maximum is from 1 to 65535")
        if token is None and certificate is None:
            raise ValueError("a device needs a token or a certificate")
        by_url, host, of_url, path = parsed(host) if host else (None, None, None, None)
        transport = by_url or transport or "tcp"
        port = of_url or port or PORTS[transport]
        self.endpoints = Endpoints([*([(host, port)] if host else []), *endpoints])
        if host and not 0 < port <= 65_535:
            raise ValueError("a port is from 1 to 65535")
        if not self.endpoints.known and not dispatchers:
            raise ValueError("a device needs a host, endpoints or dispatchers")
        self._tls = trust(ca, certificate, key) if transport in ("tls", "wss") else None
        self._path = path or PATH if transport in ("ws", "wss") else None
        self._dispatchers = _dispatchers(
            dispatchers, app, device, transport, None if ca is None else trust(ca), self._random
        )
        self._known_until = float("-inf")  # by the clock: until when to go by what a dispatcher said
        self._recommended = keep_alive is None
        self._tokens = Tokens("" if token is None else token)
        self._identity = Identity(
            app,
            device,
            protocol,
            KEEP_ALIVE if keep_alive is None else whole_seconds(keep_alive),
            receive_maximum,
            whole_seconds(session_expiry),
            seconds(connect_timeout),
        )
        self._state = DeviceMemory(state)
        self._heartbeat = LearntHeartbeat(fixed=keep_alive is not None)
        self._client = MqttClient(
            self._identity, self._acknowledge, self.report, self._state, self._heartbeat
        )
        self._kept = state is not None
        self._outbox = outbox
        self._posted: dict[int, PostedMessage] = {}  # by the number of the call
        self._timers: list[ClockTimer] = []
        self._network = network
        self._on_network: str | None = None
        self._on_call: Handler | None = None
        self._on_desired: Handler | None = None
        self._handling: list[asyncio.Task[None]] = []
        self._handlers: asyncio.Semaphore | None = None  # there is one when there is a handler
        self._desiring: asyncio.Lock | None = None
        self._on_refused = on_refused
        self._on_gap = on_gap
        self._backoff = Backoff(base=seconds(backoff_base), cap=seconds(backoff_cap), random=self._random)
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._alarm: ClockTimer | None = None  # for keep alive, while there is a connection
        self._owner: asyncio.Task[None] | None = None
        self._dead: Ended | None = None  # set by the timer, for the reader whose connection it closed
        self._over = False
        self._failure: Exception | None = None
        self._moved = False  # sent elsewhere by the server, and no connection has lasted since
        self._unanswered = float("-inf")  # when the last CONNECT was sent of which nothing was heard
        self._inbox: list[Message] = []
        self._attached: dict[str, AttachedApp] = {}
        self._calls: dict[int, asyncio.Future[None]] = {}
        self._publishing = asyncio.Semaphore(MAX_UNANSWERED)
        # What tasks wait for: each is set when it may have come true, and whoever wakes looks again.
        self._arrived = Signal()
        self._room = Signal()
        self._opened = Signal()

    # --- life -------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if self._owner is not None:
            raise RuntimeError("a Device is entered once; make another one to connect again")
        if self._kept:
            await asyncio.to_thread(self._state.open)
        for posted in [*self._state.outbox.values()]:
            self._send_posted(posted)
        name = f"longline-device-{self._identity.app}/{self._identity.device}"
        self._owner = asyncio.create_task(self._run(), name=name)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Says good-bye and stops. Whoever iterates is at the end; what was not acknowledged comes again."""
        if self._owner is None:
            return
        self._client.disconnect()  # which the owner writes before it hangs up
        self._owner.cancel()
        own = asyncio.current_task()  # a handler may be what closes the device
        await asyncio.wait([self._owner, *(task for task in self._handling if task is not own)])

    @property
    def connected(self) -> bool:
        """Whether the server has let the device in, as far as is known."""
        return self._client.open

    @property
    def closed(self) -> bool:
        """Whether the device was closed, and did not stop because it had to."""
        return self._over and self._failure is None

    @property
    def statistics(self) -> Statistics:
        """Counters since the device was made, and the last error."""
        return self._client.statistics

    async def wait_connected(self) -> None:
        """Returns once the device is connected; raises when it never will be."""
        while not self._client.open:
            self._check_alive()
            await self._opened.wait()

    # --- messages ---------------------------------------------------------------------------------

    async def receive(self) -> Message:
        """The next message, to be acknowledged with `await message.ack()`.

        Raises what stopped the device, or `Unavailable` when it was closed.
        """
        while True:
            while not self._inbox:
                self._check_alive()
                await self._arrived.wait()
            message = self._inbox.pop(0)
            self._room.set()
            if await self._hand_out(message):
                return message

    def on_call(self, handler: AnyHandler) -> AnyHandler:
        """Has calls answered by a function, for which `Center.call` waits: to be used as a decorator.

            @device.on_call
            async def blink(call: Message) -> dict[str, bool]: ...

        What it returns is the answer: bytes, text, or what can be JSON. It may be a coroutine function; up to
        16 run at once. A call is acknowledged when it is answered, or when the function raises: that is
        logged, and the caller gets no answer. Calls are no longer handed out to who iterates.
        """
        self._on_call = handler
        self._handlers = self._handlers or asyncio.Semaphore(MAX_HANDLERS)
        return handler

    def on_desired(self, handler: AnyHandler) -> AnyHandler:
        """Has a function be told what is desired of the device, whole, after each change: as a decorator.

        Its message is JSON, acknowledged when the function is done; one at a time, in order. What it returns,
        unless that is None, is reported, as by `report_state`.
        """
        self._on_desired = handler
        self._desiring = self._desiring or asyncio.Lock()
        return handler

    async def _handle_call(self, call: Message) -> None:
        assert self._handlers is not None
        async with self._handlers:
            if not await self._hand_out(call):
                return
            try:
                assert self._on_call is not None
                answer = await _result(self._on_call, call)
                await self.answer(call, answer)
            except errors.LonglineError as error:
                _log.warning("%s could not answer %r: %s", self._identity.device, call, error)
            except Exception:  # the application's: the connection goes on
                _log.exception("on_call of %s has failed", self._identity.device)
            await call.ack()

    async def _handle_desired(self, desired: Message) -> None:
        assert self._desiring is not None
        async with self._desiring:
            if not await self._hand_out(desired):
                return
            try:
                assert self._on_desired is not None
                reported = await _result(self._on_desired, desired)
                if isinstance(reported, Mapping):
                    await self.report_state(reported)
            except errors.LonglineError as error:
                _log.warning("%s could not report its state: %s", self._identity.device, error)
            except Exception:
                _log.exception("on_desired of %s has failed", self._identity.device)
            await desired.ack()

    def _handler_of(self, message: Message) -> Callable[[Message], Coroutine[None, None, None]] | None:
        if message.prefix:
            return None
        if message.wants_answer and self._on_call is not None:
            return self._handle_call
        if message.topic == SHADOW_DESIRED and self._on_desired is not None:
            return self._handle_desired
        return None

    # --- other apps -------------------------------------------------------------------------------

    async def attach(
        self,
        app: str,
        device: str,
        token: Token,
        *,
        on_gap: Callable[[Missed], None] | None = None,
    ) -> AttachedApp:
        """Has another app share this connection; returns when the server has let it in.

        `token` is as for a device, and so is `on_gap`. From then on it is attached again after every
        reconnect, until `detach`, or until that cannot help: see `AttachedApp`. Raises what it was refused
        with: `BadToken` also where there is no such app.
        """
        self._check_alive()
        if not valid_app_name(app) or not valid_device_name(device):
            raise ValueError("app or device is no valid name")
        if app in self._attached:
            raise ValueError(f"{app} is attached already")
        attached = self._attached[app] = AttachedApp(_Carrier(self), app, device, token, self._random, on_gap)
        if self._client.open:
            self._begin(attached)
        try:
            await attached.wait_attached()
        except BaseException:
            await attached.detach()
            raise
        return attached

    def _begin(self, attached: AttachedApp) -> None:
        """Has it attached on the connection that there is now."""
        name = f"longline-device-{self._identity.app}/{self._identity.device}-{attached.app}"
        attached.task = asyncio.create_task(attached.keep(self._clock), name=name)

    async def _end_attached(self) -> None:
        """The connection is gone, and what kept apps attached to it ends."""
        tasks = [attached.task for attached in self._attached.values() if attached.task is not None]
        for attached in self._attached.values():
            attached.lost()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome

    # --- sending ----------------------------------------------------------------------------------

    async def publish(self, topic: str, payload: bytes | str, *, qos: Literal[0, 1] = 1) -> None:
        """Sends a message to a topic: `up/…` for the app server, others for the app's devices.

        QoS 1 returns when the server has taken the message, across reconnects if need be; the server may then
        get it more than once. QoS 0 returns when it is written. Raises the server's refusal.
        """
        if qos not in (0, 1):
            raise ValueError("qos is 0 or 1")
        data = payload.encode("utf-8") if isinstance(payload, str) else payload
        if qos == 0:
            await self.wait_connected()
            self._client.publish(topic, data, 0, self._clock.now())
            await self._flush()
            return
        async with self._publishing:
            self._check_alive()
            call = self._client.publish(topic, data, 1, self._clock.now())
            answer = self._expect(call)
            self._handle(self._client.pump(self._clock.now()))
            await self._flush()
            try:
                await answer
            finally:
                self._calls.pop(call, None)
                self._client.withdraw(call)

    async def post(self, name: str, payload: object) -> None:
        """Keeps a message for the app server, connected or not, and sends it when that is possible; in order.

        Name and payload are as in `send`. Returns when it is kept: in memory, or with `state` on the disk,
        where it survives the process and the host. The server may get it twice. Raises `OutboxFull` when as
        much as may waits already, and `Unavailable` when the disk refuses. What the server refuses for good
        is logged, and `on_refused` is told.
        """
        self._check_alive()
        topic, data, state = UP_PREFIX + name, encoded(payload), self._state
        if len(state.outbox) >= self._outbox or state.waiting + len(topic) + len(data) > OUTBOX_BYTES:
            raise errors.OutboxFull(f"{len(state.outbox)} messages of {state.waiting} bytes wait to be sent")
        try:
            posted = state.post(topic, data)
        except OSError as error:
            raise errors.Unavailable(f"the message cannot be kept: {error}") from error
        self._send_posted(posted)
        await self._flush()
        if self._kept:
            try:
                await asyncio.to_thread(state.sync)
            except OSError as error:
                raise errors.Unavailable(f"the message may not be kept: {error}") from error

    @property
    def unsent(self) -> int:
        """How many messages that were posted the server has not taken yet."""
        return len(self._state.outbox)

    def _send_posted(self, posted: PostedMessage) -> None:
        now = self._clock.now()
        call = self._client.publish(posted.topic, posted.payload, 1, now, kept=True, send_id=posted.send_id)
        self._posted[call] = posted
        self._room.set()  # an answer must be read for: see _make_room
        self._handle(self._client.pump(now))

    def _settle(self, posted: PostedMessage, error: errors.LonglineError | None) -> None:
        """The server has answered what was posted."""
        if error is not None and error.retryable:
            self._later(POST_AGAIN, lambda: self._send_again(posted))
            return
        self._state.settled(posted.number)
        if error is None:
            return
        name = posted.topic.removeprefix(UP_PREFIX)
        _log.warning("the server does not take %r from %s: %s", name, self._identity.device, error)
        if self._on_refused is not None:
            try:
                self._on_refused(name, posted.payload, error)
            except Exception:  # the application's: the connection goes on
                _log.exception("on_refused of %s has failed", self._identity.device)

    def _send_again(self, posted: PostedMessage) -> None:
        self._send_posted(posted)
        self._write_now()

    def _later(self, wait: float, call: Callable[[], None]) -> None:
        """Calls back in so many seconds, unless the device has ended by then."""

        def due() -> None:
            self._timers.remove(timer)
            if not self._over:
                call()

        timer = self._clock.call_later(wait, due)
        self._timers.append(timer)

    async def subscribe(self, filter: str, *, qos: Literal[0, 1] = 1) -> None:
        """Asks for a topic filter, now and again after every reconnect; its messages come with the others.

        Returns when the server has granted it, and raises its refusal.
        """
        if qos not in (0, 1):
            raise ValueError("qos is 0 or 1")
        self._check_alive()
        call = self._client.subscribe(filter, qos, self._clock.now())
        answer = self._expect(call)
        await self._flush()
        try:
            await answer
        finally:
            self._calls.pop(call, None)

    # --- what the calls share ---------------------------------------------------------------------

    async def _hand_out(self, message: Message) -> bool:
        """Whether a message is for the application: no copy of one that it was done with."""
        if self._client.handled(message):
            # It came while the consumer was still busy with the first.
            self._client.statistics.duplicates += 1
            await self._acknowledge(message)
            return False
        self._client.statistics.received += 1
        return True

    def _expect(self, call: int) -> asyncio.Future[None]:
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._calls[call] = answer
        self._room.set()  # an answer must be read for: see _make_room
        return answer

    def _check_alive(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._over:
            raise errors.Unavailable("this device is closed")
        if self._owner is None:
            raise RuntimeError("use `async with Device(…)`: nothing connects before that")

    async def _acknowledge(self, message: Message) -> None:
        self._client.ack(message, self._clock.now())
        await self._flush()

    def _write_now(self) -> None:
        """Writes what the client has to say, which is little, without waiting for the network."""
        output, writer = self._client.take_output(), self._writer
        if output and writer is not None and not writer.is_closing():
            with contextlib.suppress(OSError, RuntimeError):
                writer.writelines(output)

    async def _flush(self) -> None:
        """Writes what the client has to say, and waits while the network is slower than we are."""
        output = self._client.take_output()
        writer = self._writer
        if not output or writer is None or writer.is_closing():
            return
        # The reader learns that the connection is gone, and why; RuntimeError is uvloop's word for the same.
        with contextlib.suppress(OSError, RuntimeError):
            writer.writelines(output)
            await writer.drain()

    # --- the owner --------------------------------------------------------------------------------

    async def _run(self) -> None:
        """Connects again and again. The only task that lives as long as the device."""
        try:
            while True:
                await self._find()
                await self._connect_once()
        except Exception as error:
            # It ends here and is raised to whoever uses the device; nobody awaits this task.
            self._failure = error
        finally:
            self._over = True
            self._inbox.clear()  # the server still has them, for the next connection or for who took over
            self._arrived.set()
            self._opened.set()
            reason = errors.Unavailable("this device is closed") if self._failure is None else self._failure
            for answer in self._calls.values():
                if not answer.done():
                    answer.set_exception(reason)
            for attached in self._attached.values():
                attached.ended(reason)
            for timer in self._timers:
                timer.cancel()
            self._timers.clear()
            for task in [*self._handling]:
                task.cancel()
            self._state.close()

    async def _find(self) -> None:
        """Asks the dispatchers where to connect, if there are any and it is time to."""
        dispatchers, now = self._dispatchers, self._clock.now()
        self._look_where_we_are(now)
        if dispatchers is None or self.endpoints.sent:
            return
        if now < self._known_until and not self.endpoints.used_up:
            return
        answer: Dispatch | None = None
        while answer is None:
            try:
                answer = await dispatchers.look_up()
            except errors.Unavailable as error:
                _log.info("%s: %s", self._identity.device, error)
                self._client.statistics.last_error = error
                if self.endpoints.known:
                    return
                self._client.statistics.failures += 1
                await self._clock.sleep(max(self._backoff.next(), error.retry_after or 0.0))
        self._known_until = now + answer.expires_in
        listed = [(place.host, place.port) for place in answer.endpoints]
        self.endpoints.feed(listed)
        found = FoundEndpoints(tuple(listed[:CACHED]), time.time() + answer.expires_in)
        self._state.learn_endpoints(self._on_network or "", found)
        hints = answer.backoff
        if 0 < hints.initial_ms <= hints.max_ms:
            self._backoff.bound(hints.initial_ms / 1000, hints.max_ms / 1000)
        if self._recommended and answer.heartbeat.keep_alive:
            self._client.identity = replace(self._identity, keep_alive=answer.heartbeat.keep_alive)
        await self._clock.sleep(min(hints.after_ms / 1000, LONGEST_AFTER))

    def _look_where_we_are(self, now: float) -> None:
        """On another network, goes by what was learnt there."""
        network = self._network() if callable(self._network) else self._network
        if network == self._on_network:
            return
        former, self._on_network = self._on_network, network
        self._heartbeat.interval = self._state.idle.get(network)
        found = self._state.found.get(network)
        if self._dispatchers is None or self.endpoints.sent:
            return
        if found is not None and found.endpoints:
            self.endpoints.feed(found.endpoints)
            self._known_until = now + found.until - time.time()
        elif former is not None:
            self._known_until = float("-inf")

    async def _connect_once(self) -> None:
        """One connection from its token to its end, and the wait after it; raises when it was the last."""
        began = self._clock.now()
        connects = self._client.statistics.connects
        places = self.endpoints.first(PROBED)
        interval = self._heartbeat.interval
        token = None
        try:
            token = await self._tokens.current()
            ended = await self._converse(token, places)
        except errors.LonglineError as error:  # from the token's source: whatever it is, it may pass
            ended = Ended(error, Verdict.RETRY)
        except TimeoutError:
            ended = Ended(errors.Unavailable("the server did not let us in in time"), Verdict.RETRY)
        except OSError as error:
            tried = ", ".join(joined(host, port) for host, port in places)
            ended = Ended(errors.Unavailable(f"{tried}: {error}"), Verdict.RETRY)
            for _ in places[1:]:  # none of them can be reached
                self.endpoints.failed()
        if self._heartbeat.interval not in (None, interval):
            self._state.learn_idle(self._on_network or "", self._heartbeat.interval or 0.0)
        self._client.statistics.last_error = ended.error
        _log.info("%s is not connected: %s", self._identity.device, ended.error)
        # A server that lets us in and throws us out at once is not a success: only a connection that lasted
        # makes the next wait short again.
        let_in = self._client.statistics.connects > connects
        if let_in:
            self.endpoints.worked()
            self._tokens.taken()
        if let_in and self._clock.now() - began >= STABLE_AFTER:
            self._backoff.reset()
            self._moved = False
        if ended.verdict is Verdict.MOVE:
            await self._move(ended)
            return
        self._client.statistics.failures += 1
        if ended.verdict is Verdict.STOP and not self._was_us(ended.error):
            raise ended.error
        if ended.verdict is Verdict.REFRESH:
            if not self._tokens.refused():
                raise ended.error
            if not let_in:  # else it is thrown out together with others, such as all devices of its app
                return
        if token is not None and not let_in:
            self.endpoints.failed()
        asked = min(ended.error.retry_after or 0.0, LONGEST_AFTER)  # by whoever was to give a token
        await self._clock.sleep(max(self._backoff.next(), asked))

    def _was_us(self, error: errors.LonglineError) -> bool:
        """Whether who took over may be a CONNECT of ours that we had given up. Each excuses one takeover."""
        if not isinstance(error, errors.TakenOver) or self._clock.now() - self._unanswered > HAUNTED:
            return False
        self._unanswered = float("-inf")
        return True

    async def _move(self, ended: Ended) -> None:
        """Goes where the server wants this device, at the time it wants it there."""
        self._client.statistics.moves += 1
        self.endpoints.send_to(ended.endpoints)
        if not ended.endpoints:
            self._known_until = float("-inf")  # it came from there; where to, a dispatcher knows
        wait = ended.after
        if self._moved:  # servers that send it to and fro are not worth a hurry
            wait = max(wait, self._backoff.next())
        self._moved = True
        await self._clock.sleep(wait)

    async def _dial(self, places: Sequence[Endpoint]) -> Endpoint:
        """Connects to the first of these that can be reached, and says to which."""

        def way(place: Endpoint) -> Callable[[], Awaitable[Stream]]:
            return lambda: _dialled(*place, self._tls, self._path)

        index, (reader, writer) = await race([way(place) for place in places], _discard)
        self._reader, self._writer = reader, writer
        self.endpoints.chosen(places[index])
        return places[index]

    async def _converse(self, token: str, places: Sequence[Endpoint]) -> Ended:
        """Speaks with the server until the connection ends; says why it did."""
        try:
            async with asyncio.timeout(self._identity.connect_timeout):
                host, port = await self._dial(places)
                reader, writer = self._reader, self._writer
                assert reader is not None
                assert writer is not None
                self._client.port = port
                unanswered, self._unanswered = self._unanswered, self._clock.now()
                self._client.connect(token, self._clock.now())
                await self._flush()
                while not self._client.open:
                    ended = await self._read(reader, full=False)
                    if ended is not None:
                        return ended
                self._unanswered = unanswered
                _log.info("%s is connected to %s", self._identity.device, joined(host, port))
            self._keep_time(writer)
            for attached in self._attached.values():
                self._begin(attached)
            ended = await self._listen(reader)
            await self._end_attached()
            return self._dead or ended
        finally:
            self._dead = self._reader = None
            if self._alarm is not None:
                self._alarm.cancel()
                self._alarm = None
            for attached in self._attached.values():
                attached.lost()
            await self._hang_up()

    async def _listen(self, reader: asyncio.StreamReader) -> Ended:
        ended: Ended | None = None
        while ended is None:
            ended = await self._read(reader, full=await self._make_room())
        return ended

    def _waiting(self) -> int:
        """How many messages wait for consumers."""
        return len(self._inbox) + sum(len(attached.inbox) for attached in self._attached.values())

    async def _make_room(self) -> bool:
        """Waits until the consumer has taken something, and says whether there is still no room.

        While a publish or subscribe waits for its answer, reading must go on all the same: the one who waits
        may be the consumer itself.
        """
        while self._waiting() >= self._identity.receive_maximum:
            if self._calls:
                return True
            self._client.paused = True
            await self._room.wait()
        self._client.paused = False
        return False

    async def _read(self, reader: asyncio.StreamReader, *, full: bool) -> Ended | None:
        """Reads once and acts on it; the end of the connection, if this was it."""
        try:
            data = await reader.read(CHUNK)
        except OSError as error:
            return Ended(errors.Unavailable(f"the connection broke: {error}"), Verdict.RETRY)
        if not data:
            return Ended(errors.Unavailable("the server closed the connection"), Verdict.RETRY)
        ended = self._handle(self._client.feed(data, self._clock.now()), full=full)
        await self._flush()
        return ended

    def _handle(self, events: list[Event], *, full: bool = False) -> Ended | None:
        ended: Ended | None = None
        for event in events:
            if isinstance(event, Message):
                handle = self._handler_of(event)
                if handle is not None and len(self._handling) < self._identity.receive_maximum:
                    task = asyncio.create_task(handle(event), name="longline-device-handler")
                    self._handling.append(task)
                    task.add_done_callback(self._handling.remove)
                elif full and event.qos == 0:
                    self._client.statistics.overflowed += 1  # at most once, and this is the other case
                elif not event.prefix:
                    self._inbox.append(event)
                    self._arrived.set()
                elif event.app in self._attached:
                    self._attached[event.app].arrived(event)
            elif isinstance(event, Answered):
                self._answer(event)
            elif isinstance(event, Opened):
                self._opened.set()
            elif isinstance(event, Missed):
                self._tell(event, self._on_gap)
            elif isinstance(event, AppMissed):
                if event.app in self._attached:
                    self._tell(event.missed, self._attached[event.app].on_gap)
            elif isinstance(event, LinkAnswer):
                if event.app in self._attached:
                    self._attached[event.app].told(event)
            else:
                ended = ended or event  # what follows the first end only comes from it
        return ended

    def _tell(self, missed: Missed, on_gap: Callable[[Missed], None] | None) -> None:
        if on_gap is None:
            _log.warning("%s has missed messages: %s", self._identity.device, missed)
            return
        try:
            on_gap(missed)
        except Exception:  # the caller's: the connection goes on
            _log.exception("on_gap of %s has failed", self._identity.device)

    def _answer(self, event: Answered) -> None:
        posted = self._posted.pop(event.call, None)
        if posted is not None:
            self._settle(posted, event.error)
            return
        answer = self._calls.get(event.call)
        if answer is None or answer.done():
            return
        if event.error is None:
            answer.set_result(None)
        else:
            answer.set_exception(event.error)

    def _keep_time(self, writer: asyncio.StreamWriter) -> None:
        """Keep alive: comes back at the client's deadline, which moves later with whatever happens."""
        self._alarm = None
        while (deadline := self._client.deadline) is not None:
            now = self._clock.now()
            if now < deadline:
                self._alarm = self._clock.call_later(deadline - now, lambda: self._keep_time(writer))
                return
            self._dead = self._client.tick(now)
            if self._dead is not None:
                writer.transport.abort()  # nothing that waits to be written will ever be
                return
            self._write_now()

    async def _hang_up(self) -> None:
        writer = self._writer
        if writer is None:
            return
        try:
            # Bounded: a peer that is gone never takes the last word, and never confirms.
            with contextlib.suppress(OSError):
                async with asyncio.timeout(HANG_UP):
                    await self._flush()
                    writer.close()
                    await writer.wait_closed()
        finally:
            writer.transport.abort()
            self._writer = None
            self._client.lost()


async def _dialled(host: str, port: int, tls: ssl.SSLContext | None, path: str | None) -> Stream:
    """Connects to whichever of the host's addresses answers first."""

    async def dial(address: str) -> Stream:
        if path is not None:
            return await open_websocket(host, port, path, tls, address)
        return await asyncio.open_connection(address, port, ssl=tls, server_hostname=host if tls else None)

    try:
        found = [host] if _is_address(host) else await addresses(host, port)
        _, stream = await race([partial(dial, address) for address in found], _discard)
    except (ValueError, OverflowError) as error:  # what somebody named is no host, or no port
        raise OSError(str(error)) from error
    return stream


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _discard(stream: Stream) -> None:
    stream[1].transport.abort()


async def _result(handler: "Handler", message: Message) -> object:
    """What the application's function gives, or the coroutine that it makes."""
    result = handler(message)
    return await result if inspect.isawaitable(result) else result


def _dispatchers(
    urls: Sequence[str],
    app: str,
    device: str,
    transport: Transport,
    trusted: ssl.SSLContext | None,
    random: Random,
) -> "Dispatchers | None":
    if not urls:
        return None
    if isinstance(urls, str):
        # A string is a sequence of strings too: each of its letters would be taken for a URL.
        raise ValueError("dispatchers is a list of URLs, not one URL")
    from longline.sdk.dispatch import Dispatchers  # whoever has none needs no HTTP client

    return Dispatchers(urls, app, device, transport=transport, trusted=trusted, random=random)


class _Carrier:
    """What an app that is attached may do with the device whose connection it shares."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self.publish = device.publish
        self.subscribe = device.subscribe

    @property
    def closed(self) -> bool:
        return self._device.closed

    async def ask(self, app: str, device: str, token: str) -> None:
        self._device._client.attach(app, device, token, self._device._clock.now())
        await self._device._flush()

    async def let_go(self, app: str, reason: errors.LonglineError) -> None:
        if self._device._attached.pop(app, None) is not None:
            self._device._handle(self._device._client.detach(app, reason, self._device._clock.now()))
            await self._device._flush()

    def made_room(self) -> None:
        self._device._room.set()

    async def hand_out(self, message: Message) -> bool:
        return await self._device._hand_out(message)
