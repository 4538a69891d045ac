"""Finds the route of a request among the few that its address may be of.

Starlette's router tries all routes in turn, an expression each. There are a hundred, so what comes late among
them would wait longer for its route than for the store.
"""

from collections.abc import Sequence
from typing import Final

from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

TELLING: Final = 4  # the segment that tells most: `/v1/apps/{app}/THIS/…`

# How many segments an address has, and which is the telling one; None where that is a parameter.
_Shape = tuple[int, str | None]


class RoutesByShape:
    """Does as a `Router` of these routes, the first that fits; `default` has what fits none.

    No parameter of theirs has a slash in it.
    """

    def __init__(self, routes: Sequence[Route], default: ASGIApp) -> None:
        shapes = [(route, *_shape(route.path)) for route in routes]
        self._routers: dict[_Shape, Router] = {
            (size, telling): Router(
                [route for route, its, tells in shapes if its == size and tells in (telling, None)],
                redirect_slashes=False,
                default=default,
            )
            for _, size, telling in shapes
        }
        self._others = Router((), redirect_slashes=False, default=default)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._of(scope.get("path", ""))(scope, receive, send)

    def _of(self, path: str) -> Router:
        segments = path.split("/")
        size = len(segments)
        if size > TELLING:
            router = self._routers.get((size, segments[TELLING]))
            if router is not None:
                return router
        return self._routers.get((size, None), self._others)


def _shape(path: str) -> _Shape:
    segments = path.split("/")
    telling = segments[TELLING] if len(segments) > TELLING else "{"
    return len(segments), None if telling.startswith("{") else telling
