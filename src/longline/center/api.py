"""The ASGI application: every operation behind the gate, their description, and the page of it."""

from collections import defaultdict
from importlib.resources import files

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from longline.center import (
    access,
    agents,
    apps,
    audiences,
    calls,
    config,
    connections,
    devices,
    figures,
    groups,
    keys,
    limits,
    logins,
    messages,
    operators,
    profiles,
    records,
    schedules,
    shadows,
    statistics,
    subscriptions,
    traces,
    trail,
    upstream,
    webhooks,
)
from longline.center.errors import WrongMethod
from longline.center.gate import Gate
from longline.center.openapi import document
from longline.center.operations import Endpoint, Operation
from longline.center.recording import RECORD, Recorder
from longline.center.routing import RoutesByShape
from longline.center.scopes import rule_of
from longline.center.service import CenterService
from longline.center.sharing import TICKET
from longline.errors import NotFound

# The page shows our own document with our own script, and nothing from anywhere else.
_PAGE_POLICY = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:"


def operations(center: CenterService) -> list[Operation]:
    """Every operation. Where several fit an address, the first has it."""
    return [
        *messages.operations(center),
        *audiences.operations(center),
        *devices.operations(center),
        *calls.operations(center),
        *shadows.operations(center),
        *subscriptions.operations(center),
        *connections.operations(center),
        *traces.operations(center),
        *apps.operations(center),
        *access.operations(center),
        *keys.operations(center),
        *limits.operations(center),
        *upstream.operations(center),
        *webhooks.operations(center),
        *records.operations(center),
        *statistics.operations(center),
        *schedules.operations(center),
        *groups.operations(center),
        *operators.operations(center),
        *agents.operations(center),
        *figures.operations(center),
        *config.operations(center),
        *trail.operations(center),
        *logins.operations(center),
        *profiles.operations(center),
    ]


def application(center: CenterService) -> ASGIApp:
    """The whole API as one ASGI application."""
    rows = operations(center)
    routes = [Route(row.path, _ruled(row, center.recorder), methods=[row.method]) for row in rows]
    return Gate(
        RoutesByShape(
            _in_order([*routes, *logins.routes(center), *_documentation(rows)]), default=_unknown_address
        ),
        settings=lambda: center.settings,
        sharing=center.sharing,
        keys=center.keys,
        sessions=center.sessions,
        counters=center.counters,
        traffic=center.traffic,
        refusals=center.refusals,
        faults=center.faults,
    )


def _ruled(row: Operation, recorder: Recorder) -> Endpoint:
    """The endpoint of an operation, whose rule it finds in the request."""
    if row.public:
        return row.endpoint
    endpoint, rule = row.endpoint, rule_of(row.method, row.path)
    record = recorder.record(row.method, row.path, rule)

    async def ruled(request: Request) -> Response:
        scope = request.scope
        scope[TICKET].needs = rule.scopes
        if record is not None:
            scope[RECORD] = record()
        return await endpoint(request)

    return ruled


def _in_order(routes: list[Route]) -> list[Route]:
    """The routes with what refuses each address's other methods, which comes behind all that take one.

    But an address that ends with a parameter comes behind those that say more, `{name}:rollback`, and behind
    their refusals: the parameter would take that for a name.
    """
    methods: defaultdict[str, set[str]] = defaultdict(set)
    for route in routes:
        methods[route.path] |= route.methods or set()
    refusals = {path: Route(path, _Refusal(allowed)) for path, allowed in methods.items()}
    vague = {
        path for path in methods if path.endswith("}") and any(o.startswith(f"{path}:") for o in methods)
    }
    more = {path for path in methods if path.rpartition(":")[0] in vague}
    return [
        *(route for route in routes if route.path not in vague),
        *(refusals[path] for path in more),
        *(route for route in routes if route.path in vague),
        *(refusal for path, refusal in refusals.items() if path not in more),
    ]


class _Refusal:
    """Answers methods that an address does not take."""

    def __init__(self, allowed: set[str]) -> None:
        self._allowed = allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise WrongMethod(self._allowed)


async def _unknown_address(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await WebSocketClose()(scope, receive, send)
        return
    raise NotFound


def _documentation(rows: list[Operation]) -> list[Route]:
    made: list[bytes] = []

    async def openapi(request: Request) -> Response:
        # Made when first asked for: a node that nobody asks starts faster and keeps the memory.
        if not made:
            made.append(msgspec.json.encode(document(rows)))
        return Response(made[0], media_type="application/json")

    return [
        Route("/openapi.json", openapi),
        Route("/docs", _file("docs.html", "text/html")),
        Route("/docs.css", _file("docs.css", "text/css")),
        Route("/docs.js", _file("docs.js", "text/javascript")),
        Route("/", _elsewhere("docs")),
        Route("/docs/", _elsewhere("../docs")),
    ]


def _elsewhere(path: str) -> Endpoint:
    """Sends people on, also behind a proxy that has the API below a path of its own."""

    async def redirect(request: Request) -> Response:
        return Response(status_code=307, headers={"Location": path})

    return redirect


def _file(name: str, media_type: str) -> Endpoint:
    async def serve(request: Request) -> Response:
        content = files("longline.center.page").joinpath(name).read_bytes()
        return Response(content, media_type=media_type, headers={"Content-Security-Policy": _PAGE_POLICY})

    return serve
