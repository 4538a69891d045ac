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
import logging
import random as random_module
import ssl
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Final, Literal, Self

from longline import errors
from longline.model.addresses import joined
from longline.model.apps import valid_app_name
from longline.model.devices import valid_device_name
from longline.sdk.attached import AttachedApp
from longline.sdk.backoff import Backoff, Random
from longline.sdk.clock import Clock, LoopClock
from longline.sdk.connection import DeviceConnection
from longline.sdk.dialling import dial
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
from longline.sdk.posts import OnRefused, Posts
from longline.sdk.signal import Signal
from longline.sdk.speaking import Speaker, encoded
from longline.sdk.state import DeviceMemory, PostedMessage
from longline.sdk.times import Duration, seconds, whole_seconds
from longline.sdk.tokens import Token, Tokens
from longline.sdk.trust import PORTS, File, Transport, parsed, trust
from longline.sdk.unforeseen import told
from longline.sdk.way_back import WayBack
from longline.websocket.upgrade import PATH

MAX_UNANSWERED: Final = 100  # publishes with QoS 1 at once; further ones wait
KEEP_ALIVE: Final = 60  # seconds, unless the caller or a dispatcher says otherwise

if TYPE_CHECKING:
    from longline.sdk.dispatch import Dispatchers

_log = logging.getLogger("longline.sdk")


class Device(Speaker):
    """One device of an app, connected as long as the context lasts.

    `token` is a token, or a coroutine function that gives one: it is asked again when the server refuses the
    one at hand. What it raises is taken for a failure that passes, and it is asked again after a wait; so it
    is when it gives no text, or nothing within a minute. `protocol` is 5 (MQTT 5.0) or 4 (3.1.1).
    `keep_alive` bounds how long a dead connection goes unnoticed; None: what a dispatcher recommends, or 60
    seconds. At most `receive_maximum` messages wait for the consumer; then nothing more is read from the
    network. Durations are timedeltas, or numbers of seconds. `session_expiry`: how long the server keeps a
    session for the device when it is away, that is its subscriptions, and what is published to them with QoS
    1 and 2; pushes are kept whatever it is.

    `host` may be a URL, `mqtt://HOST:PORT`, `mqtts://HOST:PORT`, `ws://HOST:PORT/PATH` or
    `wss://HOST:PORT/PATH`; else `transport` says which of them (`tcp`, `tls`, `ws`, `wss`), for dispatchers
    too. With TLS the server is verified: by the authorities in the PEM file `ca`, or by the system's where
    there is none. `certificate` and `key` are PEM files of what the device shows of itself; where the app
    takes that for a token, `token` can be left out.

    Whatever breaks the connection, also what nobody has foreseen, the device comes back: after a wait drawn
    from [0, `backoff_base`), then from twice that, up to `backoff_cap`; the logger `longline.sdk` is told. A
    server that wants the device elsewhere says where and when; if nobody lets it in there, it comes back to
    its `endpoints`: `host` and `port`, those given, and from then on whatever is fed to it. With
    `dispatchers` (URLs, see docs/api.md) it asks them before it connects, again when what they said has
    expired or none of it works, and goes by their word on the waits too; while none answers it goes on with
    what it has. It stops for good, and iteration, `publish`, `subscribe` and `wait_connected` raise, when
    coming back cannot help: `BadToken` (when one more token is refused, too), `Banned`, `NotSupported`, and
    `TakenOver` when the same device connects elsewhere. A device that is kicked comes back, unless it is
    banned.

    `state` is a file, best one for each device, in which it keeps what is to survive its process: the ids of
    pushes that were handled, what was posted and not sent, and what it has learnt of its networks. A disk
    that is full, or refuses, costs only that, and has `post` raise `Unavailable`. `outbox` is how many
    messages `post` keeps at most. `network` names the network that the device is on, or is a function that
    does, such as the SSID: what dispatchers said, and how long a connection may be idle, is remembered for
    each of the latest 16.

    How often an idle connection is tried is learnt, unless `keep_alive` is given: seldom as long as
    connections survive that, more often where they do not, within what the server allows.

    `on_gap` is called when the server says that messages have ended without reaching this device, before the
    next message is handed in: with how many were dropped, expired or collapsed, and since when. `on_refused`
    is called with what was posted and the server will never take: its name, its payload, and why.
    """

    __slots__ = (
        "_attached",
        "_calls",
        "_client",
        "_closing",
        "_connection",
        "_failure",
        "_identity",
        "_on_gap",
        "_opened",
        "_over",
        "_owner",
        "_path",
        "_posts",
        "_publishing",
        "_room",
        "_state",
        "_tls",
        "_way",
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
        on_refused: OnRefused | None = None,
    ) -> None:
        super().__init__()
        if protocol not in (4, 5):
            raise ValueError("protocol is 4 (MQTT 3.1.1) or 5 (MQTT 5.0)")
        if not 0 < receive_maximum <= 65_535:
            raise ValueError("receive_maximum is from 1 to 65535")
        if not valid_app_name(app) or not valid_device_name(device):
            raise ValueError("app or device is no valid name")
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
        self._client = MqttClient(
            self._identity,
            self._acknowledge,
            self.report,
            self._state,
            LearntHeartbeat(fixed=keep_alive is not None),
        )
        self._way = WayBack(
            self.endpoints,
            _dispatchers(
                dispatchers, app, device, transport, None if ca is None else trust(ca), self._random
            ),
            Tokens("" if token is None else token),
            Backoff(base=seconds(backoff_base), cap=seconds(backoff_cap), random=self._random),
            self._client,
            self._state,
            self._clock,
            network=network,
            recommended=keep_alive is None,
        )
        self._posts = Posts(self._state, outbox, on_refused, self._send_again, self._clock)
        self._on_gap = on_gap
        self._connection: DeviceConnection | None = None
        self._owner: asyncio.Task[None] | None = None
        self._closing = False
        self._over = False
        self._failure: errors.LonglineError | None = None
        self._attached: dict[str, AttachedApp] = {}
        self._calls: dict[int, asyncio.Future[None]] = {}
        self._publishing: asyncio.Semaphore | None = None  # when there was something to publish
        # What tasks wait for, beside messages: each is set when it may have come true.
        self._room = Signal()
        self._opened = Signal()

    # --- life -------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if self._owner is not None:
            raise RuntimeError("a Device is entered once; make another one to connect again")
        await self._state.open()
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
        if not self._closing:  # whoever closes it as well waits with the first
            self._closing = True
            self._client.disconnect()  # which the owner writes before it hangs up
            self._owner.cancel()
        own = asyncio.current_task()  # a handler may be what closes the device
        running = [task for speaker in (self, *self._attached.values()) for task in speaker._running()]
        await asyncio.wait([self._owner, *(task for task in running if task is not own)])
        await self._end()  # a task that is cancelled before it begins does not

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
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- sending ----------------------------------------------------------------------------------

    async def publish(self, topic: str, payload: bytes | str, *, qos: Literal[0, 1] = 1) -> None:
        """Sends a message to a topic: `up/…` for the app server, others for the app's devices.

        QoS 1 returns when the server has taken the message, across reconnects if need be; the server may then
        get it more than once. QoS 0 returns when it is written. Raises the server's refusal.
        """
        if qos not in (0, 1):
            raise ValueError("qos is 0 or 1")
        data = payload.encode("utf-8") if isinstance(payload, str) else _bytes(payload)
        if qos == 0:
            await self.wait_connected()
            self._client.publish(topic, data, 0, self._clock.now())
            await self._flush()
            return
        if self._publishing is None:
            self._publishing = asyncio.Semaphore(MAX_UNANSWERED)
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
        where it survives the process and the host. The server may get it twice, under one `send_id`. Raises
        `OutboxFull` when as much as may waits already, and `Unavailable` when the disk refuses. What the
        server refuses for good is logged, and `on_refused` is told.
        """
        self._check_alive()
        self._send_posted(await self._posts.keep(name, encoded(payload)))
        await self._flush()

    @property
    def unsent(self) -> int:
        """How many messages that were posted the server has not taken yet."""
        return len(self._state.outbox)

    def _send_posted(self, posted: PostedMessage) -> None:
        now = self._clock.now()
        call = self._client.publish(posted.topic, posted.payload, 1, now, kept=True, send_id=posted.send_id)
        self._posts.sent(call, posted)
        self._room.set()  # an answer must be read for: see _make_room
        self._handle(self._client.pump(now))

    def _send_again(self, posted: PostedMessage) -> None:
        self._send_posted(posted)
        if self._connection is not None:
            self._connection.write_now()

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

    def _took(self) -> None:
        self._room.set()

    async def _hand_out(self, message: Message) -> bool:
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
        if message.id is not None:
            await self._state.was_handled(message.prefix, message.id)
        self._client.ack(message, self._clock.now())
        await self._flush()

    async def _flush(self) -> None:
        if self._connection is not None:
            await self._connection.flush()

    # --- the owner --------------------------------------------------------------------------------

    async def _run(self) -> None:
        """Connects again and again. The only task that lives as long as the device."""
        try:
            while self._failure is None:  # raised to whoever uses the device; nobody awaits this task
                self._failure = await self._way.go(self._converse)
        finally:
            if self._failure is None and not self._closing:
                self._failure = errors.Unavailable("the task of this device was ended from outside")
            await self._end()

    async def _end(self) -> None:
        """It is over, and whoever waits for something hears of it."""
        if self._over:
            return
        self._over = True
        self._clear_inbox()  # the server still has them, for the next connection or for who took over
        self._opened.set()
        reason = errors.Unavailable("this device is closed") if self._failure is None else self._failure
        for answer in self._calls.values():
            if not answer.done():
                answer.set_exception(reason)
        for attached in self._attached.values():
            attached.ended(reason)
        self._posts.end()
        if self._handlers is not None:
            self._handlers.cancel()
        await self._state.close()

    async def _converse(self, token: str, places: Sequence[Endpoint]) -> Ended:
        """Speaks with the server until the connection ends; says why it did."""
        connection: DeviceConnection | None = None
        try:
            async with asyncio.timeout(self._identity.connect_timeout):
                place, stream = await dial(places, self._tls, self._path)
                self.endpoints.chosen(place)
                connection = self._connection = DeviceConnection(stream, self._client, self._clock)
                self._client.port = place[1]
                self._way.asked()
                self._client.connect(token, self._clock.now())
                await connection.flush()
                while not self._client.open:
                    ended = await self._read(connection, full=False)
                    if ended is not None:
                        return ended
                _log.info("%s is connected to %s", self._identity.device, joined(*place))
            connection.keep_time()
            for attached in self._attached.values():
                self._begin(attached)
            ended = None
            while ended is None:
                ended = await self._read(connection, full=await self._make_room())
            await self._end_attached()
            return connection.dead or ended
        finally:
            for attached in self._attached.values():
                attached.lost()
            try:
                if connection is not None:
                    await connection.hang_up()
            finally:
                self._connection = None

    def _waiting(self) -> int:
        """How many messages wait for consumers."""
        return len(self._inbox) + sum(len(attached._inbox) for attached in self._attached.values())

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

    async def _read(self, connection: DeviceConnection, *, full: bool) -> Ended | None:
        """Reads once and acts on it; the end of the connection, if this was it."""
        data = await connection.read()
        if isinstance(data, Ended):
            return data
        ended = self._handle(self._client.feed(data, self._clock.now()), full=full)
        await connection.flush()
        return ended

    def _handle(self, events: list[Event], *, full: bool = False) -> Ended | None:
        ended: Ended | None = None
        for event in events:
            if isinstance(event, Message):
                self._hand_in(event, full=full)
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

    def _hand_in(self, message: Message, *, full: bool) -> None:
        """For a function, or for whoever asks for the next message; detached meanwhile, it comes again."""
        speaker = self._attached.get(message.app) if message.prefix else self
        if speaker is None or speaker._taken(message):
            return
        if full and message.qos == 0:
            self._client.statistics.overflowed += 1  # at most once, and this is the other case
        else:
            speaker._put(message)

    def _tell(self, missed: Missed, on_gap: Callable[[Missed], None] | None) -> None:
        if on_gap is None:
            _log.warning("%s has missed messages: %s", self._identity.device, missed)
            return
        told(on_gap, "on_gap", missed)

    def _answer(self, event: Answered) -> None:
        if self._posts.answered(event.call, event.error):
            return
        answer = self._calls.get(event.call)
        if answer is None or answer.done():
            return
        if event.error is None:
            answer.set_result(None)
        else:
            answer.set_exception(event.error)


def _bytes(payload: object) -> bytes:
    """TypeError for what is none: it would be found out on each connection, and there nobody waits for it."""
    if isinstance(payload, bytes):
        return payload
    if isinstance(payload, bytearray | memoryview):
        return bytes(payload)
    raise TypeError(f"a payload is text or bytes, not {type(payload).__name__}")


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
        if self._device.connected:  # else it is about to be told that the connection is gone
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
