"""A dispatcher that says what the test tells it to, over real HTTP."""

import asyncio
import json
import ssl
from collections.abc import Sequence
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, urlsplit


class ScriptedDispatcher:
    """Answers every request with `status` and `body`, which a test may change at any time.

    `asked` has the parameters of each request, `paths` the path. `mute`: it takes requests and never answers.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.status = 200
        self.body = b""
        self.headers = ""
        self.mute = False
        self.asked: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.port = 0
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []

    @property
    def url(self) -> str:
        return f"{'http' if self._tls is None else 'https'}://127.0.0.1:{self.port}"

    def say(
        self,
        ports: Sequence[int],
        *,
        expires_in: int = 300,
        keep_alive: int = 240,
        after_ms: int = 0,
        initial_ms: int = 1000,
        max_ms: int = 8000,
    ) -> None:
        """From now on the answer is: these ports of the loopback."""
        endpoints = [{"host": "127.0.0.1", "port": port, "transport": "tcp", "weight": 1.0} for port in ports]
        backoff = {"after_ms": after_ms, "initial_ms": initial_ms, "max_ms": max_ms}
        self.status = 200
        self.body = json.dumps(
            {
                "endpoints": endpoints,
                "expires_in": expires_in,
                "heartbeat": {"keep_alive": keep_alive},
                "backoff": backoff,
            }
        ).encode()

    def refuse(self, status: int, code: str, *, retry_after: int = 0) -> None:
        """From now on the answer is this error."""
        self.status = status
        self.headers = f"Retry-After: {retry_after}\r\n" if retry_after else ""
        self.body = json.dumps({"error": {"code": code, "message": "said the test", "details": []}}).encode()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        head = await reader.readuntil(b"\r\n\r\n")
        url = urlsplit(head.split(b" ", 2)[1].decode())
        self.paths.append(url.path)
        self.asked.append(dict(parse_qsl(url.query)))
        if self.mute:
            return
        writer.write(
            f"HTTP/1.1 {self.status} X\r\nContent-Type: application/json\r\n{self.headers}"
            f"Content-Length: {len(self.body)}\r\nConnection: close\r\n\r\n".encode()
            + self.body
        )
        writer.close()
