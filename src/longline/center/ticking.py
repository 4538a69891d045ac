"""Streams of server-sent events that say the same thing again and again, as it is by then.

There is nothing to go on from, so events have no id: a reader that comes back sees what is now. The rest is
as with streams of events (`streams.py`): a comment when there was nothing to say for a while, a look at the
key every few seconds, an end when others need the place.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from functools import partial

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from longline.center.errors import error_answer
from longline.center.sharing import TICKET, Ticket
from longline.center.streams import COME_BACK, HEARTBEAT, LOOK_AGAIN, MEDIA_TYPE
from longline.errors import LonglineError, Unavailable

_encode = msgspec.json.Encoder().encode

Next = Callable[[float], Awaitable[bytes | None]]  # what is to be said, within so many seconds


class TickStream(Response):
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
        next: Next,
        allowed: Callable[[], Awaitable[None]],
        ready: Callable[[], bool],
    ) -> None:
        self.status_code = 200
        self.body = b""
        self.background = None
        self._name = name.encode()
        self._place = place
        self._first = first
        self._next = next
        self._allowed = allowed
        self._ready = ready
        self.init_headers({"Content-Type": MEDIA_TYPE, "X-Accel-Buffering": "no"})
        del self.headers["Content-Length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises what keeps it from beginning; what ends it later is told in the stream."""
        with self._place:
            said = await self._first()
            headers = self.raw_headers
            await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
            gone = asyncio.create_task(_gone(Request(scope, receive)), name="center.caller-gone")
            try:
                await self._go_on(scope[TICKET], said, send, gone)
            except ClientDisconnect:
                raise
            except Exception as error:
                known = isinstance(error, LonglineError)
                told = error if isinstance(error, LonglineError) else Unavailable("the stream has failed")
                await _write(send, b"event: error\ndata: %b\n\n" % _encode(error_answer(told)))
                if not known:
                    raise
            finally:
                gone.cancel()
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _go_on(self, ticket: Ticket, said: bytes | None, send: Send, gone: asyncio.Task[None]) -> None:
        await _write(send, b"retry: %d\n\n" % COME_BACK)
        clock = asyncio.get_running_loop().time
        looked = written = clock()
        while self._ready() and not ticket.gave_way:
            if said is not None:
                await _write(send, b"event: %b\ndata: %b\n\n" % (self._name, said))
                written = clock()
            said = await self._wait(ticket, gone)
            if clock() - looked >= LOOK_AGAIN:
                await self._allowed()
                looked = clock()
            if said is None and clock() - written >= HEARTBEAT:
                await _write(send, b":\n\n")
                written = clock()

    async def _wait(self, ticket: Ticket, gone: asyncio.Task[None]) -> bytes | None:
        """What is to be said next; `ClientDisconnect` when the reader goes away meanwhile."""
        coming = asyncio.ensure_future(self._next(min(LOOK_AGAIN, HEARTBEAT)))
        try:
            with ticket.waiting(partial(_end, coming)):
                await asyncio.wait([gone, coming], return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                raise ClientDisconnect
            return None if coming.cancelled() else await coming
        finally:
            coming.cancel()
            del coming  # what it raised has this frame in its traceback


def _end(coming: asyncio.Future[bytes | None]) -> None:
    coming.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _write(send: Send, data: bytes) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": True})
