"""Operations for operators, and the probes and figures that machines read."""

from starlette.requests import Request
from starlette.responses import Response

from longline.center.answers import Health, NodeList, NodeView, answer
from longline.center.operations import Operation, for_admin
from longline.center.service import Center
from longline.center.times import rfc3339
from longline.errors import Unavailable


def operations(center: Center) -> list[Operation]:
    """The rows of operators and machines."""
    routes = _Operators(center)
    return [
        Operation("GET", "/v1/nodes", for_admin(center.keys, routes.nodes), "operators", {200: NodeList}),
        Operation("GET", "/healthz", routes.healthz, "operators", {200: Health}, public=True),
        Operation(
            "GET", "/readyz", routes.readyz, "operators", {200: Health}, errors=(Unavailable,), public=True
        ),
        Operation("GET", "/metrics", routes.metrics, "operators", {200: None}, public=True),
    ]


class _Operators:
    def __init__(self, center: Center) -> None:
        self._center = center

    async def nodes(self, request: Request) -> Response:
        """List the members of the cluster.

        Admin key only.
        """
        members = await self._center.keeper.members()
        return answer(
            NodeList(
                [
                    NodeView(
                        member.node, member.roles, member.addresses, rfc3339(member.since), member.version
                    )
                    for member in members
                ]
            )
        )

    async def healthz(self, request: Request) -> Response:
        """Say that the process answers.

        Also under overload and while shutting down.
        """
        return answer(Health("ok"))

    async def readyz(self, request: Request) -> Response:
        """Say whether the node takes traffic: 503 while it starts, drains or has lost a store."""
        if not self._center.ready():
            raise Unavailable("the node is not ready")
        return answer(Health("ready"))

    async def metrics(self, request: Request) -> Response:
        """Show the node's figures as Prometheus reads them."""
        metrics = self._center.metrics()
        return Response(metrics.body, media_type=metrics.content_type)
