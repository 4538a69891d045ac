"""Puts the API on a port, inside the event loop of the node."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import cast

import uvicorn
from starlette.types import ASGIApp

from longline.center.http.connection import HttpConnection, HttpConnections
from longline.flow.kept import kept
from longline.flow.listening import bound
from longline.telemetry.faults import Faults


class _Server(uvicorn.Server):
    """Uvicorn as a guest: the node owns the signals of the process."""

    def __init__(self, config: uvicorn.Config, faults: Faults) -> None:
        super().__init__(config)
        self._faults = faults

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        """Its housekeeping until it is to stop: without it, stopping would close nothing."""
        await kept("center.http", super().main_loop, self._faults)


def _secured(secure: Callable[[object], object], accept: Callable[..., object], **given: object) -> object:
    return secure(accept(**given))


class HttpServer:
    """Serves one ASGI application on one address.

    `connections` bounds what peers may have. `grace`: seconds that `stop` waits for the requests under way
    before it cancels them. `reuse_port`: the port is shared with other processes that ask for it. `secure`
    puts TLS below a connection.
    """

    def __init__(
        self,
        app: ASGIApp,
        host: str,
        port: int,
        *,
        connections: HttpConnections,
        faults: Faults,
        grace: float,
        backlog: int = 1024,
        reuse_port: bool = False,
        secure: Callable[[object], object] | None = None,
    ) -> None:
        self._host = host
        self._reuse_port = reuse_port
        self._port = port
        self._backlog = backlog
        accept: Callable[..., object] = partial(HttpConnection, all_of_them=connections)
        if secure is not None:
            accept = partial(_secured, secure, accept)
        self._server = _Server(
            uvicorn.Config(
                app,
                http=cast(type[asyncio.Protocol], accept),
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="warning",
                access_log=False,
                proxy_headers=False,  # a peer is who connects, whatever it says
                server_header=False,
                timeout_graceful_shutdown=max(1, int(grace)),
                backlog=backlog,
            ),
            faults,
        )
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> tuple[str, int]:
        """Listens, and returns the address: the system chooses a port for 0. OSError when it cannot."""
        # Bound here, because uvicorn ends the process when an address is taken.
        listener = bound(self._host, self._port, reuse_port=self._reuse_port)
        try:
            listener.listen(self._backlog)
        except OSError:
            listener.close()
            raise
        host, port = listener.getsockname()[:2]
        self._task = asyncio.create_task(self._server.serve([listener]), name="center.http")
        return host, port

    def hasten(self, grace: float) -> None:
        """Has `stop`, which is under way or about to be, wait no longer than `grace` seconds from now."""
        asyncio.get_running_loop().call_later(grace, self._force)

    def _force(self) -> None:
        self._server.force_exit = True
        for request in list(self._server.server_state.tasks):
            request.cancel()

    async def stop(self) -> None:
        """Takes no more connections, lets the requests under way end, then closes."""
        if self._task is None:
            return
        self._server.should_exit = True
        await self._task
        self._task = None
