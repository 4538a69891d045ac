"""Liveness, readiness and figures of a process that has no HTTP API, as a plain ASGI application."""

from collections.abc import Awaitable, Callable

import msgspec
from starlette.types import Receive, Scope, Send

from longline.center.service import Metrics

JSON = "application/json"


class Probes:
    """Answers `/healthz`, `/readyz` and `/metrics`, in the words of the API."""

    def __init__(self, obstacle: Callable[[], Awaitable[str]], metrics: Callable[[], Metrics]) -> None:
        self._obstacle = obstacle
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = []
        if scope["method"] in ("GET", "HEAD"):
            status, content_type, body = await self._answer(scope["path"])
        else:
            status, content_type = 405, JSON
            body = _error("method_not_allowed", "GET is the only method here")
            headers.append((b"allow", b"GET, HEAD"))
        headers.append((b"content-type", content_type.encode()))
        headers.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, path: str) -> tuple[int, str, bytes]:
        if path == "/healthz":
            return 200, JSON, b'{"status":"ok"}'
        if path == "/readyz":
            obstacle = await self._obstacle()
            if not obstacle:
                return 200, JSON, b'{"status":"ready"}'
            return 503, JSON, _error("unavailable", obstacle)
        if path == "/metrics":
            metrics = self._metrics()
            return 200, metrics.content_type, metrics.body
        return 404, JSON, _error("not_found", "there is nothing at this address")


def _error(code: str, message: str) -> bytes:
    return msgspec.json.encode({"error": {"code": code, "message": message, "details": []}})
