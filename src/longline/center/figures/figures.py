"""The operations on the figures of all processes: what they are now, as they change, and what they were; what
is wrong, and how full everything is; and how an app fares.
"""

import asyncio

import msgspec
from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response

from longline.center.figures.feed import EVERY
from longline.center.figures.history import BOUNDS, OVERVIEW, series, step_of
from longline.center.figures.overview import Overview
from longline.center.figures.shapes import (
    AppFiguresView,
    BoundList,
    BoundView,
    FigureHistoryQuery,
    FiguresView,
    HistoryView,
    ProblemList,
    ProblemView,
    WaitingView,
)
from longline.center.gate.sharing import TICKET
from longline.center.requests.answers import answer
from longline.center.requests.operations import Operation, for_admin, for_app
from longline.center.requests.reading import Query
from longline.center.requests.streams import wants_stream
from longline.center.requests.tick_streams import TickStream
from longline.center.requests.times import moment, rfc3339, rfc3339_or_none
from longline.center.service import CenterService
from longline.errors import ValidationFailed
from longline.model.apps import App
from longline.model.statistics import HOUR

MOST_NAMES = 100
NO_APP = 0  # whose streams those of operators are: no app has this number

_encode = msgspec.json.Encoder().encode


def operations(center: CenterService) -> list[Operation]:
    """The rows of figures."""
    handlers, of_app = _Handlers(center), _AppHandlers(center)
    keys = center.keys
    return [
        Operation("GET", "/v1/figures", for_admin(keys, handlers.now), "operators", {200: FiguresView}),
        Operation(
            "GET",
            "/v1/figures/history",
            for_admin(keys, handlers.history, query=True),
            "operators",
            {200: HistoryView},
            query=FigureHistoryQuery,
        ),
        Operation("GET", "/v1/problems", for_admin(keys, handlers.problems), "operators", {200: ProblemList}),
        Operation("GET", "/v1/capacity", for_admin(keys, handlers.capacity), "operators", {200: BoundList}),
        Operation(
            "GET", "/v1/apps/{app}/figures", for_app(keys, of_app.now_of_app), "apps", {200: AppFiguresView}
        ),
    ]


class _Handlers:
    def __init__(self, center: CenterService) -> None:
        self._center = center
        self._feed = center.figures
        self._overview = Overview(center.saver, center.keeper, center.app_healths)
        self._history = Query(FigureHistoryQuery)

    async def now(self, request: Request) -> Response:
        """Show the figures of all processes.

        What each has told last: every ten seconds, and every second while somebody watches, as does for five
        seconds who asks this. A process that
        has ended is not there any more; one that has died, or is cut off from the store, stays with its last
        sample for a quarter of an hour: look at `at`.

        With `Accept: text/event-stream` the same comes once a second, as server-sent events `figures`; all
        processes tell every second from ten seconds after its beginning at the latest.
        """
        if wants_stream(request):
            return self._stream(request)
        return Response(await self._feed.now(), media_type="application/json")

    def _stream(self, request: Request) -> Response:
        center = self._center

        async def allowed() -> None:
            await center.keys.still_admin(request.headers.get("authorization"), request.scope[TICKET])

        return TickStream(
            "figures",
            center.streams.one(NO_APP),
            first=self._feed.now,
            next=self._feed.next,
            allowed=allowed,
            ready=center.ready,
        )

    async def history(self, request: Request) -> Response:
        """Show what figures were.

        A point every ten seconds for three hours, and one every five minutes for eight days: which, `from`
        decides. Where there are more than some thousand points of a node, only one of every so many is
        shown; `step` says how far apart they are. What only rises begins anew with each process.
        """
        query = self._history.read(request)
        now = self._center.clock()
        until = now + 1 if query.to is UNSET else moment(query.to, "to")
        since = until - HOUR if query.from_ is UNSET else moment(query.from_, "from")
        if since >= until:
            raise ValidationFailed("`from` is not before `to`", details=[("from", "earlier than `to`")])
        names = OVERVIEW if query.names is UNSET else tuple(dict.fromkeys(query.names.split(",")))
        if len(names) > MOST_NAMES:
            raise ValidationFailed("that is too much", details=[("names", f"at most {MOST_NAMES} names")])
        node = "" if query.node is UNSET else query.node
        step = step_of(since, now)
        since = max(since, now - BOUNDS.coarse_age)
        return answer(await series(self._center.saver.figures, node, since, until, step=step, names=names))

    async def problems(self, request: Request) -> Response:
        """Show what is wrong now.

        In words, with what to do about it: from what processes have told in the last quarter of an hour, from
        the members of the cluster, and, for some apps each minute, from their ledgers.
        """
        found = await self._overview.problems()
        return answer(
            ProblemList(
                [
                    ProblemView(
                        each.code,
                        each.severity,
                        each.message,
                        each.hint,
                        rfc3339_or_none(each.since),
                        each.node or UNSET,
                        each.app or UNSET,
                    )
                    for each in found
                ]
            )
        )

    async def capacity(self, request: Request) -> Response:
        """Show how full each bound is, and when it will be full.

        Growth is that of the last three days, of all processes of one host, and is worked out anew every few
        minutes.
        """
        return answer(
            BoundList(
                [
                    BoundView(
                        each.name,
                        each.node,
                        each.host,
                        each.used,
                        each.limit,
                        round(each.share, 4),
                        None if each.growth is None else round(each.growth, 3),
                        rfc3339_or_none(each.full_at),
                    )
                    for each in await self._overview.capacity()
                ]
            )
        )


class _AppHandlers:
    def __init__(self, center: CenterService) -> None:
        self._center = center
        self._healths = center.app_healths

    async def now_of_app(self, request: Request, app: App) -> Response:
        """Show how an app fares now.

        How many of its devices are connected, what it sends and what devices take in a second, as of the last
        ten seconds or so (null until somebody has looked twice), what was counted in this hour, and what
        waits of its latest 100 messages.

        With `Accept: text/event-stream` the same comes once a second, as server-sent events `figures`.
        """
        if wants_stream(request):
            return self._stream(request, app)
        return answer(await self._view(app))

    async def _view(self, app: App) -> AppFiguresView:
        health = await self._healths.of(app.number)
        return AppFiguresView(
            rfc3339(self._center.clock()),
            health.connected,
            _rounded(health.message_rate),
            _rounded(health.delivery_rate),
            health.messages,
            health.deliveries,
            WaitingView(health.waiting, health.looked_at),
        )

    def _stream(self, request: Request, app: App) -> Response:
        center = self._center

        async def first() -> bytes:
            return _encode(await self._view(app))

        async def next() -> bytes:
            await asyncio.sleep(EVERY)
            return await first()

        async def allowed() -> None:
            await center.keys.still(request.headers.get("authorization"), app, request.scope[TICKET])

        return TickStream(
            "figures",
            center.streams.one(app.number),
            first=first,
            next=next,
            allowed=allowed,
            ready=center.ready,
        )


def _rounded(rate: float | None) -> float | None:
    return None if rate is None else round(max(rate, 0.0), 3)
