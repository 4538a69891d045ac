"""Streams of server-sent events that say the same thing again and again, as it is by then.

There is nothing to go on from, so events have no id: a reader that comes back sees what is now. The rest is
as with all streams (`streams.py`): a comment when there was nothing to say for a while, a look at the
key every few seconds, an end when others need the place.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from longline.center.gate.sharing import TICKET, Ticket
from longline.center.requests.gone import until_gone
from longline.center.requests.streams import HEARTBEAT, LOOK_AGAIN, ServerSentEvents, write


class TickStream(ServerSentEvents):
    """One stream of events called `name`.

    `place` is held while it goes on; `first` is said at once, `next` gives the rest. `ready` says whether it
    may go on; `allowed` raises what ends it, when the caller's key is no good any more.
    """

    def __init__(
        self,
        name: str,
        place: AbstractContextManager[None],
        *,
        first: Callable[[], Awaitable[bytes]],
        next: Callable[[], Awaitable[bytes]],
        allowed: Callable[[], Awaitable[None]],
        ready: Callable[[], bool],
    ) -> None:
        super().__init__()
        self._name = name.encode()
        self._place = place
        self._first = first
        self._next = next
        self._allowed = allowed
        self._ready = ready

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises what keeps it from beginning; what ends it later is told in the stream."""
        with self._place:
            said = await self._first()
            gone = asyncio.create_task(until_gone(Request(scope, receive)), name="center.caller-gone")
            try:
                await self._answer(send, partial(self._go_on, scope[TICKET], said, send, gone))
            finally:
                gone.cancel()

    async def _go_on(self, ticket: Ticket, said: bytes | None, send: Send, gone: asyncio.Task[None]) -> None:
        clock = asyncio.get_running_loop().time
        looked = written = clock()
        coming = asyncio.ensure_future(self._next())
        try:
            while self._ready() and not ticket.gave_way:
                if said is not None:
                    await write(send, b"event: %b\ndata: %b\n\n" % (self._name, said))
                    said, written = None, clock()
                if await self._comes(coming, ticket, gone):
                    said = coming.result()
                    coming = asyncio.ensure_future(self._next())
                if clock() - looked >= LOOK_AGAIN:
                    await self._allowed()
                    looked = clock()
                if said is None and clock() - written >= HEARTBEAT:
                    await write(send, b":\n\n")
                    written = clock()
        finally:
            coming.cancel()
            del coming  # what it raised has this frame in its traceback

    async def _comes(self, coming: asyncio.Future[bytes], ticket: Ticket, gone: asyncio.Task[None]) -> bool:
        """Whether it is there, after a while; `ClientDisconnect` when the reader goes away meanwhile."""
        either: list[asyncio.Future[Any]] = [gone, coming]
        with ticket.waiting(partial(_end, gone)):
            await asyncio.wait(
                either, timeout=min(LOOK_AGAIN, HEARTBEAT), return_when=asyncio.FIRST_COMPLETED
            )
        if gone.done() and not ticket.gave_way:
            raise ClientDisconnect
        return coming.done()


def _end(gone: asyncio.Task[None]) -> None:
    gone.cancel()
