"""Peers that want to do harm: what they have been seen to send, each again and again, and all at once.

    python -m tests.adversity.attackers < plan.json

`ready` is printed when all have begun, and when standard input is closed how often each did what it does, as
JSON. Each keeps to itself: who is closed comes again. Some have a key and devices of an app of their own,
since whoever has an account is no friend for that. With a `prefix` they come from many IPv6 networks too.
"""

import asyncio
import itertools
import os
import random
import resource
import struct
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

import jwt
import msgspec
import uvloop

from tests.adversity.calls import request
from tests.adversity.light import (
    CONNACK,
    DISCONNECT,
    PINGREQ,
    Reader,
    connect,
    packet,
    publish,
    subscribe,
    text,
)

PAUSE = 0.001  # s between two attempts of one attacker
HOLD = 15.0  # s that something is held open which nobody closes
CHUNK = 1 << 16  # bytes
LEVELS = 16
NAMES = 1000
DEEP = 80  # devices with filters that a topic matches in very many ways
SILENT = 20  # that take messages and never acknowledge them
HALVES = 500  # connections that stop in the middle of something, of each kind
IDLE = 1500  # HTTP connections that ask for nothing


class Plan(msgspec.Struct, frozen=True):
    """Whom to attack: with an app's key and secret, over IPv6 from networks below `prefix` (empty: none).

    `kinds`: those that take part, `http` or `mqtt`.
    """

    port: int
    mqtt_port: int
    app: str
    key: str
    secret: str
    prefix: str
    kinds: list[str]
    without: list[str] = []


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Attack = Callable[[int], Awaitable[None]]


class Attackers:
    """All of them. An attack is one attempt; `done` counts those that came to their end."""

    def __init__(self, plan: Plan) -> None:
        self.done: Counter[str] = Counter()
        self._plan = plan
        self._numbers = itertools.count()
        self._path = f"/v1/apps/{plan.app}"
        self._names = [f"victim-{number:03}" for number in range(NAMES)]
        self._tokens = itertools.cycle(hostile_tokens(plan.secret))
        self._wide = publish("/".join("a" * LEVELS), b"x")

    async def prepare(self) -> None:
        """What they need of their own app."""
        devices = [{"device": name} for name in self._names]
        async with self._http() as streams:
            await answer(
                streams, request("POST", f"{self._path}/devices:batch", self._plan.key, {"devices": devices})
            )

    def tasks(self) -> list["asyncio.Task[None]"]:
        """Each attack by so many at once, for ever."""
        mqtt: dict[str, tuple[int, Attack]] = {
            "hostile tokens": (4, self._hostile_token),
            "connections that say nothing and go": (4, self._hang_up),
            "devices that come and go": (8, self._come_and_go),
            "half of a CONNECT": (HALVES, self._half_connect),
            "half of a PUBLISH": (HALVES // 5, self._half_publish),
            "senseless bytes": (2, self._senseless),
            "clients that never acknowledge": (SILENT, self._never_acknowledge),
            "large messages to them": (2, self._large),
            "large pushes to them": (1, self._large_push),
            "huge filters": (2, self._huge_filters),
            "filters that match in very many ways": (DEEP, self._deep_filters),
            "messages for them": (2, self._deep_messages),
            "questions behind an owed PUBACK": (4, self._owed),
            "more than the receive maximum": (2, self._beyond_the_maximum),
        }
        http: dict[str, tuple[int, Attack]] = {
            "heads without end": (4, self._endless_head),
            "heads of very many fields": (4, self._many_fields),
            "idle connections": (IDLE, self._idle),
            "unfinished bodies": (60, self._unfinished),
            "unfinished bodies without a key": (20, self._unfinished_unknown),
            "long polls": (500, self._poll),
            "unknown keys": (4, self._unknown_key),
            "look-ups at the dispatcher": (4, self._look_up),
            "senseless requests": (2, self._senseless_request),
            "answers that nobody reads": (4, self._unread),
            "deep JSON": (2, self._deep_json),
            "collapse storms": (4, self._collapse),
        }
        chosen: dict[str, tuple[int, Attack]] = {}
        if "mqtt" in self._plan.kinds:
            chosen |= mqtt
        if "http" in self._plan.kinds:
            chosen |= http
        for name in self._plan.without:
            chosen.pop(name, None)
        return [
            asyncio.create_task(self._again(name, attack, at))
            for name, (count, attack) in chosen.items()
            for at in range(count)
        ]

    async def _again(self, name: str, attack: Attack, at: int) -> None:
        while True:
            with suppress(OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
                await attack(at)
                self.done[name] += 1
            await asyncio.sleep(PAUSE)

    # --- connections ---

    @asynccontextmanager
    async def _open(self, port: int) -> AsyncIterator[Streams]:
        """A connection, from another address each time; every second over IPv6, where that is possible."""
        number = next(self._numbers)
        if self._plan.prefix and number % 2:
            network = f"{self._plan.prefix}:{number >> 16 & 0xFFFF:x}:{number & 0xFFFF:x}::{number % 7 + 1:x}"
            host, local = "::1", network
        else:
            host, local = "127.0.0.1", f"127.2.{number >> 8 & 0xFF}.{number & 0xFF or 1}"
        streams = await asyncio.open_connection(host, port, local_addr=(local, 0))
        try:
            yield streams
        finally:
            streams[1].transport.abort()

    def _http(self) -> AbstractAsyncContextManager[Streams]:
        return self._open(self._plan.port)

    def _mqtt(self) -> AbstractAsyncContextManager[Streams]:
        return self._open(self._plan.mqtt_port)

    @asynccontextmanager
    async def _device(self, name: str) -> AsyncIterator[Streams]:
        """A device that was let in."""
        async with self._mqtt() as streams:
            reader, writer = streams
            writer.write(connect(self._plan.app, name, self._plan.secret))
            packets = Reader()
            while True:
                data = await receive(reader)
                if any(each.kind == CONNACK for each in packets.feed(data)):
                    break
            yield streams

    # --- MQTT ---

    async def _hostile_token(self, at: int) -> None:
        async with self._mqtt() as (reader, writer):
            body = text("MQTT") + struct.pack(">BBH", 4, 0xC2, 60) + text("hostile") + text(self._plan.app)
            writer.write(packet(0x10, body + text(next(self._tokens))))
            await reader.read()

    async def _hang_up(self, at: int) -> None:
        async with self._mqtt():
            pass

    async def _come_and_go(self, at: int) -> None:
        async with self._device(f"flashing-{at}") as (reader, writer):
            writer.write(DISCONNECT)
            await reader.read()

    async def _half_connect(self, at: int) -> None:
        async with self._mqtt() as (reader, writer):
            writer.write(connect(self._plan.app, "half", self._plan.secret)[: 1 + at % 60])
            await held(reader)

    async def _half_publish(self, at: int) -> None:
        async with self._device(f"half-{at}") as (reader, writer):
            writer.write(publish("t", bytes(290 << 10), 1)[: 200 << 10])
            await held(reader)

    async def _senseless(self, at: int) -> None:
        async with self._mqtt() as (reader, writer):
            writer.write(os.urandom(1 << 12))
            await reader.read()

    async def _never_acknowledge(self, at: int) -> None:
        async with self._device(f"silent-{at}") as (_, writer):
            writer.write(subscribe(["large/#"], 1))
            await asyncio.sleep(HOLD)  # and it does not read either

    async def _large(self, at: int) -> None:
        async with self._device(f"large-{at}") as (reader, writer):
            message = publish(f"large/{at}", bytes(100 << 10), 1)
            for _ in range(20):
                writer.write(message)
                await writer.drain()
                await receive(reader)

    async def _large_push(self, at: int) -> None:
        audience = {"devices": [f"silent-{number}" for number in range(SILENT)]}
        body = {"audience": audience, "payload": "x" * (200 << 10), "options": {"ttl": 60}}
        async with self._http() as streams:
            for _ in range(10):
                await answer(streams, request("POST", f"{self._path}/messages", self._plan.key, body))

    async def _huge_filters(self, at: int) -> None:
        async with self._device(f"huge-{at}") as (reader, writer):
            for number in range(100):
                writer.write(subscribe([f"{number}/" + "x" * 65_000], 1, number + 1))
            writer.write(subscribe([f"{number}/" + "y" * 600 for number in range(100)], 1, 200))
            await held(reader, 1.0)

    async def _deep_filters(self, at: int) -> None:
        chance = random.Random(at)
        filters = ["/".join(chance.choices("+a", k=LEVELS)) for _ in range(100)]
        async with self._device(f"deep-{at}") as (reader, writer):
            writer.write(subscribe(filters))
            await held(reader)

    async def _deep_messages(self, at: int) -> None:
        async with self._device(f"wide-{at}") as (_, writer):
            for _ in range(50):
                writer.write(self._wide * 10)
                await writer.drain()

    async def _owed(self, at: int) -> None:
        async with self._device(f"owing-{at}") as (_, writer):
            writer.write(subscribe([f"owed/{at}/#"], 1))
            for number in range(20):
                writer.write(publish(f"owed/{at}/x", b"x" * 1000, 1, number + 1) + PINGREQ * 5000)
                async with asyncio.timeout(HOLD):
                    await writer.drain()  # it never reads

    async def _beyond_the_maximum(self, at: int) -> None:
        async with self._device(f"beyond-{at}") as (reader, writer):
            writer.write(b"".join(publish("beyond", b"x" * 100, 1, number + 1) for number in range(2000)))
            await held(reader, 1.0)

    # --- HTTP ---

    async def _endless_head(self, at: int) -> None:
        async with self._http() as (_, writer):
            writer.write(b"GET /healthz HTTP/1.1\r\nX-A: ")
            for _ in range(1600):
                writer.write(b"a" * CHUNK)
                await writer.drain()

    async def _many_fields(self, at: int) -> None:
        async with self._http() as (_, writer):
            writer.write(b"GET /healthz HTTP/1.1\r\n")
            for _ in range(1600):
                writer.write(b"X-A: b\r\n" * (CHUNK // 8))
                await writer.drain()

    async def _idle(self, at: int) -> None:
        async with self._http() as (reader, _):
            await held(reader)

    async def _unfinished(self, at: int) -> None:
        await self._begin(self._plan.key)

    async def _unfinished_unknown(self, at: int) -> None:
        await self._begin(f"llk_{self._plan.app}.{'0' * 43}")

    async def _begin(self, key: str) -> None:
        size = 30 << 20
        head = request("POST", f"{self._path}/messages", key).replace(
            b"Content-Length: 0", f"Content-Length: {size}".encode()
        )
        async with self._http() as (reader, writer):
            writer.write(head)
            for _ in range(size // CHUNK - 1):
                writer.write(bytes(CHUNK))
                await writer.drain()
            await held(reader)

    async def _poll(self, at: int) -> None:
        path = f"{self._path}/upstream?wait=60&cursor=OTk5OTk5OTk5OTk5"
        async with self._http() as streams:
            await answer(streams, request("GET", path, self._plan.key))

    async def _unknown_key(self, at: int) -> None:
        async with self._http() as streams:
            for _ in range(20):
                app = f"app{next(self._numbers)}"
                await answer(streams, request("GET", f"/v1/apps/{app}", f"llk_{app}.{'x' * 43}"))

    async def _look_up(self, at: int) -> None:
        async with self._http() as streams:
            for _ in range(100):
                app, device = f"app{next(self._numbers)}", next(self._numbers)
                await answer(streams, request("GET", f"/v1/dispatch?app={app}&device=d{device}", ""))

    async def _senseless_request(self, at: int) -> None:
        async with self._http() as (reader, writer):
            writer.write(os.urandom(1 << 12))
            await reader.read()

    async def _unread(self, at: int) -> None:
        async with self._http() as (_, writer):
            page = request("GET", f"{self._path}/devices?limit=1000", self._plan.key)
            for _ in range(200):
                writer.write(page)
                async with asyncio.timeout(HOLD):
                    await writer.drain()
            await asyncio.sleep(HOLD)

    async def _deep_json(self, at: int) -> None:
        body = b'{"audience": "all", "payload": ' + b"[" * 1_000_000
        async with self._http() as streams:
            await answer(streams, request("POST", f"{self._path}/messages", self._plan.key, body))

    async def _collapse(self, at: int) -> None:
        options = {"collapse_key": "storm", "ttl": 60}
        async with self._http() as streams:
            for audience in ({"devices": self._names}, "all"):
                body = {"audience": audience, "payload": "storm", "options": options}
                await answer(streams, request("POST", f"{self._path}/messages", self._plan.key, body))


async def held(reader: asyncio.StreamReader, seconds: float = HOLD) -> None:
    """Reads what comes until the server closes, or for so long."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while await reader.read(CHUNK):
                pass


async def receive(reader: asyncio.StreamReader) -> bytes:
    data = await reader.read(CHUNK)
    if not data:
        raise EOFError
    return data


async def answer(streams: Streams, data: bytes) -> int:
    """The status of the answer to a request, which is read whole."""
    reader, writer = streams
    writer.write(data)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    _, found, rest = head.partition(b"content-length:")
    if found:
        await reader.readexactly(int(rest[: rest.index(b"\r\n")]))
    if b"connection: close" in head:
        raise EOFError
    return int(head[9:12])


def hostile_tokens(secret: str) -> Sequence[str]:
    """What a token may be that nobody made in good faith; some are signed with the app's own secret."""

    def part(data: bytes) -> str:
        return jwt.utils.base64url_encode(data).decode()

    deep = b'{"alg":"HS256","x":' + b"[" * 2000 + b"]" * 2000 + b"}"
    good = part(b'{"alg":"HS256","typ":"JWT"}')
    claims = part(b'{"sub":"hostile"}')
    odd: tuple[dict[str, object], ...] = (
        {"sub": ["hostile"]},
        {"sub": {"hostile": 1}},
        {"sub": 5},
        {"sub": "hostile", "exp": "never"},
        {"sub": "hostile", "exp": 1e300},
        {"sub": "hostile", "nbf": [1]},
        {"sub": "hostile", "iat": {"a": 1}},
    )
    return [
        f"{part(deep)}.{claims}.x",
        f"{good}.{part(deep)}.x",
        f"{part(b'[' * 2000)}.{claims}.x",
        f"{part(b'5')}.{claims}.x",
        f"{part(b'null')}.{claims}.x",
        f"{part(b'[]')}.{part(b'[]')}.x",
        part(b'{"alg":"none"}') + f".{claims}.",
        part(b'{"alg":5,"kid":{}}') + f".{claims}.x",
        part(b'{"alg":"HS256","crit":["x"],"b64":false}') + f".{claims}.x",
        "." * 3000,
        "\u00e9" * 1000,
        *(_signed(claims, secret) for claims in odd),
    ]


def _signed(claims: dict[str, object], secret: str) -> str:
    return jwt.api_jws.encode(msgspec.json.encode(claims), secret, algorithm="HS256")


async def main() -> None:
    loop = asyncio.get_running_loop()
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    plan = msgspec.json.decode(await commands.readline(), type=Plan)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    attackers = Attackers(plan)
    await attackers.prepare()
    tasks = attackers.tasks()
    print("ready", flush=True)
    await commands.read()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    print(msgspec.json.encode(attackers.done).decode(), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
