"""A node that hostile peers are let loose on, an app in good order beside them, and ways to connect."""

import asyncio
import secrets
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import jwt

from longline.websocket.asking import request
from longline.websocket.frames import BINARY, masked_frame
from tests.adversity import light, steady
from tests.adversity.child import Child
from tests.adversity.resident import highest, memory, stopped
from tests.certificates import Authority
from tests.fuzz.listener_fuzz import complaints
from tests.integration.live_node import RawClient, metrics
from tests.integration.processes import alive
from tests.integration.server_process import ServerProcess
from tests.waiting import until

APP = "fuzz"  # whose accounts the hostile have, as the mutator names it
DEADLINE = 5  # s, of what a peer may keep the node waiting for
MIB = 1 << 20
LASTING = 32 * MIB  # that a node may keep afterwards: what an allocator does not give back
ANSWERED = 10_000.0  # ms: a machine that does much else, and interpreted code; a quiet one shows 50
CLOSES = b"\x88\x02"  # how a Close of a WebSocket server begins that tells a code
TRANSPORTS = ("tcp", "tls", "ws", "wss")

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Site(NamedTuple):
    """The node, the secret of the hostile ones' app, and the app that must not notice them."""

    server: ServerProcess
    secret: str
    load: Child
    trusted: ssl.SSLContext

    def token(self, device: str) -> str:
        return jwt.encode({"sub": device}, self.secret, algorithm="HS256")

    async def enter(self, device: str, version: int = 5) -> RawClient:
        """A client of the hostile app that was let in, over TCP."""
        client = await RawClient.open(self.server.mqtt_port, version)
        assert (await client.enter(device, APP, self.token(device))).reason == 0
        return client

    async def open(self, transport: str) -> Streams:
        """A connection over which nothing was said yet, but for the handshake of TLS."""
        server = self.server
        ports = dict(
            zip(TRANSPORTS, (server.mqtt_port, server.tls_port, server.ws_port, server.wss_port), strict=True)
        )
        secure = self.trusted if transport in ("tls", "wss") else None
        return await asyncio.open_connection("127.0.0.1", ports[transport], ssl=secure)

    async def upgrade(self, transport: str = "ws") -> Streams:
        """A WebSocket, over which no frame was sent yet."""
        streams = await self.open(transport)
        reader, writer = streams
        writer.write(request("127.0.0.1", self.server.ws_port, secrets.token_bytes(16)))
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        return streams

    async def connects(self, transport: str, device: str) -> None:
        """A client in good order connects, and goes. Raises what keeps it from that."""
        web = transport in ("ws", "wss")
        reader, writer = await (self.upgrade(transport) if web else self.open(transport))
        try:
            hello = light.connect(APP, device, self.secret)
            writer.write(framed(hello) if web else hello)
            answer = await reader.readexactly(6 if web else 4)
            assert answer[-4:] == b"\x20\x02\x00\x00", answer
            writer.write(framed(light.DISCONNECT) if web else light.DISCONNECT)
            await writer.drain()
        finally:
            writer.close()

    async def refused(self) -> dict[str, int]:
        """What the node has counted of peers' faults, by code."""
        return await self._tally("longline_room_refused_total")

    async def closed(self) -> dict[str, int]:
        """What the node has counted of connections that it ended, by reason."""
        return await self._tally("longline_room_closed_total")

    async def _tally(self, figure: str) -> dict[str, int]:
        begin = f'{figure}{{kind="'
        found = await metrics(self.server.url)
        return {
            name.removeprefix(begin).removesuffix('"}'): int(value)
            for name, value in found.items()
            if name.startswith(begin)
        }

    async def _taken(self) -> steady.Taken:
        """What the other app has seen since it was asked last; some PINGRESP is among it."""
        while True:
            taken = await self.load.ask(steady.Taken)
            harm = (taken.lost, taken.cut_off, taken.refused)
            assert harm == (0, 0, {}), f"{harm} {self.server.tail()}"
            if taken.pings.count:
                return taken

    @asynccontextmanager
    async def unharmed(self, tell: Callable[[str], None], *, most: int = 128 * MIB) -> AsyncIterator[None]:
        """What is done inside costs the node no memory that lasts, nor another app anything but time.

        `most`: bytes that it may cost meanwhile.
        """
        pids = [self.server.pid]
        await self.load.ask(steady.Taken)
        before = memory(pids)
        watching = asyncio.create_task(highest(pids))
        try:
            yield
        finally:
            peak = await stopped(watching)
        assert alive(self.server.pid), self.server.tail()
        taken = await self._taken()
        await until(lambda: memory(pids) < before + LASTING, tell=lambda: str(memory(pids) - before))
        tell(
            f"PINGRESP of another app {taken.pings}; its pushes {taken.pushed}; memory before "
            f"{before / MIB:.0f} MiB, at most {peak / MIB:.0f}, afterwards {memory(pids) / MIB:.0f}"
        )
        assert taken.pings.most < ANSWERED
        assert peak < before + most
        assert complaints(self.server.log.read_text()) == []
        faults = {n: v for n, v in (await metrics(self.server.url)).items() if "longline_faults_total" in n}
        assert sum(faults.values()) == 0, faults


@asynccontextmanager
async def a_site(folder: Path) -> AsyncIterator[Site]:
    """A node with all its listeners, which is patient for a few seconds only."""
    authority = Authority(folder / "authority")
    server = ServerProcess(
        folder / "data",
        (),
        authority,
        LONGLINE_ROOM__CONNECT_TIMEOUT=str(DEADLINE),
        LONGLINE_ROOM__TLS_HANDSHAKE_TIMEOUT=str(DEADLINE),
        LONGLINE_ROOM__OUTBOX_TIMEOUT=str(DEADLINE),
    )
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(server)
        async with server.center() as center:
            hostile = await center.create_app(APP, pubsub=True)
            good = await center.create_app("good")
        plan = steady.Plan(
            *("127.0.0.1", server.http_port, server.mqtt_port),
            *("good", str(good.server_key), good.device_secret),
            devices=20,
            rate=5.0,
            ping_every=0.4,
        )
        load = await stack.enter_async_context(Child("tests.adversity.steady", plan))
        await load.ready()
        trusted = ssl.create_default_context(cafile=str(authority.ca))
        yield Site(server, hostile.device_secret, load, trusted)
        assert await server.terminate() == 0


def framed(data: bytes) -> bytes:
    """A client's WebSocket frame."""
    return masked_frame(BINARY, data, secrets.token_bytes(4))


def client_hello() -> bytes:
    """What a TLS client says first."""
    written = ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), written, server_hostname="localhost")
    with suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return written.read()


async def until_closed(streams: Streams, drip: bytes = b"", pause: float = 0.5) -> bytes:
    """What the node still says until it closes, or says Close; a byte of `drip` is sent now and then."""
    reader, writer = streams

    async def say() -> None:
        for byte in drip:
            writer.write(bytes([byte]))
            await asyncio.sleep(pause)

    saying = asyncio.create_task(say())
    said = b""
    try:
        while not said.startswith(CLOSES) and (data := await reader.read(1 << 16)):
            said += data
    except ConnectionError:  # closed with bytes of ours unread
        pass
    finally:
        saying.cancel()
        writer.transport.abort()
    return said


def close_code(said: bytes) -> int:
    """The code in the Close that a server has said."""
    return int.from_bytes(said[2:4]) if said.startswith(CLOSES) else 0
