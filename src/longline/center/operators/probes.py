"""Operations that machines ask: whether a process answers, whether it could do its work, its figures."""

from collections.abc import Awaitable, Callable
from typing import Literal

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from longline.center.requests.answers import answer
from longline.center.requests.operations import Operation
from longline.center.service import CenterService, Metrics
from longline.errors import Unavailable


class Health(Struct, frozen=True):
    """The node is there (`ok`), or takes traffic (`ready`)."""

    status: Literal["ok", "ready"]


def operations(center: CenterService) -> list[Operation]:
    """The rows of probes."""
    handlers = _Handlers(center.obstacle, center.metrics)
    tag = "operators"
    return [
        Operation("GET", "/healthz", handlers.healthz, tag, {200: Health}, public=True),
        Operation("GET", "/readyz", handlers.readyz, tag, {200: Health}, errors=(Unavailable,), public=True),
        Operation("GET", "/metrics", handlers.metrics, tag, {200: None}, public=True),
    ]


class _Handlers:
    def __init__(self, obstacle: Callable[[], Awaitable[str]], metrics: Callable[[], Metrics]) -> None:
        self._obstacle = obstacle
        self._metrics = metrics

    async def healthz(self, request: Request) -> Response:
        """Say that the process answers.

        Also under overload and while shutting down.
        """
        return answer(Health("ok"))

    async def readyz(self, request: Request) -> Response:
        """Say whether the node could do its work.

        503 while it starts or drains, is out of touch with the others, or its store takes nothing.
        """
        obstacle = await self._obstacle()
        if obstacle:
            raise Unavailable(obstacle)
        return answer(Health("ready"))

    async def metrics(self, request: Request) -> Response:
        """Show the node's figures as Prometheus reads them."""
        metrics = self._metrics()
        return Response(metrics.body, media_type=metrics.content_type)
