"""An app in good order: devices that stay connected, single pushes to them, and messages among them.

    python -m tests.adversity.steady < plan.json

`ready` is printed when the devices are connected; then, for each line of standard input, how long it took
what was pushed since the line before, a `Taken` as JSON. Its devices ask for PINGRESP now and then.
"""

import asyncio
import itertools
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import cast

import msgspec
import uvloop

from longline.errors import Unavailable
from tests.adversity.calls import Caller, request
from tests.adversity.light import (
    CONNACK,
    PINGREQ,
    PINGRESP,
    PUBLISH,
    Reader,
    connect,
    puback,
    publish,
    subscribe,
)

CALLERS = 200  # connections at most; a push takes one that is free
LOST_AFTER = 60.0  # s
TALK = "talk/"  # before the name of the device that listens there


class Plan(msgspec.Struct, frozen=True):
    """Through whom to push, to how many devices, how often a second in all; how often each device pings.

    `publishes`: plain messages a second in all, each from one device to the next.
    """

    host: str
    port: int
    mqtt_port: int
    app: str
    key: str
    secret: str
    devices: int
    rate: float
    ping_every: float
    publishes: float = 0.0


class Times(msgspec.Struct, frozen=True):
    """How long something took, in milliseconds."""

    count: int
    p50: float
    p99: float
    most: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Times":
        ordered = sorted(seconds)
        if not ordered:
            return cls(0, 0.0, 0.0, 0.0)
        p50, p99 = (ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.5, 0.99))
        return cls(len(ordered), round(p50 * 1000, 1), round(p99 * 1000, 1), round(ordered[-1] * 1000, 1))

    def __str__(self) -> str:
        return f"p50 {self.p50} ms, p99 {self.p99} ms, most {self.most} ms ({self.count})"


class Taken(msgspec.Struct, frozen=True):
    """`answered`: from the request to its 202. `received`: from the 202 until the device has it.

    `pushed`: from the request until the device has it. `heard`: plain messages, from one device to the other.
    `late` is how far this process was behind its own schedule; `refused`: answers by status (0: none).
    """

    answered: Times
    received: Times
    pushed: Times
    heard: Times
    pings: Times
    late: Times
    refused: dict[int, int]
    lost: int
    cut_off: int


class Steady:
    """The app and its devices."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.arrived: dict[str, float] = {}  # message → when, where its 202 is not here yet
        # Message → when it was asked for and answered, until it has arrived.
        self.accepted: dict[str, tuple[float, float]] = {}
        self.cut_off = 0
        self.pings: list[float] = []
        self.heard: list[float] = []
        self._answered: list[float] = []
        self._received: list[float] = []
        self._pushed: list[float] = []
        self._late: list[float] = []
        self._refused: dict[int, int] = {}
        self._free = [Caller(plan.host, plan.port) for _ in range(CALLERS)]
        self._pushes: set[asyncio.Task[None]] = set()
        self._devices: list[_Device] = []
        self._arrival = asyncio.Event()

    async def connect(self) -> None:
        for number in range(self.plan.devices):
            device = _Device(self, f"steady-{number:03}")
            await device.connect()
            self._devices.append(device)

    def arrive(self, message: str, now: float) -> None:
        promise = self.accepted.pop(message, None)
        if promise is None:
            self.arrived[message] = now
            return
        asked, answered = promise
        self._received.append(now - answered)
        self._pushed.append(now - asked)
        self._arrival.set()

    async def push_on(self) -> None:
        """Pushes at its rate for ever, whatever becomes of them."""
        plan = self.plan
        requests = [
            request(
                "POST",
                f"/v1/apps/{plan.app}/messages",
                plan.key,
                {"audience": {"devices": [device.name]}, "payload": "steady"},
            )
            for device in self._devices
        ]
        loop = asyncio.get_running_loop()
        begin = loop.time()
        for number in itertools.count():
            due = begin + number / plan.rate
            await asyncio.sleep(max(0.0, due - loop.time()))
            self._late.append(loop.time() - due)
            if not self._free:
                self._refused[0] = self._refused.get(0, 0) + 1
                continue
            push = asyncio.create_task(self._push(requests[number % len(requests)]))
            self._pushes.add(push)
            push.add_done_callback(self._pushes.discard)

    async def _push(self, data: bytes) -> None:
        caller = self._free.pop()
        try:
            asked = time.monotonic()
            answer = await caller.call(data)
            now = time.monotonic()
            if answer.status != 202:
                self._refused[answer.status] = self._refused.get(answer.status, 0) + 1
                return
            self._answered.append(now - asked)
            message = str(answer.json()["message_id"])
            arrived = self.arrived.pop(message, None)
            if arrived is None:
                self.accepted[message] = asked, now
            else:
                self._received.append(0.0)  # before its 202 was read
                self._pushed.append(arrived - asked)
        except Unavailable:
            self._refused[0] = self._refused.get(0, 0) + 1
        finally:
            self._free.append(caller)

    async def ping_on(self) -> None:
        """Each device asks at its time, for ever."""
        every = self.plan.ping_every / len(self._devices)
        loop = asyncio.get_running_loop()
        begin = loop.time()
        for number in itertools.count():
            await asyncio.sleep(max(0.0, begin + number * every - loop.time()))
            self._devices[number % len(self._devices)].ping()

    async def publish_on(self) -> None:
        """A device publishes to the next one at its rate, for ever."""
        loop = asyncio.get_running_loop()
        begin = loop.time()
        for number in itertools.count():
            await asyncio.sleep(max(0.0, begin + number / self.plan.publishes - loop.time()))
            at = number % len(self._devices)
            to = self._devices[(at + 1) % len(self._devices)]
            self._devices[at].write(publish(f"{TALK}{to.name}", repr(time.monotonic()).encode()))

    async def taken(self) -> Taken:
        """What was seen since this was asked last; what is under way has a while to arrive."""
        pending = set(self.accepted)
        with suppress(TimeoutError):
            async with asyncio.timeout(LOST_AFTER):
                while pending & self.accepted.keys():
                    self._arrival.clear()
                    await self._arrival.wait()
        taken = Taken(
            Times.of(self._answered),
            Times.of(self._received),
            Times.of(self._pushed),
            Times.of(self.heard),
            Times.of(self.pings),
            Times.of(self._late),
            dict(self._refused),
            len(pending & self.accepted.keys()),
            self.cut_off,
        )
        for seen in (self._answered, self._received, self._pushed, self._late, self.pings, self.heard):
            seen.clear()
        self._refused.clear()
        return taken


class _Device(asyncio.Protocol):
    def __init__(self, app: Steady, name: str) -> None:
        self.name = name
        self._app = app
        self._reader = Reader()
        self._let_in: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None
        self._asked: float | None = None

    async def connect(self) -> None:
        plan = self._app.plan
        await asyncio.get_running_loop().create_connection(lambda: self, plan.host, plan.mqtt_port)
        await self._let_in

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are transports by behaviour only
        plan = self._app.plan
        self._transport.write(connect(plan.app, self.name, plan.secret))

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        for packet in self._reader.feed(data):
            if packet.kind == PUBLISH and packet.topic.startswith(TALK):
                self._app.heard.append(now - float(packet.payload))
            elif packet.kind == PUBLISH:
                self._app.arrive(packet.topic.removeprefix("push/"), now)
                self.write(puback(packet.number))
            elif packet.kind == PINGRESP and self._asked is not None:
                self._app.pings.append(now - self._asked)
                self._asked = None
            elif packet.kind == CONNACK and packet.number == 0:
                if self._app.plan.publishes:
                    self.write(subscribe([f"{TALK}{self.name}"]))
                self._let_in.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        self._app.cut_off += 1
        self._transport = None

    def ping(self) -> None:
        if self._asked is None:
            self._asked = time.monotonic()
            self.write(PINGREQ)

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


async def main() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    steady = Steady(msgspec.json.decode(await reader.readline(), type=Plan))
    await steady.connect()
    works = [asyncio.create_task(work) for work in (steady.push_on(), steady.ping_on())]
    if steady.plan.publishes:
        works.append(asyncio.create_task(steady.publish_on()))
    print("ready", flush=True)
    while await reader.readline():
        print(msgspec.json.encode(await steady.taken()).decode(), flush=True)
    for work in works:
        work.cancel()
    await asyncio.gather(*works, return_exceptions=True)


if __name__ == "__main__":
    uvloop.run(main())
