"""A node as a process of its own, so that it can be killed."""

import asyncio
import os
import secrets
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

import httpx

from longline import Center
from tests.certificates import Authority
from tests.servers.ports import free_ports
from tests.waiting import until

START_WITHIN = 240.0  # s
STOP_WITHIN = 60.0  # s


class ServerProcess:
    """`longline serve` on free ports, with its data in a folder that outlives the process.

    `start` and `kill` may alternate as often as a test likes; ports, admin key and data stay the same. What
    the node writes to standard error is in `log`. With an `authority`, rooms speak TLS too: with a
    certificate that it has signed, and they believe those of clients that it has signed.
    """

    module = "longline"  # that is started

    def __init__(
        self,
        data: Path,
        arguments: Sequence[str] = (),
        authority: Authority | None = None,
        /,
        **settings: str,
    ) -> None:
        self.data = data
        self._arguments = tuple(arguments)
        self.admin_key = secrets.token_urlsafe(16)
        self.http_port, self.mqtt_port, self.ws_port, self.tls_port, self.wss_port = free_ports(5)
        self.authority = authority
        self.log = data.with_suffix(".log")
        self._settings = {
            "LONGLINE_ADMIN_KEY": self.admin_key,
            "LONGLINE_CENTER__PORT": str(self.http_port),
            "LONGLINE_ROOM__PORT": str(self.mqtt_port),
            "LONGLINE_ROOM__WS_PORT": str(self.ws_port),
            "LONGLINE_NODE__LOG_FORMAT": "json",
            **({} if authority is None else with_tls(authority, self.tls_port, self.wss_port)),
            **settings,
        }
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def center(self) -> Center:
        """The API, with the admin key."""
        return Center(self.url, self.admin_key)

    async def start(self) -> None:
        """Starts the node and returns when it takes traffic."""
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", self.module, "serve", "--quiet", "--data", str(self.data), *self._arguments),
                env={**os.environ, **self._settings},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        async with httpx.AsyncClient() as client:
            await until(lambda: self._is_ready(client), START_WITHIN, tell=self.tail)

    async def _is_ready(self, client: httpx.AsyncClient) -> bool:
        assert self._process is not None
        if self._process.returncode is not None:
            raise AssertionError(f"the node ended with {self._process.returncode}:\n{self.tail()}")
        with suppress(httpx.TransportError):
            return (await client.get(f"{self.url}/readyz")).status_code == 200
        return False

    async def kill(self) -> None:
        """SIGKILL: no chance to finish anything."""
        await self._end(signal.SIGKILL)

    async def terminate(self) -> int:
        """SIGTERM, and the exit status."""
        return await self._end(signal.SIGTERM)

    async def _end(self, number: int) -> int:
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(number)
        async with asyncio.timeout(STOP_WITHIN):
            return await self._process.wait()

    def tail(self) -> str:
        """The end of what the node has logged."""
        return self.log.read_text()[-4000:] if self.log.exists() else ""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process is not None:
            await self.kill()


def with_tls(authority: Authority, tls_port: int, wss_port: int) -> dict[str, str]:
    """Settings of a room that speaks TLS, too."""
    pair = authority.server()
    return {
        "LONGLINE_ROOM__TLS_PORT": str(tls_port),
        "LONGLINE_ROOM__WSS_PORT": str(wss_port),
        "LONGLINE_ROOM__TLS_CERT": str(pair.certificate),
        "LONGLINE_ROOM__TLS_KEY": str(pair.key),
        "LONGLINE_ROOM__TLS_CLIENT_CA": str(authority.ca),
    }
