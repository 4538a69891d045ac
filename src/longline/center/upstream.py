"""What an app server reads of its devices: events, in order, from a cursor on."""

import asyncio
import time
from collections.abc import Callable
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from longline.center.answers import EventList, EventView, answer
from longline.center.operations import Operation, for_app
from longline.center.paging import after_event, cursor_after
from longline.center.reading import Query
from longline.center.rows import Rows
from longline.center.schemas import UpstreamQuery
from longline.center.service import CenterService
from longline.center.sharing import TICKET
from longline.center.times import rfc3339
from longline.center.waiting import Waiting
from longline.model.apps import App
from longline.model.events import Event
from longline.saver.port.events import EventStore


class _Told(msgspec.Struct, frozen=True):
    """What the store has of an event, as far as this version knows it."""

    state: Literal["online", "moved", "offline"] | UnsetType = UNSET
    epoch: int | UnsetType = UNSET
    sequence: int | UnsetType = UNSET
    room: str | UnsetType = UNSET


_told = msgspec.json.Decoder(_Told)


def operations(center: CenterService) -> list[Operation]:
    """The row of events."""
    handlers = _Handlers(center.saver.events, center.waiting, center.rows, center.ready)
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
    def __init__(self, events: EventStore, waiting: Waiting, rows: Rows, ready: Callable[[], bool]) -> None:
        self._store = events
        self._waiting = waiting
        self._rows = rows
        self._ready = ready
        self._query = Query(UpstreamQuery)

    async def read(self, request: Request, app: App) -> Response:
        """Read what happened to the app's devices, oldest first.

        Presence: a device is `online`, has `moved` to another node, or is `offline`. Go on with
        `next_cursor`. With `wait`, an answer without events is held back until there are some, or so many
        seconds have passed, or others need its place. Of an app's events only so many are kept, of each
        device the latest; `gap` says that some behind the cursor are gone.
        """
        query = self._query.read(request)
        after = "" if query.cursor is UNSET else after_event(query.cursor)
        deadline = time.monotonic() + query.wait
        events = await self._events(app, after, query.limit)
        left = float(query.wait)
        while not events.events and left > 0 and self._ready() and not request.scope[TICKET].gave_way:
            await self._wait(request, app, after, left)
            events = await self._events(app, after, query.limit)
            left = deadline - time.monotonic()
        return answer(events)

    async def _events(self, app: App, after: str, limit: int) -> EventList:
        page = await self._store.read(app.number, after, limit)
        gap = page.gap or any(event.missed for _, event in page.events)
        last = page.events[-1][0] if page.events else after
        events = await self._rows.each(app.number, page.events, _view)
        return EventList(events, cursor_after(last) if last else None, gap)

    async def _wait(self, request: Request, app: App, after: str, seconds: float) -> None:
        """Waits for events; `ClientDisconnect` when the caller goes away meanwhile."""
        gone = asyncio.create_task(_gone(request), name="center.caller-gone")
        waiting = self._waiting.wait(app.number, after, seconds, request.scope[TICKET])
        events = asyncio.create_task(waiting, name="center.wait")
        try:
            await asyncio.wait([gone, events], return_when=asyncio.FIRST_COMPLETED)
            if not events.done():
                raise ClientDisconnect
            await events
        finally:
            gone.cancel()
            events.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _view(told_at: tuple[str, Event]) -> EventView:
    cursor, event = told_at
    try:
        told = _told.decode(event.data)
    except msgspec.DecodeError:  # of a release that says it in another way
        told = _Told()
    return EventView(
        cursor_after(cursor),
        event.kind,
        event.device,
        rfc3339(event.at),
        told.state,
        told.epoch,
        told.sequence,
        told.room,
    )
