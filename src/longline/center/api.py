"""The ASGI application: every operation behind the gate, and their description."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from longline.center.apps import acl, apps, limits, statistics, token_issuers
from longline.center.devices import calls, connections, devices, groups, shadows, subscriptions
from longline.center.errors.responses import WrongMethod
from longline.center.events import upstream, webhooks
from longline.center.figures import figures
from longline.center.gate.gate import Gate
from longline.center.gate.scopes import rule_of
from longline.center.gate.sharing import TICKET
from longline.center.keys import audit_log, keys, logins
from longline.center.messages import audiences, latest, messages, schedules, traces
from longline.center.openapi.routes import documentation
from longline.center.operators import agents, config, nodes, probes, profiles
from longline.center.requests.audit_entries import RECORD, Recorder
from longline.center.requests.operations import Endpoint, Operation
from longline.center.requests.routing import RoutesByShape
from longline.center.service import CenterService
from longline.errors import NotFound

# Every operation, by the names that clients know its subject by: `devices_register` is the `operationId` of
# `register` in the rows of `devices`. Where several operations fit an address, the first has it.
_SUBJECTS: Final[Sequence[tuple[str, Callable[[CenterService], list[Operation]]]]] = (
    ("messages", messages.operations),
    ("audiences", audiences.operations),
    ("devices", devices.operations),
    ("calls", calls.operations),
    ("shadows", shadows.operations),
    ("subscriptions", subscriptions.operations),
    ("connections", connections.operations),
    ("traces", traces.operations),
    ("apps", apps.operations),
    ("access", token_issuers.operations),
    ("access", acl.operations),
    ("keys", keys.operations),
    ("limits", limits.operations),
    ("upstream", upstream.operations),
    ("webhooks", webhooks.operations),
    ("records", latest.operations),
    ("statistics", statistics.operations),
    ("schedules", schedules.operations),
    ("groups", groups.operations),
    ("operators", nodes.operations),
    ("operators", probes.operations),
    ("agents", agents.operations),
    ("figures", figures.operations),
    ("config", config.operations),
    ("trail", audit_log.operations),
    ("logins", logins.operations),
    ("profiles", profiles.operations),
)


def operations(center: CenterService) -> list[Operation]:
    """Every operation, in the order in which an address looks for its own."""
    return [row._replace(subject=subject) for subject, rows in _SUBJECTS for row in rows(center)]


def application(center: CenterService) -> ASGIApp:
    """The whole API as one ASGI application."""
    rows = operations(center)
    routes = [Route(row.path, _ruled(row, center.recorder), methods=[row.method]) for row in rows]
    return Gate(
        RoutesByShape(
            _in_order([*routes, *logins.routes(center), *documentation(rows)]), default=_unknown_address
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
