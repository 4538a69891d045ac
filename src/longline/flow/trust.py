"""Whose certificates calls over HTTP accept of a server."""

import asyncio
import ssl

import httpx


class Trust:
    """The authorities that httpx trusts, for the calls of one purpose."""

    def __init__(self) -> None:
        self._context: ssl.SSLContext | None = None

    async def context(self) -> ssl.SSLContext:
        """For clients, the same each time. It is made when it is first wanted, beside the loop, because all
        the authorities are read for it."""
        if self._context is None:
            self._context = await asyncio.to_thread(httpx.create_ssl_context)
        return self._context
