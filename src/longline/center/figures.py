"""The operations on the figures of all processes: what they are now, as they change, and what they were."""

from starlette.requests import Request
from starlette.responses import Response

from longline.center.figure_feed import as_json
from longline.center.figure_types import FiguresView
from longline.center.operations import Operation, for_admin
from longline.center.service import CenterService
from longline.center.sharing import TICKET
from longline.center.streams import wants_stream
from longline.center.ticking import TickStream

NO_APP = 0  # whose streams those of operators are: no app has this number


def operations(center: CenterService) -> list[Operation]:
    """The rows of figures."""
    handlers = _Handlers(center)
    return [
        Operation(
            "GET", "/v1/figures", for_admin(center.keys, handlers.now), "operators", {200: FiguresView}
        ),
    ]


class _Handlers:
    def __init__(self, center: CenterService) -> None:
        self._center = center
        self._feed = center.figures

    async def now(self, request: Request) -> Response:
        """Show the figures of all processes.

        What each has told last: every ten seconds, and every second while somebody watches. A process that
        has ended is not there any more; one that has died, or is cut off from the store, stays with its last
        sample for a quarter of an hour: look at `at`.

        With `Accept: text/event-stream` the same comes once a second, as server-sent events `figures`; all
        processes tell every second from ten seconds after its beginning at the latest.
        """
        if wants_stream(request):
            return self._stream(request)
        return Response(as_json(await self._feed.now()), media_type="application/json")

    def _stream(self, request: Request) -> Response:
        center = self._center

        async def first() -> bytes:
            return as_json(await self._feed.now())

        async def next(seconds: float) -> bytes | None:
            found = await self._feed.next(seconds)
            return None if found is None else as_json(found)

        async def allowed() -> None:
            await center.keys.still_admin(request.headers.get("authorization"), request.scope[TICKET])

        return TickStream(
            "figures",
            center.streams.one(NO_APP),
            first=first,
            next=next,
            allowed=allowed,
            ready=center.ready,
        )
