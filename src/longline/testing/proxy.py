"""A TCP proxy that fails when told to: between a client and a server it plays the bad network.

    async with FaultProxy("127.0.0.1", server_port) as network:
        device = Device("127.0.0.1", network.port, …)
        network.stall()         # both ends stay connected, nothing arrives
        network.resume()
        network.cut()           # every connection is reset
        network.close_upward()  # the server sees the end of the stream, the client does not
        network.lie(b"...")     # the client hears what the server never said

Faults hold for all connections, present and future, until they are taken back.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

CHUNK = 64 * 1024  # bytes read at once: with nothing read ahead, a stall keeps the rest in the kernel


@dataclass
class ProxyStatistics:
    """What went through: bytes from client to server (`upward`) and back, connections taken and refused."""

    accepted: int = 0
    refused: int = 0
    upward: int = 0
    downward: int = 0


@dataclass
class LinkFaults:
    """What is wrong with the network now; shared by all connections through it."""

    delay: float = 0.0
    split: int = 0
    flowing: asyncio.Event = field(default_factory=asyncio.Event)


class _Pipe:
    """One direction of one connection."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        faults: LinkFaults,
        count: Callable[[int], None],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._faults = faults
        self._count = count
        self._passing = False
        self._lies: list[bytes] = []  # that wait for the end of the chunk which is passing
        self._ended = False

    async def run(self) -> None:
        """Moves bytes until the stream ends, then ends it on the other side too; OSError when it breaks."""
        while chunk := await self._reader.read(CHUNK):
            step = self._faults.split or len(chunk)
            self._passing = True
            for start in range(0, len(chunk), step):
                await self._pass(chunk[start : start + step])
            self._passing = False
            while self._lies:
                self.insert(self._lies.pop(0))
        await self._faults.flowing.wait()  # in a stall not even the end of the stream gets through
        self.end()

    async def _pass(self, piece: bytes) -> None:
        if self._faults.delay:
            await asyncio.sleep(self._faults.delay)
        await self._faults.flowing.wait()
        if not self._ended:  # after a half-close what still comes is lost, as on a dead link
            if self._writer.is_closing():  # uvloop raises no OSError for it
                raise ConnectionResetError("cut meanwhile")
            self._writer.write(piece)
            self._count(len(piece))
            await self._writer.drain()

    def insert(self, data: bytes) -> None:
        """Passes on what nobody said, behind the chunk that is passing.

        Within it, it would change what was said: no client can tell that without a checksum.
        """
        if self._passing:
            self._lies.append(data)
        elif not self._ended and not self._writer.is_closing():
            self._writer.write(data)

    def end(self) -> None:
        """Half-closes: the other side reads the end of the stream."""
        if not self._ended and not self._writer.is_closing():
            self._writer.write_eof()
        self._ended = True


class FaultProxy:
    """Listens on a free loopback port and forwards to `host`:`port`.

    `delay` in seconds holds every piece back before it is passed on; `split` in bytes cuts what passes into
    pieces of that size, each its own write; 0 turns either off. `refusing` resets new connections at once.
    Who connects from now on is forwarded to `target_port`.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self.target_port = port
        self._server: asyncio.Server | None = None
        self._faults = LinkFaults()
        self._faults.flowing.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._upward: set[_Pipe] = set()
        self._downward: set[_Pipe] = set()
        self.port = 0
        self.refusing = False
        self.statistics = ProxyStatistics()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        self.cut()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()

    @property
    def connections(self) -> int:
        """How many connections go through now."""
        return len(self._upward)

    @property
    def delay(self) -> float:
        return self._faults.delay

    @delay.setter
    def delay(self, seconds: float) -> None:
        self._faults.delay = seconds

    @property
    def split(self) -> int:
        return self._faults.split

    @split.setter
    def split(self, size: int) -> None:
        self._faults.split = size

    def stall(self) -> None:
        """Nothing passes any more in either direction, and neither side is told."""
        self._faults.flowing.clear()

    def resume(self) -> None:
        """Passes on what waited."""
        self._faults.flowing.set()

    def cut(self) -> None:
        """Resets every connection, on both sides (RST, not FIN)."""
        for writer in self._writers:
            reset(writer)

    def close_upward(self) -> None:
        """Half-closes: the server reads the end of the stream; its own bytes still reach the client."""
        for pipe in self._upward:
            pipe.end()

    def close_downward(self) -> None:
        """Half-closes: the client reads the end of the stream; its own bytes still reach the server."""
        for pipe in self._downward:
            pipe.end()

    def lie(self, data: bytes) -> None:
        """Tells every client what its server never said, between two chunks of what it did say."""
        for pipe in self._downward:
            pipe.insert(data)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            self.statistics.refused += 1
            reset(writer)
            return
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a stream server runs its callback in a task")
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            await self._connect(reader, writer)
        except asyncio.CancelledError:
            # Only __aexit__ cancels it, and nobody awaits the outcome of a server's callback.
            pass
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.close()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(self._host, self.target_port)
        except OSError:
            self.statistics.refused += 1
            reset(writer)
            return
        if writer.is_closing():  # cut while the server was being reached
            reset(far_writer)
            return
        self.statistics.accepted += 1
        up = _Pipe(reader, far_writer, self._faults, self._count_upward)
        down = _Pipe(far_reader, writer, self._faults, self._count_downward)
        self._writers.add(far_writer)
        self._upward.add(up)
        self._downward.add(down)
        try:
            async with asyncio.TaskGroup() as pipes:
                pipes.create_task(up.run(), name="fault-proxy-upward")
                pipes.create_task(down.run(), name="fault-proxy-downward")
        except* OSError:
            # One side was reset. So is the other: that is how a middlebox that lost its state looks.
            reset(writer)
            reset(far_writer)
        finally:
            self._upward.discard(up)
            self._downward.discard(down)
            self._writers.discard(far_writer)
            far_writer.close()

    def _count_upward(self, size: int) -> None:
        self.statistics.upward += size

    def _count_downward(self, size: int) -> None:
        self.statistics.downward += size


def reset(writer: asyncio.StreamWriter) -> None:
    """Closes a connection with RST: the peer's next read fails instead of ending cleanly."""
    connection = writer.get_extra_info("socket")
    if connection is not None:
        with contextlib.suppress(OSError, ValueError):  # it is closed already, in the words of either loop
            # Lingering for 0 seconds: close() throws away what is unsent and sends RST.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
