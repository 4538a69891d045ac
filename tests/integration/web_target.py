"""A webhook's target in the test's own loop, which answers, or does not, as the test wants."""

import asyncio
import json
from contextlib import suppress
from types import TracebackType
from typing import Any, Literal, Self

from standardwebhooks.webhooks import Webhook as Verifier

SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
SLOWLY = 0.3  # s

Mode = Literal["ok", "slow", "error", "hang", "refuse", "gone"]
STATUS = {"ok": 200, "slow": 200, "error": 500, "refuse": 422, "gone": 410}


class Target:
    """`calls` are the bodies that it was sent, with their ids; `taken` the events that it took, in order.

    Every signature is verified; `strangers` counts those that were not good. In the mode `refuse`, only calls
    with an event of a payload in `poison` are refused.
    """

    def __init__(self) -> None:
        self.mode: Mode = "ok"
        self.poison: set[str] = set()
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.taken: list[dict[str, Any]] = []
        self.strangers: list[str] = []
        self.port = 0
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/in"

    def take(self, told: dict[str, Any]) -> None:
        """A call is answered as taken."""
        self.taken += told["events"]

    async def up(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """Takes no connection any more, and ends those that there are."""
        assert self._server is not None
        self._server.close()
        for writer in list(self._connections):
            writer.transport.abort()
        self._server = None

    def payloads(self, device: str) -> list[str]:
        """What it took from a device, each once, in the order in which it first came."""
        return list(
            dict.fromkeys(
                event["payload"]
                for event in self.taken
                if event["type"] == "upstream" and event["device"] == device
            )
        )

    async def __aenter__(self) -> Self:
        await self.up()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            await self.down()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                while True:
                    head = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()[1:]
                    lines = (line.partition(": ") for line in head if line)
                    headers = {name.lower(): value for name, _, value in lines}
                    body = await reader.readexactly(int(headers["content-length"]))
                    status = await self._answer(headers, body)
                    writer.write(b"HTTP/1.1 %d x\r\nContent-Length: 2\r\n\r\nok" % status)
                    await writer.drain()
        finally:
            self._connections.discard(writer)
            writer.close()

    async def _answer(self, headers: dict[str, str], body: bytes) -> int:
        mode = self.mode
        try:
            told = Verifier(SECRET).verify(body, headers)
        except Exception as error:
            self.strangers.append(repr(error))
            return 401
        self.calls.append((headers["webhook-id"], json.loads(body)))
        if mode == "hang":
            await asyncio.Event().wait()
        if mode == "slow":
            await asyncio.sleep(SLOWLY)
        if mode == "refuse" and not self.poison & {event.get("payload") for event in told["events"]}:
            mode = "ok"
        if mode in ("ok", "slow"):
            self.take(told)
        return STATUS[mode]
