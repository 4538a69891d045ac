"""Which route a request goes to."""

import re
from collections.abc import Callable

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Match, Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from longline.center.gate.scopes import RULES
from longline.center.requests.routing import RoutesByShape

OPERATIONS = [tuple(rule.split(" ")) for rule in RULES]
NAMES = ("a", "a:b", "a:rollback", "devices", "messages", "", "a b", "ü")


def route(method: str, path: str) -> Route:
    async def endpoint(request: Request) -> Response:
        return PlainTextResponse(f"{method} {path} {sorted(request.path_params.items())}")

    return Route(path, endpoint, methods=[method])


async def unknown(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("unknown", 404)(scope, receive, send)


async def asked(application: ASGIApp, method: str, path: str) -> str:
    said: list[bytes] = []

    async def send(message: Message) -> None:
        said.append(message.get("body", str(message.get("status")).encode()))

    async def receive() -> Message:
        raise AssertionError("nobody reads a body")

    scope = {"type": "http", "method": method, "path": path, "headers": [], "query_string": b""}
    await application(scope, receive, send)
    return b" ".join(said).decode()


def turned(routes: list[Route]) -> list[Route]:
    return routes[::-1]


@pytest.mark.parametrize("order", [list, turned])
async def test_an_address_has_the_route_that_trying_all_of_them_in_turn_would_find(
    order: Callable[[list[Route]], list[Route]],
) -> None:
    routes = order([*(route(method, path) for method, path in OPERATIONS), route("GET", "/")])
    narrow = RoutesByShape(routes, unknown)
    wide = Router(routes, redirect_slashes=False, default=unknown)
    paths = {re.sub(r"{\w+}", name, path) for _, path in OPERATIONS for name in NAMES}
    paths |= {f"{path}/" for path in paths} | {f"{path}/more" for path in paths} | {"", "/", "/v1", "//"}
    for path in sorted(paths):
        for method in ("GET", "PUT"):
            assert await asked(narrow, method, path) == await asked(wide, method, path), (method, path)


async def test_a_request_looks_at_few_routes(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are, and wherever its own stands among them."""
    looked: list[str] = []
    matches = Route.matches

    def noted(self: Route, scope: Scope) -> tuple[Match, Scope]:
        looked.append(self.path)
        return matches(self, scope)

    monkeypatch.setattr(Route, "matches", noted)
    application = RoutesByShape([route(method, path) for method, path in OPERATIONS], unknown)
    for method, path in OPERATIONS:
        looked.clear()
        answer = await asked(application, method, re.sub(r"{\w+}", "a", path))
        assert answer.startswith(f"200 {method} {path} "), answer
        assert len(looked) <= (8 if "{app}/" in path else 16), (method, path, looked)
