"""HTTP clients that stay good when calls are cut off.

A call that is cancelled, as `asyncio.timeout` does, may leave its connection in the pool of httpcore as one
that was opened and never used: neither idle nor closed, for ever. With as many of those as there are places
no call gets through any more. So after a call that was cut off the next ones go by another client, and the
one before is closed with the last of its calls.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx


class _Client:
    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http
        self.calls = 0  # under way


class Clients:
    """Clients for one purpose, one after the other. `make` makes one, which trusts whom the context does."""

    def __init__(self, make: Callable[[ssl.SSLContext], httpx.AsyncClient]) -> None:
        self._make = make
        self._present: _Client | None = None

    @asynccontextmanager
    async def client(self, context: ssl.SSLContext) -> AsyncIterator[httpx.AsyncClient]:
        """For one call, which is cut off when this ends by `CancelledError` or `TimeoutError`."""
        if self._present is None:
            self._present = _Client(self._make(context))
        client = self._present
        client.calls += 1
        try:
            yield client.http
        except (asyncio.CancelledError, TimeoutError):
            if self._present is client:
                self._present = None
            raise
        finally:
            client.calls -= 1
            if client.calls == 0 and self._present is not client:
                await client.http.aclose()

    async def close(self) -> None:
        """Ends the connections; those of calls that are under way end with them."""
        client, self._present = self._present, None
        if client is not None and client.calls == 0:
            await client.http.aclose()
