"""The events of an app as they come, over one answer that does not end.

Each event has its cursor as its id, so a browser, or whoever speaks for one, goes on by `Last-Event-ID`
where it was.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from starlette.types import Receive, Scope, Send

from longline.center.gate.sharing import TICKET, Ticket
from longline.center.requests.streams import HEARTBEAT, LOOK_AGAIN, EventStreams, ServerSentEvents, write
from longline.delivery.event_views import EventView

_encode = msgspec.json.Encoder().encode


class EventList(Struct, frozen=True):
    """Events of an app's devices, oldest first."""

    events: list[EventView]
    next_cursor: Annotated[str | None, Meta(description="Where to go on; null: there was no event yet.")]
    gap: Annotated[bool, Meta(description="Events behind the cursor were removed before they were read.")]


Read = Callable[[str], Awaitable[EventList]]  # those behind a cursor
Wait = Callable[[str, float], Awaitable[None]]  # for some behind a cursor, so many seconds at most


class EventStream(ServerSentEvents):
    """One stream of the app with this number. `after`: the cursor behind which it begins; `allowed` raises
    what ends it, when the caller's key is no good any more, or the app is gone.
    """

    def __init__(
        self,
        streams: EventStreams,
        app: int,
        after: str,
        *,
        read: Read,
        wait: Wait,
        allowed: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__()
        self._streams = streams
        self._app = app
        self._after = after
        self._read = read
        self._wait = wait
        self._allowed = allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises what keeps it from beginning; what ends it later is told in the stream."""
        with self._streams.one(self._app):
            events = await self._read(self._after)
            await self._answer(send, partial(self._go_on, scope[TICKET], events, send))

    async def _go_on(self, ticket: Ticket, events: EventList, send: Send) -> None:
        clock = asyncio.get_running_loop().time
        looked = written = clock()
        while self._streams.ready() and not ticket.gave_way:
            if events.gap:
                await write(send, b"event: gap\ndata: {}\n\n")
            if events.events:
                await write(send, b"".join([_frame(event) for event in events.events]))
                self._after = events.next_cursor or self._after
                written = clock()
            else:
                await self._wait(self._after, min(LOOK_AGAIN, HEARTBEAT))
            if clock() - looked >= LOOK_AGAIN:
                await self._allowed()
                looked = clock()
            if clock() - written >= HEARTBEAT:
                await write(send, b":\n\n")
                written = clock()
            events = await self._read(self._after)


def _frame(event: EventView) -> bytes:
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (event.cursor.encode(), event.type.encode(), _encode(event))
