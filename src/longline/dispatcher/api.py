"""`GET /v1/dispatch`, as a plain ASGI application in front of another one.

No framework in between: it is asked by every client before it connects, and by all of them at once when
a data centre goes.
"""

from collections.abc import Sequence
from urllib.parse import parse_qs

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from longline.dispatcher.dispatcher import Dispatcher
from longline.dispatcher.ranking import TRANSPORTS
from longline.errors import BadRequest, LonglineError, MethodNotAllowed, ValidationFailed
from longline.model.apps import valid_app_name
from longline.model.devices import valid_device_name

PATH = "/v1/dispatch"
MAX_QUERY = 2048  # bytes
MAX_LABEL = 64  # characters of a network's or region's name
# Pages ask, too. Nothing here needs a key or depends on who asks, so any may (WHATWG Fetch, section 3.2).
CORS = [(b"access-control-allow-origin", b"*"), (b"access-control-expose-headers", b"retry-after")]
PREFLIGHT = [
    (b"access-control-allow-methods", b"GET, HEAD"),
    (b"access-control-allow-headers", b"*"),
    (b"access-control-max-age", b"86400"),
]
PARAMETERS = frozenset({"app", "device", "transport", "network", "region"})

_encode = msgspec.json.Encoder().encode


class DispatcherApi:
    """Answers its own path, and leaves every other to `others`."""

    def __init__(self, dispatcher: Dispatcher, others: ASGIApp) -> None:
        self._dispatcher = dispatcher
        self._others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH:
            await self._others(scope, receive, send)
            return
        if scope["method"] == "OPTIONS" and _is_preflight(scope):
            await send({"type": "http.response.start", "status": 204, "headers": [*CORS, *PREFLIGHT]})
            await send({"type": "http.response.body"})
            return
        try:
            if scope["method"] not in ("GET", "HEAD"):
                raise MethodNotAllowed("GET is the only method here")
            client = scope.get("client")
            body = _encode(self._answer(scope["query_string"], client[0] if client else ""))
            await _send(send, 200, body, [])
        except LonglineError as error:
            headers = [(b"allow", b"GET, HEAD")] if isinstance(error, MethodNotAllowed) else []
            if error.retry_after is not None:
                headers.append((b"retry-after", str(max(1, round(error.retry_after))).encode()))
            details = [{"field": field, "message": text} for field, text in error.details]
            told = {"code": error.code, "message": error.message, "details": details}
            await _send(send, error.status, _encode({"error": told}), headers)

    def _answer(self, query: bytes, peer: str) -> object:
        asked = parameters(query)
        return self._dispatcher.look_up(
            asked["app"],
            asked["device"],
            transport=asked["transport"],
            network=asked["network"],
            region=asked["region"],
            peer=peer,
        )


def parameters(query: bytes) -> dict[str, str]:
    """The query's parameters, checked; `transport` is tcp unless given, `network` and `region` are empty."""
    if len(query) > MAX_QUERY:
        raise BadRequest("the query is too long")
    try:
        found = parse_qs(query.decode("ascii"), keep_blank_values=True, max_num_fields=16, errors="strict")
    except ValueError:
        raise BadRequest("the query cannot be read") from None
    asked = {"app": "", "device": "", "transport": "tcp", "network": "", "region": ""}
    problems: list[tuple[str, str]] = []
    for name, values in found.items():
        if name not in PARAMETERS:
            problems.append((name, "there is no such parameter"))
        elif len(values) > 1:
            problems.append((name, "given more than once"))
        else:
            asked[name] = values[0]
    if not valid_app_name(asked["app"]):
        problems.append(("app", "the name of an app is required"))
    if not valid_device_name(asked["device"]):
        problems.append(("device", "the name of a device is required"))
    if asked["transport"] not in TRANSPORTS:
        problems.append(("transport", "tcp, tls, ws or wss"))
    problems += [(name, "too long") for name in ("network", "region") if len(asked[name]) > MAX_LABEL]
    if problems:
        raise ValidationFailed("the query is not right", details=problems)
    return asked


def _is_preflight(scope: Scope) -> bool:
    """Whether a browser asks what it may ask."""
    return any(name == b"access-control-request-method" for name, _ in scope["headers"])


async def _send(send: Send, status: int, body: bytes, headers: Sequence[tuple[bytes, bytes]]) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
                (b"cache-control", b"no-store"),
                *CORS,
                *headers,
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})
