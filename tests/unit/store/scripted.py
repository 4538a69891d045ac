"""A server that says what a test tells it to, and remembers what came together."""

import asyncio
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Self

from hiredis import Reader
from longline.store.redis import LAYOUT

Words = list[bytes]
INFO = b"run_id:%b\r\nredis_version:7.0.15\r\nrole:master\r\ncluster_enabled:%d\r\nloading:0\r\n"
Slots = Callable[[], list[tuple[range, int]]]


def bulk(text: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(text), text)


class ScriptedServer:
    """Answers each command with what `answer` returns, or not at all when that is None.

    When it raises a `ConnectionError`, the connection breaks after the replies before it.

    The greeting, PING and loading scripts are answered as any server does. `chunks` are the commands that
    were read at once; `said` all but the greeting. `run` is the process that it says it is.

    `slots` makes it one of a Cluster: what it says of who has which, each by the port of a server here.
    """

    def __init__(self, answer: Callable[[Words], bytes | None], slots: Slots | None = None) -> None:
        self.answer = answer
        self.slots = slots
        self.run = b"1"
        self.chunks: list[list[Words]] = []
        self.said: list[Words] = []
        self.connections = 0
        self.seen: Counter[bytes] = Counter()
        self._writers: list[asyncio.StreamWriter] = []
        self._awake = asyncio.Event()
        self._awake.set()
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 24)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.resume()
        self.cut()
        await self._server.wait_closed()

    def cut(self, number: int | None = None) -> None:
        """Breaks all connections, or one, by the order in which they came."""
        for writer in self._writers if number is None else [self._writers[number]]:
            writer.transport.abort()

    def pause(self) -> None:
        """Hangs, as a process that is stopped: what comes from now on is done when it goes on."""
        self._awake.clear()

    def resume(self) -> None:
        self._awake.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        parser = Reader()
        try:
            while data := await reader.read(1 << 20):
                await self._awake.wait()
                parser.feed(data)
                chunk = []
                while isinstance(words := parser.gets(), list):
                    chunk.append(words)
                    writer.write(self._reply(words) or b"")
                self.chunks.append(chunk)
        except ConnectionError:
            pass
        finally:
            writer.close()

    def _reply(self, words: Words) -> bytes | None:
        self.seen[words[0]] += 1
        match words:
            case [b"CLIENT", b"ID"]:
                return b":%d\r\n" % self.connections
            case [b"CLIENT" | b"AUTH", *_]:
                return b"+OK\r\n"
            case [b"INFO"]:
                return bulk(INFO % (self.run, self.slots is not None))
            case [b"CLUSTER", b"SLOTS"] if self.slots is not None:
                return self._map(self.slots())
            case [b"CONFIG", *_]:
                return b"*0\r\n"
            case [b"PING"]:
                return b"+PONG\r\n"
            case [b"SCRIPT", b"LOAD", _]:
                return bulk(b"0" * 40)
            case [b"MSETNX", b"{meta}partitions", *_]:
                return b":0\r\n"
            case [b"MGET", b"{meta}partitions", *_]:
                return b"*3\r\n" + bulk(b"64") + bulk(b"%d" % LAYOUT) + bulk(b"1")
        self.said.append(words)
        return self.answer(words)

    def _map(self, slots: list[tuple[range, int]]) -> bytes:
        rows = [
            b"*3\r\n:%d\r\n:%d\r\n*2\r\n" % (each[0], each[-1]) + bulk(b"127.0.0.1") + b":%d\r\n" % port
            for each, port in slots
        ]
        return b"*%d\r\n" % len(rows) + b"".join(rows)
