"""`Device`: a device's end of Longline, on asyncio.

    async with Device("127.0.0.1", 1883, app="news", device="d1", token=token) as device:
        async for message in device:
            print(message.text)

Over TLS: `Device("mqtts://push.example.org", …)`; over WebSocket: `Device("wss://push.example.org/mqtt", …)`.
In a cluster, a device asks dispatchers where to connect:
`Device(dispatchers=["https://push.example.org"], …)`.

A message is acknowledged when the next one is asked for, or by `await message.ack()`. So a handler that
raises leaves its message unacknowledged, and the server sends it again on the next connection; so does a
`break`, unless `ack` came before it. Delivery is at least once, and copies of what was handled are dropped.
"""

import asyncio
import contextlib
import logging
import random as random_module
import ssl
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Final, Literal, Self

from longline import errors
from longline.model.addresses import joined
from longline.sdk.backoff import Backoff, Random
from longline.sdk.clock import Clock, LoopClock
from longline.sdk.endpoints import Endpoint, Endpoints
from longline.sdk.message import Message
from longline.sdk.mqtt_client import Answered, Ended, Event, Identity, MqttClient, Opened, Statistics
from longline.sdk.refusals import Verdict
from longline.sdk.times import Duration, seconds, whole_seconds
from longline.sdk.tokens import Token, Tokens
from longline.sdk.trust import PORTS, File, Transport, parsed, trust
from longline.sdk.websocket import open_websocket
from longline.websocket.upgrade import PATH

CHUNK: Final = 64 * 1024  # bytes read at once
MAX_UNANSWERED: Final = 100  # publishes with QoS 1 at once; further ones wait
STABLE_AFTER: Final = 10.0  # seconds a connection must live before the next failure counts as the first

HANG_UP: Final = 1.0  # seconds for the last word and the end of the stream
# Seconds in which a room that was paused or cut off may still carry out a CONNECT that we gave up.
HAUNTED: Final = 60.0
KEEP_ALIVE: Final = 60  # seconds, unless the caller or a dispatcher says otherwise
LONGEST_AFTER: Final = 3600.0  # seconds that a dispatcher may keep a device waiting

if TYPE_CHECKING:
    from longline.sdk.dispatch import Dispatch, Dispatchers

_log = logging.getLogger("longline.sdk")


class Device:
    """One device of an app, connected as long as the context lasts.

    `token` is a token, or a coroutine function that gives one: it is asked again when the server refuses the
    one at hand. What it raises is taken for a failure that passes, and it is asked again after a wait, unless
    it is an error of Longline that is not `retryable`, such as `Unauthorized`. `protocol` is 5 (MQTT 5.0) or
    4 (3.1.1). `keep_alive` bounds how long a dead connection goes unnoticed; None: what a dispatcher
    recommends, or 60 seconds. At most `receive_maximum` messages wait for the consumer; then nothing more is
    read from the network. Durations are timedeltas, or numbers of seconds.

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
    """

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
        session_expiry: Duration = 86_400,
        connect_timeout: Duration = 10.0,
        backoff_base: Duration = 0.5,
        backoff_cap: Duration = 60.0,
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
        self._client = MqttClient(self._identity, self._acknowledge)
        self._backoff = Backoff(base=seconds(backoff_base), cap=seconds(backoff_cap), random=self._random)
        self._writer: asyncio.StreamWriter | None = None
        self._owner: asyncio.Task[None] | None = None
        self._dead: Ended | None = None  # set by the timer, for the reader whose connection it closed
        self._over = False
        self._failure: Exception | None = None
        self._moved = False  # sent elsewhere by the server, and no connection has lasted since
        self._unanswered = float("-inf")  # when the last CONNECT was sent of which nothing was heard
        self._inbox: deque[Message] = deque()
        self._calls: dict[int, asyncio.Future[None]] = {}
        self._publishing = asyncio.Semaphore(MAX_UNANSWERED)
        # What tasks wait for: each is set when it may have come true, and whoever wakes looks again.
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._opened = asyncio.Event()

    # --- life -------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if self._owner is not None:
            raise RuntimeError("a Device is entered once; make another one to connect again")
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
        await asyncio.wait([self._owner])

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
            self._opened.clear()
            await self._opened.wait()

    # --- messages ---------------------------------------------------------------------------------

    def __aiter__(self) -> AsyncIterator[Message]:
        return _Consumer(self)

    async def receive(self) -> Message:
        """The next message, to be acknowledged with `await message.ack()`.

        Raises what stopped the device, or `Unavailable` when it was closed.
        """
        while True:
            while not self._inbox:
                self._check_alive()
                self._arrived.clear()
                await self._arrived.wait()
            message = self._inbox.popleft()
            self._room.set()
            if self._client.handled(message):
                # A copy that came while the consumer was still busy with the first.
                self._client.statistics.duplicates += 1
                await self._acknowledge(message)
                continue
            self._client.statistics.received += 1
            return message

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

    async def _find(self) -> None:
        """Asks the dispatchers where to connect, if there are any and it is time to."""
        dispatchers, now = self._dispatchers, self._clock.now()
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
        self.endpoints.feed([(place.host, place.port) for place in answer.endpoints])
        hints = answer.backoff
        if 0 < hints.initial_ms <= hints.max_ms:
            self._backoff.bound(hints.initial_ms / 1000, hints.max_ms / 1000)
        if self._recommended and answer.heartbeat.keep_alive:
            self._client.identity = replace(self._identity, keep_alive=answer.heartbeat.keep_alive)
        await self._clock.sleep(min(hints.after_ms / 1000, LONGEST_AFTER))

    async def _connect_once(self) -> None:
        """One connection from its token to its end, and the wait after it; raises when it was the last."""
        began = self._clock.now()
        connects = self._client.statistics.connects
        host, port = self.endpoints.current
        token = None
        try:
            token = await self._tokens.current()
            ended = await self._converse(token, host, port)
        except errors.LonglineError as error:  # from the token's source
            ended = Ended(error, Verdict.RETRY if error.retryable else Verdict.STOP)
        except TimeoutError:
            ended = Ended(errors.Unavailable("the server did not let us in in time"), Verdict.RETRY)
        except OSError as error:
            ended = Ended(errors.Unavailable(f"{joined(host, port)}: {error}"), Verdict.RETRY)
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

    async def _converse(self, token: str, host: str, port: int) -> Ended:
        """Speaks with the server until the connection ends; says why it did."""
        try:
            async with asyncio.timeout(self._identity.connect_timeout):
                reader, self._writer = await _dialled(host, port, self._tls, self._path)
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
            async with asyncio.TaskGroup() as tasks:
                timer = tasks.create_task(self._keep_time(self._writer), name="longline-device-timer")
                ended = await self._listen(reader)
                timer.cancel()
            return self._dead or ended
        finally:
            self._dead = None
            await self._hang_up()

    async def _listen(self, reader: asyncio.StreamReader) -> Ended:
        ended: Ended | None = None
        while ended is None:
            ended = await self._read(reader, full=await self._make_room())
        return ended

    async def _make_room(self) -> bool:
        """Waits until the consumer has taken something, and says whether there is still no room.

        While a publish or subscribe waits for its answer, reading must go on all the same: the one who waits
        may be the consumer itself.
        """
        while len(self._inbox) >= self._identity.receive_maximum:
            if self._calls:
                return True
            self._client.paused = True
            self._room.clear()
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
                if full and event.qos == 0:
                    self._client.statistics.overflowed += 1  # at most once, and this is the other case
                else:
                    self._inbox.append(event)
                    self._arrived.set()
            elif isinstance(event, Answered):
                self._answer(event)
            elif isinstance(event, Opened):
                self._opened.set()
            else:
                ended = ended or event  # what follows the first end only comes from it
        return ended

    def _answer(self, event: Answered) -> None:
        answer = self._calls.get(event.call)
        if answer is None or answer.done():
            return
        if event.error is None:
            answer.set_result(None)
        else:
            answer.set_exception(event.error)

    async def _keep_time(self, writer: asyncio.StreamWriter) -> None:
        """Keep alive: sleeps until the client's deadline, which moves later with whatever happens."""
        while (deadline := self._client.deadline) is not None:
            now = self._clock.now()
            if now < deadline:
                await self._clock.sleep(deadline - now)
                continue
            self._dead = self._client.tick(now)
            if self._dead is not None:
                writer.transport.abort()  # nothing that waits to be written will ever be
                return
            await self._flush()

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


async def _dialled(
    host: str, port: int, tls: ssl.SSLContext | None, path: str | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        if path is not None:
            return await open_websocket(host, port, path, tls)
        return await asyncio.open_connection(host, port, ssl=tls)
    except (ValueError, OverflowError) as error:  # what somebody named is no host, or no port
        raise OSError(str(error)) from error


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


class _Consumer:
    """One `async for` over a device: asking for the next message acknowledges the one before it."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._current: Message | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        if self._current is not None:
            await self._current.ack()
            self._current = None
        try:
            self._current = await self._device.receive()
        except errors.Unavailable:
            if self._device.closed:
                raise StopAsyncIteration from None
            raise
        return self._current
