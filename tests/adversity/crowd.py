"""Very many simple devices in one process, which keep book of how often they were cut off and what they got.

    python -m tests.adversity.crowd BOOK < plan.json

Every delivery is a line in the file BOOK as it happens: message, device and the time in ms. `ready` is
printed when all are connected; a summary, as JSON, for each further line of standard input and at its end.
Devices with even numbers speak MQTT 5, the others 3.1.1; they go where the server asks them to, and come back
by themselves otherwise, to the next of the plan's addresses where one cannot be reached.

With `ping_every` (s) a device sends PINGREQ as often, and takes the connection for dead without an answer
within `keep_alive`, as a phone does.
"""

import asyncio
import itertools
import sys
import time
from collections import Counter
from pathlib import Path
from typing import cast

import jwt
import msgspec
import uvloop

from longline.bench.dialling import raise_file_limit
from longline.mqtt.codec import Decoder, encode
from longline.mqtt.moving import MOVED_TOPIC, read_moved_notice, read_moved_properties
from longline.mqtt.packets import Connack, Connect, Disconnect, Packet, Pingreq, Pingresp, Puback, Publish

KEEP_ALIVE = 3600  # s
LARGEST = 1 << 20  # bytes of a packet
AT_ONCE = 100  # handshakes in the air at the beginning
AGAIN_AFTER = 0.5  # s, when a connection cannot be made

Address = tuple[str, int]


class Plan(msgspec.Struct, frozen=True):
    """Whom to connect to, the first address first, and as whom: `count` devices from number `first` on."""

    addresses: list[Address]
    app: str
    secret: str
    first: int
    count: int
    keep_alive: int = KEEP_ALIVE
    ping_every: float = 0.0


class Summary(msgspec.Struct, frozen=True):
    """How it went since `ready`: devices by how often they were cut off, and seconds they were away.

    `ports`: how many are connected to which. `slowest_ping`: seconds until a PINGRESP.
    """

    cut_off: dict[int, int]
    away: list[float]
    refused: int
    duplicates: int
    ports: dict[int, int]
    slowest_ping: float


def name_of(number: int) -> str:
    return f"crowd-{number:05}"


def address_of(number: int) -> str:
    """Each device has an address of its own, as phones have.

    From one address, the ports that one room's clients have just given up would be taken again: the same
    ones, which the kernel would give to the same listener.
    """
    high, low = divmod(number, 250)
    return f"127.1.{high}.{low + 1}"


class Crowd:
    """All devices of the process."""

    def __init__(self, plan: Plan, book: Path) -> None:
        self.plan = plan
        self.book = book.open("wb", buffering=0)
        self.away: list[float] = []
        self.refused = 0
        self.duplicates = 0
        self.slowest_ping = 0.0
        self.closing = False
        self.devices = [_Device(self, number) for number in range(plan.first, plan.first + plan.count)]

    async def connect(self) -> None:
        """Returns when everybody is in."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def enter(device: "_Device") -> None:
            async with gate:
                device.connect()
                await device.let_in.wait()

        async with asyncio.TaskGroup() as tasks:
            for device in self.devices:
                tasks.create_task(enter(device))
        for device in self.devices:
            device.cut_off = 0
        self.refused = 0

    async def ping_on(self) -> None:
        """Has each device ask at its time, for ever."""
        loop = asyncio.get_running_loop()
        begin = loop.time()
        for number in itertools.count():
            due = begin + number * self.plan.ping_every / len(self.devices)
            await asyncio.sleep(due - loop.time())
            self.devices[number % len(self.devices)].ping()

    def summary(self) -> Summary:
        cut_off = Counter(device.cut_off for device in self.devices)
        ports = Counter(device.port for device in self.devices if device.let_in.is_set())
        return Summary(
            dict(cut_off), self.away, self.refused, self.duplicates, dict(ports), self.slowest_ping
        )


class _Device(asyncio.Protocol):
    """One device, over all its connections."""

    def __init__(self, crowd: Crowd, number: int) -> None:
        self.crowd = crowd
        self.name = name_of(number)
        self.address = address_of(number)
        self.version = 4 + (number % 2 == 0)
        self.let_in = asyncio.Event()
        self.cut_off = 0
        self._got: set[str] = set()
        self._after = AGAIN_AFTER
        self._addresses = itertools.cycle(crowd.plan.addresses)
        self._address = next(self._addresses)
        self._asked: float | None = None
        self._lost_at: float | None = None
        self._decoder = Decoder(LARGEST, version=self.version, from_client=False)
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        return self._address[1]

    def connect(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._connect(), name=self.name)

    async def _connect(self) -> None:
        self._decoder = Decoder(LARGEST, version=self.version, from_client=False)
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: self, *self._address, local_addr=(self.address, 0)
            )
        except OSError:
            self.crowd.refused += 1
            self._address = next(self._addresses)
            self._come_back()

    def _move(self, where: list[Address], after: float) -> None:
        """It is told to go, to another server perhaps."""
        self._after = max(0.001, after)
        if where:
            self._address = where[0]

    def _come_back(self) -> None:
        if not self.crowd.closing:
            asyncio.get_running_loop().call_later(self._after, self.connect)
            self._after = AGAIN_AFTER

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are transports by behaviour only
        token = jwt.encode({"sub": self.name}, self.crowd.plan.secret, algorithm="HS256")
        self._say(
            Connect(
                self.version,
                self.name,
                clean_start=False,
                keep_alive=self.crowd.plan.keep_alive,
                username=self.crowd.plan.app,
                password=token.encode(),
            )
        )

    def data_received(self, data: bytes) -> None:
        for packet in self._decoder.feed(data):
            self._take(packet)

    def _take(self, packet: Packet) -> None:
        if isinstance(packet, Connack) and packet.reason == 0:
            self.let_in.set()
            if self._lost_at is not None:
                self.crowd.away.append(asyncio.get_running_loop().time() - self._lost_at)
                self._lost_at = None
        elif isinstance(packet, Connack | Disconnect):
            self._move(*read_moved_properties(packet.properties, 0))
        elif isinstance(packet, Pingresp) and self._asked is not None:
            took = asyncio.get_running_loop().time() - self._asked
            self.crowd.slowest_ping = max(self.crowd.slowest_ping, took)
            self._asked = None
        elif isinstance(packet, Publish) and packet.topic == MOVED_TOPIC:
            self._move(*read_moved_notice(packet.payload))
        elif isinstance(packet, Publish):
            message = packet.topic.removeprefix("push/")
            if message in self._got:
                self.crowd.duplicates += 1
            else:
                self._got.add(message)
                self.crowd.book.write(f"{message} {self.name} {time.time_ns() // 1_000_000}\n".encode())
            if packet.qos:
                self._say(Puback(packet.packet_id))

    def ping(self) -> None:
        if not self.let_in.is_set():
            return
        now = asyncio.get_running_loop().time()
        if self._asked is None:
            self._asked = now
            self._say(Pingreq())
        elif now - self._asked > self.crowd.plan.keep_alive:
            assert self._transport is not None
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._asked = None
        if self.let_in.is_set():
            self.let_in.clear()
            self.cut_off += 1
            self._lost_at = asyncio.get_running_loop().time()
        else:
            self.crowd.refused += 1
        self._come_back()

    def _say(self, packet: Packet) -> None:
        assert self._transport is not None
        if not self._transport.is_closing():
            self._transport.write(encode(packet, self.version))


async def main(book: Path) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    plan = msgspec.json.decode(await reader.readline(), type=Plan)
    raise_file_limit(plan.count)
    crowd = Crowd(plan, book)
    await crowd.connect()
    pinging = loop.create_task(crowd.ping_on()) if plan.ping_every else None
    print("ready", flush=True)
    while await reader.readline():
        print(msgspec.json.encode(crowd.summary()).decode(), flush=True)
    crowd.closing = True
    if pinging is not None:
        pinging.cancel()
    print(msgspec.json.encode(crowd.summary()).decode(), flush=True)


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1])))
