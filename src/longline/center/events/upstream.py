"""What an app server reads of its devices: events, in order, from a cursor on."""

import time
from collections.abc import Callable
from typing import Annotated

from msgspec import UNSET, Meta
from starlette.requests import Request
from starlette.responses import Response

from longline.center.events.stream import EventList, EventStream
from longline.center.events.waiting import Waiting
from longline.center.gate.auth import Keys
from longline.center.gate.sharing import TICKET
from longline.center.requests.answers import answer
from longline.center.requests.gone import unless_gone
from longline.center.requests.long_lists import ROW, Rows
from longline.center.requests.operations import Operation, for_app
from longline.center.requests.paging import after_event, cursor_after
from longline.center.requests.reading import Query
from longline.center.requests.streams import LOOK_AGAIN, EventStreams, wants_stream
from longline.center.service import CenterService
from longline.center.shapes import PageQuery
from longline.delivery.event_views import EventView, event_view
from longline.model.apps import App
from longline.model.events import Event
from longline.saver.port.events import EventStore


class UpstreamQuery(PageQuery, frozen=True):
    """From where to read events, and how long to wait for some."""

    wait: Annotated[
        int, Meta(ge=0, le=60, description="Seconds to hold the answer back while there are none.")
    ] = 0
    tail: Annotated[
        bool, Meta(description="Without a cursor: begin behind the newest event, not with the oldest.")
    ] = False


def operations(center: CenterService) -> list[Operation]:
    """The row of events."""
    handlers = _Handlers(
        center.saver.events, center.waiting, center.streams, center.keys, center.rows, center.ready
    )
    return [
        Operation(
            "GET",
            "/v1/apps/{app}/upstream",
            for_app(center.keys, handlers.read, query=True),
            "events",
            {200: EventList},
            query=UpstreamQuery,
        )
    ]


class _Handlers:
    def __init__(
        self,
        events: EventStore,
        waiting: Waiting,
        streams: EventStreams,
        keys: Keys,
        rows: Rows,
        ready: Callable[[], bool],
    ) -> None:
        self._store = events
        self._waiting = waiting
        self._streams = streams
        self._keys = keys
        self._rows = rows
        self._ready = ready
        self._query = Query(UpstreamQuery)

    async def read(self, request: Request, app: App) -> Response:
        """Read what happened to the app's devices, oldest first.

        What devices have sent (`upstream`), what became of messages as their applications tell (`receipt`),
        presence: a device is `online`, has `moved` to another node, or is `offline`; and what became of
        devices themselves (`device`): one is `registered`, `deleted`, or `retired`, not having come for so
        long. Each device's are in order. Go on with `next_cursor`. With `wait`, an answer without events is
        held back until there are some, or so many seconds have passed, or others need its place. Of an app's
        events only so many are kept, of each device the latest; `gap` says that some behind the cursor are
        gone.

        With `tail`, and no cursor, it begins behind the newest event: only what comes is told.

        With `Accept: text/event-stream` they come as server-sent events, as they happen: `id` is the cursor
        of each, and `Last-Event-ID` says where to go on.
        """
        query = self._query.read(request)
        after = "" if query.cursor is UNSET else after_event(query.cursor)
        if query.tail and not after and not request.headers.get("last-event-id"):
            after = await self._store.end(app.number)
        if wants_stream(request):
            return self._stream(request, app, after, query.limit)
        looked = time.monotonic()
        deadline = looked + query.wait
        events = await self._events(app, after, query.limit)
        left = float(query.wait)
        while not events.events and left > 0 and self._ready() and not request.scope[TICKET].gave_way:
            await self._wait(request, app, after, min(left, LOOK_AGAIN))
            if time.monotonic() - looked >= LOOK_AGAIN:
                await self._still(request, app)
                looked = time.monotonic()
            events = await self._events(app, after, query.limit)
            left = deadline - time.monotonic()
        return answer(events)

    async def _still(self, request: Request, app: App) -> None:
        await self._keys.still(request.headers.get("authorization"), app, request.scope[TICKET])

    def _stream(self, request: Request, app: App, after: str, limit: int) -> Response:
        last = request.headers.get("last-event-id")
        if last:  # a reader that comes back
            after = after_event(last)

        return EventStream(
            self._streams,
            app.number,
            cursor_after(after) if after else "",
            read=lambda cursor: self._events(app, cursor and after_event(cursor), limit),
            wait=lambda cursor, seconds: self._wait(request, app, cursor and after_event(cursor), seconds),
            allowed=lambda: self._still(request, app),
        )

    async def _events(self, app: App, after: str, limit: int) -> EventList:
        page = await self._store.read(app.number, after, limit)
        gap = page.gap or any(event.missed for _, event in page.events)
        last = page.events[-1][0] if page.events else after
        events = await self._rows.each(app.number, page.events, _view, _worth)
        return EventList(events, cursor_after(last) if last else None, gap)

    async def _wait(self, request: Request, app: App, after: str, seconds: float) -> None:
        """Waits for events; `ClientDisconnect` when the caller goes away meanwhile."""
        waiting = self._waiting.wait(app.number, after, seconds, request.scope[TICKET])
        await unless_gone(request, waiting, "center.wait")


def _worth(told_at: tuple[str, Event]) -> int:
    return 1 + len(told_at[1].payload) // ROW


def _view(told_at: tuple[str, Event]) -> EventView:
    return event_view(*told_at)
