"""Calls of the HTTP API at the least cost to who makes them: whole requests over sockets that are kept."""

import asyncio
from typing import NamedTuple

import msgspec

from longline.errors import Unavailable


class Answer(NamedTuple):
    status: int
    body: bytes

    def json(self) -> dict[str, object]:
        return msgspec.json.decode(self.body, type=dict[str, object])


def request(method: str, path: str, key: str, body: object = None, *headers: str) -> bytes:
    """A whole request; `body` is JSON already where it is bytes."""
    data = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: longline",
        f"Authorization: Bearer {key}",
        f"Content-Length: {len(data)}",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


class Caller:
    """One connection, made again where it has ended."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def call(self, request: bytes) -> Answer:
        """The answer to one request; `Unavailable` where there is none."""
        try:
            return await self._call(request)
        except (OSError, EOFError) as error:
            self.close()
            raise Unavailable(str(error)) from error

    async def _call(self, request: bytes) -> Answer:
        if self._streams is not None and self._streams[0].at_eof():
            self.close()  # idle for so long that the server ended it
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address)
        reader, writer = self._streams
        writer.write(request)
        status, head = 0, b""
        while status < 200:  # 100 is none yet
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            status = int(head[9:12])
        _, found, rest = head.partition(b"content-length:")
        size = int(rest[: rest.index(b"\r\n")]) if found else 0
        body = await reader.readexactly(size)
        if b"connection: close" in head:
            self.close()
        return Answer(status, body)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
